"""Layers: formulas, edges, and a layer on its own."""

import gc
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import deltaprop as dp
from deltaprop import nn, optim

ACTIVATIONS = [nn.Identity, nn.Sigmoid, nn.Tanh, nn.ReLU]
FORMULAS = {
    nn.Identity: (np.positive, np.ones_like),
    nn.Sigmoid: (
        lambda x: np.exp(-np.logaddexp(0, -x)),
        lambda x: np.exp(-np.logaddexp(0, -x) - np.logaddexp(0, x)),
    ),
    nn.Tanh: (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    nn.ReLU: (lambda x: np.maximum(x, 0), lambda x: np.where(x > 0, 1.0, 0.0)),
}
DTYPES = ["float32", "float64"]
# Errors in units of the last place that the functions are allowed.
ULPS = 4


def alone(layer, dtype):
    """Return a network of one layer, which fixes the dtype."""
    return nn.Sequential(layer, dtype=dtype, seed=3)


def close(found, expected, dtype, ulps=ULPS):
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(found, expected, rtol=ulps * eps, atol=ulps * eps)


@pytest.mark.parametrize("layer", [lambda: nn.Linear(3, 4), *ACTIVATIONS])
@pytest.mark.parametrize("rows", [1, 7])
def test_gradients_agree_with_differences(layer, rows, rng):
    net = nn.Sequential(nn.Linear(3, 3), layer(), nn.Linear(4 if layer().out_features else 3, 2))
    x, y = rng.normal(size=(rows, 3)), rng.normal(size=(rows, 2))
    report = dp.check_gradients(net, nn.MSELoss(), x, y)
    assert report.ok, report


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations_equal_numpy(kind, dtype, rng):
    f, derivative = FORMULAS[kind]
    x = np.concatenate([rng.normal(size=200) * 10.0**k for k in range(-6, 2)]).astype(dtype)
    x = x.reshape(-1, 8)
    delta = rng.normal(size=x.shape).astype(dtype)
    net = alone(kind(), dtype)
    close(net.forward(x), f(x.astype(float)), dtype)
    # 1 - y^2 and y (1 - y), from a rounded y, lose digits where f is flat: absolute, not relative.
    close(net.backward(delta), delta * derivative(x.astype(float)), dtype, ulps=16)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 1, 1), (5, 3, 2), (300, 17, 33)])
def test_linear_equals_numpy(rows, inputs, outputs, dtype, rng):
    net = alone(nn.Linear(inputs, outputs), dtype)
    layer = net[0]
    x = rng.normal(size=(rows, inputs)).astype(dtype)
    delta = rng.normal(size=(rows, outputs)).astype(dtype)
    w, b = layer.weight.astype(float), layer.bias.astype(float)
    ulps = 8 * (inputs + rows + outputs)
    close(net(x), x.astype(float) @ w.T + b, dtype, ulps)
    close(net.forward(x), x.astype(float) @ w.T + b, dtype, ulps)
    close(net.backward(delta), delta.astype(float) @ w, dtype, ulps)
    close(layer.grad_weight, delta.T.astype(float) @ x, dtype, ulps)
    close(layer.grad_bias, delta.astype(float).sum(0), dtype, ulps)


def test_backward_adds_to_the_gradients(rng):
    net = alone(nn.Linear(3, 2), "float64")
    x, delta = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    net.forward(x)
    net.backward(delta)
    once = net.flat_gradients.copy()
    net.forward(x)
    net.backward(delta)
    np.testing.assert_allclose(net.flat_gradients, 2 * once, rtol=1e-15)
    net.zero_grad()
    assert not net.flat_gradients.any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_values_pass_through_activations(dtype):
    info = np.finfo(dtype)
    x = np.array([-np.inf, -info.max, -info.tiny, -0.0, 0.0, info.tiny, info.max, np.inf], dtype)
    expected = {
        nn.Identity: x,
        nn.Sigmoid: [0, 0, 0.5, 0.5, 0.5, 0.5, 1, 1],
        nn.Tanh: [-1, -1, -info.tiny, 0, 0, info.tiny, 1, 1],
        nn.ReLU: [0, 0, 0, 0, 0, info.tiny, info.max, np.inf],
    }
    for kind, y in expected.items():
        np.testing.assert_allclose(alone(kind(), dtype)(x), np.asarray(y, dtype), rtol=1e-6)
        assert np.isnan(alone(kind(), dtype)([[np.nan]])).all(), kind


