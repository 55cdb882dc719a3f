"""A fit under way."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deltaprop.optim import Optimizer
from deltaprop.training.history import History
from deltaprop.training.protocols import TrainableNetwork


@dataclass
class Run:
    """A fit under way, as callbacks see it.

    Attributes
    ----------
    network : Sequential
    optimizer : Optimizer
    epoch : int
        The epoch under way or just finished, counted from 0 as Keras counts it for callbacks: that
        of ``history["loss"][epoch]``; -1 before the first. Progress, `History.table` and file
        names count from 1.
    epochs : int
        Epochs that the fit is to have in all.
    step : int
        Updates so far.
    loss : float
        The last update's, in ``on_train_batch_end``.
    history : History
        The values so far.
    """

    network: TrainableNetwork
    optimizer: Optimizer
    epochs: int = 0
    history: History = field(default_factory=History)
    epoch: int = -1
    step: int = 0
    loss: float = float("nan")
    _settings: dict[str, Any] = field(default_factory=dict)
    _digests: Callable[[], dict[str, Any]] = dict  # of the data
    # Runs forward and backward by hand on some rows of the data.
    _manual_pass: Callable[[TrainableNetwork], None] = lambda network: None
    _keys: list[str] = field(default_factory=list)  # that the history has, with a number an epoch
    _callbacks: list[Any] = field(default_factory=list)
    _checkpoints: list[str] = field(default_factory=list)  # to write when the epoch has ended
    _stopping: bool = False
    _begun: bool = False  # what comes now is no refusal any more

    def stop(self) -> None:
        """End the fit after this epoch, or after this update where that is under way.

        In ``on_train_begin`` and ``on_epoch_begin`` before it.
        """
        self._stopping = True
