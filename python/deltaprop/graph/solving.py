"""Solving for variables by propagating the output's error backward through the graph."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np

from deltaprop._arrays import as_count, as_real
from deltaprop._core import Node
from deltaprop._table import aligned, decimals
from deltaprop.graph.text import expression

_LONGEST = 20  # lines of the table in an error message


@dataclass(frozen=True)
class Iteration:
    """One iteration of `solve`: the values, and the corrections made.

    Attributes
    ----------
    values : mapping of str to float
        Values of the variables, then of the named scalar nodes between them and the output.
    output : float
    error : float
        The output minus the target.
    factors : mapping of str to float
        d(output)/d(value) for each of `values`. Empty in the last iteration.
    corrections : mapping of str to float
        The amount subtracted from each variable. For other nodes the error divided by the factor,
        the amount that would correct the output by this node alone. Empty in the last iteration.
    """

    values: Mapping[str, float]
    output: float
    error: float
    factors: Mapping[str, float]
    corrections: Mapping[str, float]


@dataclass(frozen=True, repr=False)
class Solution(Sequence[Iteration]):
    """The result of `solve`: a sequence of iterations, which prints as a table.

    Attributes
    ----------
    variables : tuple of str
        Names of the variables; ``"variables[0]"``, by index, for those without a name.
    output : str
        Name of the output; ``"output"`` if it has none.
    iterations : tuple of Iteration
        The first has the initial values. The last has no corrections.
    converged : bool
        False only for the iterations of a `SolveError`.
    """

    variables: tuple[str, ...]
    output: str
    iterations: tuple[Iteration, ...]
    converged: bool

    @property
    def values(self) -> dict[str, float]:
        """The values of the variables in the last iteration, by name."""
        return {name: self[-1].values[name] for name in self.variables}

    @property
    def updates(self) -> int:
        """The number of updates of the variables."""
        return len(self) - 1

    def table(self) -> str:
        """Return a table with a line per iteration: values, error (delta), factors, corrections.

        Returns
        -------
        str
            Numbers have 6 decimals, large ones an exponent. Missing factors and corrections are
            "-".
        """
        names = list(self[0].values)
        # In the order in which errors flow: backward from the output to the variables.
        back = names[len(self.variables) :][::-1] + list(self.variables)
        head = ["update", *names, self.output, f"delta_{self.output}"]
        head += [f"factor_{name}" for name in back] + [f"delta_{name}" for name in back]
        lines = [head]
        for i, row in enumerate(self):
            cells = [decimals(x) for x in (*row.values.values(), row.output, row.error)]
            for column in (row.factors, row.corrections):
                cells += [decimals(column[name]) if column else "-" for name in back]
            lines.append([str(i), *cells])
        return aligned(lines)

    def __len__(self) -> int:
        return len(self.iterations)

    @overload
    def __getitem__(self, index: int) -> Iteration: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Iteration, ...]: ...
    def __getitem__(self, index: int | slice) -> Iteration | tuple[Iteration, ...]:
        return self.iterations[index]

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        shown = {**self.values, self.output: self[-1].output}
        found = ", ".join(f"{name}={decimals(value)}" for name, value in shown.items())
        how = "" if self.converged else "not converged, "
        return f"Solution({how}{self.updates} updates, {found})"


class SolveError(ValueError):
    """`solve` failed to find a solution.

    The message has the reason and the update, followed by the last lines of the table.

    Parameters
    ----------
    reason : str
    solution : Solution
        The iterations so far, available as the attribute ``solution``.
    """

    def __init__(self, reason: str, solution: Solution) -> None:
        super().__init__(reason, solution)
        self.solution = solution

    def __str__(self) -> str:
        lines = self.solution.table().splitlines()
        lines[1:-_LONGEST] = ["..."] if len(lines) > _LONGEST + 1 else []
        return "\n".join([self.args[0], *lines])


def solve(
    node: Node,
    target: float,
    variables: Node | Sequence[Node],
    factors: str = "recompute",
    shares: Sequence[float] | None = None,
    tol: float = 1e-5,
    max_iter: int = 100,
) -> Solution:
    """Correct variables until a node reaches a target value.

    Parameters
    ----------
    node : Node
        The output, with one element.
    target : float
        The target value of the output.
    variables : Node or sequence of Node
        The variables to correct, with one element each; the node must depend on them.
    factors : {"recompute", "keep"}, default "recompute"
        Whether to recompute the factors d(node)/d(variable) for every update or to keep the initial
        ones.
    shares : sequence of float, optional
        Fraction of the error that each variable corrects: numbers above 0 that sum to 1. Default:
        equal fractions.
    tol : float, default 1e-5
        Stop when the absolute error is below this.
    max_iter : int, default 100
        Maximum number of updates, 1 or more.

    Returns
    -------
    Solution
        All iterations, including values of the named scalar nodes in between. The variables keep
        the solution, and the graph is evaluated with it.

    Raises
    ------
    SolveError
        If a factor is 0 or not finite, a value leaves the domain of a function (the logarithm of a
        negative number), or the iteration does not converge. The variables then have their values
        from before the call.
    ValueError
        For arrays of several elements, a variable on which the node does not depend, names that are
        not distinct, or options out of range.
    TypeError
        For arguments that are not nodes, and nodes that are not variables.

    Notes
    -----
    Each update is v <- v - share (node - target) / factor for every variable v. With one variable
    and recomputed factors this is Newton's method.

    Examples
    --------
    >>> from deltaprop import graph
    >>> b = graph.variable(4.0, name="b")
    >>> print(graph.solve((6 + 3 * b) * (2 * b + 1), 150, b))
    update         b      output  delta_output   factor_b   delta_b
         0  4.000000  162.000000     12.000000  63.000000  0.190476
         1  3.809524  150.217687      0.217687  60.714286  0.003585
         2  3.805938  150.000077      0.000077  60.671261  0.000001
         3  3.805937  150.000000      0.000000          -         -
    >>> round(b.value, 6)
    3.805937
    """
    if not isinstance(node, Node):
        raise TypeError(f"solve: expected a node to solve for, got {type(node).__name__}")
    if node.size != 1:
        raise ValueError(f"solve: expected a node of one number, got {node.shape}")
    if factors not in ("recompute", "keep"):
        raise ValueError(f"solve: expected factors 'recompute' or 'keep', got {factors!r}")
    target = as_real(target, "solve: target")
    chosen = _checked(variables)
    parts = _parts(shares, len(chosen))
    tol = as_real(tol, "solve: tol")
    if not tol > 0:
        raise ValueError(f"solve: expected a tol above 0, got {tol:g}")
    max_iter = as_count(max_iter, "solve: max_iter", 1)
    search = _Search(node, target, chosen)

    start = [v.value for v in chosen]
    try:
        return search.run(factors == "keep", parts, tol, max_iter)
    except BaseException:
        for v, value in zip(chosen, start, strict=True):
            v.value = value
        node.forward()
        raise


class _Search:
    """The state of one call: its nodes and the iterations so far."""

    def __init__(self, node: Node, target: float, variables: Sequence[Node]) -> None:
        between = _between(node, variables)
        named = [
            *((v.name or f"variables[{i}]", v) for i, v in enumerate(variables)),
            *((n.name, n) for n in between if n.name and n.size == 1),
        ]
        self.node, self.target, self.variables = node, target, variables
        self.named = dict(named)
        if len(self.named) < len(named):
            names = [name for name, _ in named]
            raise ValueError(f"solve: expected nodes of different names, got {names}")
        self.rows: list[Iteration] = []

    def run(self, keep: bool, shares: Sequence[float], tol: float, max_iter: int) -> Solution:
        factors: dict[str, float] = {}
        for update in range(max_iter + 1):
            error = self.look()
            if abs(error) < tol:
                return self.solution(converged=True)
            if update == max_iter:
                break
            if not (keep and factors):
                self.node.backward()
                factors = {name: _number(n.grad) for name, n in self.named.items()}
            self.correct(error, factors, shares)
        raise self.failed(f"expected an error below {tol:g}, got {error:g}")

    def look(self) -> float:
        """Evaluate the graph and return the output's error."""
        self.node.forward()
        output = _number(self.node.value)
        error = output - self.target
        values = {name: _number(n.value) for name, n in self.named.items()}
        self.rows.append(Iteration(values, output, error, {}, {}))
        for n in (*self.variables, self.node):
            if not _finite(n):
                origin = _origin(n)
                value = np.asarray(origin.value)
                raise self.failed(
                    f"expected finite values, got {value[~np.isfinite(value)][0]} from "
                    f"{expression(origin)}"
                )
        return error

    def correct(self, error: float, factors: dict[str, float], shares: Sequence[float]) -> None:
        """Correct each variable by its share of the error."""
        # With a factor of 0 no correction changes the output.
        corrections = {name: error / f if f else math.inf for name, f in factors.items()}
        moves = list(zip(self.named, self.variables, shares, strict=False))
        for name, _, share in moves:
            corrections[name] *= share
        self.rows[-1] = replace(self.rows[-1], factors=factors, corrections=corrections)
        for name, v, _ in moves:
            if factors[name] == 0 or not math.isfinite(factors[name]):
                raise self.failed(
                    f"expected a finite factor of {name} other than 0, got {factors[name]:g}"
                )
            v.value = np.full(v.shape, self.rows[-1].values[name] - corrections[name])

    def solution(self, converged: bool) -> Solution:
        names = tuple(self.named)[: len(self.variables)]
        return Solution(names, self.node.name or "output", tuple(self.rows), converged)

    def failed(self, what: str) -> SolveError:
        solution = self.solution(converged=False)
        return SolveError(f"solve: at update {solution.updates} {what}", solution)