def test_tiny_values_keep_their_digits():
    x = np.float64([1e-300, -1e-20, 1e-9])
    np.testing.assert_allclose(alone(nn.Tanh(), "float64")(x), x, rtol=4e-16)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_inference_keeps_what_is_not_finite_to_its_row(bad, dtype, rng):
    net = nn.Sequential(nn.Linear(3, 8), nn.Sigmoid(), nn.Linear(8, 2), dtype=dtype, seed=0)
    x = rng.normal(size=(40, 3))
    good = net(x)
    x[7, 1] = bad
    out = net(x)
    np.testing.assert_array_equal(np.delete(out, 7, 0), np.delete(good, 7, 0))
    assert not np.array_equal(out[7], good[7], equal_nan=True)
    assert np.isnan(out[7]).all() == np.isnan(bad)


@pytest.mark.parametrize("layer", [nn.Linear(3, 4), *(kind() for kind in ACTIVATIONS)], ids=repr)
def test_zero_rows(layer):
    out = layer.forward(np.empty((0, 3)))
    width = layer.out_features or 3
    assert out.shape == (0, width)
    assert layer(np.empty((0, 3))).shape == (0, width)
    assert layer.backward(np.empty((0, width))).shape == (0, 3)
    for p in layer.parameters():
        assert not p.grad.any()


@pytest.mark.parametrize("layer", [nn.Linear(3, 4), *(kind() for kind in ACTIVATIONS)], ids=repr)
def test_one_row_without_its_axis(layer):
    x = np.array([1.0, -2.0, 0.5], np.float32)
    out = layer.forward(x)
    assert out.shape == (layer.out_features or 3,)
    np.testing.assert_array_equal(out, layer.forward(x[None])[0])
    layer.forward(x)
    back = layer.backward(out)
    layer.forward(x[None])
    np.testing.assert_array_equal(back, layer.backward(out[None])[0])


widths = st.integers(1, 40)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    rows=st.integers(1, 30),
    sizes=st.lists(widths, min_size=2, max_size=4),
    dtype=st.sampled_from(DTYPES),
    kind=st.sampled_from(ACTIVATIONS),
)
def test_a_row_alone_gives_the_same_bits(data, rows, sizes, dtype, kind):
    layers = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), kind()]
    net = nn.Sequential(*layers, dtype=dtype, seed=0)
    floats = st.floats(-100, 100, width=32)
    X = data.draw(hnp.arrays(np.float32, (rows, sizes[0]), elements=floats))
    whole = net(X)
    for i in range(rows):
        np.testing.assert_array_equal(whole[i], net(X[i]))
        np.testing.assert_array_equal(whole[i], net(X[i : i + 1])[0])
    np.testing.assert_array_equal(whole, net.forward(X))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_alone_gives_the_same_bits_in_large_sets(dtype, rng):
    net = nn.Sequential(nn.Linear(100, 70), nn.Tanh(), nn.Linear(70, 3), dtype=dtype, seed=0)
    X = rng.normal(size=(1001, 100))
    whole = net(X)
    for i in (0, 1, 11, 12, 191, 192, 193, 500, 999, 1000):
        np.testing.assert_array_equal(whole[i], net(X[i]))
    for size in (1, 3, 100, 1000, 5000):
        np.testing.assert_array_equal(whole, net.predict(X, batch_size=size))


def test_relu_has_slope_0_at_0():
    net = alone(nn.ReLU(), "float64")
    net.forward([-0.0, 0.0, 1e-300])
    np.testing.assert_array_equal(net.backward(np.ones(3)), [0, 0, 1])


def test_no_features_at_all():
    # An empty width once was a division by zero, which kills the process: see test_threads.
    assert nn.Linear(3, 1)(np.empty((0, 3))).shape == (0, 1)
    with pytest.raises(ValueError, match=re.escape("expected input (N, 3), got (5, 0)")):
        nn.Linear(3, 1)(np.empty((5, 0)))


@pytest.mark.parametrize("shape", [(2, 3), (3,), (), (1, 2, 4), (0, 5)])
def test_a_wrong_shape_names_the_layer(shape):
    message = re.escape(f"Linear(4, 5): expected input (N, 4), got {shape}")
    layer = nn.Linear(4, 5)
    with pytest.raises(ValueError, match=f"^{message}$"):
        layer(np.zeros(shape))
    with pytest.raises(ValueError, match=f"^{message}$"):
        layer.forward(np.zeros(shape))


