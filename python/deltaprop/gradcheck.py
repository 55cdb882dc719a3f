"""Gradients against finite differences."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from deltaprop._arrays import Array, as_array, as_count
from deltaprop.nn.layer import Layer
from deltaprop.nn.losses import check_loss
from deltaprop.nn.sequential import Sequential

# Step of the differences, relative to the size of what is stepped along: with Richardson's
# extrapolation the formula's error is of order step^4, far below the rounding error eps / step.
_STEP = 1e-4
_HALVINGS = 12


@dataclass(frozen=True)
class GradientRow:
    """The check of one parameter, or of the input.

    Attributes
    ----------
    name : str
        The parameter's, or "input".
    shape : tuple of int
    checked : int
        Elements compared.
    kinks : int
        Of these, elements that stand on a kink, where no derivative exists; left out of the error.
    max_error : float
        The largest relative error.
    worst : tuple of int
        Where it is.
    analytic, numeric : float
        The two derivatives there.
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
    """What `check_gradients` found; prints as a table.

    Attributes
    ----------
    rows : tuple of GradientRow
        One a parameter, and the last for the input.
    tolerance : float
    """

    rows: tuple[GradientRow, ...]
    tolerance: float

    @property
    def max_error(self) -> float:
        """The largest relative error of all."""
        return max(row.max_error for row in self.rows)

    @property
    def ok(self) -> bool:
        """Whether no error exceeds the tolerance."""
        return all(row.max_error <= self.tolerance for row in self.rows)

    def __repr__(self) -> str:
        head = ("parameter", "shape", "checked", "kinks", "max error", "at", "analytic", "numeric")
        table = [head]
        for row in self.rows:
            table.append(
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
            )
        widths = [max(len(line[c]) for line in table) for c in range(len(head))]
        lines = [
            "  ".join(f"{t:<{w}}" for t, w in zip(line, widths, strict=True)) for line in table
        ]
        verdict = "ok" if self.ok else "WRONG"
        lines.append(f"{verdict}: max error {self.max_error:.1e}, tolerance {self.tolerance:.0e}")
        return "\n".join(line.rstrip() for line in lines)


def check_gradients(
    net: Sequential | Layer,
    loss: Any,
    x: Any,
    y: Any,
    max_checks: int | None = None,
    *,
    tolerance: float = 1e-6,
) -> GradientReport:
    """Compare the gradients of the delta recursion with central differences, in float64.

    Works on a float64 copy; the network is left untouched, to the bit.

    Parameters
    ----------
    net : Sequential or Layer
    loss : loss
        Built in or your own; of reduction "none" the sum is checked.
    x : array_like, shape (N, in_features)
    y : array_like
        As the loss takes it.
    max_checks : int, optional
        Elements to check of each parameter and of the input, drawn at random but always the same.
        None: all. Each costs four passes.
    tolerance : float, default 1e-6
        What `ok` allows.

    Returns
    -------
    GradientReport
        For each parameter and the input the largest |a - n| / max(|a|, |n|, floor), with a the
        derivative by the recursion, n the one by differences, and the floor the size below which
        rounding of the loss hides a difference. ``assert dp.check_gradients(...).ok`` in a test.

    Raises
    ------
    TypeError
        Where `net` is not a network or layer, or `loss` not a loss.
    ValueError
        For a tolerance that is not above 0.

    Notes
    -----
    D(h) = (J(v + h) - J(v - h)) / 2h, n = (4 D(h/2) - D(h)) / 3 (Richardson). Where a and n
    disagree, h is halved until a kink beside v, such as ReLU's at 0, lies outside; an element that
    stands on a kink (the two one-sided slopes keep their distance) is counted, not compared.

    Examples
    --------
    >>> import deltaprop as dp
    >>> from deltaprop import nn
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1), seed=0)
    >>> dp.check_gradients(net, nn.MSELoss(), [[1.0, 2.0]], [[3.0]]).ok
    True
    """
    if not isinstance(net, Sequential | Layer):
        raise TypeError(f"check_gradients: expected a network, got {type(net).__name__}")
    check_loss(loss, "check_gradients")
    if not tolerance > 0:
        raise ValueError(f"check_gradients: expected tolerance > 0, got {tolerance}")
    limit = None if max_checks is None else as_count(max_checks, "check_gradients: max_checks", 1)
    layers = [copy.deepcopy(layer) for layer in (net if isinstance(net, Sequential) else [net])]
    seed = net.seed if isinstance(net, Sequential) else 0
    twin = Sequential(*layers, dtype="float64", seed=seed)
    x = np.array(as_array(x, "x"), dtype=np.float64)
    y = as_array(y, "y")

    def value() -> float:
        return float(np.sum(loss(twin.forward(x), y)))

    outputs = twin.forward(x)
    delta = np.asarray(loss.delta(outputs, y))
    input_gradient = twin.backward(delta)
    # The loss is a sum whose terms may be larger than itself: they decide how it rounds.
    size = abs(value()) + float(np.abs(delta * outputs).sum())

    pairs = [(p.name, p.value, p.grad.copy()) for p in twin.parameters()]
    pairs.append(("input", x, input_gradient))
    checker = _Checker(value, size, tolerance, limit)
    return GradientReport(tuple(checker.row(*pair) for pair in pairs), tolerance)


