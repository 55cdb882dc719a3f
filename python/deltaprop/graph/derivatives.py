"""Derivatives of Python functions of nodes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deltaprop import _core
from deltaprop._arrays import Array, as_array
from deltaprop._core import Node
from deltaprop.graph.node import variable

_Argnums = int | Sequence[int] | None
_Function = Callable[..., Any]


def value_and_grad(f: _Function, argnums: _Argnums = None) -> _Function:
    """Return a function that gives f's value and its gradient.

    Parameters
    ----------
    f : callable
        Of one argument or several, numbers or arrays. It is called with nodes, and returns a node
        of one number.
    argnums : int or sequence of int, optional
        With respect to which arguments. All of them without it.

    Returns
    -------
    callable
        Of f's arguments. It gives the value, and an array or number as the argument is; a tuple of
        them for several arguments. Called with nodes it gives nodes, which can be derived again.

    Raises
    ------
    ValueError
        When called, where f gives more than one number.
    TypeError
        When called, where f gives no node.

    Examples
    --------
    >>> from deltaprop import graph
    >>> graph.value_and_grad(lambda x, y: x**2 + graph.sin(y))(3.0, 0.0)
    (9.0, (6.0, 1.0))
    """

    def derived(*args: Any) -> Any:
        trace = Trace.of(f, args, argnums, "grad")
        trace.check_number()
        if any(isinstance(a, Node) for a in args):
            return trace.y, trace.chosen(_core.graph_gradient(trace.y, 1.0, trace.variables))
        slopes = zip(trace.slopes(trace.y), trace.variables, strict=True)
        return trace.y.value, trace.chosen([_number_or(s.reshape(v.shape)) for s, v in slopes])

    return derived


def grad(f: _Function, argnums: _Argnums = None) -> _Function:
    """Return a function that gives f's gradient; arguments as for `value_and_grad`.

    Examples
    --------
    >>> from deltaprop import graph
    >>> graph.grad(lambda x: x**3)(2.0)
    12.0
    >>> graph.grad(graph.grad(lambda x: x**3))(2.0)
    12.0
    """
    both = value_and_grad(f, argnums)
    return lambda *args: both(*args)[1]


def jacobian(f: _Function, argnums: _Argnums = None) -> _Function:
    """Return a function that gives the derivatives of each element of f's value.

    Parameters
    ----------
    f : callable
        As for `value_and_grad`, but its value may be an array.
    argnums : int or sequence of int, optional
        As for `value_and_grad`.

    Returns
    -------
    callable
        Of f's arguments. It gives an array of f's shape followed by the argument's; a tuple of them
        for several arguments.

    Examples
    --------
    >>> from deltaprop import graph
    >>> graph.jacobian(lambda x: x * x[0])([2.0, 3.0])
    array([[4., 0.],
           [3., 2.]])
    """

    def derived(*args: Any) -> Any:
        trace = Trace.of(f, args, argnums, "jacobian")
        return trace.chosen([_number_or(s) for s in trace.slopes(trace.y)])

    return derived


def hessian(f: _Function, argnums: _Argnums = None) -> _Function:
    """Return a function that gives f's second derivatives.

    Parameters
    ----------
    f : callable
        As for `value_and_grad`.
    argnums : int or sequence of int, optional
        As for `value_and_grad`.

    Returns
    -------
    callable
        Of f's arguments. It gives an array of the argument's shape twice over; for several
        arguments a tuple of a row for each, itself a tuple with a block for each.

    Raises
    ------
    ValueError
        When called, where f gives more than one number.

    Examples
    --------
    >>> from deltaprop import graph
    >>> graph.hessian(lambda x: x[0] ** 2 * x[1])([1.0, 3.0])
    array([[6., 2.],
           [2., 0.]])
    """

    def derived(*args: Any) -> Any:
        trace = Trace.of(f, args, argnums, "hessian")
        trace.check_number()
        rows = _core.graph_gradient(trace.y, 1.0, trace.variables)
        return trace.chosen([trace.chosen([_number_or(s) for s in trace.slopes(r)]) for r in rows])

    return derived


def directional_derivative(f: _Function, point: Any, direction: Any) -> float:
    """Return how fast f grows along a direction: the gradient times the unit vector.

    Parameters
    ----------
    f : callable
        Of one argument for each number of `point`. It is called with nodes, and returns a node of
        one number.
    point : float or sequence of float
        Where.
    direction : float or sequence of float
        One for each number of `point`, of any length but 0: only where it points counts.

    Raises
    ------
    ValueError
        Where the lengths differ, the direction is 0 or not finite, or f gives more than one number.
    TypeError
        Where f gives no node.

    Examples
    --------
    >>> from deltaprop import graph
    >>> graph.directional_derivative(lambda x, y: x**2 + y**2 + 5, (-3, 3), (3, 4))
    1.2
    """
    at = np.atleast_1d(as_array(point, "point"))
    along = np.atleast_1d(as_array(direction, "direction")).astype(np.float64)
    if at.ndim != 1 or at.shape != along.shape:
        raise ValueError(
            "directional_derivative: expected a point and a direction of the same length, got "
            f"{at.shape} and {along.shape}"
        )
    longest = np.abs(along).max(initial=0)
    if not 0 < longest < np.inf:
        raise ValueError(
            f"directional_derivative: expected a finite direction other than 0, got {direction}"
        )
    along /= longest  # squares of very long or short ones would leave the range of floats
    trace = Trace.of(f, tuple(map(float, at)), None, "directional_derivative")
    trace.check_number()
    slopes = [slope.item() for slope in trace.slopes(trace.y)]
    return float(np.dot(slopes, along) / np.linalg.norm(along))


@dataclass
class Trace:
    """A function called with nodes."""

    y: Node
    variables: list[Node]
    single: bool
    name: str

    @classmethod
    def of(cls, f: _Function, args: tuple[Any, ...], argnums: _Argnums, name: str) -> "Trace":
        """Return what f gives for arguments, of which those that are no nodes become variables."""
        numbers = range(len(args)) if argnums is None else argnums
        single = isinstance(numbers, int)
        chosen = [numbers] if isinstance(numbers, int) else list(numbers)
        for i in chosen:
            if not -len(args) <= i < len(args):
                raise ValueError(f"{name}: expected argnums of {len(args)} arguments, got {i}")
        nodes = [a if isinstance(a, Node) else variable(a) for a in args]
        # A node's own way to here is no part of the derivative.
        y = f(*nodes)
        if not isinstance(y, Node):
            raise TypeError(f"{name}: expected a node from the function, got {type(y).__name__}")
        alone = single or (argnums is None and len(args) == 1)
        return cls(y, [nodes[i] for i in chosen], alone, name)

    def check_number(self) -> None:
        """Raise ValueError where the function gave more than one number."""
        if self.y.size != 1:
            raise ValueError(
                f"{self.name}: expected one number from the function, got {self.y.shape}"
            )

    def slopes(self, node: Node) -> list[Array]:
        """Return a node's derivatives with respect to each variable."""
        return _core.graph_jacobian(node, self.variables)

    def chosen(self, parts: list[Any]) -> Any:
        """Return the one part, or a tuple of them."""
        return parts[0] if self.single else tuple(parts)


def _number_or(array: Array) -> Any:
    return array if array.ndim > 0 else array.item() if array.dtype == np.float64 else array[()]