def test_an_activation_takes_rows_only():
    with pytest.raises(ValueError, match=r"^Tanh\(\): expected input \(N, features\), got \(\)$"):
        nn.Tanh()(1.0)
    with pytest.raises(ValueError, match=r"expected input \(N, features\), got \(2, 2, 2\)$"):
        nn.Tanh()(np.zeros((2, 2, 2)))


class TestAlone:
    """A layer used on its own."""

    def test_it_initialises_itself_and_keeps_its_weights(self):
        layer = nn.Linear(3, 2)
        first = layer([1, 2, 3])
        np.testing.assert_array_equal(first, layer([1, 2, 3]))
        assert first.dtype == np.float32
        assert np.abs(layer.weight).max() <= 1 / np.sqrt(3)
        assert layer.weight.any()

    def test_two_layers_start_differently(self):
        assert not np.array_equal(nn.Linear(8, 8).weight, nn.Linear(8, 8).weight)

    def test_the_views_are_writable_and_live(self):
        layer = nn.Linear(3, 2)
        view = layer.weight
        assert view.shape == (2, 3)
        assert layer.bias.shape == (2,)
        assert layer.grad_weight.shape == (2, 3)
        assert layer.grad_bias.shape == (2,)
        view[...] = 0
        layer.bias[:] = [5, 6]
        np.testing.assert_array_equal(layer(np.ones(3)), [5, 6])

    def test_setting_a_weight_writes_in_place(self):
        layer = nn.Linear(3, 2)
        view = layer.weight
        W = np.arange(6.0).reshape(2, 3)
        layer.weight = W
        layer.bias = [1, -1]
        assert np.shares_memory(view, layer.weight)
        np.testing.assert_array_equal(view, W)
        np.testing.assert_array_equal(layer([1, 1, 1]), [4, 11])
        W[:] = 0
        assert layer.weight.any()
        layer.weight *= 2
        np.testing.assert_array_equal(layer([1, 1, 1]), [7, 23])

    def test_setting_a_weight_of_another_shape_is_refused(self):
        layer = nn.Linear(3, 2)
        before = layer.weight.copy()
        with pytest.raises(ValueError, match=r"broadcast|shape"):
            layer.weight = np.zeros((3, 2))
        np.testing.assert_array_equal(layer.weight, before)

    def test_weights_set_beforehand_go_into_a_network(self):
        layer = nn.Linear(2, 2)
        layer.weight = np.eye(2)
        layer.bias = 0
        detached = layer.weight
        net = nn.Sequential(layer, dtype="float64", seed=0)
        np.testing.assert_array_equal(net([3, 4]), [3, 4])
        detached[...] = 7
        np.testing.assert_array_equal(net([3, 4]), [3, 4])
        np.testing.assert_array_equal(detached, np.full((2, 2), 7))
        assert net[0].weight.dtype == np.float64

    def test_it_trains(self, rng):
        layer = nn.Linear(3, 1)
        opt = optim.SGD(layer.parameters(), lr=0.1)
        loss = nn.MSELoss()
        X = rng.normal(size=(50, 3))
        y = X @ [[1.0], [2.0], [3.0]] + 4
        for _ in range(300):
            a = layer.forward(X)
            layer.backward(loss.delta(a, y))
            opt.step()
            opt.zero_grad()
        np.testing.assert_allclose(layer.weight, [[1, 2, 3]], atol=1e-4)
        np.testing.assert_allclose(layer.bias, [4], atol=1e-4)

    def test_backward_needs_a_forward(self):
        layer = nn.Linear(3, 2)
        layer(np.zeros(3))
        with pytest.raises(
            RuntimeError, match=r"expected a fresh training pass; call net\.forward"
        ):
            layer.backward(np.zeros(2))
        layer.forward(np.zeros(3), training=False)
        with pytest.raises(RuntimeError, match="expected a fresh training pass"):
            layer.backward(np.zeros(2))

    def test_views_outlive_the_layer(self):
        layer = nn.Linear(3, 2)
        view = layer.weight
        copied = view.copy()
        del layer
        gc.collect()
        junk = [nn.Linear(3, 2).weight for _ in range(100)]
        np.testing.assert_array_equal(view, copied)
        assert len(junk) == 100

    def test_in_a_network_the_passes_are_the_networks(self):
        layer = nn.Linear(3, 2)
        net = nn.Sequential(layer)
        for method in (layer.forward, layer.backward):
            with pytest.raises(RuntimeError, match=r"Linear\(3, 2\): expected .* on the network"):
                method(np.zeros((1, 3)))
        np.testing.assert_array_equal(layer(np.ones(3)), net(np.ones(3)))

    def test_state_dict(self):
        layer = nn.Linear(3, 2)
        state = layer.state_dict()
        assert list(state) == ["weight", "bias"]
        other = nn.Linear(3, 2)
        other.load_state_dict(state)
        np.testing.assert_array_equal(other.weight, layer.weight)


