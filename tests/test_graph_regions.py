"""Formulas over large arrays keep only the values that can be read, and compute the others again.

Nodes without references are compared, to the bit, with those of a twin graph whose nodes are all
held, so that nothing of it is hidden.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deltaprop import _core, graph

UNARY = (np.exp, np.tanh, np.sin, np.abs, np.negative, lambda a: a * a, lambda a: 3 * a - 1)
BINARY = (
    np.add,
    np.subtract,
    np.multiply,
    np.maximum,
    lambda a, b: a / (b * b + 1),
    lambda a, b: np.where(a < b, a, b),
)


def build(seed: int, dtype: Any, size: int) -> list[graph.Node]:
    """Give three variables and twenty nodes made of what comes before them, sums among them."""
    random = np.random.default_rng(seed)
    leaves = random.normal(size=(3, size)).astype(dtype)
    nodes: list[graph.Node] = [graph.variable(leaf) for leaf in leaves]
    scale = graph.variable(dtype(0.5))
    for i in range(20):
        a, b = (nodes[k] for k in random.integers(0, len(nodes), 2))
        if i % 7 == 3:
            nodes.append(a - a.mean() * scale)
        elif random.random() < 0.4:
            nodes.append(UNARY[random.integers(len(UNARY))](a))
        else:
            nodes.append(BINARY[random.integers(len(BINARY))](a, b))
    return [*nodes, scale]


def same(a: graph.Node, b: graph.Node) -> None:
    """Assert that two nodes and all above them have the same values and deltas."""
    seen: set[int] = set()
    waiting = [(a, b)]
    while waiting:
        x, y = waiting.pop()
        if id(y) in seen:
            continue
        seen.add(id(y))
        np.testing.assert_array_equal(x.value, y.value)
        assert (x.grad is None) == (y.grad is None), y.op
        if y.grad is not None:
            np.testing.assert_array_equal(x.grad, y.grad, err_msg=y.op)
        waiting += zip(x.inputs, y.inputs, strict=True)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("size", [2, 700, 3001])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(12))
def test_intermediate_nodes_without_references_change_no_value(
    seed: int, dtype: Any, size: int
) -> None:
    """For any order of setting, evaluating, passing back and deleting."""
    random = np.random.default_rng(seed)
    held, loose = build(seed, dtype, size), build(seed, dtype, size)
    roots = sorted({*random.integers(3, 20, 3), 22})
    pairs = {k: (loose[k], held[k]) for k in [0, 1, 2, *roots, -1]}
    del loose
    for _ in range(25):
        act = random.integers(5)
        alive = [k for k in roots if k in pairs]
        root = int(random.choice(alive))
        if act == 0:
            leaf = int(random.integers(3))
            value = random.normal(size=size).astype(dtype)
            for node in pairs[leaf]:
                node.value = value
            for k in alive:
                for node in pairs[k]:
                    node.forward()
        elif act == 1:
            for node in pairs[root]:
                node.forward()
        elif act <= 3:
            delta = random.normal(size=size).astype(dtype) if act == 2 else 1.0
            for node in pairs[root]:
                node.backward(delta)
        elif random.random() < 0.3 and len(alive) > 1:
            node = None
            del pairs[root]
        else:
            same(*pairs[root])
    for k in list(pairs):
        same(*pairs.pop(k))


def expression(x: Any, y: Any) -> Any:
    """Give a node whose own inputs have no references."""
    return np.exp(-x * y) + 3 * x / (1 + y * y)


def pair() -> tuple[graph.Node, graph.Node, graph.Node]:
    """Give two variables and the expression of them, evaluated and passed back."""
    random = np.random.default_rng(0)
    x, y = (graph.variable(random.normal(size=5000)) for _ in "xy")
    z = expression(x, y)
    z.forward()
    z.backward()
    return x, y, z


def look(node: graph.Node) -> list[tuple[Any, Any]]:
    """Give the values and deltas of all above a node."""
    return [(n.value, n.grad) for n in node.inputs] + [e for n in node.inputs for e in look(n)]


def test_a_value_set_later_does_not_show_before_it_is_evaluated() -> None:
    """What was hidden comes back as of the last pass each way."""
    before = look(pair()[2])
    x, _, z = pair()
    x.value = np.zeros(5000)
    found = look(z)
    for (value, delta), (old_value, old_delta) in zip(found, before, strict=True):
        if value is not None and not np.all(value == 0):
            np.testing.assert_array_equal(value, old_value)
        if delta is not None:
            np.testing.assert_array_equal(delta, old_delta)


def test_deltas_outlive_the_next_forward() -> None:
    """A draw after the next evaluation shows the deltas of the last pass back."""
    before = [delta for _, delta in look(pair()[2])]
    x, _, z = pair()
    x.value = np.ones(5000)
    z.forward()
    for delta, old in zip([delta for _, delta in look(z)], before, strict=True):
        np.testing.assert_equal(delta, old)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_shares_of_a_reduction_and_a_pass_of_one_number(dtype: Any) -> None:
    """One number for all elements is added to, shown and lent like any other delta."""
    x = graph.variable(np.linspace(-1, 1, 3000, dtype=dtype))
    y = x + 1
    z = y.sum() + (y * y).mean() + x.sum()
    z.backward()
    np.testing.assert_allclose(x.grad, 2 + 2 * y.value / 3000, rtol=1e-6)
    np.testing.assert_allclose(y.grad, 1 + 2 * y.value / 3000, rtol=1e-6)
    y.backward(2)
    np.testing.assert_array_equal(x.grad, np.full(3000, 2, dtype))
    np.testing.assert_array_equal(y.grad, np.full(3000, 2, dtype))
    (x * 1).backward(0.5)
    np.testing.assert_array_equal(x.grad, np.full(3000, 0.5, dtype))


def test_a_delta_that_reaches_nothing_is_zero() -> None:
    """A condition says nothing of where it came from."""
    x = graph.variable(np.linspace(-1, 1, 3000))
    y = graph.where(x * x, x, 2 * x)
    y.forward()
    y.backward()
    square = y.inputs[0]
    np.testing.assert_array_equal(square.grad, np.zeros(3000))
    np.testing.assert_array_equal(square.value, x.value**2)


def test_long_chains_of_arrays() -> None:
    """Chains longer than what runs together, on arrays larger than a tile."""
    x = graph.variable(np.linspace(-1, 1, 2500))
    y, expected = x, x.value
    for _ in range(3000):
        y = 0.999 * y + 0.001
        expected = 0.999 * expected + 0.001
    y.forward()
    y.backward()
    np.testing.assert_array_equal(y.value, expected)
    np.testing.assert_allclose(x.grad, np.full(2500, 0.999**3000), rtol=1e-12)


@pytest.mark.parametrize(
    "use",
    [
        lambda z: _core.graph_gradient(z, 1.0, z.inputs),
        lambda z: z.draw(),
        repr,
        lambda z: (z.inputs[0] * 2).value,
    ],
)
def test_intermediate_values_are_computed_on_access(use: Callable[[graph.Node], Any]) -> None:
    """Drawing, writing and building on hidden nodes."""
    *_, z = pair()
    use(z)
    values = [value for value, _ in look(z)]
    for value, (expected, _) in zip(values, look(pair()[2]), strict=True):
        np.testing.assert_array_equal(value, expected)
