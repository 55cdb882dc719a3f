"""Callbacks of `fit`: the base class, early stopping, checkpoints."""

import math
import os
from collections.abc import Callable, Iterable
from typing import Any

from deltaprop._arrays import Array, as_count, as_name, as_real
from deltaprop.training.run import Run

# Words in names of values to minimise; scikit-learn prefixes negated ones by "neg_".
_MINIMISED = {"loss", "error", "deviance", "brier", "mse", "rmse", "mae"}


class Callback:
    """Base class of callbacks. Override the hooks that you need; their names are Keras's.

    Each hook takes the `Run`: ``run.network``, ``run.optimizer``, ``run.history``, ``run.epoch``,
    ``run.step`` and ``run.stop()``. A function ``f(run)`` in `callbacks` is called at the end of
    each epoch. `fit` raises TypeError for a method ``on_...`` that is not one of these hooks.

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

    # Minimum seconds between calls of `on_epoch_end`, if nothing else needs every epoch.
    _every = 0.0

    def on_train_begin(self, run: Run) -> None:
        """Run when `fit` begins; when it resumes, after `load_state_dict`."""

    def on_train_end(self, run: Run) -> None:
        """Run when `fit` ends without an exception."""

    def on_epoch_begin(self, run: Run) -> None:
        """Run at the start of an epoch."""

    def on_epoch_end(self, run: Run) -> None:
        """Run at the end of an epoch; its values are the last ones in ``run.history``."""

    def on_train_batch_end(self, run: Run) -> None:
        """Run after an update, whose loss is ``run.loss``.

        `fit` returns to Python after each update only if a callback overrides this hook.
        """

    def _on_exception(self, run: Run) -> None:
        """Run when an exception ends `fit`."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state to save in checkpoints: numbers, strings, arrays, lists and dicts."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state returned by `state_dict`, when `fit` resumes from a checkpoint."""


_HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class _AtEpochEnd(Callback):
    """Calls a function of the run at the end of each epoch."""

    def __init__(self, function: Callable[[Run], object]) -> None:
        self._function = function

    def on_epoch_end(self, run: Run) -> None:
        self._function(run)


def as_callbacks(callbacks: Iterable[Any]) -> list[Callback]:
    """Return a list of callbacks; functions are wrapped in one.

    Raises
    ------
    TypeError
        For an item that is neither a callback nor a function, and for unknown hooks.
    """
    if not isinstance(callbacks, Iterable):
        name = type(callbacks).__name__
        raise TypeError(f"fit: expected an iterable of callables as callbacks, got {name}")
    result: list[Callback] = []
    for callback in callbacks:
        if isinstance(callback, Callback):
            _check_hooks(callback)
            result.append(callback)
        elif isinstance(callback, type) or not callable(callback):
            kind = callback if isinstance(callback, type) else type(callback)
            raise TypeError(f"fit: expected callables as callbacks, got {kind.__name__}")
        else:
            result.append(_AtEpochEnd(callback))
    return result


def _check_hooks(callback: Callback) -> None:
    for name in dir(callback):
        if name.startswith("on_") and name not in _HOOKS and callable(getattr(callback, name)):
            raise TypeError(
                f"{type(callback).__name__}: expected hooks of {list(_HOOKS)}, got {name}"
            )


def wants_batches(callback: Callback) -> bool:
    """Return whether the callback, or its class, overrides the hook for each update."""
    hook = callback.on_train_batch_end
    return getattr(hook, "__func__", hook) is not Callback.on_train_batch_end


class _Monitor:
    """Finds the best epoch of a run by a value of the history."""

    def __init__(self, where: str, monitor: str, mode: str, min_delta: float) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{where}: expected mode 'auto', 'min' or 'max', got {mode!r}")
        self.where = where
        self.monitor = as_name(monitor, f"{where}: monitor")
        if mode == "auto":
            words = set(monitor.split("_"))
            mode = "min" if words & _MINIMISED and "neg" not in words else "max"
        self.sign = -1.0 if mode == "min" else 1.0
        self.min_delta = as_real(min_delta, f"{where}: min_delta", 0)
        self.best = -math.inf  # of sign times value

    def check(self, run: Run) -> None:
        """Raise ValueError if the history will not have the key."""
        if self.monitor not in run._keys:
            raise ValueError(
                f"{self.where}: expected monitor to be of {run._keys}, got {self.monitor!r}"
            )

    def improved(self, run: Run) -> bool:
        """Return whether the last epoch is the best so far, and remember its value if so."""
        value = self.sign * float(run.history[self.monitor][-1])
        if not value > self.best + self.min_delta:
            return False
        self.best = value
        return True


class EarlyStopping(Callback):
    """Stop when a monitored value has not improved for `patience` epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A key of the history.
    min_delta : float, default 0
        Minimum change that counts as an improvement.
    patience : int, default 0
        Number of consecutive epochs without improvement after which `fit` stops; 0 acts like 1.
    mode : {"auto", "min", "max"}, default "auto"
        Whether to minimise or maximise the value. "auto" minimises values with "loss", "error",
        "deviance", "brier", "mse", "rmse" or "mae" in their names (but not "neg") and maximises all
        others.
    restore_best_weights : bool, default True
        Whether to restore the parameters of the best epoch when `fit` ends; with `ema_decay` also
        the optimizer's averages.

    Attributes
    ----------
    best_epoch : int
        The best epoch, counted from 0; -1 before the first.
    stopped_epoch : int
        The epoch after which it stopped `fit`; -1 if it did not.

    Raises
    ------
    ValueError
        For an option out of range. When `fit` begins, if the history has no such key.

    Notes
    -----
    When `fit` resumes from a checkpoint, counting continues. A fit that had been stopped stops
    again immediately, unless `patience` is larger now.

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
        """Reset the state, unless `fit` resumes from a checkpoint."""
        self._monitor.check(run)
        if run.history.epochs == 0:
            self._reset()
        elif self._waited > 0:
            self._stop_if_due(run)

    def on_epoch_end(self, run: Run) -> None:
        """Compare the epoch's value with the best so far."""
        if self._monitor.improved(run):
            self._waited = 0
            self.best_epoch = run.epoch
            if self.restore_best_weights:
                self._weights = run.network.state_dict()
                self._averages = run.optimizer._averages()
            return
        self._waited += 1
        self._stop_if_due(run)

    def _stop_if_due(self, run: Run) -> None:
        if self._waited >= self.patience:
            self.stopped_epoch = run.epoch
            run.stop()

    def on_train_end(self, run: Run) -> None:
        """Restore the best parameters."""
        if self._weights is not None and self.best_epoch != run.epoch:
            run.network.load_state_dict(self._weights)
            run.optimizer._load_averages(self._averages)
        self._weights, self._averages = None, {}

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, its epoch and parameters, and the number of epochs since."""
        return {
            "best": self._monitor.best,
            "best_epoch": self.best_epoch,
            "waited": self._waited,
            "weights": self._weights,
            "averages": self._averages,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state returned by `state_dict`."""
        self._monitor.best = state["best"]
        self.best_epoch = state["best_epoch"]
        self._waited = state["waited"]
        self._weights = state["weights"]
        self._averages = state["averages"]


