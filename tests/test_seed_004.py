"""Seed 004: house prices, areas of trapezoids, and the parts they are made with.

The delta recursion of the same document is in test_recursion.py.
"""

import numpy as np
import pytest

from deltaprop import graph, nn, optim

MSE = nn.MSELoss()


def houses():
    random = np.random.RandomState(20)
    area = random.randn(100, 1) + 5
    return area, 2.8 * area - random.randn(100, 1)


def trapezoids(seed):
    """Return top and bottom side of 50 trapezoids as high as their top is long, and the areas."""
    random = np.random.RandomState(seed)
    top = random.randint(5, 10, [50, 1]) / 10
    bottom = random.randint(10, 16, [50, 1]) / 10
    return np.hstack((top, bottom)), 0.5 * (top + bottom) * top


def five_features(x):
    top, bottom = x[:, :1], x[:, 1:]
    return np.hstack((x, top**2, top * bottom, bottom**2))


def rmse(outputs, y):
    return np.sqrt(np.mean((outputs - y) ** 2))


def best_affine_rmse(x, y):
    columns = np.hstack((x, np.ones((len(x), 1))))
    coefficients = np.linalg.lstsq(columns, y, rcond=None)[0]
    return rmse(columns @ coefficients, y)


def fit_whole_set(net, x, y, optimizer, epochs):
    return net.fit(x, y, loss=MSE, optimizer=optimizer, epochs=epochs, batch_size=None)


def sigmoid_network(seed):
    return nn.Sequential(
        nn.Linear(2, 50), nn.Sigmoid(), nn.Linear(50, 1), dtype="float64", seed=seed
    )


# House prices


@pytest.mark.parametrize("seed", range(3))
def test_house_prices_follow_the_plain_loop(seed):
    x, y = houses()
    net = nn.Sequential(nn.Linear(1, 1), dtype="float64", seed=seed)
    w, b = net[0].weight.item(), net[0].bias.item()
    history = fit_whole_set(net, x, y, optim.SGD(net.parameters(), lr=0.003), epochs=40)
    losses = []
    for _ in range(40):
        error = w * x + b - y
        losses.append(np.mean(error**2))
        w -= 0.003 * 2 * np.mean(error * x)
        b -= 0.003 * 2 * np.mean(error)
    assert net[0].weight.item() == pytest.approx(w, rel=0, abs=1e-12)
    assert net[0].bias.item() == pytest.approx(b, rel=0, abs=1e-12)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-12)


@pytest.mark.parametrize("weight", [-1, 1])
@pytest.mark.parametrize("bias", [-1, 1])
def test_house_prices_lie_along_the_line_from_every_start(weight, bias):
    # The loss after 40 epochs is convex in the start, so that the corners of the square from which
    # Linear(1, 1) draws bound it for every seed.
    x, y = houses()
    net = nn.Sequential(nn.Linear(1, 1), dtype="float64", seed=0)
    net[0].weight[...], net[0].bias[...] = weight, bias
    history = fit_whole_set(net, x, y, optim.SGD(net.parameters(), lr=0.003), epochs=40)
    assert np.all(np.diff(history["loss"]) < 0)
    best = best_affine_rmse(x, y) ** 2
    assert best * (1 - 1e-12) <= MSE(net(x), y) < 1.25 * best


# The area of a trapezoid, linear in five features


@pytest.mark.parametrize("seed", range(6))
def test_areas_are_fitted_by_a_linear_layer_on_five_features(seed):
    x, y = trapezoids(seed)
    features = five_features(x)
    net = nn.Sequential(nn.Linear(5, 1), dtype="float64", seed=seed)
    adam = optim.Adam(net.parameters(), lr=0.003)
    history = fit_whole_set(net, features, y, adam, epochs=20_000)
    # Adam's steps keep their size, so that the last epoch may be one of its outliers.
    assert np.sqrt(history["loss"].min()) < 2e-3
    assert rmse(net(features), y) < 2e-2


def test_areas_are_exact_with_the_coefficients_of_least_squares():
    x, y = trapezoids(0)
    features = five_features(x)
    columns = np.hstack((features, np.ones((50, 1))))
    coefficients = np.linalg.lstsq(columns, y, rcond=None)[0][:, 0]
    np.testing.assert_allclose(coefficients, [0, 0, 0.5, 0.5, 0, 0], atol=1e-12)
    net = nn.Sequential(nn.Linear(5, 1), dtype="float64", seed=0)
    net[0].weight[...], net[0].bias[...] = coefficients[:5], coefficients[5]
    outputs = net.forward(features)
    np.testing.assert_allclose(outputs, y, atol=1e-12)
    net.backward(MSE.delta(outputs, y))
    np.testing.assert_allclose(net.flat_gradients, 0, atol=1e-12)


