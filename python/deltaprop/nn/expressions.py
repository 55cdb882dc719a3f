"""A loss and a layer defined by a function of nodes, with automatic derivatives."""

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
    result: Callable[..., Any] = function
    return result


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


@dataclass(init=False, eq=False, repr=False)
class ExpressionLoss(Loss):
    """A loss defined by a function of nodes; the computational graph gives its derivative.

    Parameters
    ----------
    function : callable
        Function of two nodes: the outputs (N, out) and the targets (N, columns), (N, 1) for targets
        (N,). It returns a node with one element, the loss, or with N rows, the unreduced loss. It
        is called once with two rows, to find out which, and once for each batch shape; `fit` then
        evaluates the recorded graph in C++.
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over rows, as for other losses. A function that returns one number takes no
        ``sample_weight``; when batches are accumulated, the number counts as the mean over its
        batch, or with "sum" as the sum.

    Raises
    ------
    TypeError
        If `function` is not callable, or does not return a node.
    ValueError
        If it returns another shape; for ``sample_weight`` or "none" with one number.

    Notes
    -----
    Other nodes that the function uses are constants, with their values at the time of the call. A
    network's node, ``net.node(yhat)``, is evaluated for each batch.

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
        # Targets (N,) match outputs (N, 1), as in other losses; a single row lacks the first axis.
        if not 1 <= y.ndim <= 2:
            raise ValueError(f"ExpressionLoss: expected y (N,) or (N, columns), got {y.shape}")
        return self._make(self._function, 1 if y.ndim < ndim else y.shape[-1])

    def _arguments(self) -> dict[str, Any]:
        return {"function": self.function, "reduction": self.reduction}

    def __repr__(self) -> str:
        return f"ExpressionLoss({_name(self.function)}, reduction={self.reduction!r})"


class ExpressionLayer(ConfiguredLayer):
    """A layer defined by a function of a node; the computational graph gives its derivative.

    Parameters
    ----------
    function : callable
        Function of a node x (N, in) that returns a node (N, out) or (N,). It is called once with
        two rows, to find the width of its output, and once for each batch shape; the recorded graph
        then runs in C++.

    Raises
    ------
    TypeError
        If `function` is not callable, or does not return a node.
    ValueError
        If it returns another shape.

    Notes
    -----
    The layer has no parameters; other nodes that the function uses are constants. A function may
    combine rows, as ``x - x.mean(axis=0)`` does; it then does so in inference too.
    `Sequential.save` raises for a network with such a layer; pickle works if the function can be
    pickled.

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
        return f"ExpressionLayer({_name(self.function)})"