def _checked(variables: Any) -> list[Node]:
    chosen = [variables] if isinstance(variables, Node) else variables
    if not isinstance(chosen, Sequence):
        raise TypeError(f"solve: expected a list of variables, got {type(variables).__name__}")
    for v in chosen:
        if not isinstance(v, Node):
            raise TypeError(f"solve: expected variables, got {type(v).__name__}")
        if v.op != "variable":
            raise TypeError(f"solve: expected variables, got the node {expression(v)}")
        if v.size != 1:
            raise ValueError(f"solve: expected variables of one number, got {v.shape}")
    if not chosen:
        raise ValueError("solve: expected one variable or more, got none")
    if len(set(chosen)) < len(chosen):
        raise ValueError("solve: expected each variable once, got one twice")
    return list(chosen)


def _parts(shares: Any, count: int) -> list[float]:
    """Return each variable's share of the error."""
    if shares is None:
        return [1 / count] * count
    if not isinstance(shares, Sequence | np.ndarray):
        raise TypeError(f"solve: expected a list of shares, got {type(shares).__name__}")
    parts = [as_real(share, "solve: shares") for share in shares]
    if len(parts) != count:
        raise ValueError(f"solve: expected a share for each of {count} variables, got {len(parts)}")
    if not all(part > 0 for part in parts) or not math.isclose(sum(parts), 1):
        raise ValueError(f"solve: expected shares above 0 that add to 1, got {parts}")
    return parts


def _between(node: Node, variables: Sequence[Node]) -> list[Node]:
    """Return the nodes that depend on the variables and on which the node depends, inputs first."""
    chosen = set(variables)
    depends: dict[Node, bool] = {}
    waiting = [node] if node.active else []
    while waiting:
        inputs = [n for n in waiting[-1].inputs if n.active]
        ahead = [n for n in inputs if n not in depends]
        if ahead and waiting[-1] not in depends:
            waiting += ahead[::-1]
            continue
        last = waiting.pop()
        depends.setdefault(last, last in chosen or any(depends[n] for n in inputs))
    for v in variables:
        if v not in depends:
            raise ValueError(
                f"solve: expected variables on which the node depends, got {expression(v)}"
            )
    return [n for n, on in depends.items() if on and n not in chosen and n is not node]


def _origin(node: Node) -> Node:
    """Return the first node, inputs first, whose value is not finite."""
    while True:
        worse = [n for n in node.inputs if not _finite(n)]
        if not worse:
            return node
        node = worse[0]


def _finite(node: Node) -> bool:
    return bool(np.isfinite(node.value).all())


def _number(value: Any) -> float:
    return float(np.asarray(value).item())
