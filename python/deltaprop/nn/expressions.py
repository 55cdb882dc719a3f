"""A loss and a layer from a function of nodes: nobody derives anything."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deltaprop import _core
from deltaprop._arrays import Array
from deltaprop.nn.core_module import ConfiguredLayer
from deltaprop.nn.losses import Loss


def _checked(function: Any, name: str) -> Callable[..., Any]:
    if not callable(function):
        raise TypeError(f"{name}: expected a function of nodes, got {type(function).__name__}")
    called: Callable[..., Any] = function
    return called


def _named(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


@dataclass(init=False, eq=False, repr=False)
class ExpressionLoss(Loss):
    """A loss by its formula: a function of nodes, whose derivative the computational graph finds.

    Parameters
    ----------
    function : callable
        Of two nodes: the outputs (N, out) and the targets (N, columns), (N, 1) for targets (N,). It
        returns a node: one number, which then is the loss, or N rows of the unreduced loss. It is
        called for two rows, to see which, and once for each shape of a batch; from then on `fit`
        runs what it wrote down in C++.
    reduction : {"mean", "sum", "none"}, default "mean"
        Of rows, as other losses do it. One number takes no ``sample_weight``; where several batches
        are accumulated it counts as the mean over its batch, or with "sum" as the sum.

    Raises
    ------
    TypeError
        If the function is none, or gives no node.
    ValueError
        If it gives another shape; for ``sample_weight`` or "none" with one number.

    Notes
    -----
    Nodes of your own in it count as constants, with the values that they have when it is called; a
    network's node, ``net.node(yhat)``, is evaluated with each batch.

    Formula: J = f(a, y)

    Derivative: dJ/da by the delta recursion over the graph of f

    Source: Linnainmaa, "Taylor expansion of the accumulated rounding error" (1976).

    Examples
    --------
    >>> from deltaprop import nn
    >>> loss = nn.ExpressionLoss(lambda yhat, y: ((yhat - y) ** 2).mean())
    >>> loss([[2.0], [2.0], [1.0], [4.0]], [1, 2, 3, 4])
    1.25
    >>> loss.delta([2.0, 2.0, 1.0, 4.0], [1, 2, 3, 4])
    array([ 0.5,  0. , -1. ,  0. ])
    """

    _function = "ExpressionLoss"

    function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any], reduction: str = "mean") -> None:
        self._set("function", _checked(function, "ExpressionLoss"))
        self._set("reduction", reduction)
        self._set("factor", 1.0)
        self.__post_init__()

    def _make(self, function: str, columns: int = 1) -> _core.Loss:
        return _core.ExpressionLoss(self, function, self.reduction, columns)

    def _native_for(self, y: Array, ndim: int) -> _core.Loss:
        # Targets (N,) go with outputs (N, 1) as they do elsewhere; of one row each has its axis.
        if not 1 <= y.ndim <= 2:
            raise ValueError(f"ExpressionLoss: expected y (N,) or (N, columns), got {y.shape}")
        return self._make(self._function, 1 if y.ndim < ndim else y.shape[-1])

    def _arguments(self) -> dict[str, Any]:
        return {"function": self.function, "reduction": self.reduction}

    def __repr__(self) -> str:
        return f"ExpressionLoss({_named(self.function)}, reduction={self.reduction!r})"


class ExpressionLayer(ConfiguredLayer):
    """A layer by its formula: a function of a node, whose derivative the computational graph finds.

    Parameters
    ----------
    function : callable
        Of a node, x (N, in); it returns a node (N, out) or (N,). It is called for two rows, to see
        how wide its output is, and once for each shape of a batch; from then on what it wrote down
        runs in C++.

    Raises
    ------
    TypeError
        If the function is none, or gives no node.
    ValueError
        If it gives another shape.

    Notes
    -----
    It has no parameters; nodes of your own in the function count as constants. A function may bring
    rows together, as ``x - x.mean(axis=0)`` does, and does so in inference too. `Sequential.save`
    refuses a network with such a layer; pickle takes what it can of functions.

    Formula: y = f(x)

    Source: Linnainmaa, "Taylor expansion of the accumulated rounding error" (1976).

    Examples
    --------
    >>> import numpy as np
    >>> from deltaprop import nn
    >>> layer = nn.ExpressionLayer(lambda x: np.maximum(x, 0) ** 2)
    >>> layer([-1.0, 3.0])
    array([0., 9.], dtype=float32)
    """

    function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = _checked(function, "ExpressionLayer")

    def _core_layer(self) -> _core.Layer:
        return _core.ExpressionLayer(self, repr(self))

    def __repr__(self) -> str:
        return f"ExpressionLayer({_named(self.function)})"
