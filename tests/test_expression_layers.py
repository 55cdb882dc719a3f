"""ExpressionLayer beside the built-in layer of the same formula."""

import re

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import graph, nn, optim
from expression_cases import MSE, doubled, each_dtype, near

ACTIVATIONS = [
    (nn.Tanh, np.tanh),
    (nn.Sigmoid, graph.sigmoid),
    (nn.ReLU, lambda x: graph.where(x > 0, x, 0)),
    (nn.SiLU, lambda x: x / (1 + np.exp(-x))),
    (nn.Softplus, lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))),
]


@pytest.mark.parametrize(
    ("kind", "function"), ACTIVATIONS, ids=lambda a: getattr(a, "__name__", "")
)
@each_dtype
def test_a_layer_is_the_built_in_one(kind, function, dtype):
    X, y = MSE.data()
    found = []
    for layer in (kind(), nn.ExpressionLayer(function)):
        net = nn.Sequential(nn.Linear(3, 6), layer, nn.Linear(6, 4), dtype=dtype, seed=1)
        history = net.fit(
            X,
            y,
            loss=nn.MSELoss(),
            optimizer=optim.Adam(net.parameters(), lr=0.01),
            epochs=5,
            batch_size=7,
            validation_split=0.2,
            record=("deltas", "activations"),
        )
        found.append((net, history))
    (one, history), (two, own) = found
    for key in history:
        near(own[key], history[key], dtype, 100)
    near(two.flat_parameters, one.flat_parameters, dtype, 100)
    near(two.jacobian(X), one.jacobian(X), dtype, 100)
    near(two(X[0]), one(X[0]), dtype, 100)
    assert two(X[:0]).shape == (0, 4)
    assert two.forward(X[:0]).shape == (0, 4)
    assert two.backward(np.zeros((0, 4))).shape == (0, 3)


def test_a_layer_may_change_the_width_and_bring_rows_together():
    X = np.random.default_rng(0).normal(size=(6, 3))
    centred = nn.ExpressionLayer(lambda x: x - x.mean(axis=0))
    squares = nn.ExpressionLayer(lambda x: (x**2).sum(axis=1))
    product = nn.ExpressionLayer(lambda x: x @ np.arange(6.0).reshape(3, 2))
    for layer, expected in (
        (centred, X - X.mean(axis=0)),
        (squares, (X**2).sum(axis=1, keepdims=True)),
        (product, X @ np.arange(6.0).reshape(3, 2)),
    ):
        net = nn.Sequential(nn.Linear(3, 3), layer, dtype="float64", seed=0)
        net[0].weight[...], net[0].bias[...] = np.eye(3), 0
        np.testing.assert_allclose(net(X), expected, rtol=1e-13, atol=1e-15)
        assert dp.check_gradients(net, nn.MSELoss(), X, np.ones_like(expected)).ok


def test_widths_that_are_not_known_yet(capsys):
    net = nn.Sequential(nn.ExpressionLayer(doubled), nn.Tanh(), seed=0)
    net.summary()
    assert "ExpressionLayer(doubled)  (N, any)" in capsys.readouterr().out
    assert net(np.ones((2, 5))).shape == (2, 5)
    assert net(np.ones(3)).shape == (3,)
    sums = nn.ExpressionLayer(lambda x: x.sum(axis=1))
    with pytest.raises(ValueError, match="got 3 inputs and 1 outputs"):
        nn.Sequential(nn.Linear(2, 3), nn.Residual(nn.Linear(3, 3), sums))


def test_layers_within_other_modules():
    def layer():
        return nn.ExpressionLayer(lambda x: np.sin(x) * x)

    net = nn.Sequential(
        nn.Residual(nn.Linear(3, 3), layer()),
        nn.Concat(layer(), nn.Sequential(layer(), nn.Linear(3, 2)), nn.Identity()),
        nn.Linear(8, 2),
        dtype="float64",
        seed=0,
    )
    X, y = np.random.default_rng(0).normal(size=(5, 3)), np.ones((5, 2))
    assert dp.check_gradients(net, nn.MSELoss(), X, y).ok
    net.freeze()
    before = net.flat_parameters.copy()
    net.fit(X, y, loss=nn.MSELoss(), optimizer=optim.SGD(net.parameters(), lr=1.0), epochs=3)
    np.testing.assert_array_equal(net.flat_parameters, before)


def test_a_layer_first_and_frozen_ones_before_it():
    net = nn.Sequential(
        nn.ExpressionLayer(np.tanh),
        nn.Linear(3, 3),
        nn.ExpressionLayer(np.sin),
        nn.Linear(3, 1),
        seed=0,
    )
    net[1].freeze()
    X = np.random.default_rng(0).normal(size=(9, 3))
    before = net.state_dict()
    net.fit(X, X[:, :1], loss=nn.MSELoss(), optimizer=optim.SGD(net.parameters(), lr=0.1), epochs=3)
    after = net.state_dict()
    np.testing.assert_array_equal(after["1.weight"], before["1.weight"])
    assert not np.array_equal(after["3.weight"], before["3.weight"])


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (lambda x: 3, TypeError, "ExpressionLayer(<lambda>): expected a node back, got int"),
        (
            lambda x: x.sum(),
            ValueError,
            "ExpressionLayer(<lambda>): expected rows (2, out) back for x (2, 3), got ()",
        ),
        (lambda x: x.sum(axis=0), ValueError, "expected rows (2, out) back for x (2, 3), got (3,)"),
        (lambda x: x.reshape(2, 3, 1), ValueError, "back for x (2, 3), got (2, 3, 1)"),
        (lambda x: 1 / 0, ZeroDivisionError, "division by zero"),
    ],
)
def test_a_layer_that_fails(function, error, text):
    # At once where the width of its input is known, else when it is called.
    with pytest.raises(error, match=re.escape(text)):
        nn.Sequential(nn.Linear(3, 3), nn.ExpressionLayer(function))
    net = nn.Sequential(nn.ExpressionLayer(function), nn.Linear(3, 3))
    for call in (net, net.forward, net.jacobian, nn.ExpressionLayer(function)):
        with pytest.raises(error, match=re.escape(text)):
            call(np.zeros((5, 3)))


@pytest.mark.parametrize("rows", [1, 5])
def test_a_layer_that_is_wider_for_other_rows(rows):
    net = nn.Sequential(
        nn.Linear(3, 3),
        nn.ExpressionLayer(lambda x: x if x.shape[0] == 2 else x @ np.ones((3, 1000))),
        seed=0,
    )
    text = f"expected ({rows}, 3) back, as two rows gave it, got ({rows}, 1000)"
    for call in (net, net.forward, net.jacobian):
        with pytest.raises(ValueError, match=re.escape(text)):
            call(np.zeros((rows, 3)))
    assert net(np.zeros((2, 3))).shape == (2, 3)


def test_a_layer_that_ignores_x_has_delta_zero():
    net = nn.Sequential(
        nn.Linear(3, 2), nn.ExpressionLayer(lambda x: graph.constant(np.ones(x.shape))), seed=0
    )
    assert net(np.zeros((4, 3))).tolist() == [[1, 1]] * 4
    net.forward(np.zeros((4, 3)))
    assert not net.backward(np.ones((4, 2))).any()
