"""Nodes: variables and constants, NumPy's protocols, methods and display."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from deltaprop import _core
from deltaprop._core import Node
from deltaprop.graph import drawing, functions
from deltaprop.graph.text import expression


def variable(value: Any, name: str = "") -> Node:
    """Return a variable: a leaf whose value can be set and that receives a gradient.

    Parameters
    ----------
    value : float or array_like
        Copied. float32 is kept; all other dtypes are converted to float64.
    name : str, default ""
        Label in expressions and drawings.

    Raises
    ------
    TypeError
        If the elements are not real numbers, or the name is not a string.
    """
    node = _core.graph_leaf(value, True)
    node.name = name
    return node


def constant(value: Any, name: str = "") -> Node:
    """Return a constant: a leaf without a gradient; arguments as for `variable`."""
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
    # An array on the left would call the ufunc again, without end.
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
    """Return the number of axes of the value."""
    return len(self.shape)


def _reshape(self: Node, *shape: Any) -> Node:
    """Return the elements in a new shape, given as a tuple or as separate integers."""
    return functions.reshape(self, shape[0] if len(shape) == 1 else shape)


_NODE = """A value in a computational graph: a `variable`, a `constant` or a function of nodes.

Nodes support operators (``+ - * / ** @``, comparisons, indexing), the functions of this package and
NumPy's functions of the same names. A node is evaluated when it is created.

Attributes
----------
value : float or ndarray
    The value after the last `forward`. Read-only, except for variables.
grad : float or ndarray or None
    dJ/d(this node) of the last `backward` that reached it.
name : str
    Label in expressions and drawings; writable.
shape, size, ndim, dtype
    As in NumPy.
op, details, inputs
    The function that computes the node, its options and its input nodes.
active : bool
    Whether the node depends on a variable, so that `backward` has something to compute.

Notes
-----
``forward()`` evaluates the node and its inputs again after variables have been set.
``backward(delta=1)`` runs the delta recursion from dJ/d(this node), a number or an array of the
node's shape. The deltas of a node that is used several times add up. Raises ValueError if the shape
of the delta differs, or if the node depends on no variable.

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

# The part of the class that is written in Python; the rest is defined in the core.
_METHODS: dict[str, Any] = {
    "__doc__": _NODE,
    "__array_ufunc__": _array_ufunc,
    "__array_function__": _array_function,
    "__array__": _array,
    "__len__": _length,
    "__iter__": _elements,
    "__repr__": expression,
    "_repr_svg_": drawing.to_svg,
    "_repr_html_": drawing.to_html,
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