# The area of a trapezoid, by 2-50-1 with a sigmoid


def test_areas_by_sigmoid_network_agree_to_about_a_hundredth():
    errors = []
    for seed in range(20):
        x, y = trapezoids(seed)
        net = sigmoid_network(seed)
        adam = optim.Adam(net.parameters(), lr=0.003)
        history = fit_whole_set(net, x, y, adam, epochs=1000)
        assert history["loss"].shape == (1000,)
        assert history["loss"][-1] < history["loss"][0] / 20
        errors.append(np.mean(np.abs(net(x) - y)))
    # PyTorch's networks of this shape have the same spread.
    assert np.median(errors) < 0.02
    assert max(errors) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_areas_by_sigmoid_network_by_hand_give_the_bits_of_fit(seed):
    x, y = trapezoids(seed)
    fitted, net = sigmoid_network(seed), sigmoid_network(seed)
    history = fit_whole_set(fitted, x, y, optim.Adam(fitted.parameters(), lr=0.003), epochs=200)
    adam = optim.Adam(net.parameters(), lr=0.003)
    losses = []
    for _ in range(200):
        outputs = net.forward(x)
        losses.append(MSE(outputs, y))
        adam.zero_grad()
        net.backward(MSE.delta(outputs, y))
        adam.step()
    # A mean over batches, weighted by their rows, rounds even where there is one batch.
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-15)
    np.testing.assert_array_equal(net.flat_parameters, fitted.flat_parameters)


# Without the activation all layers are one linear map


@pytest.mark.parametrize("seed", range(3))
def test_three_hidden_features_without_activation_are_one_affine_map(seed):
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1), dtype="float64", seed=seed)
    (w1, w3, w5), (w2, w4, w6) = net[0].weight.T
    (w7, w8, w9), (b1, b2, b3), (b4,) = net[1].weight[0], net[0].bias, net[1].bias
    alpha = w1 * w7 + w3 * w8 + w5 * w9
    beta = w2 * w7 + w4 * w8 + w6 * w9
    gamma = w7 * b1 + w8 * b2 + w9 * b3 + b4
    x, _ = trapezoids(seed)
    expected = alpha * x[:, :1] + beta * x[:, 1:] + gamma
    np.testing.assert_allclose(net(x), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_three_layers_without_activation_are_one_layer(seed):
    deep = nn.Sequential(
        nn.Linear(4, 5), nn.Linear(5, 3), nn.Linear(3, 1), dtype="float64", seed=seed
    )
    one = nn.Sequential(nn.Linear(4, 1), dtype="float64", seed=0)
    one[0].weight[...] = deep[2].weight @ deep[1].weight @ deep[0].weight
    one[0].bias[...] = deep(np.zeros(4))
    x = np.random.default_rng(seed).normal(size=(20, 4))
    np.testing.assert_allclose(deep(x), one(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_only_the_activation_takes_the_network_below_the_best_affine_map(seed):
    x, y = trapezoids(seed)
    best = best_affine_rmse(x, y)
    linear = nn.Sequential(nn.Linear(2, 50), nn.Linear(50, 1), dtype="float64", seed=seed)
    curved = sigmoid_network(seed)
    # 1,000 epochs are too few: a sigmoid network is about as good as the best affine map by then.
    reached = []
    for net in linear, curved:
        adam = optim.Adam(net.parameters(), lr=0.003)
        history = fit_whole_set(net, x, y, adam, epochs=20_000)
        reached.append(np.sqrt(history["loss"].min()))
    assert reached[0] == pytest.approx(best, rel=1e-6)
    assert reached[0] >= best * (1 - 1e-9)
    assert reached[1] < 0.8 * best


# The parts


def test_linear_takes_two_samples_of_four_features_to_two_of_five():
    x = np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 5.0, 6.0, 7.0]])
    layer = nn.Linear(4, 5)
    assert layer(x).shape == (2, 5)
    expected = x @ layer.weight.T.astype(np.float64) + layer.bias
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_layers_in_a_row_and_in_a_sequential_give_the_same():
    x = np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 5.0, 6.0, 7.0]])
    layers = nn.Linear(4, 5), nn.Linear(5, 3), nn.Linear(3, 1)
    steps = [x]
    for layer in layers:
        steps.append(layer(steps[-1]))
    assert [step.shape for step in steps] == [(2, 4), (2, 5), (2, 3), (2, 1)]
    net = nn.Sequential(*layers)
    np.testing.assert_array_equal(net(x), steps[-1])
    net.forward(x)
    for activation, step in zip(net.activations, steps[1:], strict=True):
        np.testing.assert_array_equal(activation, step)


