"""Nodes: leaves, how NumPy meets them, and how they are shown."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from deltaprop import _core
from deltaprop._core import Node
from deltaprop.graph import drawing, functions
from deltaprop.graph.text import expression


def variable(value: Any, name: str = "") -> Node:
    """Return a leaf whose value may be set, and with respect to which derivatives are taken.

    Parameters
    ----------
    value : float or array_like
        Copied. float32 stays float32; everything else becomes float64.
    name : str, default ""
        How it is shown.

    Raises
    ------
    TypeError
        Where the elements are not real numbers, or the name is no string.
    """
    node = _core.graph_leaf(value, True)
    node.name = name
    return node


def constant(value: Any, name: str = "") -> Node:
    """Return a leaf that stays as it is and gets no delta; arguments as for `variable`."""
    node = _core.graph_leaf(value, False)
    node.name = name
    return node


_UFUNCS: dict[Any, Any] = {
    np.add: lambda x, y: x + y,
    np.subtract: lambda x, y: x - y,
    np.multiply: lambda x, y: x * y,
    np.divide: lambda x, y: x / y,
    np.power: lambda x, y: x**y,
    np.matmul: lambda x, y: x @ y,
    np.negative: lambda x: -x,
    np.positive: lambda x: x,
    np.reciprocal: lambda x: 1 / x,
    np.less: lambda x, y: x < y,
    np.less_equal: lambda x, y: x <= y,
    np.greater: lambda x, y: x > y,
    np.greater_equal: lambda x, y: x >= y,
    np.equal: lambda x, y: x == y,
    np.not_equal: lambda x, y: x != y,
    np.fabs: functions.abs,
    np.absolute: functions.abs,
    np.exp: functions.exp,
    np.expm1: functions.expm1,
    np.log: functions.log,
    np.log1p: functions.log1p,
    np.sqrt: functions.sqrt,
    np.square: functions.square,
    np.sin: functions.sin,
    np.cos: functions.cos,
    np.tan: functions.tan,
    np.tanh: functions.tanh,
    np.sign: functions.sign,
    np.maximum: functions.maximum,
    np.minimum: functions.minimum,
}

_FUNCTIONS: dict[Any, Any] = {
    np.sum: functions.sum,
    np.mean: functions.mean,
    np.max: functions.max,
    np.amax: functions.max,
    np.min: functions.min,
    np.amin: functions.min,
    np.dot: functions.dot,
    np.reshape: functions.reshape,
    np.stack: functions.stack,
    np.transpose: functions.transpose,
    np.where: functions.where,
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x: x.size,
}


def _array_ufunc(self: Node, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Node:
    if method != "__call__" or ufunc not in _UFUNCS:
        called = ufunc.__name__ + ("" if method == "__call__" else f".{method}")
        raise TypeError(f"graph: expected a function that nodes have, got np.{called}")
    if options:
        raise TypeError(f"graph: np.{ufunc.__name__} of nodes takes no {next(iter(options))}=")
    # An array on the left would only ask NumPy again.
    nodes = [_core.graph_node(x) for x in inputs]
    result: Node = _UFUNCS[ufunc](*nodes)
    return result


def _array_function(self: Node, function: Any, types: Any, args: Any, options: Any) -> Any:
    if function not in _FUNCTIONS:
        raise TypeError(f"graph: expected a function that nodes have, got np.{function.__name__}")
    try:
        return _FUNCTIONS[function](*args, **options)
    except TypeError as error:
        raise TypeError(f"graph: np.{function.__name__} of nodes: {error}") from None


def _array(self: Node, dtype: Any = None, copy: Any = None) -> Any:
    raise TypeError("graph: expected a node to stay one, got np.asarray of it; use its .value")


def _length(self: Node) -> int:
    if not self.shape:
        raise TypeError("graph: a number has no length")
    return self.shape[0]


def _elements(self: Node) -> Iterator[Node]:
    return map(self.__getitem__, range(len(self)))


def _axes(self: Node) -> int:
    """Return how many axes the value has."""
    return len(self.shape)


def _reshape(self: Node, *shape: Any) -> Node:
    """Return the same elements in another shape, given as one tuple or number by number."""
    return functions.reshape(self, shape[0] if len(shape) == 1 else shape)


_NODE = """A value in a computational graph, made by `variable`, `constant` or of other nodes.

It takes operators (``+ - * / ** @``, comparisons, brackets), the functions of this package and
NumPy's of the same names. Each is evaluated when it is made.

Attributes
----------
value : float or ndarray
    Of the last `forward`; read-only, but that of a variable may be set.
grad : float or ndarray or None
    dJ/d(this) of the last `backward` that came by.
name : str
    How it is shown; writable.
shape, size, ndim, dtype
    As NumPy's.
op, details, inputs
    What made it: the name of the function, its options, its nodes.
active : bool
    Whether a variable stands above it, so that deltas have somewhere to go.

Notes
-----
``forward()`` evaluates all that the node is made of, after variables have been set.
``backward(delta=1)`` runs the delta recursion from dJ/d(this), a number or an array of this shape:
where a node is used several times the shares of its delta add. ValueError for a delta of another
shape, or where no variable stands above.

Source: Linnainmaa, "Taylor expansion of the accumulated rounding error" (1976).

Examples
--------
>>> from deltaprop import graph
>>> x = graph.variable(3.0, name="x")
>>> y = x**2 + x
>>> y.backward()
>>> y.value, x.grad
(12.0, 7.0)
>>> x.value = 1.0
>>> y.forward()
>>> y.value
2.0
"""

# What of a node is written in Python. The rest of the class is the core's.
_METHODS: dict[str, Any] = {
    "__doc__": _NODE,
    "__array_ufunc__": _array_ufunc,
    "__array_function__": _array_function,
    "__array__": _array,
    "__len__": _length,
    "__iter__": _elements,
    "__repr__": expression,
    "_repr_svg_": drawing.shown,
    "_repr_html_": drawing.shown_in_html,
    "draw": drawing.draw,
    "T": property(functions.transpose),
    "ndim": property(_axes),
    "sum": functions.sum,
    "mean": functions.mean,
    "max": functions.max,
    "min": functions.min,
    "dot": functions.dot,
    "reshape": _reshape,
}
for _name, _method in _METHODS.items():
    setattr(Node, _name, _method)