class ModelCheckpoint(Callback):
    """Save checkpoints during `fit`: network, optimizer, schedule, counters and history.

    Parameters
    ----------
    path : str or path-like
        The file to write, in an existing folder. May contain ``{epoch}`` and keys of the history
        with one number per epoch, as ``"{epoch:03d}-{val_loss:.3f}.dp"``. As in Keras, the epoch in
        the name is counted from 1: ``run.epoch + 1``.
    monitor : str, optional
        A key of the history. If given, an epoch is saved only if its value is the best of the
        epochs checked so far.
    mode : {"auto", "min", "max"}, default "auto"
        As for `EarlyStopping`.
    every : int, default 1
        Interval, in epochs, between checks.

    Raises
    ------
    ValueError
        For an option out of range. When `fit` begins, if the history has no such key.
    OSError
        When `fit` begins, if the folder does not exist. During `fit`, if the file cannot be
        written.
    TypeError
        During `fit`, for a network with layers written in Python.

    Notes
    -----
    The checkpoint is written after all callbacks have finished the epoch. Writing is atomic: a
    temporary file in the same folder replaces the old one. An epoch that ended early, by
    ``run.stop()`` in ``on_train_batch_end`` or by a stop rule, is not saved, since `fit` cannot
    resume within an epoch. ``net.fit(..., resume=path)`` resumes; `deltaprop.load` returns the
    network.
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
        self._best_only = monitor is not None

    def on_train_begin(self, run: Run) -> None:
        """Reset the state, unless `fit` resumes from a checkpoint."""
        self._monitor.check(run)
        self._file(1, dict.fromkeys(run._keys, 0.0))
        folder = os.path.dirname(self.path)
        # A folder whose name depends on the epoch may be created during `fit`.
        if folder and "{" not in folder and not os.path.isdir(folder):
            raise FileNotFoundError(
                f"ModelCheckpoint: expected path in a folder that is there, got {self.path!r}"
            )
        if run.history.epochs == 0:
            self._reset()

    def on_epoch_end(self, run: Run) -> None:
        """Schedule a checkpoint, if one is due."""
        if (run.epoch + 1) % self.every or (self._best_only and not self._monitor.improved(run)):
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
        """Restore a state returned by `state_dict`."""
        self._monitor.best = state["best"]
