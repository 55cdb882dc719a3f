"""Events during training: callbacks, metrics, schedule, progress, checkpoints."""

from typing import Any

import numpy as np

from deltaprop import _core
from deltaprop.optim.schedule_table import ScheduleTable
from deltaprop.training.callbacks import wants_batches
from deltaprop.training.checkpoint import save_checkpoint
from deltaprop.training.data import Batches
from deltaprop.training.metric_evaluator import Metrics
from deltaprop.training.options import FitData
from deltaprop.training.progress import Progress
from deltaprop.training.run import Run


class EventDispatcher:
    """Dispatches epoch and update events to callbacks, metrics, schedule and progress bar."""

    def __init__(self, run: Run, metrics: Metrics, data: FitData) -> None:
        self._run = run
        self._metrics = metrics
        self._data = data
        self._updates_an_epoch: int | None = None
        self._epoch_began_at = 0
        self._epochs_dispatched = 0

    def begin(self, options: _core.FitOptions, bar: Progress | None) -> None:
        """Call `on_train_begin` of the callbacks and set the options of events and schedule."""
        run = self._run
        self._bar = bar
        self._before = (run.history.epochs, run.history.updates)
        if self._data.rows is not None:
            batches = -(-self._data.rows // options.batch_size)
            self._updates_an_epoch = -(-batches // options.accumulate)
        for callback in run._callbacks:
            callback.on_train_begin(run)
        self._begin_epoch(run.history.epochs)
        if run._stopping:
            options.epochs = 0
        # After the callbacks, which may attach a schedule.
        self._schedule_table = table = ScheduleTable(
            run.optimizer, options.epochs, self._updates_an_epoch, run._keys
        )
        options.schedule, options.schedule_every_update = table.columns(), table.every_update
        options.on_exception = self.on_exception
        if table.wants_updates or any(wants_batches(c) for c in run._callbacks):
            options.batch_end = self.update_end
        if self._bar or self._metrics.names or table.wants_epochs:
            options.epoch_end = self.epoch_end
        elif run._callbacks:
            options.epoch_end = self.epoch_end
            options.epoch_end_interval = min(callback._every for callback in run._callbacks)

    def _begin_epoch(self, epoch: int) -> None:
        if epoch < self._run.epochs and not self._run._stopping:
            self._run.epoch = epoch
            for callback in self._run._callbacks:
                callback.on_epoch_begin(self._run)

    def update_end(self, updates: int, loss: float) -> bool:
        """Handle an update; return whether to stop."""
        run = self._run
        run.step = self._before[1] + updates
        run.loss = loss
        for callback in run._callbacks:
            callback.on_train_batch_end(run)
        if self._schedule_table.wants_updates:
            self._schedule_table.count(0, updates)
        return run._stopping

    def epoch_end(self, epochs: int, updates: int, values: dict[str, Any]) -> bool:
        """Dispatch the epochs since the last call; return whether to stop."""
        run = self._run
        several = epochs - self._epochs_dispatched > 1
        self._epochs_dispatched = epochs
        checks = values.pop("stop_losses")
        if len(checks) > 0:
            run.history.stop_losses = np.append(run.history.stop_losses, checks)
        latest = {key: column[-1] for key, column in values.items()}
        run.history.epochs = self._before[0] + epochs
        run.history.updates = run.step = self._before[1] + updates
        run.epoch = run.history.epochs - 1
        latest |= self._metric_values()
        if several:
            run.history._extend(values)
        else:
            run.history._append(latest)
        self._schedule_table.check_late()
        self._schedule_table.count(epochs, updates, latest)
        if self._bar is not None:
            shown = {k: v for k, v in latest.items() if np.ndim(v) == 0 and k != "lr"}
            self._bar.at(run.history.epochs, shown)
        for callback in run._callbacks:
            callback.on_epoch_end(run)
        # `fit` cannot resume within an epoch: the checkpoint of the last complete one stays.
        due = run._checkpoints if self._is_whole(updates) else []
        for path in due:
            save_checkpoint(path, run)
        run._checkpoints = []
        self._epoch_began_at = updates
        self._begin_epoch(run.history.epochs)
        return run._stopping

    def _is_whole(self, updates: int) -> bool:
        """Return whether the epoch that ends after this number of updates is complete."""
        if isinstance(self._data.train, Batches):
            return self._data.train.ended
        return updates - self._epoch_began_at == self._updates_an_epoch

    def on_exception(self, epochs: int, updates: int) -> None:
        """Handle an exception that ends the training after it has begun."""
        self._run._begun = True
        self._schedule_table.count(epochs, updates)
        for callback in self._run._callbacks:
            callback._on_exception(self._run)

    def _metric_values(self) -> dict[str, float]:
        """Return the metrics of the training and the validation data."""
        values: dict[str, float] = {}
        if not self._metrics.names:
            return values
        data = {"": self._data.train_given, "val_": self._data.validation_given}
        for prefix, given in data.items():
            if given is not None:
                X, y, weight = given
                computed = self._metrics(y, self._run.network(X), weight)
                values |= {f"{prefix}{name}": value for name, value in computed.items()}
        return values

    def end(self, result: dict[str, Any]) -> None:
        """Store the results that the core returns at the end."""
        history, (epochs, updates) = self._run.history, self._before
        done = {name: result.pop(name) for name in ("epochs", "updates")}
        reason = result.pop("stop_reason")
        history.stop_reason = "callback" if reason == "epochs" and self._run._stopping else reason
        history.stop_losses = np.asarray(result.pop("stop_losses"), dtype=np.float64)
        self._schedule_table.count(**done)
        history._extend({key: column[self._epochs_dispatched :] for key, column in result.items()})
        history.epochs = epochs + done["epochs"]
        history.updates = self._run.step = updates + done["updates"]
        for callback in self._run._callbacks:
            callback.on_train_end(self._run)
