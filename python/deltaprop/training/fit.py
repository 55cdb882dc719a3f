"""`fit`: from what users give to what the core takes."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaprop import _core
from deltaprop._arrays import as_count, as_name, as_seed
from deltaprop.optim import Optimizer
from deltaprop.optim.schedule import ByCount
from deltaprop.training.callbacks import Callback, as_callbacks, wants_batches
from deltaprop.training.checkpoint import resumed, save_checkpoint
from deltaprop.training.data import (
    Arrays,
    Batches,
    arrays,
    class_weights,
    digests,
    manual_pass,
    split,
)
from deltaprop.training.heads import CoreLosses, HeadLosses
from deltaprop.training.history import History
from deltaprop.training.metric_evaluator import Metrics
from deltaprop.training.progress import Progress, progress_of
from deltaprop.training.run import Run
from deltaprop.training.stop import StopOnPlateau

if TYPE_CHECKING:
    from deltaprop.nn.sequential import Sequential

# Rows that a pass by hand for callbacks takes, at the most.
_SAMPLE = 256
_RECORDS = ("activations", "deltas", "gradients")


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
    validation_split: float | None,
    sample_weight: Any,
    class_weight: Any,
    loss_weights: Any,
    metrics: Sequence[Any],
    accumulate: int,
    record: Sequence[str],
    stop: StopOnPlateau | None,
    callbacks: Iterable[Callback | Callable[[Run], object]],
    resume: str | os.PathLike[str] | None,
    progress: bool,
    num_threads: int | None,
) -> History:
    _check_optimizer(network, optimizer)
    heads = HeadLosses.of(loss, loss_weights, several_inputs=network._shares_input())
    heads.check_targets(y, network._has_heads())
    heads.check_reductions()
    evaluator = Metrics(metrics, heads)
    run = Run(network, optimizer, as_count(epochs, "fit: epochs", 0))
    run._callbacks = as_callbacks(callbacks)
    recorded = _records(record)
    options: dict[str, Any] = {
        **{f"record_{name}": name in recorded for name in _RECORDS},
        "accumulate": heads.accumulated(as_count(accumulate, "fit: accumulate", 1)),
        "shuffle": bool(shuffle),
        "seed": None if seed is None else as_seed(seed, "fit"),
        "num_threads": 0
        if num_threads is None
        else as_count(num_threads, "fit: num_threads", 1, _core.MAX_THREADS),
    }

    widths = network._network.out_features()[network._storage().block]
    judged = None
    if _is_iterable_of_batches(X, y):
        _refuse(
            validation_split=validation_split,
            sample_weight=sample_weight,
            class_weight=class_weight,
            stop=stop,
        )
        # Several batches are pulled before the first is read: an iterable may refill one array.
        data: Arrays | Batches = Batches(X, heads, copied=options["accumulate"] > 1)
    else:
        if validation_split is not None:
            if validation_data is not None:
                raise ValueError("fit: expected validation_data or validation_split, got both")
            (X, y, sample_weight), validation_data = split(
                X, y, sample_weight, heads, validation_split
            )
        judged = X, y, sample_weight
        weight = class_weights(class_weight, y, sample_weight, heads, widths[0])
        others = _stop_losses(stop, heads)
        data = arrays(X, y, weight, heads, also=others.losses if others else ())
        options |= _of_rows(data, batch_size, stop, others)
    validation = None if validation_data is None else _validation(validation_data, heads)
    options["validation"] = validation and validation[0]

    _check_metrics(evaluator, data, validation and validation[0][0], widths)
    run._keys = _keys(heads, evaluator, judged is not None, validation is not None)
    run._settings = {
        "loss": heads.described(),
        "loss_weights": list(heads.weights),
        "optimizer": type(optimizer).__name__,
        "schedule": type(optimizer._schedule).__name__,
        "rows": _rows(data),
        "validation": validation is not None,
        "metrics": evaluator.names,
        "record": sorted(recorded),
        **{name: options.get(name) for name in ("batch_size", "shuffle", "seed", "accumulate")},
    }
    most = min(options.get("batch_size", _SAMPLE), _SAMPLE)
    run._manual_pass = partial(manual_pass, data, heads, most)
    # Looking through all the data takes a while: only checkpoints need it.
    run._digests = cache(partial(digests, data, validation and validation[0][0]))
    losses = heads.core(
        data.targets() if isinstance(data, Batches) else data[1], options["accumulate"]
    )
    with (
        optimizer._core.access("fit") as access,
        nullcontext() if resume is None else resumed(resume, run),
    ):
        done = run.history.epochs
        options["epochs"] = max(run.epochs - done, 0)
        options["first_epoch"] = None if seed is None else done
        options["stop_losses"] = run.history.stop_losses.tolist()
        if isinstance(data, Batches):
            data.check_lasting(options["epochs"])
        bar = progress_of(run.epochs) if progress else None
        events = EventDispatcher(run, evaluator, judged, validation, data, options, bar)
        try:
            with _links_of_fit(network, heads.links()):
                options = _DEFAULTS | events.begin()
                result = _core.fit(
                    network._network, optimizer._core, losses, data, options, access
                )
        finally:
            if bar is not None:
                bar.close()
    events.end(result)
    return run.history


# Where batches come from an iterable.
_DEFAULTS: dict[str, Any] = {"batch_size": 1, "stop": None}


@contextmanager
def _links_of_fit(network: "Sequential", links: tuple[str, ...]) -> Iterator[None]:
    """Have the network know, if it is trained, what makes probabilities."""
    before, passes = network._output_transforms, network._network.passes
    network._output_transforms = links
    try:
        yield
    finally:
        if network._network.passes == passes:
            network._output_transforms = before


def _check_optimizer(network: "Sequential", optimizer: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        kind = optimizer if isinstance(optimizer, type) else type(optimizer)
        raise TypeError(f"fit: expected an optimizer, got {kind.__name__}")
    if isinstance(optimizer._core, _core.Optimizer64) != (network.dtype == np.float64):
        raise ValueError(
            "fit: expected an optimizer of this network's parameters, got one of another network's"
        )


def _is_iterable_of_batches(X: Any, y: Any) -> bool:
    if y is not None:
        return False
    kind = type(X)
    several = hasattr(kind, "__iter__") or hasattr(kind, "__getitem__")
    if hasattr(X, "__array__") or isinstance(X, tuple) or not several:
        raise TypeError(
            "y: expected real numbers, got None; without y, X is to be an iterable of batches "
            "(x, y)"
        )
    return True


def _refuse(**options: Any) -> None:
    for name, value in options.items():
        if value is not None:
            raise ValueError(f"fit: expected no {name} with an iterable of batches, got one")


def _rows(data: Arrays | Batches) -> int | None:
    if isinstance(data, Batches):
        return None
    first = data[0][0]
    return len(first) if first.ndim > 0 else 0


def _of_rows(
    data: Arrays, batch_size: int | None, stop: StopOnPlateau | None, others: HeadLosses | None
) -> dict[str, Any]:
    """Return the options that need the data as arrays; `others`: the losses of the stop rule."""
    size = max(_rows(data) or 0, 1)
    if batch_size is not None:
        size = as_count(batch_size, "fit: batch_size", 1)
    if stop is None:
        return {"batch_size": size}
    checks = stop.eps, stop.every == "update", others.core(data[1]) if others else None
    return {"batch_size": size, "stop": checks}


def _records(record: Sequence[str]) -> tuple[str, ...]:
    names = (record,) if isinstance(record, str) else tuple(record)
    for name in names:
        if as_name(name, "fit: record") not in _RECORDS:
            raise ValueError(f"fit: expected record to be of {list(_RECORDS)}, got {name!r}")
    return names


def _stop_losses(stop: Any, heads: HeadLosses) -> HeadLosses | None:
    if stop is not None and not isinstance(stop, StopOnPlateau):
        raise TypeError(f"fit: expected stop to be a StopOnPlateau, got {type(stop).__name__}")
    if stop is None or stop.loss is None:
        return None
    found = HeadLosses.of(stop.loss, None)
    found.check_reductions()
    if len(found.losses) != len(heads.losses):
        raise ValueError(
            f"fit: expected the stop rule's loss to be {len(heads.losses)}, one for each output, "
            f"got {len(found.losses)}"
        )
    return replace(heads, losses=found.losses)


def _check_metrics(
    metrics: Metrics, data: Arrays | Batches, validation: Arrays | None, widths: Sequence[int]
) -> None:
    for judged in (data, validation):
        if judged is not None and not isinstance(judged, Batches):
            metrics.check(judged[1], widths)


def _keys(heads: HeadLosses, metrics: Metrics, judged: bool, validation: bool) -> list[str]:
    """Return the history's keys; those of `record` are left out, which have a row an epoch."""
    count = len(heads.losses)
    losses = ["loss", *(f"loss_{k}" for k in range(count) if count > 1)]
    found = [*losses, *(f"val_{key}" for key in losses if validation), "lr"]
    found += metrics.names if judged else []
    return found + [f"val_{name}" for name in metrics.names if validation]


