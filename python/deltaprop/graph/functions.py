"""Functions of nodes, named as NumPy names them. Each takes nodes, numbers and arrays."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from deltaprop import _core
from deltaprop._arrays import as_flag
from deltaprop._core import Node

_PLACES = {name: place for place, (name, _) in enumerate(_core.graph_formulas())}
_Axis = int | Sequence[int] | None


def formula(name: str, *inputs: Any) -> Node:
    """Return a function of the core's list of formulas, by its name there."""
    return _core.graph_apply(_PLACES[name], *inputs)


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
    """Return -1, 0 or 1, which no delta passes."""
    return formula("sign", x)


def maximum(x: Any, y: Any) -> Node:
    """Return the larger of x and y, element by element; equal ones share the delta."""
    return formula("maximum", x, y)


def minimum(x: Any, y: Any) -> Node:
    """Return the smaller of x and y, element by element; equal ones share the delta."""
    return formula("minimum", x, y)


def where(condition: Any, x: Any, y: Any) -> Node:
    """Return x where the condition is not 0, else y. The condition gets no delta.

    Both x and y are computed everywhere, and the one not taken gets a delta of 0: where its own
    derivative is infinite the product is NaN, which ``where(x > 0, log(where(x > 0, x, 1)), 0)``
    avoids.

    Parameters
    ----------
    condition : Node or array_like
        A comparison of nodes, most often: ``x < 0``.
    x, y : Node or array_like
        Of shapes that broadcast together with the condition's.
    """
    return formula("where", condition, x, y)


def sum(x: Any, axis: _Axis = None, keepdims: bool = False) -> Node:
    """Return the sum over some axes, or over all; each element gets the delta.

    Parameters
    ----------
    x : Node or array_like
    axis : int or tuple of int, optional
        The axes that go; all of them without it.
    keepdims : bool, default False
        Keep them with a length of 1.

    Raises
    ------
    ValueError
        Where x has no such axis, or an axis is named twice.
    TypeError
        Where axis is neither an integer nor a sequence of them.
    """
    return _core.graph_sum(x, axis, as_flag(keepdims, "keepdims"))


def mean(x: Any, axis: _Axis = None, keepdims: bool = False) -> Node:
    """Return the mean over some axes, or over all; arguments as for `sum`.

    ValueError of no elements.
    """
    return _core.graph_mean(x, axis, as_flag(keepdims, "keepdims"))


def max(x: Any, axis: _Axis = None, keepdims: bool = False) -> Node:
    """Return the largest over some axes, or over all; arguments as for `sum`.

    Where several elements are the largest they share the delta; NaN is larger than any number.
    ValueError of no elements.
    """
    return _core.graph_max(x, axis, as_flag(keepdims, "keepdims"))


def min(x: Any, axis: _Axis = None, keepdims: bool = False) -> Node:
    """Return the smallest over some axes, or over all; arguments as for `sum`."""
    return -max(formula("negative", x), axis, keepdims)


def dot(a: Any, b: Any) -> Node:
    """Return NumPy's dot product: a number times an array, or ``a @ b``.

    Raises
    ------
    ValueError
        Where the inner lengths differ, or b has more than two axes: NumPy's dot would order the
        axes of the result otherwise than ``@``.
    """
    x, y = _core.graph_node(a), _core.graph_node(b)
    if x.ndim == 0 or y.ndim == 0:
        return x * y
    if y.ndim > 2:
        raise ValueError(f"dot: expected b of 1 or 2 axes, got {y.shape}; use a @ b")
    return x @ y


def reshape(x: Any, shape: int | Sequence[int]) -> Node:
    """Return the same elements, row by row, in another shape; -1 stands for what remains.

    Raises
    ------
    ValueError
        Where the shape has another number of elements.
    TypeError
        Where it is neither an integer nor a sequence of them.
    """
    return _core.graph_reshape(x, shape)


def stack(arrays: Iterable[Any]) -> Node:
    """Join numbers or arrays of one shape along a new first axis, as ``np.stack`` does.

    Raises
    ------
    ValueError
        For none, and for several shapes.

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
    place = np.arange(len(nodes)).reshape(-1, *(1 for _ in shapes[0]))
    for i, node in enumerate(nodes[1:], 1):
        joined = where(place < i, joined, node)
    return joined


def transpose(x: Any) -> Node:
    """Return x with its axes in reverse order."""
    return _core.graph_transpose(x)
