"""Gradient descent on functions of a few variables."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from deltaprop._arrays import Array, as_array, as_count, as_real
from deltaprop._table import aligned, decimals, some_of
from deltaprop.graph.derivatives import Trace
from deltaprop.nn.layer import Layer
from deltaprop.optim.optimizer import Optimizer
from deltaprop.optim.rules import SGD

# Maximum number of updates if only `stop_below` is given.
_LIMIT = 10_000
# Divergence: a rise of the value by this, in units of 1 + abs(first value).
_TOO_HIGH = 1e6


@dataclass(frozen=True, repr=False)
class Descent:
    """The path of `descend`; prints as a table.

    Attributes
    ----------
    points : ndarray, shape (updates + 1, n)
        The variables, from the start on.
    values : ndarray, shape (updates + 1,)
        The function's values at the points.
    gradients : ndarray, shape (updates + 1, n)
        The gradients at the points.
    stop_reason : str
        "stop_below" (a value below it), "steps" (all updates done), "limit" (without `steps`:
        10,000 updates without a value below `stop_below`), or "diverged": the last value is not
        finite, or exceeds the first by more than 1e6 (1 + abs(first value)).
    """

    points: Array
    values: Array
    gradients: Array
    stop_reason: str

    @property
    def updates(self) -> int:
        """The number of updates of the variables."""
        return len(self.values) - 1

    def table(self, rows: int = 20) -> str:
        """Return a table of the path: the variables and the value after each update.

        Parameters
        ----------
        rows : int, default 20
            Maximum number of points to show, evenly spaced, the first and last included.

        Returns
        -------
        str
        """
        shown = some_of(len(self.values), as_count(rows, "Descent.table: rows", 1))
        lines = [["update", *(f"x{i}" for i in range(self.points.shape[1])), "value"]]
        lines += [
            [str(k), *(decimals(x) for x in (*self.points[k], self.values[k]))] for k in shown
        ]
        return aligned(lines)

    def __str__(self) -> str:
        return f"{self!r}\n{self.table()}"

    def __repr__(self) -> str:
        first, last = self.values[[0, -1]]
        how = "diverged" if self.stop_reason == "diverged" else f"stopped by {self.stop_reason}"
        return f"Descent({self.updates} updates, value {first:.6g} -> {last:.6g}, {how})"


def descend(
    f: Callable[..., Any],
    start: float | Iterable[float],
    lr: float,
    steps: int | None = None,
    stop_below: float | None = None,
    rule: str | Callable[..., Optimizer] = "gd",
) -> Descent:
    """Minimise a function of one or more variables by gradient descent and return the path.

    Parameters
    ----------
    f : callable
        Function of one argument for each variable. It is called once, with nodes, and must return a
        node with one element.
    start : float or sequence of float
        Initial values of the variables.
    lr : float
        Learning rate.
    steps : int, optional
        Maximum number of updates.
    stop_below : float, optional
        Stop when the value is below this. At least one of `steps` and `stop_below` is required.
    rule : "gd" or callable, default "gd"
        Gradient descent, p <- p - lr gradient, or a callable that makes an optimizer from
        parameters and lr: ``optim.Adam``, ``functools.partial(optim.Adam, betas=(0.8, 0.9))``.

    Returns
    -------
    Descent
        If the descent diverges, it stops with `stop_reason` "diverged" and the path so far.

    Raises
    ------
    ValueError
        If neither `steps` nor `stop_below` is given, `start` is not finite, an option is out of
        range, `rule` is an unknown name, or `f` returns more than one number.
    TypeError
        If `f` does not return a node, or `rule` does not make an optimizer.

    Examples
    --------
    >>> from deltaprop import optim
    >>> print(optim.descend(lambda x: x**2, 1.2, lr=0.3, stop_below=0.001))
    Descent(4 updates, value 1.44 -> 0.000943718, stopped by stop_below)
    update        x0     value
         0  1.200000  1.440000
         1  0.480000  0.230400
         2  0.192000  0.036864
         3  0.076800  0.005898
         4  0.030720  0.000944
    """
    if steps is None and stop_below is None:
        raise ValueError("descend: expected steps, stop_below or both, got neither")
    limit = _LIMIT if steps is None else as_count(steps, "descend: steps", 0)
    floor = -np.inf if stop_below is None else as_real(stop_below, "descend: stop_below")
    point = _Point(_started(start))
    optimizer = _optimizer(rule, point, as_real(lr, "descend: lr"))
    trace = Trace.of(f, tuple(point.x.tolist()), None, "descend")
    trace.check_number()

    points, values, gradients = [], [], []
    reason = ""
    while True:
        for variable, x in zip(trace.variables, point.x, strict=True):
            variable.value = x
        trace.y.forward()
        points.append(point.x.copy())
        values.append(np.asarray(trace.y.value).item())
        point.grad_x = [s.item() for s in trace.slopes(trace.y)]
        gradients.append(point.grad_x.copy())
        if not np.isfinite(values[-1]) or values[-1] - values[0] > _TOO_HIGH * (1 + abs(values[0])):
            reason = "diverged"
        elif values[-1] < floor:
            reason = "stop_below"
        elif len(points) > limit:
            reason = "limit" if steps is None else "steps"
        if reason:
            return Descent(np.array(points), np.array(values), np.array(gradients), reason)
        optimizer.step()


class _Point(Layer):
    """The variables in the form of a network's parameters, for optimizers."""

    def __init__(self, start: Array) -> None:
        self.parameter("x", start)


def _started(start: Any) -> Array:
    array = np.atleast_1d(as_array(start, "descend: start")).astype(np.float64)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(
            f"descend: expected one or more finite numbers to start from, got {start!r}"
        )
    return array


def _optimizer(rule: Any, point: _Point, lr: float) -> Optimizer:
    if isinstance(rule, str) and rule != "gd":
        raise ValueError(f"descend: expected the rule 'gd' or an optimizer's class, got {rule!r}")
    if not isinstance(rule, str) and not callable(rule):
        raise TypeError(f"descend: expected the rule 'gd' or an optimizer's class, got {rule!r}")
    optimizer = (SGD if rule == "gd" else rule)(point.parameters(), lr=lr)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"descend: expected the rule to make an optimizer, got {type(optimizer).__name__}"
        )
    return optimizer