_Validation = tuple[tuple[Arrays, CoreLosses], tuple[Any, Any, Any]]


def _validation(data: Any, heads: HeadLosses) -> _Validation:
    """Return data held out as the core takes it, and as metrics do."""
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise TypeError("validation_data: expected (X, y) or (X, y, sample_weight)")
    X, y, weight = (*data, None)[:3]
    found = arrays(X, y, weight, heads, "validation_data ")
    return (found, heads.core(found[1])), (X, y, weight)


class ScheduleTable:
    """The optimizer's schedule in a fit: a table ahead where there can be one."""

    def __init__(
        self, optimizer: Optimizer, epochs: int, updates: int | None, keys: Sequence[str]
    ) -> None:
        """Look ahead over these epochs, of so many updates each, None if nobody knows."""
        self._optimizer = optimizer
        self._schedule = optimizer._schedule
        self._by_epoch = self._schedule is None or self._schedule.every == "epoch"
        self._table: dict[str, Any] | None = None
        self.by_hand = False
        self._counted = 0
        if self._schedule is None:
            return
        self._watched = self._schedule._watched(keys)
        if not self._by_epoch and updates is None:
            self.by_hand = True
            return
        count = epochs * (1 if self._by_epoch else updates or 0)
        # One more, which holds when they are over: a schedule too short is refused at the door.
        self._table = self._schedule.table(count + 1)
        self.by_hand = self._table is None

    def options(self) -> dict[str, Any]:
        """Return what the core takes."""
        columns = [
            (group, option, table[:, group])
            for option, table in (self._table or {}).items()
            for group in range(table.shape[1])
        ]
        return {"schedule": columns, "schedule_every_update": not self._by_epoch}

    @property
    def wants_epochs(self) -> bool:
        """Whether it must be told of each epoch."""
        return self.by_hand and self._by_epoch

    @property
    def wants_updates(self) -> bool:
        """Whether it must be told of each update."""
        return self.by_hand and not self._by_epoch

    def count(self, epochs: int, updates: int, values: Mapping[str, Any] | None = None) -> None:
        """Bring the schedule to here; a plateau is looked for in one of the epoch's values."""
        now = epochs if self._by_epoch else updates
        if self._schedule is None or now == self._counted:
            return
        if isinstance(self._schedule, ByCount):
            self._schedule.advance(now - self._counted)
        elif values is not None:
            self._schedule.step(values[self._watched])
        self._counted = now

    def check_late(self) -> None:
        """Raise RuntimeError for a schedule where there was none to count."""
        if self._schedule is None and self._optimizer._schedule is not None:
            raise RuntimeError(
                "fit: expected a schedule to be attached before the first epoch, "
                f"got {type(self._optimizer._schedule).__name__} in the middle"
            )


