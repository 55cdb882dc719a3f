"""Conversion of the arguments of `fit` to the data and options of the core."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from deltaprop import _core
from deltaprop._arrays import Array, as_count, as_name, as_seed
from deltaprop.training.data import Arrays, Batches, arrays, class_weights, split
from deltaprop.training.heads import HeadLosses
from deltaprop.training.metric_evaluator import Metrics
from deltaprop.training.stop import StopOnPlateau

_RECORDS = ("activations", "deltas", "gradients")

# X, y and sample weights as passed to `fit`; metrics are computed on them.
Given = tuple[Any, Any, Any]


@dataclass
class FitData:
    """The data of a fit."""

    train: Arrays | Batches
    train_given: Given | None = None  # None: the batches of an iterable are not kept
    validation: Arrays | None = None
    validation_given: Given | None = None
    batch_size: int | None = None  # None: an iterable decides

    @property
    def rows(self) -> int | None:
        """The number of rows per epoch; None for an iterable of batches."""
        if isinstance(self.train, Batches):
            return None
        first = self.train[0][0]
        return len(first) if first.ndim > 0 else 0

    def targets(self) -> list[Array]:
        """Return the targets of all rows, or of the first batch, as the core reads them."""
        return self.train.targets() if isinstance(self.train, Batches) else self.train[1]

    def check_metrics(self, metrics: Metrics, widths: Sequence[int]) -> None:
        """Raise ValueError if a metric does not accept the targets for outputs of these widths."""
        for data in (self.train, self.validation):
            if data is not None and not isinstance(data, Batches):
                metrics.check(data[1], widths)

    def history_keys(self, heads: HeadLosses, metrics: Metrics) -> list[str]:
        """Return the history's keys with one number per epoch: all except those of `record`."""
        validation = self.validation is not None
        count = len(heads.losses)
        losses = ["loss", *(f"loss_{k}" for k in range(count) if count > 1)]
        keys = [*losses, *(f"val_{key}" for key in losses if validation), "lr"]
        keys += metrics.names if self.train_given is not None else []
        return keys + [f"val_{name}" for name in metrics.names if validation]


def core_options(
    heads: HeadLosses,
    record: Sequence[str],
    accumulate: int,
    shuffle: bool,
    seed: int | None,
    num_threads: int | None,
) -> _core.FitOptions:
    """Return the core's options, as far as they do not depend on the data."""
    options = _core.FitOptions()
    for name in _records(record):
        setattr(options, f"record_{name}", True)
    options.accumulate = heads.accumulated(as_count(accumulate, "fit: accumulate", 1))
    options.shuffle = bool(shuffle)
    options.seed = None if seed is None else as_seed(seed, "fit")
    if num_threads is not None:
        options.num_threads = as_count(num_threads, "fit: num_threads", 1, _core.MAX_THREADS)
    return options


def recorded(options: _core.FitOptions) -> list[str]:
    """Return the norms to record, in order."""
    return [name for name in _RECORDS if getattr(options, f"record_{name}")]


def fit_data(
    X: Any,
    y: Any,
    heads: HeadLosses,
    *,
    outputs: int,
    options: _core.FitOptions,
    batch_size: int | None,
    sample_weight: Any,
    class_weight: Any,
    stop: StopOnPlateau | None,
    validation_data: Any,
    validation_split: float | None,
) -> FitData:
    """Return the data and set the options that depend on it.

    `outputs`: the width of the network's first output.
    """
    if _is_iterable_of_batches(X, y):
        _refuse(
            validation_split=validation_split,
            sample_weight=sample_weight,
            class_weight=class_weight,
            stop=stop,
        )
        # Batches are read ahead, and an iterable may reuse the same array for all of them.
        data = FitData(Batches(X, heads, copied=options.accumulate > 1))
    else:
        if validation_split is not None:
            if validation_data is not None:
                raise ValueError("fit: expected validation_data or validation_split, got both")
            (X, y, sample_weight), validation_data = split(
                X, y, sample_weight, heads, validation_split
            )
        weight = class_weights(class_weight, y, sample_weight, heads, outputs)
        stop_losses = _stop_losses(stop, heads)
        also = stop_losses.losses if stop_losses else ()
        train = arrays(X, y, weight, heads, also=also)
        data = FitData(train, (X, y, sample_weight))
        size = max(data.rows or 0, 1)
        if batch_size is not None:
            size = as_count(batch_size, "fit: batch_size", 1)
        data.batch_size = options.batch_size = size
        if stop is not None:
            losses = stop_losses.core(train[1]) if stop_losses else None
            options.stop = stop.eps, stop.every == "update", losses
    _add_validation(data, validation_data, heads, options)
    return data


def _add_validation(
    data: FitData, given: Any, heads: HeadLosses, options: _core.FitOptions
) -> None:
    if given is None:
        return
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise TypeError("validation_data: expected (X, y) or (X, y, sample_weight)")
    X, y, weight = (*given, None)[:3]
    data.validation = arrays(X, y, weight, heads, "validation_data ")
    data.validation_given = X, y, weight
    options.validation = data.validation, heads.core(data.validation[1])


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


def _records(record: Sequence[str]) -> tuple[str, ...]:
    names = (record,) if isinstance(record, str) else tuple(record)
    for name in names:
        if as_name(name, "fit: record") not in _RECORDS:
            raise ValueError(f"fit: expected record to be of {list(_RECORDS)}, got {name!r}")
    return names


def _stop_losses(stop: Any, heads: HeadLosses) -> HeadLosses | None:
    """Return the losses of the stop rule, if it has its own."""
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
