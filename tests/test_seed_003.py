"""Seed 003: one factor with a learning rate for each parameter, then two layers, then many."""

import numpy as np
import pytest

from deltaprop import nn, optim

X = np.arange(1.0, 100.0, 2.0)[:, None]
Y = 2 * X + 10
HALF_SUM = nn.MSELoss(reduction="sum", factor=0.5)
WEIGHT_RATE, BIAS_RATE = 1e-4, 1e-3


def linear_layers(count):
    net = nn.Sequential(*(nn.Linear(1, 1) for _ in range(count)), dtype="float64", seed=0)
    for layer in net:
        layer.weight[...] = 20
        layer.bias[...] = 30
    return net


def sgd_with_two_rates(net):
    return optim.SGD(
        [
            {"params": [p for p in net.parameters() if "weight" in p.name], "lr": WEIGHT_RATE},
            {"params": [p for p in net.parameters() if "bias" in p.name], "lr": BIAS_RATE},
        ]
    )


def fit_in_order(net, x, y, loss, optimizer, epochs):
    return net.fit(x, y, loss=loss, optimizer=optimizer, epochs=epochs, batch_size=5, shuffle=False)


def test_one_factor_ends_at_the_figures():
    net = linear_layers(1)
    fit_in_order(net, X, Y, HALF_SUM, sgd_with_two_rates(net), epochs=100)
    assert net[0].weight.item() == pytest.approx(2.000133678812156, rel=0, abs=1e-12)
    assert net[0].bias.item() == pytest.approx(14.061739071416026, rel=0, abs=1e-12)


@pytest.mark.parametrize("epochs", [1, 2, 10, 100])
def test_one_factor_follows_the_plain_loop(epochs):
    net = linear_layers(1)
    history = fit_in_order(net, X, Y, HALF_SUM, sgd_with_two_rates(net), epochs)
    a, b = 20.0, 30.0
    losses = []
    for _ in range(epochs):
        batches = []
        for x, y in zip(np.split(X, 10), np.split(Y, 10), strict=True):
            error = a * x + b - y
            batches.append(np.sum(error**2) / 2)
            a -= WEIGHT_RATE * np.sum(error * x)
            b -= BIAS_RATE * np.sum(error)
        losses.append(np.mean(batches))
    assert net[0].weight.item() == pytest.approx(a, rel=0, abs=1e-12)
    assert net[0].bias.item() == pytest.approx(b, rel=0, abs=1e-12)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-10)


def test_one_factor_by_hand_gives_the_bits_of_fit():
    fitted, net = linear_layers(1), linear_layers(1)
    fit_in_order(fitted, X, Y, HALF_SUM, sgd_with_two_rates(fitted), epochs=3)
    optimizer = sgd_with_two_rates(net)
    for _ in range(3):
        for x, y in zip(np.split(X, 10), np.split(Y, 10), strict=True):
            net.backward(HALF_SUM.delta(net.forward(x), y))
            optimizer.step()
            optimizer.zero_grad()
    np.testing.assert_array_equal(net.flat_parameters, fitted.flat_parameters)


def test_two_layers_have_the_chain_rules_gradients_on_the_first_batch():
    net = linear_layers(2)
    x, y = X[:5], Y[:5]
    outputs = net.forward(x)
    input_delta = net.backward(HALF_SUM.delta(outputs, y))

    # Every number here is an integer, so that float64 leaves nothing to a tolerance.
    a1, b1, a2, b2 = 20, 30, 20, 30
    inner = a1 * x + b1
    error = a2 * inner + b2 - y
    np.testing.assert_array_equal(net.activations[0], inner)
    np.testing.assert_array_equal(outputs, error + y)
    np.testing.assert_array_equal(net.deltas[1], error)
    np.testing.assert_array_equal(net.deltas[0], error * a2)
    np.testing.assert_array_equal(input_delta, error * a2 * a1)

    assert net[1].grad_weight.item() == np.sum(error * inner) == 2014900
    assert net[1].grad_bias.item() == np.sum(error) == 13050
    assert net[0].grad_weight.item() == np.sum(error * a2 * x) == 1623400
    assert net[0].grad_bias.item() == np.sum(error * a2) == 261000


