"""The delta recursion, equations (3-18) and (3-30) to (3-37) of seed 004, against plain NumPy."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim

# J = 1/2 sum (a - y)^2, the loss for which (3-33) and (3-37) are written.
HALF_SUM = nn.MSELoss(reduction="sum", factor=0.5)


def logistic(z):
    return 1 / (1 + np.exp(-z))


# An activation's layer, f(z), f'(z). None: the layer ends with z.
ACTIVATIONS = {
    "none": (None, lambda z: z, np.ones_like),
    "identity": (nn.Identity, lambda z: z, np.ones_like),
    "sigmoid": (nn.Sigmoid, logistic, lambda z: logistic(z) * (1 - logistic(z))),
    "tanh": (nn.Tanh, np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "relu": (nn.ReLU, lambda z: np.maximum(z, 0), lambda z: np.where(z > 0, 1.0, 0.0)),
}


@dataclass
class Case:
    """A network with what the formulas need: one entry a layer with weights."""

    net: nn.Sequential
    names: list[str]
    linear: list[int]  # where z^{l+1} is in net.activations
    last: list[int]  # where a^{l+1} is
    x: np.ndarray
    y: np.ndarray

    @property
    def weights(self):
        """Return w^l as the formulas have it, (from, to)."""
        return [self.net[i].weight.T for i in self.linear]

    @property
    def biases(self):
        return [self.net[i].bias for i in self.linear]

    def value(self):
        return HALF_SUM(self.net(self.x), self.y)

    def backpropagate(self):
        return self.net.backward(HALF_SUM.delta(self.net.forward(self.x), self.y))


def make_case(seed, widths, names, rows, dtype="float64"):
    layers, linear, last = [], [], []
    for (fan_in, fan_out), name in zip(pairwise(widths), names, strict=True):
        linear.append(len(layers))
        layers.append(nn.Linear(fan_in, fan_out))
        activation = ACTIVATIONS[name][0]
        if activation is not None:
            layers.append(activation())
        last.append(len(layers) - 1)
    net = nn.Sequential(*layers, dtype=dtype, seed=seed)
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, widths[0]))
    return Case(net, names, linear, last, x, random.normal(size=(rows, widths[-1])))


def random_case(seed):
    random = np.random.default_rng(seed)
    depth = 1 + seed % 6
    widths = random.integers(1, 9, size=depth + 1).tolist()
    names = random.choice(list(ACTIVATIONS), size=depth).tolist()
    return make_case(seed, widths, names, rows=int(random.integers(1, 6)))


def figure_3_16(seed=0, rows=1):
    return make_case(seed, [3, 4, 2], ["sigmoid", "sigmoid"], rows)


def matrix_form(case):
    """Return z, a, dJ/dz, dJ/dw and dJ/db of each layer by (3-18) and (3-34) to (3-37)."""
    w, b = case.weights, case.biases
    f = [ACTIVATIONS[name][1] for name in case.names]
    slope = [ACTIVATIONS[name][2] for name in case.names]
    depth = len(w)
    a, z = [case.x], []
    for n in range(depth):
        z.append(a[n] @ w[n] + b[n])
        a.append(f[n](z[n]))
    delta = [(a[depth] - case.y) * slope[-1](z[-1])]
    for n in reversed(range(depth - 1)):
        delta.insert(0, (delta[0] @ w[n + 1].T) * slope[n](z[n]))
    dw = [a[n].T @ delta[n] for n in range(depth)]
    db = [delta[n].sum(axis=0) for n in range(depth)]
    return z, a, delta, dw, db


def element_form(case):
    """Return dJ/dz, dJ/dw and dJ/db of each layer by (3-30) to (3-33), a number at a time."""
    w, b = case.weights, case.biases
    f = [ACTIVATIONS[name][1] for name in case.names]
    slope = [ACTIVATIONS[name][2] for name in case.names]
    depth = len(w)
    widths = [len(w[0]), *(len(bias) for bias in b)]
    deltas = [np.zeros((len(case.x), width)) for width in widths[1:]]
    dw = [np.zeros_like(matrix) for matrix in w]
    db = [np.zeros_like(vector) for vector in b]
    for row, (x, y) in enumerate(zip(case.x, case.y, strict=True)):
        a, z = [list(x)], []
        for n in range(depth):
            z.append(
                [
                    sum(a[n][j] * w[n][j, i] for j in range(widths[n])) + b[n][i]
                    for i in range(widths[n + 1])
                ]
            )
            a.append([f[n](value) for value in z[n]])
        for n in reversed(range(depth)):
            for i in range(widths[n + 1]):
                if n == depth - 1:
                    upper = a[depth][i] - y[i]
                else:
                    upper = sum(
                        deltas[n + 1][row, k] * w[n + 1][i, k] for k in range(widths[n + 2])
                    )
                deltas[n][row, i] = upper * slope[n](z[n][i])
                db[n][i] += deltas[n][row, i]
                for j in range(widths[n]):
                    dw[n][j, i] += deltas[n][row, i] * a[n][j]
    return deltas, dw, db


def assert_close(ours, formula, rtol=1e-12):
    np.testing.assert_allclose(ours, formula, rtol=rtol, atol=rtol * np.abs(formula).max())


def assert_matrix_form(case, rtol=1e-12):
    """Compare everything the network shows after a pass with the formulas in float64."""
    input_delta = case.backpropagate()
    z, a, delta, dw, db = matrix_form(case)
    net, w = case.net, case.weights
    # dJ/d(a of a layer): the error for the last, and what the layer above passes down otherwise.
    below = [delta[n] @ w[n].T for n in range(len(w))]
    uppers = [*below[1:], a[-1] - case.y]
    for n, (linear, last) in enumerate(zip(case.linear, case.last, strict=True)):
        assert_close(net.activations[linear], z[n], rtol)
        assert_close(net.activations[last], a[n + 1], rtol)
        assert_close(net.deltas[linear], delta[n], rtol)
        if last != linear:
            assert_close(net.deltas[last], uppers[n], rtol)
        assert_close(net[linear].grad_weight.T, dw[n], rtol)
        assert_close(net[linear].grad_bias, db[n], rtol)
    assert_close(input_delta, below[0], rtol)


def assert_finite_differences(case):
    input_delta = case.backpropagate()
    step = 1e-5
    pairs = [(p.value, p.grad) for p in case.net.parameters()]
    for values, gradient in [*pairs, (case.x, input_delta)]:
        numeric = np.empty_like(gradient)
        for place in np.ndindex(values.shape):
            value = values[place]
            values[place] = value + step
            above = case.value()
            values[place] = value - step
            numeric[place] = (above - case.value()) / (2 * step)
            values[place] = value
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)


each_random_case = pytest.mark.parametrize("seed", range(30))


@each_random_case
def test_random_network_equals_the_matrix_form(seed):
    assert_matrix_form(random_case(seed))


@each_random_case
def test_random_network_equals_the_element_wise_form(seed):
    case = random_case(seed)
    case.backpropagate()
    deltas, dw, db = element_form(case)
    for n, linear in enumerate(case.linear):
        assert_close(case.net.deltas[linear], deltas[n])
        assert_close(case.net[linear].grad_weight.T, dw[n])
        assert_close(case.net[linear].grad_bias, db[n])


@each_random_case
def test_random_network_equals_finite_differences(seed):
    assert_finite_differences(random_case(seed))


@each_random_case
def test_check_gradients_agrees_on_every_parameter_and_the_input(seed):
    case = random_case(seed)
    report = dp.check_gradients(case.net, HALF_SUM, case.x, case.y)
    assert report.ok, report
    names = [p.name for p in case.net.parameters()]
    assert [row.name for row in report.rows] == [*names, "input"]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_activation_twelve_layers_deep_equals_the_matrix_form(name):
    assert_matrix_form(make_case(7, [5] * 13, [name] * 12, rows=4))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_wide_layers_and_many_rows_equal_the_matrix_form(name):
    # Beyond the 256 rows of one block of the sums over rows, and no width a multiple of a vector.
    assert_matrix_form(make_case(8, [33, 131, 67, 5], [name] * 3, rows=523), rtol=1e-11)


@each_random_case
def test_float32_equals_the_matrix_form_to_its_precision(seed):
    random = np.random.default_rng(seed)
    widths = random.integers(1, 9, size=4).tolist()
    case = make_case(seed, widths, ["tanh", "sigmoid", "none"], rows=3, dtype="float32")
    assert_matrix_form(case, rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rows", [1, 6])
def test_figure_3_16_equals_the_matrix_form_and_finite_differences(seed, rows):
    assert_matrix_form(figure_3_16(seed, rows))
    assert_finite_differences(figure_3_16(seed, rows))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rows", [1, 6])
def test_figure_3_16_equals_the_element_wise_form(seed, rows):
    case = figure_3_16(seed, rows)
    case.backpropagate()
    deltas, dw, db = element_form(case)
    for n, linear in enumerate([0, 2]):
        assert_close(case.net.deltas[linear], deltas[n])
        assert_close(case.net[linear].grad_weight.T, dw[n])
        assert_close(case.net[linear].grad_bias, db[n])


@pytest.mark.parametrize("seed", range(5))
def test_figure_3_16_sums_over_every_path_to_a_weight(seed):
    case = figure_3_16(seed)
    case.backpropagate()
    slope = ACTIVATIONS["sigmoid"][2]
    z2, _, z3, a3 = (activation[0] for activation in case.net.activations)
    x, y = case.x[0], case.y[0]
    second = case.net[2].weight
    for i, j in np.ndindex(4, 3):
        paths = [
            (a3[k] - y[k]) * slope(z3[k]) * second[k, i] * slope(z2[i]) * x[j] for k in range(2)
        ]
        assert case.net[0].grad_weight[i, j] == pytest.approx(sum(paths), rel=1e-12)


def test_one_samples_bias_gradient_is_its_delta_and_weight_gradient_the_outer_product():
    case = figure_3_16()
    case.backpropagate()
    inputs = [case.x[0], case.net.activations[1][0]]
    for a, linear in zip(inputs, [0, 2], strict=True):
        delta = case.net.deltas[linear][0]
        np.testing.assert_array_equal(case.net[linear].grad_bias, delta)
        np.testing.assert_array_equal(case.net[linear].grad_weight, np.outer(delta, a))


@each_random_case
def test_gradients_of_single_samples_add_up_to_those_of_the_batch(seed):
    case = random_case(seed)
    case.backpropagate()
    batch = case.net.flat_gradients.copy()
    case.net.zero_grad()
    for x, y in zip(case.x, case.y, strict=True):
        case.net.backward(HALF_SUM.delta(case.net.forward(x), y))
    assert_close(case.net.flat_gradients, batch)


@pytest.mark.parametrize("seed", range(5))
def test_network_from_scratch_trains_as_the_formulas_do(seed):
    case = figure_3_16(seed, rows=20)
    w = [matrix.copy() for matrix in case.weights]
    b = [vector.copy() for vector in case.biases]
    scratch = figure_3_16(seed, rows=20)
    for _ in range(200):
        _, _, _, dw, db = matrix_form(scratch)
        for n in range(2):
            scratch.weights[n][...] -= 0.05 * dw[n]
            scratch.biases[n][...] -= 0.05 * db[n]
    case.net.fit(
        case.x,
        case.y,
        loss=HALF_SUM,
        optimizer=optim.SGD(case.net.parameters(), lr=0.05),
        epochs=200,
        batch_size=None,
    )
    for n in range(2):
        assert np.abs(case.weights[n] - w[n]).max() > 0.1
        assert np.abs(case.biases[n] - b[n]).max() > 0.01
    assert_close(case.net.flat_parameters, scratch.net.flat_parameters, rtol=1e-11)
