"""Comparison of gradients with finite differences."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from deltaprop._arrays import Array, as_array, as_count
from deltaprop.network import Sequential
from deltaprop.nn.embedding import Embedding
from deltaprop.nn.module import Module, one_or_several
from deltaprop.training.heads import HeadLosses

# Step of the differences, relative to the size of the element: with Richardson extrapolation the
# truncation error is of order step^4, far below the rounding error eps / step.
_STEP = 1e-4
_HALVINGS = 12

_HEAD = ("parameter", "shape", "checked", "kinks", "max error", "at", "analytic", "numeric")


@dataclass(frozen=True)
class GradientRow:
    """The check of one parameter, or of the input.

    Attributes
    ----------
    name : str
        The parameter's name, or "input".
    shape : tuple of int
    checked : int
        Number of elements checked.
    kinks : int
        Number of these on a kink, where no derivative exists; they do not count in the error.
    max_error : float
        The largest relative error.
    worst : tuple of int
        Index of the element with the largest error.
    analytic, numeric : float
        The two derivatives of this element.
    """

    name: str
    shape: tuple[int, ...]
    checked: int
    kinks: int
    max_error: float
    worst: tuple[int, ...]
    analytic: float
    numeric: float


@dataclass(frozen=True)
class GradientReport:
    """The result of `check_gradients`; prints as a table.

    Attributes
    ----------
    rows : tuple of GradientRow
        One for each parameter that is not frozen, then one for each input.
    tolerance : float
    """

    rows: tuple[GradientRow, ...]
    tolerance: float

    @property
    def max_error(self) -> float:
        """The largest relative error of all rows."""
        return max(row.max_error for row in self.rows)

    @property
    def ok(self) -> bool:
        """Whether at least one element was compared and no error exceeds the tolerance."""
        compared = any(row.checked > row.kinks for row in self.rows)
        return compared and all(row.max_error <= self.tolerance for row in self.rows)

    def __repr__(self) -> str:
        table = [_HEAD, *self._cells()]
        widths = [max(len(line[c]) for line in table) for c in range(len(_HEAD))]
        lines = [
            "  ".join(f"{t:<{w}}" for t, w in zip(line, widths, strict=True)) for line in table
        ]
        return "\n".join(line.rstrip() for line in [*lines, self._verdict()])

    def _repr_html_(self) -> str:
        from deltaprop import _html

        return _html.block(self._verdict(), _html.table(_HEAD, self._cells()))

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                row.name,
                str(row.shape),
                str(row.checked),
                str(row.kinks),
                f"{row.max_error:.1e}" + ("" if row.max_error <= self.tolerance else " !"),
                str(row.worst) if row.checked else "",
                f"{row.analytic:.9g}",
                f"{row.numeric:.9g}",
            )
            for row in self.rows
        ]

    def _verdict(self) -> str:
        verdict = "ok" if self.ok else "WRONG"
        return f"{verdict}: max error {self.max_error:.1e}, tolerance {self.tolerance:.0e}"


def check_gradients(
    net: Module,
    loss: Any,
    x: Any,
    y: Any,
    max_checks: int | None = None,
    *,
    tolerance: float = 1e-6,
) -> GradientReport:
    """Compare the gradients of the delta recursion with central differences, in float64.

    The check works on a float64 copy; the network and its running statistics do not change. All
    passes are training passes: `BatchNorm1d` normalises by the batch, unless frozen, and `Dropout`
    uses the same mask each time.

    Parameters
    ----------
    net : Sequential, layer or other module
    loss : loss, or a tuple of them
        Built-in or user-defined; with reduction "none" the sum is checked. A tuple for several
        heads, whose losses are added.
    x : array_like, shape (N, in_features), or a tuple of them
    y : array_like, or a tuple of them
        Targets, in the form that the loss takes.
    max_checks : int, optional
        Number of elements to check of each parameter and of the input, drawn at random with a fixed
        seed. Default: all. Each costs four passes, and a few more if the derivatives disagree.
    tolerance : float, default 1e-6
        The largest relative error for which the report is `ok`.

    Returns
    -------
    GradientReport
        For each parameter and the input (except the integer indices of an `Embedding`), the largest
        abs(a - n) / max(abs(a), abs(n), floor), where a is the derivative by the recursion, n that
        by differences, and floor a bound on the error of n due to rounding of the loss. The floor
        is also subtracted from abs(a - n). In a test: ``assert dp.check_gradients(...).ok``.

    Raises
    ------
    TypeError
        If `net` is not a network or layer, or `loss` not a loss.
    ValueError
        If the tolerance is not above 0, or the loss differs between passes.

    Notes
    -----
    D(h) = (J(v + h) - J(v - h)) / 2h, n = (4 D(h/2) - D(h)) / 3 (Richardson). Where a and n
    disagree, h is halved as long as n moves towards a: a kink near v, such as ReLU's at 0, then
    falls outside [v - h, v + h]. An element on a kink (the one-sided slopes do not converge to each
    other, and a lies between them) is counted but not compared.

    Examples
    --------
    >>> import deltaprop as dp
    >>> from deltaprop import nn
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1), seed=0)
    >>> dp.check_gradients(net, nn.MSELoss(), [[1.0, 2.0]], [[3.0]]).ok
    True
    """
    if not isinstance(net, Module):
        raise TypeError(f"check_gradients: expected a network, got {type(net).__name__}")
    heads = HeadLosses.of(loss, None, "check_gradients")
    if not tolerance > 0:
        raise ValueError(f"check_gradients: expected tolerance > 0, got {tolerance}")
    limit = None if max_checks is None else as_count(max_checks, "check_gradients: max_checks", 1)
    passes = _Passes(net, heads, x, y)
    places = passes.gradients()
    if passes.value() != passes.value():
        raise ValueError(
            "check_gradients: expected the same loss each time, got two; "
            "a layer or loss written in Python must not draw random numbers here"
        )
    checker = _Checker(passes.value, passes.rounding(), tolerance, limit)
    return GradientReport(tuple(checker.row(*place) for place in places), tolerance)


class _Passes:
    """Training passes of a float64 copy of a network, all with the same random masks."""

    def __init__(self, net: Module, heads: HeadLosses, x: Any, y: Any) -> None:
        layers = [copy.deepcopy(layer) for layer in (net if isinstance(net, Sequential) else [net])]
        seed = net.seed if isinstance(net, Sequential) else 0
        self._twin = Sequential(*layers, dtype="float64", seed=seed)
        given = one_or_several(x, net._shares_input())
        self._several = isinstance(given, tuple)
        parts = given if isinstance(given, tuple) else (given,)
        self._xs = tuple(np.array(part, np.float64) for part in parts)
        targets = tuple(as_array(target, "y") for target in heads.targets(y))
        self._y = targets if heads.many else targets[0]
        self._heads = heads
        outputs = self._forward()
        self._outputs = heads.outputs(outputs)
        self._delta = heads.delta(outputs, self._y)
        self._input_gradient = self._twin.backward(self._delta)

    def _forward(self) -> Any:
        self._twin._network.passes = 0  # every pass draws the same masks
        return self._twin.forward(self._xs if self._several else self._xs[0])

    def value(self) -> float:
        """Return the loss."""
        heads = self._heads
        outputs = heads.outputs(self._forward())
        parts = zip(heads.losses, outputs, heads.targets(self._y), strict=True)
        return sum(float(np.sum(loss(a, t))) for loss, a, t in parts)

    def gradients(self) -> list[tuple[str, Array, Array]]:
        """Return name, values and gradient of each parameter that is not frozen, and of inputs."""
        leaves = self._twin._leaves()
        frozen = {i for leaf in leaves if leaf._frozen for i in leaf._storage().parameters.values()}
        own = [p for p in self._twin.parameters() if p._index not in frozen]
        places = [(p.name, p.value, p.grad.copy()) for p in own]
        if not any(isinstance(leaf, Embedding) for leaf in leaves):
            names = [f"input[{i}]" for i in range(len(self._xs))] if self._several else ["input"]
            found = self._input_gradient if self._several else (self._input_gradient,)
            places += zip(names, self._xs, found, strict=True)
        return places

    def rounding(self) -> float:
        """Return what the rounding of the loss may amount to."""
        # The terms of the sum may be larger than the loss; they determine its rounding error.
        deltas = self._delta if isinstance(self._delta, tuple) else (self._delta,)
        terms = zip(deltas, self._outputs, strict=True)
        size = abs(self.value()) + sum(float(np.abs(d * a).sum()) for d, a in terms)
        return 16 * float(np.finfo(np.float64).eps) * size


@dataclass(frozen=True)
class _Checker:
    value: Callable[[], float]  # the loss
    noise: float  # bound on its rounding error
    tolerance: float
    limit: int | None

    def row(self, name: str, values: Array, gradient: Array) -> GradientRow:
        places = np.arange(values.size)
        if self.limit is not None and self.limit < values.size:
            places = np.random.default_rng(0).choice(values.size, self.limit, replace=False)
        scale = float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0
        worst: tuple[float, tuple[int, ...], float, float] = (0.0, (), 0.0, 0.0)
        kinks = 0
        for place in np.sort(places):
            index = tuple(int(i) for i in np.unravel_index(place, values.shape))
            step = _STEP * (max(abs(float(values[index])), scale) or 1.0)
            analytic = float(gradient[index])
            found = _Difference(values, index, self.value, self.noise).error(
                analytic, step, self.tolerance
            )
            if found is None:
                kinks += 1
            elif found[0] > worst[0] or not worst[1]:
                worst = (found[0], index, analytic, found[1])
        error, where, analytic, numeric = worst
        return GradientRow(name, values.shape, len(places), kinks, error, where, analytic, numeric)


class _Difference:
    """Finite differences of the loss with respect to one element."""

    def __init__(
        self, values: Array, index: tuple[int, ...], value: Callable[[], float], noise: float
    ) -> None:
        self._values = values
        self._index = index
        self._value = value
        self._noise = noise
        self._start = float(values[index])

    def error(self, analytic: float, step: float, tolerance: float) -> tuple[float, float] | None:
        """Return the relative error and the difference quotient, or None on a kink."""
        numeric = self._slope(step)
        first = self._relative(analytic, numeric, step), numeric
        if first[0] <= tolerance or first[0] == math.inf:  # a derivative is not finite
            return first
        for _ in range(_HALVINGS):
            step /= 2
            if self._noise / step > max(abs(analytic), abs(numeric)) / 1000:
                break
            nearer = self._slope(step)
            error = self._relative(analytic, nearer, step)
            if error <= tolerance:
                return error, nearer
            if abs(nearer - numeric) < abs(analytic - numeric) / 10:
                break  # converged to another value
            numeric = nearer
        return None if self._on_kink(step, analytic) else first

    def _relative(self, analytic: float, numeric: float, step: float) -> float:
        # Differences within the rounding error of the loss do not count as errors.
        rounding = max(self._noise / step, float(np.finfo(np.float64).tiny))
        error = abs(analytic - numeric)
        if not math.isfinite(error):
            return math.inf
        return max(error - rounding, 0.0) / max(abs(analytic), abs(numeric), rounding)

    def _slope(self, step: float) -> float:
        return (4 * self._central(step / 2) - self._central(step)) / 3

    def _central(self, step: float) -> float:
        return (self._at(step) - self._at(-step)) / (2 * step)

    def _on_kink(self, step: float, analytic: float) -> bool:
        # Away from a kink the difference of the one-sided slopes is proportional to the step.
        middle = self._at(0.0)
        gaps = []
        for h in (step, step / 16):
            right, left = (self._at(h) - middle) / h, (middle - self._at(-h)) / h
            gaps.append(abs(right - left))
            if gaps[-1] < 4 * self._noise / h:
                return False
        margin = gaps[1] / 10
        inside = min(left, right) - margin <= analytic <= max(left, right) + margin
        size = max(abs(left), abs(right))
        return bool(inside and gaps[1] > size / 100 and gaps[1] > gaps[0] / 2)

    def _at(self, step: float) -> float:
        self._values[self._index] = self._start + step
        try:
            return self._value()
        finally:
            self._values[self._index] = self._start
