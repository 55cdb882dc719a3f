"""Functions, reductions and targets that ExpressionLoss refuses."""

import re
import sys

import numpy as np
import pytest

from deltaprop import graph, nn, optim
from expression_cases import MSE, ROWS, fitted


def fit_with(function, batch_size=7, rows=ROWS, **options):
    X, y = MSE.data(rows)
    net = MSE.network()
    before = net.flat_parameters.copy()
    loss = nn.ExpressionLoss(function)
    opt = optim.SGD(net.parameters(), lr=0.1)
    try:
        net.fit(X, y, loss=loss, optimizer=opt, epochs=2, batch_size=batch_size, **options)
    finally:
        net(X)  # is still there to be used
        assert np.isfinite(net.flat_parameters).all()
        if sys.exc_info()[0] is not None:
            np.testing.assert_array_equal(net.flat_parameters, before)


@pytest.mark.parametrize("kind", [None, 3, "sum"])
def test_no_function(kind):
    name = type(kind).__name__
    with pytest.raises(
        TypeError, match=f"^ExpressionLoss: expected a function of nodes, got {name}$"
    ):
        nn.ExpressionLoss(kind)
    with pytest.raises(TypeError, match=f"^ExpressionLayer: expected a function .*, got {name}$"):
        nn.ExpressionLayer(kind)


def test_reductions_that_there_are_not():
    for bad in ("average", "batchmean"):
        with pytest.raises(ValueError, match=f"^reduction: expected 'mean', .* got '{bad}'$"):
            nn.ExpressionLoss(MSE.function, reduction=bad)
    with pytest.raises(TypeError, match=r"^ExpressionLoss: reduction: expected a name, got int$"):
        nn.ExpressionLoss(MSE.function, reduction=3)
    with pytest.raises(ValueError, match="expected a loss with reduction 'mean' or 'sum'"):
        fitted(MSE, nn.ExpressionLoss(MSE.function, "none"), "float32", *MSE.data())


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (lambda a, y: 3.0, TypeError, "ExpressionLoss: expected a node back, got float"),
        (lambda a, y: None, TypeError, "ExpressionLoss: expected a node back, got NoneType"),
        (
            lambda a, y: (a - y).sum(axis=0),
            ValueError,
            "expected one number or rows (2, ...) back for outputs (2, 4), got (4,)",
        ),
        (
            lambda a, y: a @ graph.constant(np.ones((3, 3))),
            ValueError,
            "matmul: expected",
        ),
        (lambda a, y: a.value["x"], IndexError, "only integers"),
        (lambda a, y: 1 / 0, ZeroDivisionError, "division by zero"),
        (lambda a, y: 1 if a > y else 0, TypeError, "graph: expected a number to decide by"),
        (lambda a: a, TypeError, "takes 1 positional argument but 2 were given"),
    ],
)
def test_a_function_that_fails(function, error, text):
    with pytest.raises(error, match=re.escape(text)):
        fit_with(function)
    with pytest.raises(error, match=re.escape(text)):
        nn.ExpressionLoss(function)(np.zeros((3, 4)), np.zeros((3, 4)))


@pytest.mark.parametrize(
    ("other", "got"),
    [
        (lambda a, y: (a - y).sum(), "()"),
        (lambda a, y: (a - y).sum(axis=1), "(7,)"),
        (lambda a, y: a.reshape(7, 4, 1) * np.ones((1, 1, 500)), "(7, 4, 500)"),
    ],
)
def test_a_function_that_gives_other_rows_for_other_batches(other, got):
    def function(a, y):
        return (a - y) ** 2 if a.shape[0] == 2 else other(a, y)

    text = f"ExpressionLoss: expected (7, 4) back, as two rows gave it, got {got}"
    with pytest.raises(ValueError, match=re.escape(text)):
        fit_with(function)
    with pytest.raises(ValueError, match=re.escape(text)):
        nn.ExpressionLoss(function, "none")(np.zeros((7, 4)), np.zeros((7, 4)))


def test_a_function_that_fails_for_the_last_batch():
    def function(a, y):
        assert a.shape[0] != 4, "four rows"
        return (a - y) ** 2

    X, y = MSE.data()
    net = MSE.network()
    opt = optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(AssertionError, match="four rows"):
        net.fit(X, y, loss=nn.ExpressionLoss(function), optimizer=opt, epochs=2, batch_size=7)
    # The three batches before it have been learned from.
    assert not np.array_equal(net.flat_parameters, MSE.network().flat_parameters)
    assert not net.flat_gradients.any()
    assert net.forward(X).shape == (ROWS, 4)


def test_infinite_losses_stop_the_fit():
    with pytest.raises(FloatingPointError, match="in epoch 0, batch 0"):
        fit_with(lambda a, y: np.log(a - a))


@pytest.mark.parametrize("more", [{"sample_weight": np.ones(ROWS)}])
def test_one_number_takes_no_weights(more):
    text = "^ExpressionLoss: expected no sample_weight with an expression that gives one number"
    with pytest.raises(ValueError, match=text):
        fit_with(lambda a, y: ((a - y) ** 2).mean(), **more)
    loss = nn.ExpressionLoss(lambda a, y: ((a - y) ** 2).mean())
    for call in (loss, loss.delta):
        with pytest.raises(ValueError, match=text):
            call(np.zeros((2, 4)), np.zeros((2, 4)), np.ones(2))


def test_one_number_is_no_array_of_rows():
    loss = nn.ExpressionLoss(lambda a, y: ((a - y) ** 2).mean(), "none")
    for call in (loss, loss.delta):
        with pytest.raises(
            ValueError, match="expected a reduction of 'mean' or 'sum' with an expr"
        ):
            call(np.zeros((2, 4)), np.zeros((2, 4)))


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (np.zeros((3, 4, 1)), r"expected y \(N,\) or \(N, columns\), got \(3, 4, 1\)"),
        (np.zeros(()), r"expected y \(N,\) or \(N, columns\), got \(\)"),
        (np.zeros((2, 4)), r"expected y \(3, 4\) for outputs \(3, 4\), got \(2, 4\)"),
        (np.zeros(4), r"expected y \(3, 1\) for outputs \(3, 4\), got \(4,\)"),
        (np.zeros((3, 3)), "subtract: expected shapes that broadcast"),
    ],
)
def test_targets_of_other_shapes(y, text):
    with pytest.raises(ValueError, match=text):
        nn.ExpressionLoss(MSE.function)(np.zeros((3, 4)), y)


def test_targets_without_columns():
    loss = nn.ExpressionLoss(lambda a, y=None: a.sum() if y is None else (a**2).sum())
    assert loss(np.full((3, 2), 2.0), np.zeros((3, 0))) == 24
