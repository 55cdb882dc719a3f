"""Losses: a value and its derivative with respect to the network's output."""

import math
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, fields
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np

from deltaprop import _core
from deltaprop._arrays import Array, as_array, as_name
from deltaprop._checked_init import CheckedInit

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "PoissonNLLLoss",
    "QuantileLoss",
    "SmoothL1Loss",
]


@dataclass(kw_only=True, eq=False, repr=False)
class Loss(CheckedInit):
    """Base of the built-in losses.

    A loss of your own needs no base class: an object with ``__call__(outputs, y)``, which returns a
    number, and ``delta(outputs, y)``, which returns dJ/d(outputs) in the shape of `outputs`, works
    in `fit` and `check_gradients`. Both take ``sample_weight=`` if `fit` is to be given one. They
    get the whole batch: outputs (N, out), and y as you gave it to `fit`.
    """

    _function: ClassVar[str]  # its name in the core's table
    # Names of options whose attributes have another name.
    _kept_as: ClassVar[dict[str, str]] = {}
    # What metrics and `predict_proba` know of a loss. The link makes probabilities of the outputs:
    # "softmax", "sigmoid", "exp", "identity", or "" where they stand for none.
    _link: ClassVar[str] = ""
    # Targets are "values", "classes" (an integer a row, or a probability for each class), or two
    # classes for each output, 0 and 1 ("labels") or -1 and 1 ("signs").
    _targets: ClassVar[str] = "values"
    # Where outputs estimate the targets, those above one half mean 1 of the classes 0 and 1.
    _estimates_targets: ClassVar[bool] = False
    _reductions: ClassVar[tuple[str, ...]] = ("mean", "sum", "none")
    _native: ClassVar[_core.Loss]  # one for each object, though no field of the dataclasses

    reduction: str = "mean"
    factor: float = 1.0

    def __post_init__(self) -> None:
        name = as_name(self.reduction, f"{type(self).__name__}: reduction")
        if name not in self._reductions:
            *names, last = map(repr, self._reductions)
            raise ValueError(f"reduction: expected {', '.join(names)} or {last}, got {name!r}")
        self._set("factor", self._finite("factor", "factor"))
        self._set("_native", self._make(self._function))

    def _make(self, function: str) -> _core.Loss:
        numbers, columns, ignored = [], [], -1
        for option in _core.options(function):
            number = option.fallback
            if option.kind == "number":
                number = self._number(option)
            elif option.kind == "flag":
                number = float(self._flag(option.name))
            elif option.kind == "label":
                ignored = self._label(option.name)
            else:
                columns = self._columns(option)
            numbers.append(number)
        return _core.NamedLoss(function, self.reduction, self.factor, numbers, columns, ignored)

    def _native_for(self, y: Array, ndim: int) -> _core.Loss:
        """Return the core's loss for these targets of outputs with `ndim` axes."""
        return self._native

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _number(self, option: _core.Option) -> float:
        """Convert an option to a finite float of its domain."""
        kept_as = self._kept_as.get(option.name, option.name)
        number = self._finite(kept_as, option.name, option.domain, option.holds)
        self._set(kept_as, number)
        return number

    def _finite(
        self, kept_as: str, name: str, domain: str = "", holds: Callable[[float], bool] = bool
    ) -> float:
        value = getattr(self, kept_as)
        if not isinstance(value, int | float | np.integer | np.floating):
            raise TypeError(f"{type(self).__name__}: expected a number as {name}, got {value!r}")
        # An integer may be too large for a float.
        if not (
            cast(float, abs(value)) <= sys.float_info.max and (not domain or holds(float(value)))
        ):
            expected = f"a finite {name} {domain}".rstrip()
            raise ValueError(f"{type(self).__name__}: expected {expected}, got {value}")
        return float(value)

    def _columns(self, option: _core.Option) -> list[float]:
        """Convert an option of several numbers to a tuple of finite floats of its domain."""
        value = getattr(self, option.name)
        if value is None and option.kind != "outputs":
            return []
        if option.kind == "columns" and np.ndim(value) == 0:
            return [self._number(option)]
        where = f"{type(self).__name__}: {option.name}"
        array = as_array(value, where)
        if array.ndim != 1 or array.size == 0:
            raise ValueError(f"{where}: expected one number or more in a row, got {array.shape}")
        numbers = [float(v) for v in array]
        for i, v in enumerate(numbers):
            if not (math.isfinite(v) and option.holds(v)):
                raise ValueError(
                    f"{where}: expected finite numbers {option.domain}, got {v} at {i}"
                )
        self._set(option.name, tuple(numbers))
        return numbers

    def _label(self, name: str) -> int:
        """Convert an option to an integer of 64 bits."""
        value = getattr(self, name)
        if not isinstance(value, int | np.integer) or isinstance(value, bool):
            raise TypeError(f"{type(self).__name__}: expected an integer as {name}, got {value!r}")
        if not -(2**63) <= value < 2**63:
            raise ValueError(
                f"{type(self).__name__}: expected an {name} that fits 64 bits, got {value}"
            )
        self._set(name, int(value))
        return int(value)

    def _flag(self, name: str) -> bool:
        value = getattr(self, name)
        if not isinstance(value, bool | np.bool_):
            message = f"expected {name} to be True or False, got {value!r}"
            raise TypeError(f"{type(self).__name__}: {message}")
        self._set(name, bool(value))
        return bool(value)

    def _arguments(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    # Written once here: a dataclass would generate these for each loss, which slows the import.
    def __setattr__(self, name: str, value: Any) -> None:
        if "_native" in vars(self):
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        self._set(name, value)

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._arguments() == other._arguments()

    def __hash__(self) -> int:
        return hash((type(self), *self._arguments().values()))

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self._arguments().items())
        return f"{type(self).__name__}({options})"

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self._arguments()), ()

    def __call__(self, outputs: Any, y: Any, sample_weight: Any = None) -> float | Array:
        """Return the loss.

        Parameters
        ----------
        outputs : array_like, shape (N, features) or (features,)
            The output of the network.
        y : array_like
            The targets; see the class.
        sample_weight : array_like, shape (N,), optional
            A weight of 0 or more for each row. "mean" then divides by the sum of the weights.

        Returns
        -------
        float, or ndarray for reduction "none"
        """
        arrays = _arrays(outputs, y, sample_weight)
        value: float | Array = self._native_for(arrays[1], arrays[0].ndim).value(*arrays)
        return value

    def delta(self, outputs: Any, y: Any, sample_weight: Any = None) -> Array:
        """Return dJ/d(outputs), where the delta recursion starts; arguments as for the loss.

        Returns
        -------
        ndarray, the shape of `outputs`
            For reduction "none" it is that of "sum".
        """
        arrays = _arrays(outputs, y, sample_weight)
        return self._native_for(arrays[1], arrays[0].ndim).delta(*arrays)