def test_four_factors_of_a_house_price_are_a_weighted_sum():
    net = nn.Sequential(nn.Linear(4, 1), dtype="float64", seed=0)
    net[0].weight[...], net[0].bias[...] = [2.5, -0.5, 1.5, 4.0], 10.0
    assert net([3.0, 2.0, 1.0, 0.25]).tolist() == [2.5 * 3 - 0.5 * 2 + 1.5 + 4.0 * 0.25 + 10]


@pytest.mark.parametrize(
    ("loss", "value", "delta"),
    [
        (nn.MSELoss(), 1.6667, [2 / 3, 0, -4 / 3]),
        (nn.MSELoss(factor=0.5), 0.8333, [1 / 3, 0, -2 / 3]),
        (nn.MSELoss(reduction="sum"), 5, [2, 0, -4]),
        (nn.MSELoss(reduction="sum", factor=0.5), 2.5, [1, 0, -2]),
    ],
    ids=repr,
)
def test_mean_squared_error_has_the_figures(loss, value, delta):
    y, outputs = [1.0, 2.0, 3.0], [2.0, 2.0, 1.0]
    assert round(loss(outputs, y), 4) == value
    np.testing.assert_allclose(loss.delta(outputs, y), delta, rtol=1e-15)


# Descents


def bowl(w1, w2):
    return w1**2 + w2**2 + 2 * w2 + 5


def test_twenty_jumps_into_the_bowl_have_the_printed_points():
    path = optim.descend(bowl, (-2, 3), lr=0.1, steps=20)
    printed = [
        [-2, 3],
        [-1.6, 2.2],
        [-1.28, 1.56],
        [-1.024, 1.048],
        [-0.819, 0.638],
        [-0.655, 0.311],
        [-0.524, 0.049],
        [-0.419, -0.161],
        [-0.336, -0.329],
        [-0.268, -0.463],
        [-0.215, -0.571],
    ]
    assert path.points.shape == (21, 2)
    assert path.points[:11].round(3).tolist() == printed
    assert path.points[20].round(3).tolist() == [-0.023, -0.954]
    assert path.stop_reason == "steps"


def test_the_first_jump_into_the_bowl_goes_against_the_gradient():
    path = optim.descend(bowl, (-2, 3), lr=0.1, steps=20)
    assert path.gradients[0].tolist() == [-4, 8]
    assert path.values[0] == 24
    assert path.values[1] == pytest.approx(16.8, rel=1e-15)
    assert np.all(np.diff(path.values) < 0)


def test_every_jump_into_the_bowl_leaves_four_fifths_of_the_way():
    path = optim.descend(bowl, (-2, 3), lr=0.1, steps=20)
    expected = [0, -1] + 0.8 ** np.arange(21)[:, None] * [-2, 4]
    np.testing.assert_allclose(path.points, expected, rtol=1e-13)


def test_of_all_directions_the_one_against_the_gradient_is_the_steepest():
    def valley(x, y):
        return x**2 + y**2 + 5

    degrees = np.arange(-180, 180)
    directions = np.stack((np.cos(np.radians(degrees)), np.sin(np.radians(degrees))), axis=1)
    slopes = [graph.directional_derivative(valley, (-3, 3), d) for d in directions]
    np.testing.assert_allclose(slopes, directions @ [-6, 6], rtol=0, atol=1e-14)
    assert degrees[np.argmin(slopes)] == -45
    root = np.sqrt(2) / 2
    np.testing.assert_allclose(directions[np.argmin(slopes)], [root, -root], rtol=1e-15)
    assert min(slopes) == pytest.approx(-6 * np.sqrt(2), rel=1e-15)
    assert degrees[np.argmax(slopes)] == 135
