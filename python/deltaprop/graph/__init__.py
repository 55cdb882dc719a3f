"""Computational graphs: values flow forward, deltas flow backward and add over all paths.

Elementwise formulas over large arrays are fused and run tile by tile. Values and deltas of nodes
that no variable references are not stored; they are recomputed when `inputs` or `draw` needs them.

Examples
--------
>>> from deltaprop import graph
>>> w, b = graph.variable(3.0, name="w"), graph.variable(4.0, name="b")
>>> z = (2 * w + 3 * b) * (2 * b + 1)
>>> z.value
162.0
>>> z.backward()
>>> w.grad, b.grad
(18.0, 63.0)
"""

from typing import TYPE_CHECKING

from deltaprop import _lazy
from deltaprop._core import Node
from deltaprop.graph.drawing import Drawing
from deltaprop.graph.functions import (
    abs,
    cos,
    dot,
    exp,
    expm1,
    log,
    log1p,
    max,
    maximum,
    mean,
    min,
    minimum,
    reshape,
    sigmoid,
    sign,
    sin,
    sqrt,
    square,
    stack,
    sum,
    tan,
    tanh,
    transpose,
    where,
)
from deltaprop.graph.node import constant, variable

if TYPE_CHECKING:
    from deltaprop.graph.derivatives import (
        directional_derivative,
        grad,
        hessian,
        jacobian,
        value_and_grad,
    )
    from deltaprop.graph.solving import Iteration, Solution, SolveError, solve
else:
    __getattr__, __dir__ = _lazy.names(
        __name__,
        {
            "deltaprop.graph.derivatives": (
                "directional_derivative",
                "grad",
                "hessian",
                "jacobian",
                "value_and_grad",
            ),
            "deltaprop.graph.solving": ("Iteration", "Solution", "SolveError", "solve"),
        },
    )

__all__ = [
    "Drawing",
    "Iteration",
    "Node",
    "Solution",
    "SolveError",
    "abs",
    "constant",
    "cos",
    "directional_derivative",
    "dot",
    "exp",
    "expm1",
    "grad",
    "hessian",
    "jacobian",
    "log",
    "log1p",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "reshape",
    "sigmoid",
    "sign",
    "sin",
    "solve",
    "sqrt",
    "square",
    "stack",
    "sum",
    "tan",
    "tanh",
    "transpose",
    "value_and_grad",
    "variable",
    "where",
]