def _arrays(outputs: Any, y: Any, weight: Any) -> tuple[Array, Array, Array | None]:
    return (
        as_array(outputs, "outputs"),
        as_array(y, "y"),
        None if weight is None else as_array(weight, "sample_weight"),
    )


@dataclass(kw_only=True, eq=False, repr=False)
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
    y has the shape of the outputs; (N,) goes with outputs (N, 1).

    Formula: l = (a - y)^2

    Derivative: dl/da = 2 (a - y)

    Source: torch.nn.MSELoss.

    Examples
    --------
    >>> from deltaprop import nn
    >>> round(nn.MSELoss()([2, 2, 1], [1, 2, 3]), 4)
    1.6667
    """

    _function = "MSELoss"
    _estimates_targets = True


@dataclass(kw_only=True, eq=False, repr=False)
class L1Loss(Loss):
    """Mean absolute error: the mean over all elements of abs(a - y), as PyTorch's.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements, N times features.
    factor : float, default 1
        Multiplies the loss.

    Notes
    -----
    y has the shape of the outputs; (N,) goes with outputs (N, 1).

    Formula: l = abs(a - y)

    Derivative: dl/da = sign(a - y), 0 at a = y

    Source: torch.nn.L1Loss.

    Examples
    --------
    >>> from deltaprop import nn
    >>> nn.L1Loss()([2, 2, 1], [1, 2, 3])
    1.0
    """

    _function = "L1Loss"
    _estimates_targets = True


@dataclass(kw_only=True, eq=False, repr=False)
class SmoothL1Loss(Loss):
    """Squared near the target, absolute beyond, as PyTorch's.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements, N times features.
    beta : float, default 1
        Where one becomes the other; 0 or more, 0 is `L1Loss`.
    factor : float, default 1
        Multiplies the loss.

    Notes
    -----
    y has the shape of the outputs; (N,) goes with outputs (N, 1).

    Formula: l = (a - y)^2 / (2 beta) where abs(a - y) < beta, else abs(a - y) - beta / 2

    Derivative: dl/da = (a - y) / beta where abs(a - y) < beta, else sign(a - y)

    Source: Girshick, "Fast R-CNN" (2015), equation 3; torch.nn.SmoothL1Loss.

    Examples
    --------
    >>> from deltaprop import nn
    >>> nn.SmoothL1Loss()([0.0, 0.0], [1.0, 3.0])
    1.5
    """

    _function = "SmoothL1Loss"
    _estimates_targets = True

    beta: float = 1.0


@dataclass(init=False, eq=False, repr=False)
class HuberLoss(Loss):
    """Squared near the target, absolute beyond, the slope held at `delta`, as PyTorch's.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements, N times features.
    delta : float, default 1
        Where one becomes the other, above 0. It is kept as `threshold`, since ``loss.delta`` is
        the derivative.
    factor : float, default 1
        Multiplies the loss.

    Notes
    -----
    y has the shape of the outputs; (N,) goes with outputs (N, 1).

    Formula: l = (a - y)^2 / 2 where abs(a - y) < delta, else delta (abs(a - y) - delta / 2)

    Derivative: dl/da = a - y where abs(a - y) < delta, else delta sign(a - y)

    Source: Huber, "Robust estimation of a location parameter" (1964); torch.nn.HuberLoss.

    Examples
    --------
    >>> from deltaprop import nn
    >>> nn.HuberLoss(delta=2)([0.0, 0.0], [1.0, 3.0])
    2.25
    """

    _function = "HuberLoss"
    _kept_as: ClassVar[dict[str, str]] = {"delta": "threshold"}
    _estimates_targets = True

    threshold: float = 1.0

    def __init__(self, reduction: str = "mean", delta: float = 1.0, *, factor: float = 1.0) -> None:
        self._set("reduction", reduction)
        self._set("threshold", delta)
        self._set("factor", factor)
        self.__post_init__()

    def _arguments(self) -> dict[str, Any]:
        return {"reduction": self.reduction, "delta": self.threshold, "factor": self.factor}

    def __repr__(self) -> str:
        return f"HuberLoss({', '.join(f'{k}={v!r}' for k, v in self._arguments().items())})"


@dataclass(kw_only=True, eq=False, repr=False)
class QuantileLoss(Loss):
    """Pinball loss: outputs that learn quantiles of the targets, several at once.

    Parameters
    ----------
    quantiles : sequence of float, default (0.1, 0.5, 0.9)
        Each above 0 and below 1.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of outputs, N d Q.
    factor : float, default 1
        Multiplies the loss.

    Notes
    -----
    With Q quantiles, targets y (N, d) go with outputs (N, d Q): column j Q + i is quantile i of
    target j. y (N,) goes with d = 1. The unreduced loss has the shape of the outputs.

    Formula: l = max(q (y - a), (q - 1) (y - a)), q the quantile of the column

    Derivative: dl/da = -q where a < y, 1 - q where a > y, 0 at a = y

    Source: Koenker and Bassett, "Regression quantiles" (1978).

    Examples
    --------
    >>> from deltaprop import nn
    >>> round(nn.QuantileLoss(quantiles=[0.1, 0.9])([[0.0, 0.0]], [1.0]), 4)
    0.5
    """

    _function = "QuantileLoss"
    _estimates_targets = True

    quantiles: tuple[float, ...] = field(default=(0.1, 0.5, 0.9), kw_only=False)


@dataclass(kw_only=True, eq=False, repr=False)
class BCELoss(Loss):
    """Binary cross entropy of probabilities, as PyTorch's.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements, N times features.
    factor : float, default 1
        Multiplies the loss.

    Notes
    -----
    The outputs are probabilities, y as many targets from 0 to 1; (N,) goes with outputs (N, 1).
    No logarithm counts as less than -100, and the derivative's denominator as at least 1e-12,
    as in PyTorch. Where the probability is a sigmoid's, `BCEWithLogitsLoss` without it loses no
    digits. Outputs outside 0 to 1 are ValueError. There is no `weight` as in PyTorch: a call's
    `sample_weight` weighs rows.

    Formula: l = -(y log a + (1 - y) log(1 - a))

    Derivative: dl/da = (a - y) / (a (1 - a))

    Source: torch.nn.BCELoss.

    Examples
    --------
    >>> from deltaprop import nn
    >>> round(nn.BCELoss()([0.5, 0.9], [1, 1]), 4)
    0.3993
    """

    _function = "BCELoss"
    _targets = "labels"
    _estimates_targets = True
    _link = "identity"


@dataclass(kw_only=True, eq=False, repr=False)
class BCEWithLogitsLoss(Loss):
    """Sigmoid and binary cross entropy in one, as PyTorch's.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements, N times features.
    pos_weight : float or array_like, shape (features,), optional
        What a positive target counts, of 0 or more, for each column; 1 where not given.
    factor : float, default 1
        Multiplies the loss.

    Notes
    -----
    The outputs are logits, y as many targets from 0 to 1; (N,) goes with outputs (N, 1).
    `pos_weight` is no weight of elements: "mean" does not divide by it. There is no `weight` as in
    PyTorch: a call's `sample_weight` weighs rows.

    Formula: l = -(p y log s(a) + (1 - y) log s(-a)), s(a) = 1 / (1 + exp(-a)), p the positive
    weight

    Derivative: dl/da = (1 - y) s(a) - p y s(-a)

    Source: torch.nn.BCEWithLogitsLoss.

    Examples
    --------
    >>> from deltaprop import nn
    >>> round(nn.BCEWithLogitsLoss()([0.0, 2.0], [1, 0]), 4)
    1.41
    """

    _function = "BCEWithLogitsLoss"
    _targets = "labels"
    _link = "sigmoid"

    pos_weight: Any = None


@dataclass(kw_only=True, eq=False, repr=False)
class PoissonNLLLoss(Loss):
    """Negative log-likelihood of counts with a Poisson distribution, as PyTorch's.

    Parameters
    ----------
    log_input : bool, default True
        Whether the outputs are logarithms of the rate; else they are the rate, of 0 or more.
    full : bool, default False
        Adds Stirling's approximation of log y!, where y > 1.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements, N times features.
    eps : float, default 1e-8
        Added to the rate before its logarithm is taken; 0 or more.
    factor : float, default 1
        Multiplies the loss.

    Notes
    -----
    y has the shape of the outputs; (N,) goes with outputs (N, 1). With log_input=False, outputs
    below 0 are ValueError.

    Formula: l = exp(a) - y a, or a - y log(a + eps) of the rate itself; full adds y log y - y +
    log(2 pi y) / 2 where y > 1

    Derivative: dl/da = exp(a) - y, or 1 - y / (a + eps)

    Source: torch.nn.PoissonNLLLoss.

    Examples
    --------
    >>> from deltaprop import nn
    >>> nn.PoissonNLLLoss()([0.0, 0.0], [1, 3])
    1.0
    """

    _function = "PoissonNLLLoss"

    log_input: bool = field(default=True, kw_only=False)
    full: bool = field(default=False, kw_only=False)
    eps: float = 1e-8


@dataclass(kw_only=True, eq=False, repr=False)
class GaussianNLLLoss(Loss):
    """Negative log-likelihood with a normal distribution whose variance is learned too.

    PyTorch's, its mean and variance side by side in the outputs.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of targets, N d.
    full : bool, default False
        Adds the constant log(2 pi) / 2.
    eps : float, default 1e-6
        The least that a variance counts; above 0.
    factor : float, default 1
        Multiplies the loss.

    Notes
    -----
    Targets y (N, d) go with outputs (N, 2 d): d means, then d variances; (N,) goes with d = 1.
    The unreduced loss is (N, d). A variance below `eps` is taken as `eps`, and its derivative
    as the one there, as in PyTorch. Variances below 0 are ValueError.

    Formula: l = (log v + (a - y)^2 / v) / 2; full adds log(2 pi) / 2

    Derivative: dl/da = (a - y) / v, dl/dv = (1 - (a - y)^2 / v) / (2 v)

    Source: Nix and Weigend, "Estimating the mean and variance of the target probability
    distribution" (1994); torch.nn.GaussianNLLLoss.

    Examples
    --------
    >>> from deltaprop import nn
    >>> nn.GaussianNLLLoss()([[0.0, 1.0]], [2.0])
    2.0
    """

    _function = "GaussianNLLLoss"

    full: bool = False
    eps: float = 1e-6


@dataclass(kw_only=True, eq=False, repr=False)
class KLDivLoss(Loss):
    """Kullback-Leibler divergence of the outputs, log-probabilities, from the targets.

    Parameters
    ----------
    reduction : {"mean", "batchmean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements, N times features, "batchmean" by N, which makes it
        the divergence.
    log_target : bool, default False
        Whether the targets are log-probabilities too; else they are 0 or more.
    factor : float, default 1
        Multiplies the loss.

    Notes
    -----
    As PyTorch's. y has the shape of the outputs; (N,) goes with outputs (N, 1).

    Formula: l = y (log y - a), 0 at y = 0; with log_target l = exp(y) (y - a)

    Derivative: dl/da = -y; with log_target dl/da = -exp(y)

    Source: Kullback and Leibler, "On information and sufficiency" (1951);
    torch.nn.KLDivLoss.

    Examples
    --------
    >>> from deltaprop import nn
    >>> round(nn.KLDivLoss(reduction="batchmean")([[-0.6931, -0.6931]], [[1, 0]]), 4)
    0.6931
    """

    _function = "KLDivLoss"
    _reductions = ("mean", "batchmean", "sum", "none")

    log_target: bool = False


@dataclass(kw_only=True, eq=False, repr=False)
class HingeLoss(Loss):
    """The loss of support vector machines: how far y a falls short of 1.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by the number of elements, N times features.
    factor : float, default 1
        Multiplies the loss.

    Notes
    -----
    y has the shape of the outputs and is -1 or 1; (N,) goes with outputs (N, 1).

    Formula: l = max(0, 1 - y a)

    Derivative: dl/da = -y where y a < 1, else 0

    Source: Cortes and Vapnik, "Support-vector networks" (1995); sklearn.metrics.hinge_loss.

    Examples
    --------
    >>> from deltaprop import nn
    >>> nn.HingeLoss()([2.0, 0.5], [1, -1])
    0.75
    """

    _function = "HingeLoss"
    _targets = "signs"


@dataclass(kw_only=True, eq=False, repr=False)
class NLLLoss(Loss):
    """Negative log-likelihood of the classes, from log-probabilities, as PyTorch's.

    Parameters
    ----------
    weight : array_like, shape (classes,), optional
        A weight of 0 or more for each class; "mean" divides by the sum of the weights of the rows.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by N; "none" gives an array (N,).
    ignore_index : int, default -100
        Rows of this class count for nothing.
    factor : float, default 1
        Multiplies the loss.

    Notes
    -----
    The outputs are log-probabilities (N, classes), 2 classes or more, y integer classes (N,)
    from 0 to classes - 1.

    Formula: l = -w_y a_y

    Derivative: dl/da_j = -w_y [j = y]

    Source: torch.nn.NLLLoss.

    Examples
    --------
    >>> from deltaprop import nn
    >>> nn.NLLLoss()([[-0.5, -1.0]], [1])
    1.0
    """

    _function = "NLLLoss"
    _targets = "classes"
    _link = "exp"

    weight: Any = field(default=None, kw_only=False)
    ignore_index: int = -100


@dataclass(kw_only=True, eq=False, repr=False)
class CrossEntropyLoss(Loss):
    """Softmax and negative log-likelihood in one: -log softmax(a)[y], as PyTorch's.

    Parameters
    ----------
    weight : array_like, shape (classes,), optional
        A weight of 0 or more for each class; "mean" divides by the sum of the weights of the rows'
        classes, and by N where the targets are probabilities.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides by N; "none" gives an array (N,).
    ignore_index : int, default -100
        Rows of this class count for nothing.
    label_smoothing : float, default 0
        From 0 to 1: how much of the target is shared out over all classes.
    factor : float, default 1
        Multiplies the loss.

    Notes
    -----
    The outputs are logits (N, classes), 2 classes or more. y is integer classes (N,) from 0 to
    classes - 1, or probabilities (N, classes), floats of 0 or more, whose sum is not checked. The
    largest logit is subtracted from all others, so that none overflows and small terms keep their
    digits.

    Formula: l = -sum_j q_j log softmax(a)_j, q_j = w_j ((1 - s) [j = y] + s / classes), s the label
    smoothing; for probabilities y_j stands for [j = y]

    Derivative: dl/da_j = softmax(a)_j sum_k q_k - q_j

    Source: torch.nn.CrossEntropyLoss; label smoothing: Szegedy et al., "Rethinking the
    Inception architecture for computer vision" (2016), section 7.

    Examples
    --------
    >>> from deltaprop import nn
    >>> round(nn.CrossEntropyLoss()([[0.0, 0.0]], [1]), 4)
    0.6931
    """

    _function = "CrossEntropyLoss"
    _targets = "classes"
    _link = "softmax"
    _of_probabilities: ClassVar[_core.Loss]

    weight: Any = field(default=None, kw_only=False)
    ignore_index: int = -100
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("_of_probabilities", self._make("CrossEntropyLoss of probabilities"))

    def _native_for(self, y: Array, ndim: int) -> _core.Loss:
        if y.dtype.kind != "f" or y.ndim != ndim:
            return self._native
        if self.ignore_index >= 0:
            raise ValueError(
                "CrossEntropyLoss: expected integer classes beside ignore_index="
                f"{self.ignore_index}, got probabilities"
            )
        return self._of_probabilities


def check_loss(loss: Any, where: str) -> None:
    """Raise TypeError unless `loss` is one: built in, or an object with __call__ and delta."""
    if isinstance(loss, type) or not callable(loss) or not callable(getattr(loss, "delta", None)):
        got = f"the class {loss.__name__}" if isinstance(loss, type) else type(loss).__name__
        raise TypeError(f"{where}: expected a loss with __call__ and delta, got {got}")
