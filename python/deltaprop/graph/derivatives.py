"""Derivatives of Python functions of nodes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np

from deltaprop import _core
from deltaprop._arrays import Array, as_array
from deltaprop._core import Node
from deltaprop.graph.functions import reshape
from deltaprop.graph.node import variable

_Argnums = int | Sequence[int] | None
_Function = Callable[..., Any]


def value_and_grad(f: _Function, argnums: _Argnums = None) -> _Function:
    """Return a function that computes the value and the gradient of `f`.

    Parameters
    ----------
    f : callable
        Function of one or more arguments, numbers or arrays. It is called with nodes and must
        return a node with one element.
    argnums : int or sequence of int, optional
        The arguments to differentiate with respect to. Default: all.

    Returns
    -------
    callable
        Takes the arguments of `f` and returns the value and the gradient: a number or an array of
        the argument's shape, or a tuple of them for several arguments. Called with nodes it returns
        nodes, which can be differentiated again.

    Raises
    ------
    ValueError
        When called, if `f` returns more than one number or `argnums` is out of range.
    TypeError
        When called, if `f` does not return a node or `argnums` are not integers.

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
            return trace.y, trace.unpack(_core.graph_gradient(trace.y, 1.0, trace.variables))
        gradients = zip(trace.slopes(trace.y), trace.variables, strict=True)
        return trace.y.value, trace.unpack([_scalar(g.reshape(v.shape)) for g, v in gradients])

    return derived


def grad(f: _Function, argnums: _Argnums = None) -> _Function:
    """Return a function that computes the gradient of `f`; arguments as for `value_and_grad`.

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
    """Return a function that computes the Jacobian of `f`.

    Parameters
    ----------
    f : callable
        As for `value_and_grad`, but its value may be an array.
    argnums : int or sequence of int, optional
        As for `value_and_grad`.

    Returns
    -------
    callable
        Takes the arguments of `f`, numbers or arrays. Returns an array whose shape is that of the
        value of `f` followed by that of the argument; a tuple of them for several arguments.

    Raises
    ------
    TypeError
        When called with nodes: unlike that of `grad`, the result cannot be differentiated again.

    Examples
    --------
    >>> from deltaprop import graph
    >>> graph.jacobian(lambda x: x * x[0])([2.0, 3.0])
    array([[4., 0.],
           [3., 2.]])
    """

    def derived(*args: Any) -> Any:
        _refuse_nodes(args, "jacobian")
        trace = Trace.of(f, args, argnums, "jacobian")
        return trace.unpack([_scalar(j) for j in trace.slopes(trace.y)])

    return derived


def hessian(f: _Function, argnums: _Argnums = None) -> _Function:
    """Return a function that computes the Hessian of `f`.

    Parameters
    ----------
    f : callable
        As for `value_and_grad`.
    argnums : int or sequence of int, optional
        As for `value_and_grad`.

    Returns
    -------
    callable
        Takes the arguments of `f`, numbers or arrays. Returns an array whose shape is that of the
        argument, twice; for several arguments a tuple of tuples of blocks, ``h[i][j]`` for
        arguments i and j.

    Raises
    ------
    ValueError
        When called, if `f` returns more than one number.
    TypeError
        When called with nodes: unlike that of `grad`, the result cannot be differentiated again.

    Examples
    --------
    >>> from deltaprop import graph
    >>> graph.hessian(lambda x: x[0] ** 2 * x[1])([1.0, 3.0])
    array([[6., 2.],
           [2., 0.]])
    """

    def derived(*args: Any) -> Any:
        _refuse_nodes(args, "hessian")
        trace = Trace.of(f, args, argnums, "hessian")
        trace.check_number()
        rows = _core.graph_gradient(trace.y, 1.0, trace.variables)
        return trace.unpack([trace.unpack([_scalar(j) for j in trace.slopes(r)]) for r in rows])

    return derived


def directional_derivative(f: _Function, point: Any, direction: Any) -> float:
    """Return the directional derivative of `f`: the gradient times the unit vector.

    Parameters
    ----------
    f : callable
        Function of as many arguments as `point` has numbers. It is called with nodes and must
        return a node with one element.
    point : float or sequence of float
        Where to evaluate the derivative.
    direction : float or sequence of float
        As many numbers as `point`, not all 0. It is normalised to length 1.

    Raises
    ------
    ValueError
        If the lengths differ, the direction is 0 or not finite, or `f` returns more than one
        number.
    TypeError
        If `f` does not return a node.

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
    along /= longest  # else the squares of very large or small numbers overflow or underflow
    trace = Trace.of(f, tuple(map(float, at)), None, "directional_derivative")
    trace.check_number()
    gradient = [slope.item() for slope in trace.slopes(trace.y)]
    return float(np.dot(gradient, along) / np.linalg.norm(along))


def _refuse_nodes(args: tuple[Any, ...], name: str) -> None:
    if any(isinstance(a, Node) for a in args):
        raise TypeError(f"{name}: expected numbers or arrays, got a node; grad of grad takes nodes")


def _as_variable(value: Any) -> Node:
    """Return an argument as a new node, so that differentiation stops there."""
    if not isinstance(value, Node):
        return variable(value)
    return reshape(value, value.shape) if value.active else variable(value.value)


@dataclass
class Trace:
    """The result of calling a function with nodes, and the variables to differentiate by."""

    y: Node
    variables: list[Node]
    single: bool
    name: str

    @classmethod
    def of(cls, f: _Function, args: tuple[Any, ...], argnums: _Argnums, name: str) -> "Trace":
        """Call f with a node for each argument; TypeError if it does not return a node."""
        nodes = [_as_variable(a) for a in args]
        single = isinstance(argnums, int | np.integer)
        numbers: Any = range(len(nodes)) if argnums is None else [argnums] if single else argnums
        try:
            chosen = [index(i) for i in numbers]
        except TypeError:
            raise TypeError(
                f"{name}: expected argnums to be an integer or a sequence of them, got {argnums!r}"
            ) from None
        for i in chosen:
            if not -len(nodes) <= i < len(nodes):
                raise ValueError(f"{name}: expected argnums of {len(nodes)} arguments, got {i}")
        y = f(*nodes)
        if not isinstance(y, Node):
            raise TypeError(f"{name}: expected a node from the function, got {type(y).__name__}")
        alone = single or (argnums is None and len(nodes) == 1)
        return cls(y, [nodes[i] for i in chosen], alone, name)

    def check_number(self) -> None:
        """Raise ValueError if the function returned more than one number."""
        if self.y.size != 1:
            raise ValueError(
                f"{self.name}: expected one number from the function, got {self.y.shape}"
            )

    def slopes(self, node: Node) -> list[Array]:
        """Return a node's derivatives with respect to each variable."""
        return _core.graph_jacobian(node, self.variables)

    def unpack(self, parts: list[Any]) -> Any:
        """Return the single part for one argument, else a tuple of the parts."""
        return parts[0] if self.single else tuple(parts)


def _scalar(array: Array) -> Any:
    """Return an array without axes as a number, others unchanged."""
    return array if array.ndim > 0 else array.item() if array.dtype == np.float64 else array[()]
