"""What is called as a fit goes on."""

import math
import os
from collections.abc import Callable, Iterable
from typing import Any

from deltaprop._arrays import Array, as_count, as_name, as_real
from deltaprop.training.run import Run

# Less of what is called so is better; scikit-learn calls "neg_..." what it negates.
_LESS_IS_BETTER = {"loss", "error", "deviance", "brier", "mse", "rmse", "mae"}


class Callback:
    """Base of callbacks: give it the hooks that you want, named as Keras names them.

    Each takes the `Run`: ``run.network``, ``run.optimizer``, ``run.history``, ``run.epoch``,
    ``run.step`` and ``run.stop()``. A function ``f(run)`` in `callbacks` is called at the end of
    each epoch. A method ``on_...`` that is none of these hooks is a TypeError in `fit`.

    Examples
    --------
    >>> import deltaprop as dp
    >>> class StopAt(dp.Callback):
    ...     def __init__(self, loss):
    ...         self.loss = loss
    ...     def on_epoch_end(self, run):
    ...         if run.history["loss"][-1] < self.loss:
    ...             run.stop()
    """

    # Seconds between two calls of `on_epoch_end` at the least, where nothing else wants each epoch.
    _every = 0.0

    def on_train_begin(self, run: Run) -> None:
        """Begin a fit; a resumed one after `load_state_dict`, with epochs in its history."""

    def on_train_end(self, run: Run) -> None:
        """End a fit that was not ended by an exception."""

    def on_epoch_begin(self, run: Run) -> None:
        """Begin an epoch."""

    def on_epoch_end(self, run: Run) -> None:
        """End an epoch; its values are the last ones in ``run.history``."""

    def on_train_batch_end(self, run: Run) -> None:
        """End an update; its loss is ``run.loss``. `fit` leaves C++ for it only if it is there."""

    def _on_exception(self, run: Run) -> None:
        """Take notice that an exception ends the fit."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint is to keep: numbers, strings, arrays, lists and dicts."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave, when a fit is resumed."""


_HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class _AtEpochEnd(Callback):
    """A function of the run, called at the end of each epoch."""

    def __init__(self, function: Callable[[Run], object]) -> None:
        self._function = function

    def on_epoch_end(self, run: Run) -> None:
        self._function(run)


def as_callbacks(callbacks: Iterable[Any]) -> list[Callback]:
    """Return callbacks, functions wrapped as such.

    Raises
    ------
    TypeError
        For what is neither, and for hooks that nobody calls.
    """
    if not isinstance(callbacks, Iterable):
        name = type(callbacks).__name__
        raise TypeError(f"fit: expected an iterable of callables as callbacks, got {name}")
    found: list[Callback] = []
    for callback in callbacks:
        if isinstance(callback, Callback):
            _check_hooks(callback)
            found.append(callback)
        elif isinstance(callback, type) or not callable(callback):
            kind = callback if isinstance(callback, type) else type(callback)
            raise TypeError(f"fit: expected callables as callbacks, got {kind.__name__}")
        else:
            found.append(_AtEpochEnd(callback))
    return found


def _check_hooks(callback: Callback) -> None:
    for name in dir(callback):
        if name.startswith("on_") and name not in _HOOKS and callable(getattr(callback, name)):
            raise TypeError(
                f"{type(callback).__name__}: expected hooks of {list(_HOOKS)}, got {name}"
            )


def wants_batches(callback: Callback) -> bool:
    """Return whether it has a hook for each update, of its class's or of its own."""
    hook = callback.on_train_batch_end
    return getattr(hook, "__func__", hook) is not Callback.on_train_batch_end


class _Monitor:
    """Which epoch of a run was the best."""

    def __init__(self, where: str, monitor: str, mode: str, min_delta: float) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{where}: expected mode 'auto', 'min' or 'max', got {mode!r}")
        self.where = where
        self.monitor = as_name(monitor, f"{where}: monitor")
        if mode == "auto":
            words = set(monitor.split("_"))
            mode = "min" if words & _LESS_IS_BETTER and "neg" not in words else "max"
        self.sign = -1.0 if mode == "min" else 1.0
        self.min_delta = as_real(min_delta, f"{where}: min_delta", 0)
        self.best = -math.inf  # times the sign

    def check(self, run: Run) -> None:
        """Raise ValueError where the history will not have the key."""
        if self.monitor not in run._keys:
            raise ValueError(
                f"{self.where}: expected monitor to be of {run._keys}, got {self.monitor!r}"
            )

    def improved(self, run: Run) -> bool:
        """Look at the last epoch; return whether it is the best so far."""
        value = self.sign * float(run.history[self.monitor][-1])
        if not value > self.best + self.min_delta:
            return False
        self.best = value
        return True


