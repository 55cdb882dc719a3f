"""The metrics of a fit, head by head."""

import re
from collections.abc import Sequence
from typing import Any

from deltaprop.nn.losses import BCELoss, HuberLoss, L1Loss, MSELoss, QuantileLoss, SmoothL1Loss
from deltaprop.training.heads import HeadLosses
from deltaprop.training.metrics import Metric

# What the history calls its own columns.
_TAKEN = re.compile(r"(val_)?loss(_\d+)?|lr|val_.*|(activation|delta|gradient)_norm")


# Their outputs come to lie near the targets: of 0 and 1 they stand for the second from one half on.
_NEAR_TARGETS = (BCELoss, HuberLoss, L1Loss, MSELoss, QuantileLoss, SmoothL1Loss)


class Metrics:
    """Metrics of each head, by the names they have in the history."""

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
                f"{_name(metric)}_{k}" if heads.many else _name(metric): _made(metric, loss)
                for metric in own
            }
            for k, (own, loss) in enumerate(zip(by_head, heads.losses, strict=True))
        ]
        self.names = [name for own in self._by_head for name in own]
        if len(self.names) < sum(len(own) for own in by_head):
            raise ValueError(f"metrics: expected names of their own, got {metrics!r}")
        for name in self.names:
            if _TAKEN.fullmatch(name):
                raise ValueError(
                    f"metrics: expected a name that the history has free, got {name!r}"
                )

    def __call__(self, y: Any, outputs: Any, sample_weight: Any = None) -> dict[str, float]:
        """Return the value of each metric, by its name."""
        heads = zip(
            self._by_head, self._heads.targets(y), self._heads.outputs(outputs), strict=True
        )
        return {
            name: float(metric(target, a, sample_weight))
            for own, target, a in heads
            for name, metric in own.items()
        }


def _made(metric: Any, loss: Any) -> Metric:
    if isinstance(metric, Metric):
        return metric
    return Metric(metric, probabilities=isinstance(loss, _NEAR_TARGETS))


def _name(metric: Any) -> str:
    if isinstance(metric, str):
        return metric
    name = getattr(metric, "name", None) or getattr(metric, "__name__", None)
    return str(name or type(metric).__name__)
