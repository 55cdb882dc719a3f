"""Training: the epoch loop and what goes with it."""

from deltaprop.training.fit import Run, fit
from deltaprop.training.history import History
from deltaprop.training.lr_range import LRRange, lr_range_test
from deltaprop.training.metrics import Metric
from deltaprop.training.stop import StopOnPlateau

__all__ = ["History", "LRRange", "Metric", "Run", "StopOnPlateau", "fit", "lr_range_test"]