@dataclass(frozen=True)
class _Checker:
    value: Callable[[], float]  # the loss
    size: float  # of the terms it is a sum of
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
            limits = np.finfo(np.float64)
            floor = max(4 * limits.eps * self.size / step / self.tolerance, limits.tiny)
            analytic = float(gradient[index])
            found = _Difference(values, index, self.value).error(
                analytic, step, float(floor), self.tolerance
            )
            if found is None:
                kinks += 1
            elif found[0] > worst[0] or not worst[1]:
                worst = (found[0], index, analytic, found[1])
        error, where, analytic, numeric = worst
        return GradientRow(name, values.shape, len(places), kinks, error, where, analytic, numeric)


class _Difference:
    """Differences of the loss along one element."""

    def __init__(self, values: Array, index: tuple[int, ...], value: Callable[[], float]) -> None:
        self._values = values
        self._index = index
        self._value = value
        self._start = float(values[index])

    def error(
        self, analytic: float, step: float, floor: float, tolerance: float
    ) -> tuple[float, float] | None:
        """Return the relative error and the difference quotient, or None on a kink."""
        first = None
        for _ in range(_HALVINGS):
            numeric = (4 * self._central(step / 2) - self._central(step)) / 3
            error = abs(analytic - numeric) / max(abs(analytic), abs(numeric), floor)
            if not math.isfinite(error):  # a derivative that is not a number agrees with nothing
                return math.inf, numeric
            if first is None:
                first = (error, numeric)
            if error <= tolerance:
                return error, numeric
            if self._on_kink(step, analytic):
                return None
            step /= 2
        return first

    def _central(self, step: float) -> float:
        return (self._at(step) - self._at(-step)) / (2 * step)

    def _on_kink(self, step: float, analytic: float) -> bool:
        # Away from a kink the two slopes approach each other in proportion to the step.
        middle = self._at(0.0)
        gaps = []
        for h in (step, step / 16):
            right, left = (self._at(h) - middle) / h, (middle - self._at(-h)) / h
            gaps.append(abs(right - left))
        inside = min(left, right) - gaps[1] / 10 <= analytic <= max(left, right) + gaps[1] / 10
        size = max(abs(left), abs(right))
        return bool(inside and gaps[1] > size / 100 and gaps[1] > gaps[0] / 2)

    def _at(self, step: float) -> float:
        self._values[self._index] = self._start + step
        try:
            return self._value()
        finally:
            self._values[self._index] = self._start
