"""Training: the epoch loop, callbacks, metrics, history and checkpoints."""

from deltaprop.training.callbacks import Callback, EarlyStopping, ModelCheckpoint
from deltaprop.training.fit import fit
from deltaprop.training.history import History
from deltaprop.training.metrics import Metric
from deltaprop.training.run import Run
from deltaprop.training.stop import StopOnPlateau

__all__ = [
    "Callback",
    "EarlyStopping",
    "History",
    "Metric",
    "ModelCheckpoint",
    "Run",
    "StopOnPlateau",
    "fit",
]
