"""Seed 001: one dense layer, three inputs and one output, no activation."""

import numpy as np
import pytest

from deltaprop import nn, optim

X = np.array([[1.0, 2.0, 3.0]])
Y = np.array([[1.0]])
COST = nn.MSELoss(reduction="sum")
RATE = 0.001
FIRST_COST = 5.546389698793334

# What the document prints: the prediction before update k, and its cost.
PREDICTIONS = {
    0: 3.35507743,
    1: 3.28442511,
    2: 3.21589235,
    3: 3.14941558,
    4: 3.08493312,
    5: 3.02238512,
    6: 2.96171357,
    7: 2.90286216,
    23: 2.16884003,
    24: 2.13377483,
    31: 1.91607062,
    32: 1.8885885,
    43: 1.6356086,
    44: 1.61654034,
    51: 1.49815402,
    190: 1.00722162,
    191: 1.00700497,
    199: 1.0054901,
    200: 1.0053254,
}
COSTS = {
    0: FIRST_COST,
    1: 5.218598067594647,
    2: 4.910178921799803,
    3: 4.619987347521437,
    4: 4.346946095282921,
    5: 4.090041581051698,
    6: 3.8483201236115456,
    23: 1.366187026290616,
    43: 0.40399829055941733,
    190: 5.215181191515595e-05,
    199: 3.0141205540271894e-05,
}


def layer_at_the_first_cost(seed):
    """Return a network of random weights whose first prediction is the document's."""
    weights = np.random.default_rng(seed).uniform(-2, 2, 3)
    net = nn.Sequential(nn.Linear(3, 1), dtype="float64", seed=seed)
    net[0].weight[...] = weights
    net[0].bias[...] = 1 + np.sqrt(FIRST_COST) - weights @ X[0]
    return net


def train_by_hand(net, steps=200):
    """Return the predictions before each step and after the last, and the costs before each."""
    optimizer = optim.SGD(net.parameters(), lr=RATE)
    predictions, costs = [], []
    for _ in range(steps):
        prediction = net.forward(X)
        predictions.append(prediction.item())
        costs.append(COST(prediction, Y))
        net.backward(COST.delta(prediction, Y))
        optimizer.step()
        optimizer.zero_grad()
    return np.array([*predictions, net(X).item()]), np.array(costs)


@pytest.mark.parametrize("seed", range(5))
def test_printed_predictions_and_costs_come_from_any_start(seed):
    predictions, costs = train_by_hand(layer_at_the_first_cost(seed))
    printed = predictions[list(PREDICTIONS)].round(8)
    np.testing.assert_array_equal(printed, list(PREDICTIONS.values()))
    # The last digits printed are rounding errors of the document's own start.
    np.testing.assert_allclose(costs[list(COSTS)], list(COSTS.values()), rtol=2e-12)


@pytest.mark.parametrize("seed", range(5))
def test_each_step_leaves_97_percent_of_the_error(seed):
    predictions, _ = train_by_hand(layer_at_the_first_cost(seed))
    errors = predictions - 1
    np.testing.assert_allclose(errors[1:], 0.97 * errors[:-1], rtol=0, atol=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_fit_gives_the_bits_of_the_loop_by_hand(seed):
    fitted, by_hand = layer_at_the_first_cost(seed), layer_at_the_first_cost(seed)
    history = fitted.fit(
        X, Y, loss=COST, optimizer=optim.SGD(fitted.parameters(), lr=RATE), epochs=200
    )
    _, costs = train_by_hand(by_hand)
    np.testing.assert_array_equal(history["loss"], costs)
    np.testing.assert_array_equal(fitted.flat_parameters, by_hand.flat_parameters)


@pytest.mark.parametrize("seed", range(5))
def test_gradients_are_the_formulas(seed):
    net = layer_at_the_first_cost(seed)
    prediction = net.forward(X)
    delta = COST.delta(prediction, Y)
    np.testing.assert_array_equal(delta, 2 * (prediction - Y))
    input_delta = net.backward(delta)
    np.testing.assert_array_equal(net[0].grad_weight, (X.T @ delta).T)
    np.testing.assert_array_equal(net[0].grad_bias, delta[0])
    np.testing.assert_array_equal(input_delta, delta * net[0].weight)


def test_one_step_subtracts_the_rate_times_the_gradient():
    net = layer_at_the_first_cost(0)
    weight, bias = net[0].weight.copy(), net[0].bias.copy()
    delta = 2 * (weight @ X[0] + bias - 1)
    train_by_hand(net, steps=1)
    np.testing.assert_allclose(net[0].weight, weight - RATE * delta * X, rtol=1e-14)
    np.testing.assert_allclose(net[0].bias, bias - RATE * delta, rtol=1e-14)
