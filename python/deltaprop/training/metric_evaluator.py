"""Evaluation of metrics for each head of a network."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from deltaprop._arrays import Array, as_array
from deltaprop.training.heads import HeadLosses
from deltaprop.training.metrics import Metric

# Names that the history uses for other columns.
_RESERVED = re.compile(r"(val_)?loss(_\d+)?|lr|val_.*|(activation|delta|gradient)_norm")


class Metrics:
    """Metrics of each head, by their names in the history."""

    def __init__(self, metrics: Any, heads: HeadLosses) -> None:
        if isinstance(metrics, str) or not isinstance(metrics, Sequence):
            raise TypeError(f"metrics: expected a sequence of names or functions, got {metrics!r}")
        self._heads = heads
        by_head = tuple(metrics) if heads.many else (metrics,)
        if heads.many and not metrics:
            by_head = ((),) * len(heads.losses)
        if len(by_head) != len(heads.losses) or any(isinstance(m, str) for m in by_head):
            raise ValueError(
                f"metrics: expected a tuple of {len(heads.losses)} sequences, one for each head, "
                f"got {metrics!r}"
            )
        self._by_head = [
            {
                f"{_name(metric)}_{k}" if heads.many else _name(metric): _as_metric(metric, loss)
                for metric in own
            }
            for k, (own, loss) in enumerate(zip(by_head, heads.losses, strict=True))
        ]
        self.names = [name for own in self._by_head for name in own]
        if len(self.names) < sum(len(own) for own in by_head):
            raise ValueError(f"metrics: expected names of their own, got {metrics!r}")
        for name in self.names:
            if _RESERVED.fullmatch(name):
                raise ValueError(
                    f"metrics: expected a name that the history has free, got {name!r}"
                )

    def __call__(self, y: Any, outputs: Any, sample_weight: Any = None) -> dict[str, float]:
        """Return the value of each metric by name."""
        heads = zip(
            self._by_head,
            self._heads.losses,
            self._heads.targets(y),
            self._heads.outputs(outputs),
            strict=True,
        )
        return {
            name: float(np.mean([metric(*p) for p in _parts(metric, loss, t, a, sample_weight)]))
            for own, loss, t, a in heads
            for name, metric in own.items()
        }

    def check(self, targets: Sequence[Array], widths: Sequence[int]) -> None:
        """Raise ValueError if a metric does not accept the targets for outputs of these widths."""
        # The core raises if the numbers of outputs and losses differ.
        heads = zip(self._by_head, self._heads.losses, targets, widths, strict=False)
        for own, loss, y, width in heads:
            rows = np.atleast_1d(y)[:_SAMPLE]
            outputs = np.zeros((len(rows), max(width, 0)))
            for metric in own.values() if width > 0 else ():
                for part in _parts(metric, loss, rows, outputs, None):
                    metric._check(*part)


# Rows of the targets that `Metrics.check` tries.
_SAMPLE = 8


def _parts(metric: Metric, loss: Any, y: Any, outputs: Array, weight: Any) -> list[Any]:
    """Return targets, outputs and weights; one tuple for each label that the metric averages over.

    Targets are converted from the loss's convention to the metric's.
    """
    if metric._takes not in ("classes", "either"):
        return [(y, outputs, weight)]
    y = as_array(y, "y")
    kind = getattr(loss, "_targets", "values")
    by_output = y.ndim == 2 and y.shape == outputs.shape
    if kind == "signs":
        y = (y > 0).astype(np.int64)
    if kind == "classes" and by_output:
        y = y.argmax(axis=1)
    elif kind == "classes" and y.ndim == 1:
        counted = y != loss.ignore_index
        weight = None if weight is None else as_array(weight, "sample_weight")[counted]
        return [(y[counted], outputs[counted], weight)]
    if kind in ("labels", "signs") and by_output and metric._takes == "classes":
        return [(y[:, k], outputs[:, k], weight) for k in range(y.shape[1])]
    return [(y, outputs, weight)]


def _as_metric(metric: Any, loss: Any) -> Metric:
    if isinstance(metric, Metric):
        return metric
    return Metric(metric, probabilities=getattr(loss, "_estimates_targets", False))


def _name(metric: Any) -> str:
    if isinstance(metric, str):
        return metric
    name = getattr(metric, "name", None) or getattr(metric, "__name__", None)
    return str(name or type(metric).__name__)
