"""Graphs of scalars compared with Python objects and PyTorch, graphs of arrays with NumPy.

``python -m benchmarks.graphs [--seconds 1]`` prints two tables of minimum times on one core. It
asserts that all implementations compute the same values and deltas.
"""

import argparse
import math
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from deltaprop import graph


class Value:
    """A number with its inputs: a minimal computational graph of Python objects."""

    __slots__ = ("back", "data", "grad", "inputs")

    def __init__(self, data: float, inputs: tuple["Value", ...] = ()) -> None:
        self.data, self.grad, self.inputs = data, 0.0, inputs
        self.back: Callable[[], None] = lambda: None

    def __add__(self, other: "Value") -> "Value":
        out = Value(self.data + other.data, (self, other))

        def back() -> None:
            self.grad += out.grad
            other.grad += out.grad

        out.back = back
        return out

    def __mul__(self, other: "Value") -> "Value":
        out = Value(self.data * other.data, (self, other))

        def back() -> None:
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out.back = back
        return out

    def tanh(self) -> "Value":
        """Return the hyperbolic tangent."""
        out = Value(math.tanh(self.data), (self,))

        def back() -> None:
            self.grad += (1 - out.data**2) * out.grad

        out.back = back
        return out

    def backward(self) -> None:
        """Run the backward pass with a delta of 1."""
        order: list[Value] = []
        visited: set[Value] = set()

        def visit(value: Value) -> None:
            if value not in visited:
                visited.add(value)
                for x in value.inputs:
                    visit(x)
                order.append(value)

        visit(self)
        for value in order:
            value.grad = 0.0
        self.grad = 1.0
        for value in reversed(order):
            value.back()


TURNS = 5
WIDTHS = (2, 20, 20, 1)


def network(leaves: list[Any], tanh: Callable[[Any], Any]) -> Any:
    """Return a dense network built from scalars: 961 nodes on 523 leaves."""
    it = iter(leaves)
    a = [next(it) for _ in range(WIDTHS[0])]
    for width in WIDTHS[1:]:
        out = []
        for _ in range(width):
            z = next(it)
            for x in a:
                z = z + next(it) * x
            out.append(tanh(z))
        a = out
    return a[0]


def shortest(seconds: float, *runs: Callable[[], object]) -> list[float]:
    """Time each callable for `seconds` and return the minimum times in microseconds.

    Callables take turns, since the machine's speed varies; each turn has many runs, since the other
    callables evict the caches.
    """
    best = [math.inf] * len(runs)
    for _ in range(TURNS):
        for i, run in enumerate(runs):
            end = time.perf_counter() + seconds / TURNS
            while (start := time.perf_counter()) < end:
                run()
                best[i] = min(best[i], time.perf_counter() - start)
    return [s * 1e6 for s in best]


def numbers(seconds: float) -> None:
    """Print the table for graphs of scalars."""
    count = WIDTHS[0] + sum((a + 1) * b for a, b in pairwise(WIDTHS))
    start = np.random.default_rng(0).normal(size=count) / 3
    ours = [graph.variable(v) for v in start]
    plain = [Value(float(v)) for v in start]
    theirs = [torch.tensor(v, requires_grad=True) for v in start]
    builds: tuple[Callable[[], Any], ...] = (
        lambda: network(ours, graph.tanh),
        lambda: network(plain, Value.tanh),
        lambda: network(theirs, torch.tanh),
    )
    y, z, t = (build() for build in builds)
    y.forward()
    y.backward()
    z.backward()
    t.backward(retain_graph=True)
    np.testing.assert_allclose([y.value, z.data], t.item(), rtol=1e-12)
    expected = [float(v.grad) for v in theirs if v.grad is not None]
    for gradients in ([v.grad for v in ours], [v.grad for v in plain]):
        np.testing.assert_allclose(gradients, expected, rtol=1e-10)

    print("| graph of 961 numbers, us | deltaprop | Python objects | ratio | PyTorch | ratio |")
    print("|---|---|---|---|---|---|")
    # The others must rebuild the graph for each forward pass.
    for name, runs in {
        "build": builds,
        "forward": (y.forward, *builds[1:]),
        "backward": (y.backward, z.backward, lambda: t.backward(retain_graph=True)),
        "forward and backward": (
            lambda: (y.forward(), y.backward()),
            lambda: builds[1]().backward(),
            lambda: builds[2]().backward(),
        ),
    }.items():
        mine, python, torchs = shortest(seconds, *runs)
        print(
            f"| {name} | {mine:,.1f} | {python:,.0f} | {python / mine:.1f} "
            f"| {torchs:,.0f} | {torchs / mine:.1f} |",
            flush=True,
        )