def test_two_layers_take_each_parameters_own_rate():
    net = linear_layers(2)
    fit_in_order(net, X[:5], Y[:5], HALF_SUM, sgd_with_two_rates(net), epochs=1)
    assert net[0].weight.item() == pytest.approx(20 - 1623400e-4, rel=1e-14)
    assert net[0].bias.item() == pytest.approx(30 - 261000e-3, rel=1e-14)
    assert net[1].weight.item() == pytest.approx(20 - 2014900e-4, rel=1e-14)
    assert net[1].bias.item() == pytest.approx(30 - 13050e-3, rel=1e-14)


def noisy(seed):
    return Y + 20 * np.random.default_rng(seed).standard_normal(Y.shape)


def two_layers_fitted_by_adam(seed, epochs=1000):
    net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1), dtype="float64", seed=seed)
    start = net.flat_parameters.copy()
    adam = optim.Adam(net.parameters(), lr=1e-3)
    history = fit_in_order(net, X, noisy(seed), nn.MSELoss(), adam, epochs)
    return net, history, start


@pytest.mark.parametrize("seed", range(3))
def test_two_layers_with_adam_follow_the_plain_loop(seed):
    net, _, start = two_layers_fitted_by_adam(seed, epochs=200)
    p, m, v = start, np.zeros(4), np.zeros(4)
    step = 0
    for _ in range(200):
        for x, y in zip(np.split(X, 10), np.split(noisy(seed), 10), strict=True):
            a1, b1, a2, b2 = p
            inner = a1 * x + b1
            delta = 2 * (a2 * inner + b2 - y) / len(x)
            g = np.array(
                [(delta * a2 * x).sum(), delta.sum() * a2, (delta * inner).sum(), delta.sum()]
            )
            step += 1
            m = 0.9 * m + 0.1 * g
            v = 0.999 * v + 0.001 * g**2
            corrected = np.sqrt(v / (1 - 0.999**step)) + 1e-8
            p = p - 1e-3 * m / (1 - 0.9**step) / corrected
    np.testing.assert_allclose(net.flat_parameters, p, rtol=1e-10)


@pytest.mark.parametrize("seed", range(10))
def test_two_layers_with_adam_come_close_to_the_best_line(seed):
    net, history, _ = two_layers_fitted_by_adam(seed)
    y = noisy(seed)
    residual = np.polyval(np.polyfit(X[:, 0], y[:, 0], 1), X) - y
    best = np.mean(residual**2)
    error = np.mean((net(X) - y) ** 2)
    # Of 300 seeds the worst came to 1.19 times the best line's error.
    assert best * (1 - 1e-12) <= error < 1.3 * best
    assert history["loss"].shape == (1000,)
    assert history["loss"][-1] < history["loss"][0] / 3


def many_factors(seed):
    """Return 40 rows of three factors, and two targets that are affine in them."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(40, 3))
    slopes = np.array([[2.0, -1.0], [0.5, 3.0], [-1.5, 0.25]])
    return x, x @ slopes + [10.0, -4.0], slopes


@pytest.mark.parametrize("seed", range(5))
def test_many_layers_of_many_factors_have_the_chain_rules_gradients(seed):
    x, y, _ = many_factors(seed)
    net = nn.Sequential(
        nn.Linear(3, 4), nn.Linear(4, 5), nn.Linear(5, 2), dtype="float64", seed=seed
    )
    net.backward(HALF_SUM.delta(net.forward(x), y))
    (w1, b1), (w2, b2), (w3, b3) = ((layer.weight.T, layer.bias) for layer in net)
    first = x @ w1 + b1
    second = first @ w2 + b2
    error = second @ w3 + b3 - y
    for layer, below, delta in [
        (net[2], second, error),
        (net[1], first, error @ w3.T),
        (net[0], x, error @ w3.T @ w2.T),
    ]:
        np.testing.assert_allclose(layer.grad_weight.T, below.T @ delta, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(layer.grad_bias, delta.sum(axis=0), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("seed", range(5))
def test_many_layers_of_many_factors_find_the_affine_map(seed):
    x, y, slopes = many_factors(seed)
    net = nn.Sequential(
        nn.Linear(3, 4), nn.Linear(4, 5), nn.Linear(5, 2), dtype="float64", seed=seed
    )
    sgd = optim.SGD(net.parameters(), lr=0.003)
    fit_in_order(net, x, y, nn.MSELoss(), sgd, epochs=3000)
    composed = net[0].weight.T @ net[1].weight.T @ net[2].weight.T
    np.testing.assert_allclose(composed, slopes, atol=1e-12)
    np.testing.assert_allclose(net(np.zeros(3)), [10.0, -4.0], atol=1e-12)
