"""Nodes as expressions: Python reads them back as the same values."""

import numpy as np
import pytest

from deltaprop import graph

NAMES = {name: getattr(graph, name) for name in graph.__all__}


def leaves():
    rng = np.random.default_rng(0)
    return {
        n: graph.variable(v, name=n) for n, v in zip("xyz", rng.uniform(0.5, 2, 3), strict=True)
    }


def grown(rng, depth):
    """Return a random expression of x, y, z and numbers as a node."""
    x = leaves()
    if depth == 0 or rng.random() < 0.1:
        return x["xyz"[rng.integers(3)]] if rng.random() < 0.7 else float(rng.integers(-2, 4))
    a, b = grown(rng, depth - 1), grown(rng, depth - 1)
    return [
        lambda: a + b,
        lambda: a - b,
        lambda: a * b,
        lambda: a / (b + 5.5),
        lambda: -graph.abs(a),
        lambda: graph.abs(a) ** graph.tanh(b),
        lambda: graph.square(a) + b,
        lambda: (a * graph.tanh(b)) ** 2,
        lambda: -(b**3),
        lambda: graph.maximum(a, b),
        lambda: graph.where(graph.tanh(a) < b, a, b),
        lambda: (graph.tanh(a) <= b) == (graph.tanh(b) < 0.5),
        lambda: graph.reshape(graph.reshape(a, (1, 1)), 1)[0],
    ][rng.integers(13)]()


def test_python_reads_it_back():
    read = 0
    for seed in range(300):
        node = grown(np.random.default_rng(seed), 4)
        if not isinstance(node, graph.Node) or len(repr(node)) >= 400:
            continue
        again = eval(repr(node), NAMES | leaves())
        # Numbers are written with 6 digits.
        value = again.value if isinstance(again, graph.Node) else again
        np.testing.assert_allclose(value, node.value, rtol=1e-5, err_msg=repr(node))
        read += bool(node.inputs)
    assert read > 200


X = graph.variable(2.0, name="x")
A = graph.variable(np.ones((2, 3)), name="a")


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (X, "x"),
        (graph.variable(1 / 3), "0.333333"),
        (graph.variable([1.0, 2.0]), "variable(2,)"),
        (graph.constant(np.ones((2, 2))), "constant(2, 2)"),
        (-(X**2), "-x**2"),
        ((-X) ** 2, "(-x)**2"),
        (X - (X - X), "x - (x - x)"),
        (X - X - X, "x - x - x"),
        (X / (X * X), "x / (x * x)"),
        (2 ** (X**3), "2**x**3"),
        ((2**X) ** X, "(2**x)**x"),
        (graph.constant(-2.0) ** X, "(-2)**x"),
        (X - -3, "x - -3"),
        ((X < 1) < X, "(x < 1) < x"),
        ((X < 1) * X, "(x < 1) * x"),
        (X > 1, "1 < x"),
        (X**2 * X**0.5, "x**2 * sqrt(x)"),
        ((A + 1).T[0, ::2], "(a + 1).T[0, ::2]"),
        (A.sum(axis=0, keepdims=True), "sum(a, axis=0, keepdims=True)"),
        (A @ A.T @ A, "a @ a.T @ a"),
        (A @ (A.T @ A), "a @ (a.T @ a)"),
        (graph.where(X < 3, X, -X), "where(x < 3, x, -x)"),
    ],
)
def test_as_it_is_written(node, text):
    assert repr(node) == text


def test_named_nodes_stand_for_themselves():
    y = X + 1
    y.name = "y"
    assert repr(y) == "x + 1"
    assert repr(2 * y) == "2 * y"


@pytest.mark.parametrize("name", ["p - q", "-p", "p/q", "p q"])
def test_a_name_like_an_expression_is_one_thing(name):
    y = X + 1
    y.name = name
    assert repr(2 - y) == f"2 - ({name})"
    assert repr(graph.exp(y)) == f"exp({name})"


def test_a_deep_chain_ends_in_dots():
    y = X
    for _ in range(100_000):
        y = graph.sin(y)
    assert repr(y) == "sin(" * 51 + "..." + ")" * 51


def test_the_last_terms_of_a_long_sum_are_shown():
    y = X
    for i in range(60):
        y = y + i * X
    assert repr(y).startswith("... + ")
    assert repr(y).endswith("...")
    assert len(repr(y)) == 403
    assert "20 * x + 21 * x" in repr(y)


def test_a_node_used_often_is_not_written_out_as_often():
    y = X
    for _ in range(60):
        y = y + y
    assert len(repr(y)) <= 403
