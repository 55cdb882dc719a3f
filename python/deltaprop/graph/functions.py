"""Functions of nodes with NumPy's names. Each accepts nodes, numbers and arrays."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from deltaprop import _core
from deltaprop._arrays import as_flag
from deltaprop._core import Node

_INDEX = {name: i for i, (name, _) in enumerate(_core.graph_formulas())}
_Axis = int | Sequence[int] | None


def formula(name: str, *inputs: Any) -> Node:
    """Apply a formula of the core, given by its name."""
    return _core.graph_apply(_INDEX[name], *inputs)


def exp(x: Any) -> Node:
    """Return e^x; its derivative is e^x."""
    return formula("exp", x)


def expm1(x: Any) -> Node:
    """Return e^x - 1, exact for small x; its derivative is e^x."""
    return formula("expm1", x)


def log(x: Any) -> Node:
    """Return the natural logarithm; its derivative is 1 / x. NaN below 0, -infinity at 0."""
    return formula("log", x)


def log1p(x: Any) -> Node:
    """Return log(1 + x), exact for small x; its derivative is 1 / (1 + x)."""
    return formula("log1p", x)


def sqrt(x: Any) -> Node:
    """Return the square root; its derivative is 1 / (2 sqrt x). NaN below 0."""
    return formula("sqrt", x)


def square(x: Any) -> Node:
    """Return x^2; its derivative is 2 x."""
    return formula("square", x)


def sin(x: Any) -> Node:
    """Return the sine of x in radians; its derivative is cos x."""
    return formula("sin", x)


def cos(x: Any) -> Node:
    """Return the cosine of x in radians; its derivative is -sin x."""
    return formula("cos", x)


def tan(x: Any) -> Node:
    """Return the tangent of x in radians; its derivative is 1 + tan^2 x."""
    return formula("tan", x)


def tanh(x: Any) -> Node:
    """Return the hyperbolic tangent; its derivative is 1 - tanh^2 x."""
    return formula("tanh", x)


def sigmoid(x: Any) -> Node:
    """Return y = 1 / (1 + e^-x); its derivative is y (1 - y)."""
    return formula("sigmoid", x)


def abs(x: Any) -> Node:
    """Return abs(x); its derivative is sign x, 0 at 0."""
    return formula("abs", x)


def sign(x: Any) -> Node:
    """Return the sign, -1, 0 or 1; its derivative is 0."""
    return formula("sign", x)


def maximum(x: Any, y: Any) -> Node:
    """Return the larger of x and y, element by element; equal ones get half the delta each."""
    return formula("maximum", x, y)


def minimum(x: Any, y: Any) -> Node:
    """Return the smaller of x and y, element by element; equal ones get half the delta each."""
    return formula("minimum", x, y)


def where(condition: Any, x: Any, y: Any) -> Node:
    """Return x where the condition is not 0, else y. The condition gets no delta.

    Both x and y are evaluated everywhere, and the one that is not selected gets a delta of 0. If
    its derivative is infinite, the product is NaN; ``where(x > 0, log(where(x > 0, x, 1)), 0)``
    avoids this.

    Parameters
    ----------
    condition : Node or array_like
        Usually a comparison of nodes, such as ``x < 0``.
    x, y : Node or array_like
        Shapes must broadcast with that of the condition.
    """
    return formula("where", condition, x, y)


def sum(x: Any, axis: _Axis = None, keepdims: bool = False) -> Node:
    """Return the sum over the given axes; each element gets the full delta.

    Parameters
    ----------
    x : Node or array_like
    axis : int or tuple of int, optional
        The axes to sum over. Default: all.
    keepdims : bool, default False
        Whether to keep the reduced axes, with length 1.

    Raises
    ------
    ValueError
        If an axis is out of range or given twice.
    TypeError
        If `axis` is neither an integer nor a sequence of integers.
    """
    return _core.graph_sum(x, axis, as_flag(keepdims, "keepdims"))


def mean(x: Any, axis: _Axis = None, keepdims: bool = False) -> Node:
    """Return the mean over the given axes; arguments as for `sum`.

    Raises ValueError for an array without elements.
    """
    return _core.graph_mean(x, axis, as_flag(keepdims, "keepdims"))


def max(x: Any, axis: _Axis = None, keepdims: bool = False) -> Node:
    """Return the maximum over the given axes; arguments as for `sum`.

    Elements that tie for the maximum get equal parts of the delta. NaN counts as the largest value.
    Raises ValueError for an array without elements.
    """
    return _core.graph_max(x, axis, as_flag(keepdims, "keepdims"))


def min(x: Any, axis: _Axis = None, keepdims: bool = False) -> Node:
    """Return the minimum over the given axes; arguments as for `sum`, ties as for `max`."""
    return -max(formula("negative", x), axis, keepdims)


def dot(a: Any, b: Any) -> Node:
    """Return NumPy's dot product: ``a * b`` if either is a number, else ``a @ b``.

    Raises
    ------
    ValueError
        If the inner dimensions differ, or if b has more than two axes, where ``np.dot`` and ``@``
        order the axes of the result differently.
    """
    x, y = _core.graph_node(a), _core.graph_node(b)
    if x.ndim == 0 or y.ndim == 0:
        return x * y
    if y.ndim > 2:
        raise ValueError(f"dot: expected b of 1 or 2 axes, got {y.shape}; use a @ b")
    return x @ y


def reshape(x: Any, shape: int | Sequence[int]) -> Node:
    """Return the elements in row-major order in a new shape; one length may be -1 (inferred).

    Raises
    ------
    ValueError
        If the new shape has a different number of elements.
    TypeError
        If `shape` is neither an integer nor a sequence of integers.
    """
    return _core.graph_reshape(x, shape)


def stack(arrays: Iterable[Any]) -> Node:
    """Join numbers or arrays of one shape along a new first axis, as ``np.stack`` does.

    Raises
    ------
    ValueError
        If there are no arrays, or their shapes differ.

    Examples
    --------
    >>> from deltaprop import graph
    >>> x, y = graph.variable(3.0), graph.variable(4.0)
    >>> graph.stack([x, y]).value
    array([3., 4.])
    """
    nodes = [_core.graph_node(x) for x in arrays]
    shapes = list(dict.fromkeys(node.shape for node in nodes))
    if len(shapes) != 1:
        got = " and ".join(map(str, shapes)) or "none"
        raise ValueError(f"stack: expected one or more nodes of one shape, got {got}")
    joined = reshape(nodes[0], (1, *shapes[0]))
    position = np.arange(len(nodes)).reshape(-1, *(1 for _ in shapes[0]))
    for i, node in enumerate(nodes[1:], 1):
        joined = where(position < i, joined, node)
    return joined


def transpose(x: Any) -> Node:
    """Return x with its axes in reverse order."""
    return _core.graph_transpose(x)
