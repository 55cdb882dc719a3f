"""The state of a running `fit`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deltaprop.optim import Optimizer
from deltaprop.training.history import History
from deltaprop.training.protocols import TrainableNetwork


@dataclass
class Run:
    """The state of a running `fit`, which callbacks receive.

    Attributes
    ----------
    network : Sequential
    optimizer : Optimizer
    epoch : int
        The current or last finished epoch, counted from 0 as in Keras's callbacks; its loss is
        ``history["loss"][epoch]``. -1 before the first. Progress output, `History.table` and names
        of files count from 1.
    epochs : int
        Total number of epochs.
    step : int
        Number of updates so far.
    loss : float
        The loss of the last update, in ``on_train_batch_end``.
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
    # Runs `forward` and `backward` on a sample of the data.
    _manual_pass: Callable[[TrainableNetwork], None] = lambda network: None
    _keys: list[str] = field(default_factory=list)  # of the history's 1-D columns
    _callbacks: list[Any] = field(default_factory=list)
    _checkpoints: list[str] = field(default_factory=list)  # to write when the epoch has ended
    _stopping: bool = False
    _begun: bool = False  # training has begun; later exceptions keep its results

    def stop(self) -> None:
        """Stop the fit after the current epoch; in ``on_train_batch_end`` after the update.

        In ``on_train_begin`` and ``on_epoch_begin`` it stops before the next epoch.
        """
        self._stopping = True