class EventDispatcher:
    """Everything that needs_epoch_events of epochs and updates while the core trains."""

    def __init__(
        self,
        run: Run,
        metrics: Metrics,
        judged_on: tuple[Any, Any, Any] | None,
        validation: _Validation | None,
        data: Arrays | Batches,
        options: dict[str, Any],
        bar: Progress | None,
    ) -> None:
        self._run = run
        self._metrics = metrics
        self._judged_on = judged_on
        self._validation = validation
        self._batches = data if isinstance(data, Batches) else None
        self._options = options
        self._updates_an_epoch = None
        rows = _rows(data)
        if rows is not None:
            batches = -(-rows // options["batch_size"])
            self._updates_an_epoch = -(-batches // options["accumulate"])
        self._bar = bar
        self._before = (run.history.epochs, run.history.updates)
        self._epoch_began_at = 0
        self._epochs_told = 0

    def begin(self) -> dict[str, Any]:
        """Tell the callbacks of the begin; return the options of the core's fit.

        Its functions are None where nobody would listen.
        """
        run = self._run
        for callback in run._callbacks:
            callback.on_train_begin(run)
        self._begin_epoch(run.history.epochs)
        epochs = 0 if run._stopping else self._options["epochs"]
        # After the callbacks, which may attach a schedule.
        self._schedule_table = table = ScheduleTable(
            run.optimizer, epochs, self._updates_an_epoch, run._keys
        )
        patient = not (self._bar or self._metrics.names or table.wants_epochs)
        needs_epoch_events = run._callbacks or not patient
        needs_batch_events = table.wants_updates or any(wants_batches(c) for c in run._callbacks)
        every = min((callback._every for callback in run._callbacks), default=0.0)
        return {
            **self._options,
            **table.options(),
            "epochs": epochs,
            "epoch_end": self.epoch_end if needs_epoch_events else None,
            "epoch_end_every": every if patient else 0.0,
            "batch_end": self.update_end if needs_batch_events else None,
            "on_exception": self.on_exception,
        }

    def _begin_epoch(self, epoch: int) -> None:
        if epoch < self._run.epochs and not self._run._stopping:
            self._run.epoch = epoch
            for callback in self._run._callbacks:
                callback.on_epoch_begin(self._run)

    def update_end(self, updates: int, loss: float) -> bool:
        """Tell of an update; return whether to stop."""
        run = self._run
        run.step = self._before[1] + updates
        run.loss = loss
        for callback in run._callbacks:
            callback.on_train_batch_end(run)
        if self._schedule_table.wants_updates:
            self._schedule_table.count(0, updates)
        return run._stopping

    def epoch_end(self, epochs: int, updates: int, values: dict[str, Any]) -> bool:
        """Tell of the epochs since the last call; return whether to stop."""
        run = self._run
        several = epochs - self._epochs_told > 1
        self._epochs_told = epochs
        checks = values.pop("stop_losses")
        if len(checks) > 0:
            run.history.stop_losses = np.append(run.history.stop_losses, checks)
        latest = {key: column[-1] for key, column in values.items()}
        run.history.epochs = self._before[0] + epochs
        run.history.updates = run.step = self._before[1] + updates
        run.epoch = run.history.epochs - 1
        if self._judged_on is not None:
            latest |= self._judged(*self._judged_on)
        if self._validation is not None:
            judged = self._judged(*self._validation[1])
            latest |= {f"val_{name}": value for name, value in judged.items()}
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
        # What was broken off has no way back to its middle: the last whole epoch's stays.
        due = run._checkpoints if self._is_whole(updates) else []
        for path in due:
            save_checkpoint(path, run)
        run._checkpoints = []
        self._epoch_began_at = updates
        self._begin_epoch(run.history.epochs)
        return run._stopping

    def _is_whole(self, updates: int) -> bool:
        """Return whether the epoch that ends after so many updates has had all its batches."""
        if self._batches is not None:
            return self._batches.ended
        return updates - self._epoch_began_at == self._updates_an_epoch

    def on_exception(self, epochs: int, updates: int) -> None:
        """Take notice that an exception ends the training, which had begun."""
        self._run._begun = True
        self._schedule_table.count(epochs, updates)
        for callback in self._run._callbacks:
            callback._on_exception(self._run)

    def _judged(self, X: Any, y: Any, weight: Any) -> dict[str, float]:
        if not self._metrics.names:
            return {}
        return self._metrics(y, self._run.network(X), weight)

    def end(self, result: dict[str, Any]) -> None:
        """Take what the core gives at the end of the fit."""
        history, (epochs, updates) = self._run.history, self._before
        done = {name: result.pop(name) for name in ("epochs", "updates")}
        reason = result.pop("stop_reason")
        history.stop_reason = "callback" if reason == "epochs" and self._run._stopping else reason
        history.stop_losses = np.asarray(result.pop("stop_losses"), dtype=np.float64)
        self._schedule_table.count(**done)
        history._extend({key: column[self._epochs_told :] for key, column in result.items()})
        history.epochs = epochs + done["epochs"]
        history.updates = self._run.step = updates + done["updates"]
        for callback in self._run._callbacks:
            callback.on_train_end(self._run)