class TestInit:
    """How a Linear layer starts; test_init has what the names of `nn.init` do."""

    def test_default(self):
        bound = 1 / np.sqrt(200)
        layer = nn.Sequential(nn.Linear(200, 300), dtype="float64", seed=5)[0]
        w = np.asarray(layer.weight)
        assert np.abs(w).max() <= bound
        assert np.abs(w).max() > 0.999 * bound
        # 60,000 draws: five standard errors.
        assert abs(w.mean()) < 5 * bound / np.sqrt(3 * w.size)
        assert abs(w.var() / (bound**2 / 3) - 1) < 5 * np.sqrt(0.8 / w.size)
        assert 0.9 * bound < np.abs(layer.bias).max() <= bound

    @pytest.mark.parametrize(
        ("keras", "torch"),
        [
            ("he_uniform", "kaiming_uniform"),
            ("he_normal", "kaiming_normal"),
            ("glorot_uniform", "xavier_uniform"),
            ("glorot_normal", "xavier_normal"),
        ],
    )
    def test_two_names(self, keras, torch):
        a = nn.Sequential(nn.Linear(4, 3, init=keras), seed=1)
        b = nn.Sequential(nn.Linear(4, 3, init=torch), seed=1)
        np.testing.assert_array_equal(a.flat_parameters, b.flat_parameters)

    def test_an_unknown_name(self):
        with pytest.raises(ValueError, match=r"init: expected one of 'default', .*, got 'magic'$"):
            nn.Linear(2, 2, init="magic")

    def test_not_a_name(self):
        # One line that says what was expected, not a list of C++ signatures.
        with pytest.raises(TypeError, match=r"^Linear: .*init.*got int$"):
            nn.Linear(2, 2, init=5)


@pytest.mark.parametrize("bad", [0, -1])
def test_widths_below_1(bad):
    with pytest.raises(ValueError, match=f"^Linear: in_features: expected 1 or more, got {bad}$"):
        nn.Linear(bad, 2)
    with pytest.raises(ValueError, match=f"^Linear: out_features: expected 1 or more, got {bad}$"):
        nn.Linear(2, bad)


@pytest.mark.parametrize("bad", [2.0, "2", None, True])
def test_widths_that_are_no_integers(bad):
    message = f"^Linear: in_features: expected an integer, got {type(bad).__name__}$"
    with pytest.raises(TypeError, match=message):
        nn.Linear(bad, 2)


def test_widths_that_no_memory_holds():
    with pytest.raises(MemoryError, match="alloc"):
        nn.Linear(2**31, 2**31)(np.zeros(3))
    with pytest.raises(MemoryError, match="alloc"):
        nn.Linear(2**40, 2**40)


def test_widths_that_no_integer_holds():
    # One line that says what was expected, not a list of C++ signatures.
    with pytest.raises((ValueError, MemoryError), match=r"^Linear: in_features"):
        nn.Linear(2**70, 1)


def test_numpy_integers_are_widths():
    assert nn.Linear(np.int64(2), np.uint8(3)).weight.shape == (3, 2)


@pytest.mark.parametrize(
    ("layer", "text"),
    [(nn.Linear(4, 5), "Linear(4, 5)"), *((k(), f"{k.__name__}()") for k in ACTIVATIONS)],
    ids=str,
)
def test_repr(layer, text):
    assert repr(layer) == text


def test_unknown_attributes():
    with pytest.raises(AttributeError, match="Linear has no attribute 'wieght'"):
        nn.Linear(2, 2).wieght
    with pytest.raises(AttributeError, match="ReLU has no attribute 'weight'"):
        nn.ReLU().weight


@pytest.mark.parametrize("kind", [*ACTIVATIONS, nn.Linear])
def test_a_built_in_layer_can_be_subclassed(kind):
    class Named(kind):
        """Says more of itself."""

        note = "mine"

    args = (2, 2) if kind is nn.Linear else ()
    x = np.array([[-1.0, 2.0]])
    net = nn.Sequential(Named(*args), seed=0)
    np.testing.assert_array_equal(net(x), nn.Sequential(kind(*args), seed=0)(x))
    assert net[0].note == "mine"