# Of x, y (1000, 1000) and b (1000,).
EXPRESSIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "x * y": lambda x, y, b: x * y,
    "3 * x * x - 2 * x + 1": lambda x, y, b: 3 * x * x - 2 * x + 1,
    "x / (1 + y * y)": lambda x, y, b: x / (1 + y * y),
    "exp(-x * x)": lambda x, y, b: np.exp(-x * x),
    "log(1 + exp(x))": lambda x, y, b: np.log(1 + np.exp(x)),
    "tanh(x + b)": lambda x, y, b: np.tanh(x + b),
    "exp(x) * tanh(y) + sqrt(x * x + 1)": lambda x, y, b: (
        np.exp(x) * np.tanh(y) + np.sqrt(x * x + 1)
    ),
    "sin(x) * cos(y)": lambda x, y, b: np.sin(x) * np.cos(y),
    "maximum(x * b, 0)": lambda x, y, b: np.maximum(x * b, 0),
    "sum(x * y)": lambda x, y, b: np.sum(x * y),
    "mean((x - y)**2)": lambda x, y, b: np.mean((x - y) ** 2),
    "sum(x * x, axis=0)": lambda x, y, b: np.sum(x * x, axis=0),
    "sum(x * x, axis=1)": lambda x, y, b: np.sum(x * x, axis=1),
}


def check_arrays(name: str, dtype: Any, x: list[np.ndarray], nodes: list[Any], f: Any) -> None:
    """Assert NumPy's values, and that the deltas' sum is NumPy's slope along (1, ..., 1)."""
    y = f(*nodes)
    y.backward()
    tolerance = 1e-4 if dtype == np.float32 else 1e-11
    np.testing.assert_allclose(y.value, f(*x), rtol=tolerance, atol=tolerance, err_msg=name)
    wide = [a.astype(np.float64) for a in x]
    slope = (np.sum(f(*[a + 1e-5 for a in wide])) - np.sum(f(*[a - 1e-5 for a in wide]))) / 2e-5
    deltas = [v.grad.astype(np.float64) for v in nodes if v.grad is not None]
    total, size = sum(map(np.sum, deltas)), sum(np.sum(np.abs(d)) for d in deltas)
    np.testing.assert_allclose(total, slope, rtol=0, atol=1e-5 * size, err_msg=name)


def arrays(seconds: float) -> None:
    """Print the table for graphs of arrays."""
    random = np.random.default_rng(0)
    print("\n| 1e6 elements, ms | dtype | NumPy | forward | ratio | backward | ratio |")
    print("|---|---|---|---|---|---|---|")
    for name, f in EXPRESSIONS.items():
        for dtype in (np.float64, np.float32):
            x = [random.normal(size=s).astype(dtype) for s in ((1000, 1000), (1000, 1000), (1000,))]
            nodes = [graph.variable(a) for a in x]
            check_arrays(name, dtype, x, nodes, f)
            y = f(*nodes)
            theirs, forward, backward = shortest(
                seconds, lambda f=f, x=x: f(*x), y.forward, y.backward
            )
            print(
                f"| {name} | {dtype.__name__} | {theirs / 1e3:.2f} | {forward / 1e3:.2f} "
                f"| {forward / theirs:.2f} | {backward / 1e3:.2f} | {backward / theirs:.2f} |",
                flush=True,
            )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="seconds per timing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    numbers(options.seconds)
    arrays(options.seconds)


if __name__ == "__main__":
    main()