class EarlyStopping(Callback):
    """Stop when a value of the history has not improved for some epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A key of the history.
    min_delta : float, default 0
        By how much a value must be better to count.
    patience : int, default 0
        Epochs in a row without improvement after which it stops; 0 is no more patient than 1.
    mode : {"auto", "min", "max"}, default "auto"
        Whether less is better or more. "auto": less of what has "loss", "error", "deviance",
        "brier", "mse", "rmse" or "mae" in its name (but not "neg"), more of all else.
    restore_best_weights : bool, default True
        Give the network the parameters of its best epoch when the fit ends, and with `ema_decay`
        the optimizer the averages of them.

    Attributes
    ----------
    best_epoch : int
        Counted from 0; -1 before the first.
    stopped_epoch : int
        The epoch after which it stopped the fit; -1 where it did not.

    Raises
    ------
    ValueError
        For an option out of range; as the fit begins, where there is no such key.

    Notes
    -----
    In a fit that is resumed it goes on counting, and stops at once where it had stopped before,
    unless it is more patient now.

    Source: Keras's callback of this name. Prechelt, "Early stopping - but when?" (1998).
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        restore_best_weights: bool = True,
    ) -> None:
        self.patience = as_count(patience, "EarlyStopping: patience", 0)
        self.restore_best_weights = bool(restore_best_weights)
        self._options = (monitor, mode, min_delta)
        self._reset()

    def _reset(self) -> None:
        self._monitor = _Monitor("EarlyStopping", *self._options)
        self._waited = 0
        self._weights: dict[str, Array] | None = None
        self._averages: dict[int, Array] = {}
        self.best_epoch = -1
        self.stopped_epoch = -1

    def on_train_begin(self, run: Run) -> None:
        """Forget an earlier fit, unless this one goes on from it."""
        self._monitor.check(run)
        if run.history.epochs == 0:
            self._reset()
        elif self._waited > 0:
            self._stop_in_time(run)

    def on_epoch_end(self, run: Run) -> None:
        """Look at the epoch's value."""
        if self._monitor.improved(run):
            self._waited = 0
            self.best_epoch = run.epoch
            if self.restore_best_weights:
                self._weights = run.network.state_dict()
                self._averages = run.optimizer._averages()
            return
        self._waited += 1
        self._stop_in_time(run)

    def _stop_in_time(self, run: Run) -> None:
        if self._waited >= self.patience:
            self.stopped_epoch = run.epoch
            run.stop()

    def on_train_end(self, run: Run) -> None:
        """Give the best parameters back."""
        if self._weights is not None and self.best_epoch != run.epoch:
            run.network.load_state_dict(self._weights)
            run.optimizer._load_averages(self._averages)
        self._weights, self._averages = None, {}

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far, its epoch and parameters, and how long ago it was."""
        return {
            "best": self._monitor.best,
            "best_epoch": self.best_epoch,
            "waited": self._waited,
            "weights": self._weights,
            "averages": self._averages,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take that back."""
        self._monitor.best = state["best"]
        self.best_epoch = state["best_epoch"]
        self._waited = state["waited"]
        self._weights = state["weights"]
        self._averages = state["averages"]


class ModelCheckpoint(Callback):
    """Write a checkpoint as the fit goes on: network, optimizer, schedule, counters, history.

    Parameters
    ----------
    path : str or path-like
        The file, which is replaced as a whole, in a folder that is there. May hold ``{epoch}`` and
        keys of the history with a number an epoch, as ``"{epoch:03d}-{val_loss:.3f}.dp"``. As in
        Keras the epoch in a name is counted from 1: ``run.epoch + 1``.
    monitor : str, optional
        A key of the history. With it only epochs are written that are the best of those looked at.
    mode : {"auto", "min", "max"}, default "auto"
        As for `EarlyStopping`.
    every : int, default 1
        Epochs from one look to the next.

    Raises
    ------
    ValueError
        For an option out of range; as the fit begins, where there is no such key.
    OSError
        As the fit begins, where there is no such folder; in it, where the file cannot be written.
    TypeError
        In the fit, for a network with layers written in Python.

    Notes
    -----
    It is written when all callbacks are done with the epoch, beside its place and then moved there,
    so that it is never half a file. An epoch that was broken off, by ``run.stop()`` in
    ``on_train_batch_end`` or by a stop rule, is not written: no fit could go on from its middle.
    ``net.fit(..., resume=path)`` goes on from it; `deltaprop.load` gives its network.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        monitor: str | None = None,
        mode: str = "auto",
        every: int = 1,
    ) -> None:
        self.path = os.fsdecode(path)
        self.every = as_count(every, "ModelCheckpoint: every", 1)
        self._options = (monitor, mode)
        self._reset()

    def _reset(self) -> None:
        monitor, mode = self._options
        self._monitor = _Monitor("ModelCheckpoint", monitor or "loss", mode, 0.0)
        self._chooses = monitor is not None

    def on_train_begin(self, run: Run) -> None:
        """Forget an earlier fit, unless this one goes on from it."""
        self._monitor.check(run)
        self._file(1, dict.fromkeys(run._keys, 0.0))
        folder = os.path.dirname(self.path)
        # One that an epoch names may be made as the fit goes on.
        if folder and "{" not in folder and not os.path.isdir(folder):
            raise FileNotFoundError(
                f"ModelCheckpoint: expected path in a folder that is there, got {self.path!r}"
            )
        if run.history.epochs == 0:
            self._reset()

    def on_epoch_end(self, run: Run) -> None:
        """Have the epoch written, if it is due."""
        if (run.epoch + 1) % self.every or (self._chooses and not self._monitor.improved(run)):
            return
        values = {key: run.history[key][-1] for key in run._keys}
        run._checkpoints.append(self._file(run.epoch + 1, values))

    def _file(self, epoch: int, values: dict[str, float]) -> str:
        try:
            return self.path.format(epoch=epoch, **values)
        except (LookupError, ValueError, TypeError) as error:
            raise ValueError(
                f"ModelCheckpoint: expected path to name epoch or of {list(values)}, "
                f"got {self.path!r} ({error})"
            ) from None

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far."""
        return {"best": self._monitor.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take that back."""
        self._monitor.best = state["best"]
