"""`fit`: from what users give to what the core takes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaprop import _core
from deltaprop._arrays import Array, as_array, as_count, as_seed
from deltaprop.nn.losses import Loss, check_loss
from deltaprop.optim import Optimizer
from deltaprop.training.history import History
from deltaprop.training.progress import Progress, progress_of
from deltaprop.training.stop import StopOnPlateau

if TYPE_CHECKING:
    from deltaprop.nn.sequential import Sequential

Data = tuple[Array, Array, Array | None]


@dataclass
class Run:
    """A fit under way, as callbacks see it.

    Attributes
    ----------
    network : Sequential
    optimizer : Optimizer
    epoch : int
        The epoch just finished, counted from 0.
    step : int
        Updates so far.
    history : History
        The values so far.
    """

    network: "Sequential"
    optimizer: Optimizer
    history: History = field(default_factory=History)
    epoch: int = -1
    step: int = 0
    _stopping: bool = False

    def stop(self) -> None:
        """End the fit after this epoch."""
        self._stopping = True


def fit(  # noqa: D103  (documented as Sequential.fit)
    network: "Sequential",
    X: Any,
    y: Any,
    *,
    loss: Any,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int | None,
    shuffle: bool,
    seed: int | None,
    validation_data: tuple[Any, ...] | None,
    sample_weight: Any,
    stop: StopOnPlateau | None,
    callbacks: Iterable[Callable[[Run], object]],
    progress: bool,
) -> History:
    if not isinstance(optimizer, Optimizer):
        kind = optimizer if isinstance(optimizer, type) else type(optimizer)
        raise TypeError(f"fit: expected an optimizer, got {kind.__name__}")
    if stop is not None and not isinstance(stop, StopOnPlateau):
        raise TypeError(f"fit: expected stop to be a StopOnPlateau, got {type(stop).__name__}")
    if isinstance(optimizer._core, _core.Optimizer64) != (network.dtype == np.float64):
        raise ValueError(
            "fit: expected an optimizer of this network's parameters, got one of another network's"
        )
    if not isinstance(callbacks, Iterable):
        name = type(callbacks).__name__
        raise TypeError(f"fit: expected an iterable of callables as callbacks, got {name}")
    callbacks = list(callbacks)
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"fit: expected callables as callbacks, got {type(callback).__name__}")
    epochs = as_count(epochs, "fit: epochs", 0)
    losses = [loss] if stop is None or stop.loss is None else [loss, stop.loss]
    in_bytes = not all(_is_native(one) for one in losses)
    data = _data(X, y, sample_weight, "", in_bytes)
    run = Run(network, optimizer)
    bar = progress_of(epochs) if progress else None
    try:
        result = _core.fit(
            network._network,
            optimizer._core,
            _core_loss(loss, data[1]),
            data,
            (isinstance(X, np.memmap), isinstance(y, np.memmap)),
            epochs,
            max(len(data[0]), 1)
            if batch_size is None
            else as_count(batch_size, "fit: batch_size", 1),
            bool(shuffle),
            None if seed is None else as_seed(seed, "fit"),
            None if validation_data is None else _validation(validation_data, loss),
            None
            if stop is None
            else (
                stop.eps,
                stop.every == "update",
                None if stop.loss is None else _core_loss(stop.loss, data[1]),
            ),
            _epoch_end(run, callbacks, bar) if callbacks or bar else None,
        )
    finally:
        if bar is not None:
            bar.close()
    run.history._finish(result)
    return run.history


def _epoch_end(
    run: Run, callbacks: list[Callable[[Run], object]], bar: Progress | None
) -> Callable[[int, int, float, float | None, float], bool]:
    def epoch_end(
        epochs: int, updates: int, loss: float, val_loss: float | None, lr: float
    ) -> bool:
        values = {"loss": loss} if val_loss is None else {"loss": loss, "val_loss": val_loss}
        run.epoch, run.step = epochs - 1, updates
        run.history.epochs, run.history.updates = epochs, updates
        run.history._append({**values, "lr": lr})
        if bar is not None:
            bar.at(epochs, values)
        for callback in callbacks:
            callback(run)
        return run._stopping

    return epoch_end


def _data(X: Any, y: Any, weight: Any, where: str, in_bytes: bool) -> Data:
    targets = as_array(y, f"{where}y")
    if in_bytes:
        # A loss written in Python is given y as it is. The core carries its bytes without knowing
        # what they mean: they must lie in order, and are looked through here.
        targets = np.asarray(targets, order="C")
        if not isinstance(y, np.memmap) and not np.isfinite(targets).all():
            row = np.argwhere(~np.isfinite(targets))[0][0]
            raise ValueError(f"{where}y: expected finite numbers, got nan or infinity in row {row}")
    return (
        as_array(X, f"{where}X"),
        targets,
        None if weight is None else as_array(weight, f"{where}sample_weight"),
    )


def _validation(data: tuple[Any, ...], loss: Any) -> tuple[Array, Array, Array | None, _core.Loss]:
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise TypeError("validation_data: expected (X, y) or (X, y, sample_weight)")
    weight = data[2] if len(data) == 3 else None
    X, y, weight = _data(data[0], data[1], weight, "validation_data ", not _is_native(loss))
    return X, y, weight, _core_loss(loss, y)


def _is_native(loss: Any) -> bool:
    # One that overrides a built-in loss is a loss written in Python.
    kind = type(loss)
    return isinstance(loss, Loss) and kind.__call__ is Loss.__call__ and kind.delta is Loss.delta


def _core_loss(loss: Any, y: Array) -> _core.Loss:
    """Return the core's loss, or one that calls back an object of the user's."""
    check_loss(loss, "fit")
    if getattr(loss, "reduction", "") == "none":
        raise ValueError("fit: expected a loss with reduction 'mean' or 'sum', got 'none'")
    if _is_native(loss):
        native: _core.Loss = loss._native_for(y, 2)
        return native
    return _core.PythonLoss(loss, type(loss).__name__, y)
