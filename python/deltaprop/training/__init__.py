"""Training: the epoch loop and what goes with it."""

from deltaprop.training.fit import Run, fit
from deltaprop.training.history import History
from deltaprop.training.metrics import Metric
from deltaprop.training.stop import StopOnPlateau

__all__ = ["History", "Metric", "Run", "StopOnPlateau", "fit"]
