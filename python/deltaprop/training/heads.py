"""The losses of a network's outputs: one for each head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deltaprop import _core
from deltaprop._arrays import Array
from deltaprop.nn.losses import Loss, check_loss

CoreLosses = list[tuple[_core.Loss, float]]


def is_native(loss: Any) -> bool:
    """Return whether the core computes a loss; not if a subclass overrides its methods."""
    kind = type(loss)
    return isinstance(loss, Loss) and kind.__call__ is Loss.__call__ and kind.delta is Loss.delta


@dataclass(frozen=True)
class HeadLosses:
    """A loss for each output, and its weight in their sum."""

    losses: tuple[Any, ...]
    weights: tuple[float, ...]
    many: bool  # passed as a tuple; y then is a tuple too
    several_inputs: bool = False  # a tuple X has one array per input

    @staticmethod
    def of(
        loss: Any, weights: Any, where: str = "fit", several_inputs: bool = False
    ) -> "HeadLosses":
        """Validate the arguments `loss` and `loss_weights` and return the heads' losses."""
        many = isinstance(loss, tuple | list)
        losses = tuple(loss) if many else (loss,)
        if not losses:
            raise ValueError(f"{where}: expected one loss or more, got an empty tuple")
        for one in losses:
            check_loss(one, where)
        if weights is None:
            return HeadLosses(losses, (1.0,) * len(losses), many, several_inputs)
        if not isinstance(weights, Sequence | np.ndarray) or len(weights) != len(losses):
            raise ValueError(
                f"{where}: expected loss_weights to be {len(losses)} numbers, one for each loss, "
                f"got {weights!r}"
            )
        try:
            numbers = tuple(float(w) for w in weights)
        except (TypeError, ValueError):
            raise TypeError(f"{where}: expected numbers as loss_weights, got {weights!r}") from None
        if not all(np.isfinite(w) and w >= 0 for w in numbers):
            raise ValueError(f"{where}: expected loss_weights of 0 or more, got {weights!r}")
        return HeadLosses(losses, numbers, many, several_inputs)

    def check_targets(self, y: Any, several_outputs: bool) -> None:
        """Raise ValueError for a tuple of targets with a single loss."""
        if several_outputs and isinstance(y, tuple) and not self.many:
            raise ValueError(
                f"fit: expected a tuple of losses, one for each head, got {self.losses[0]!r}"
            )

    def targets(self, y: Any, name: str = "y") -> tuple[Any, ...]:
        """Return the targets of each head."""
        if not self.many:
            return (y,)
        if not isinstance(y, tuple | list) or len(y) != len(self.losses):
            got = f"{len(y)}" if isinstance(y, tuple | list) else type(y).__name__
            raise ValueError(
                f"{name}: expected a tuple of {len(self.losses)}, one for each loss, got {got}"
            )
        return tuple(y)

    def value(self, outputs: Any, y: Any, sample_weight: Any = None) -> list[float]:
        """Return each head's loss."""
        options = {} if sample_weight is None else {"sample_weight": sample_weight}
        heads = zip(self.losses, self.outputs(outputs), self.targets(y), strict=True)
        return [float(loss(a, target, **options)) for loss, a, target in heads]

    def total(self, values: Sequence[float]) -> float:
        """Return the weighted sum of the heads' losses."""
        return sum(w * v for w, v in zip(self.weights, values, strict=True))

    def delta(self, outputs: Any, y: Any) -> Any:
        """Return dJ/d(outputs) of the weighted sum, the argument of `Sequential.backward`."""
        heads = zip(self.losses, self.weights, self.outputs(outputs), self.targets(y), strict=True)
        deltas = [np.asarray(loss.delta(a, t)) for loss, w, a, t in heads]
        if self.weights != (1.0,) * len(self.weights):
            deltas = [w * d for w, d in zip(self.weights, deltas, strict=True)]
        return tuple(deltas) if isinstance(outputs, tuple) else deltas[0]

    def outputs(self, outputs: Any) -> tuple[Array, ...]:
        """Return the output of each head."""
        heads = outputs if isinstance(outputs, tuple) else (outputs,)
        if len(heads) != len(self.losses):
            raise ValueError(
                f"loss: expected {len(heads)}, one for each output, got {len(self.losses)}"
            )
        return heads

    def core(self, targets: Sequence[Array], batches: int = 1) -> CoreLosses:
        """Return the core's losses with their weights; `batches` are accumulated per update.

        Losses written in Python need the targets' dtype and shape.
        """
        return [
            (
                loss._native_for(y, 2)
                if is_native(loss)
                else _core.PythonLoss(
                    loss, type(loss).__name__, y, batches > 1 and _reduction(loss) == "mean"
                ),
                w,
            )
            for loss, w, y in zip(self.losses, self.weights, targets, strict=True)
        ]

    def described(self) -> list[str]:
        """Return a text that identifies each loss; for one written in Python its class name."""
        return [repr(one) if is_native(one) else type(one).__name__ for one in self.losses]

    def accumulated(self, batches: int) -> int:
        """Return `batches`; ValueError if a loss cannot be accumulated over several."""
        for loss in self.losses if batches > 1 else ():
            if not is_native(loss) and _reduction(loss) not in ("mean", "sum"):
                raise ValueError(
                    f"fit: expected a loss with reduction 'mean' or 'sum' to accumulate {batches} "
                    f"batches, got {_reduction(loss)!r}"
                )
        return batches

    def check_reductions(self, where: str = "fit") -> None:
        """Raise ValueError for a loss without reduction, which returns an array."""
        for loss in self.losses:
            if getattr(loss, "reduction", "") == "none":
                raise ValueError(
                    f"{where}: expected a loss with reduction 'mean' or 'sum', got 'none'"
                )

    def links(self) -> tuple[str, ...]:
        """Return each head's link, which maps outputs to probabilities; "" for none."""
        return tuple(str(getattr(loss, "_link", "")) for loss in self.losses)


def _reduction(loss: Any) -> Any:
    """Return a loss's reduction over rows; "mean" for one written in Python without it."""
    return getattr(loss, "reduction", "mean")


def probabilities(link: str, outputs: Array) -> Array:
    """Apply a link to outputs: return probabilities."""
    if link in ("identity", ""):
        return outputs
    if link == "exp":
        return np.exp(outputs)
    if link == "sigmoid":
        # exp(-|a|) cannot overflow.
        small = np.exp(-np.abs(outputs))
        return np.asarray(np.where(outputs < 0, small, 1) / (1 + small))
    shifted = np.exp(outputs - outputs.max(axis=-1, keepdims=True, initial=-np.inf))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
