"""Losses: a value and its derivative with respect to the network's output."""

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar, cast

import numpy as np

from deltaprop import _core
from deltaprop._arrays import Array, as_array, as_name


class Loss:
    """Base of the built-in losses.

    A loss of your own needs no base class: an object with ``__call__(outputs, y)``, which returns a
    number, and ``delta(outputs, y)``, which returns dJ/d(outputs) in the shape of `outputs`, works
    in `fit` and `check_gradients`. Both take ``sample_weight=`` if `fit` is to be given one. They
    get the whole batch: outputs (N, out), and y as you gave it to `fit`.
    """

    _native: ClassVar[_core.Loss]  # one for each object, though no field of the dataclasses

    def __post_init__(self) -> None:
        object.__setattr__(self, "_native", self._make())

    def _make(self) -> _core.Loss:
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, f.name) for f in fields(cast(Any, self)))

    def __call__(self, outputs: Any, y: Any, sample_weight: Any = None) -> float | Array:
        """Return the loss.

        Parameters
        ----------
        outputs : array_like, shape (N, features) or (features,)
            What the network gave.
        y : array_like
            The targets; see the class.
        sample_weight : array_like, shape (N,), optional
            A weight of 0 or more for each row. "mean" then divides by the sum of the weights.

        Returns
        -------
        float, or ndarray for reduction "none"
        """
        value: float | Array = self._native.value(*_arrays(outputs, y, sample_weight))
        return value

    def delta(self, outputs: Any, y: Any, sample_weight: Any = None) -> Array:
        """Return dJ/d(outputs), where the delta recursion starts; arguments as for the loss.

        Returns
        -------
        ndarray, the shape of `outputs`
            For reduction "none" it is that of "sum".
        """
        return self._native.delta(*_arrays(outputs, y, sample_weight))


def _arrays(outputs: Any, y: Any, weight: Any) -> tuple[Array, Array, Array | None]:
    return (
        as_array(outputs, "outputs"),
        as_array(y, "y"),
        None if weight is None else as_array(weight, "sample_weight"),
    )


@dataclass(frozen=True)
class MSELoss(Loss):
    """Mean squared error: the mean over all elements of (a - y)^2, as PyTorch's.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements, N times features.
    factor : float, default 1
        Multiplies the loss; 0.5 gives the 1/2 of textbooks, J = 1/2 (a - y)^2.

    Notes
    -----
    y has the shape of the output; (N,) goes with an output (N, 1). dJ/da = 2 factor (a - y), over
    the number of elements for "mean".

    Examples
    --------
    >>> from deltaprop import nn
    >>> round(nn.MSELoss()([2, 2, 1], [1, 2, 3]), 4)
    1.6667
    """

    reduction: str = "mean"
    factor: float = 1.0

    def _make(self) -> _core.Loss:
        if not isinstance(self.factor, int | float | np.number):
            raise TypeError(f"MSELoss: expected a number as factor, got {self.factor!r}")
        if not math.isfinite(self.factor):
            raise ValueError(f"MSELoss: expected a finite factor, got {self.factor}")
        return _core.MSELoss(as_name(self.reduction, "MSELoss: reduction"), float(self.factor))


@dataclass(frozen=True)
class CrossEntropyLoss(Loss):
    """Softmax and negative log-likelihood in one: -log softmax(a)[y], as PyTorch's.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by N; "none" gives an array (N,).

    Notes
    -----
    The outputs are logits (N, classes), y integer classes (N,) from 0 to classes - 1. Computed as
    log sum_j exp(a_j - max a) - (a_y - max a), which no logit makes overflow.
    dJ/da_j = softmax(a)_j - [j = y], over N for "mean".

    Examples
    --------
    >>> from deltaprop import nn
    >>> round(nn.CrossEntropyLoss()([[0.0, 0.0]], [1]), 4)
    0.6931
    """

    reduction: str = "mean"

    def _make(self) -> _core.Loss:
        return _core.CrossEntropyLoss(as_name(self.reduction, "CrossEntropyLoss: reduction"))


def check_loss(loss: Any, where: str) -> None:
    """Raise TypeError unless `loss` is one: built in, or an object with __call__ and delta."""
    if isinstance(loss, type) or not callable(loss) or not callable(getattr(loss, "delta", None)):
        name = loss.__name__ if isinstance(loss, type) else type(loss).__name__
        raise TypeError(f"{where}: expected a loss with __call__ and delta, got {name}")
