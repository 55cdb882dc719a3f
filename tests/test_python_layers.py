"""Layers written in Python: forward, backward, widths and lifetimes."""

import gc
import re
import threading

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from processes import alone
from python_modules import Scale, Through, data, fit, network


class Affine(nn.Layer):
    """nn.Linear once more, in Python."""

    def __init__(self, inputs, outputs):
        self.in_features, self.out_features = inputs, outputs
        self.parameter("w", np.zeros((inputs, outputs)))
        self.parameter("b", np.zeros(outputs))

    def forward(self, x, training):
        if training:
            self.x = x
        return x @ self.w + self.b

    def backward(self, delta):
        self.grad_w += self.x.T @ delta
        self.grad_b += delta.sum(0)
        return delta @ self.w.T


class TestPasses:
    """forward and backward as the core calls them."""

    def test_the_same_as_a_built_in_layer(self, rng):
        x, d = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
        native = network(nn.Linear(4, 4))
        layer = Affine(4, 4)
        net = network(layer)
        state = native.state_dict()
        state["1.w"], state["1.b"] = state.pop("1.weight").T, state.pop("1.bias")
        net.load_state_dict(state)
        np.testing.assert_allclose(net.forward(x), native.forward(x), rtol=1e-13)
        np.testing.assert_allclose(net.backward(d), native.backward(d), rtol=1e-12)
        np.testing.assert_allclose(layer.grad_w.T, native[1].grad_weight, rtol=1e-12)
        for a, b in zip(net.deltas, native.deltas, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)

    def test_gradients_are_added_by_hand_and_fresh_in_fit(self, rng):
        net = network(Scale())
        x, d = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
        for times in (1, 2, 3):
            net.forward(x)
            net.backward(d)
            once = net[1].grad_factor / times
            np.testing.assert_allclose(once, (net.deltas[1] * net.activations[0]).sum(0))
        a, b = network(Scale()), network(Scale())
        a.forward(x)
        a.backward(d)
        fit(a)
        fit(b)
        np.testing.assert_array_equal(a.flat_parameters, b.flat_parameters)
        assert not a.flat_gradients.any()

    def test_fit_equals_a_loop_by_hand(self):
        X, y = data()
        a, b = network(Scale(), nn.Tanh()), network(Scale(), nn.Tanh())
        fit(a, batch_size=None)
        opt = optim.SGD(b.parameters(), lr=0.1)
        for _ in range(3):
            b.backward(nn.MSELoss().delta(b.forward(X), y))
            opt.step()
            opt.zero_grad()
        np.testing.assert_allclose(a.flat_parameters, b.flat_parameters, rtol=1e-13)

    @pytest.mark.parametrize("rows", [0, 1, 500])
    def test_they_see_the_whole_batch_as_two_dimensions(self, rows):
        shapes = []

        def note(array, training=None):
            shapes.append(array.shape)
            return array

        net = network(Through(note, note))
        assert net(np.zeros((rows, 3))).shape == (rows, 2)
        net.forward(np.zeros((rows, 3)))
        net.backward(np.zeros((rows, 2)))
        assert shapes == [(rows, 4)] * 3
        shapes.clear()
        assert net(np.zeros(3)).shape == (2,)
        net.predict(np.zeros((5, 3)), batch_size=2)
        assert shapes == [(1, 4), (2, 4), (2, 4), (1, 4)]

    def test_forward_receives_the_training_flag(self):
        dispatched = []

        def note(x, training):
            dispatched.append(training)
            return x

        net = network(Through(note))
        net(np.zeros(3))
        net.forward(np.zeros(3))
        net.forward(np.zeros(3), training=False)
        net.predict(np.zeros(3))
        fit(net, epochs=1, batch_size=None, validation_data=data())
        assert dispatched == [False, True, False, False, True, False]

    def test_what_it_keeps_stays_valid(self, rng):
        kept = []

        def keep(array, training=None):
            kept.append((array, array.copy()))
            return array

        net = network(Through(keep, keep))
        for rows in (3, 1000, 1, 50):
            net.forward(rng.normal(size=(rows, 3)))
            net.backward(rng.normal(size=(rows, 2)))
        fit(net)
        del net
        gc.collect()
        junk = [network()(np.zeros((1000, 3))) for _ in range(20)]
        for array, copied in kept:
            np.testing.assert_array_equal(array, copied)
        assert len(kept) > 20
        assert len(junk) == 20

    def test_one_that_writes_into_its_input(self, rng):
        def spoil(array, training=None):
            array[...] = np.nan
            return np.zeros_like(array)

        x = rng.normal(size=(5, 3))
        net = network(Through(spoil, spoil))
        plain = network(nn.Identity())
        kept = x.copy()
        net(x)
        net.forward(x)
        np.testing.assert_array_equal(net.activations[0], plain[0](x))
        delta = np.ones((5, 2))
        assert not net.backward(delta).any()
        np.testing.assert_array_equal(x, kept)
        np.testing.assert_array_equal(delta, 1)
        assert np.isfinite(net.deltas[1]).all()

    def test_one_that_returns_its_input_or_a_list(self):
        net = network(Through(lambda x, training: x.tolist(), lambda d: d.astype(np.float16)))
        plain = network(nn.Identity())
        np.testing.assert_array_equal(net(np.ones(3)), plain(np.ones(3)))
        net.forward(np.ones(3))
        assert net.backward([1, 2]).shape == (3,)

    @pytest.mark.parametrize(
        "twist", [np.asfortranarray, lambda a: a.astype(">f8"), lambda a: a[::-1].copy()[::-1]]
    )
    def test_what_it_returns_may_lie_in_memory_as_it_likes(self, twist, rng):
        x = rng.normal(size=(5, 3))
        net = network(Through(lambda a, training: twist(a), twist))
        plain = network(nn.Identity())
        np.testing.assert_array_equal(net.forward(x), plain.forward(x))
        np.testing.assert_array_equal(
            net.backward(np.ones((5, 2))), plain.backward(np.ones((5, 2)))
        )

    def test_the_first_layer_is_called_back_as_well(self, rng):
        net = nn.Sequential(Scale(3), nn.Linear(3, 2), dtype="float64", seed=0)
        before = net[0].factor.copy()
        fit(net)
        assert (net[0].factor != before).all()

    def test_alone(self):
        layer = Scale(2)
        np.testing.assert_array_equal(layer([3, 4]), [3, 8])
        assert layer(np.zeros((0, 2))).shape == (0, 2)
        assert dp.check_gradients(layer, nn.MSELoss(), np.ones((2, 2)), np.zeros((2, 2))).ok


class TestWidths:
    """in_features and out_features."""

    def test_they_are_checked(self):
        message = (
            r"^Sequential: layer 1, Affine\(\), expected 5 features, got 4 from layer 0, "
            r"Linear\(3, 4\)$"
        )
        with pytest.raises(ValueError, match=message):
            nn.Sequential(nn.Linear(3, 4), Affine(5, 2))
        net = nn.Sequential(Affine(3, 2))
        with pytest.raises(ValueError, match=r"^Affine\(\): expected input \(N, 3\), got \(4,\)$"):
            net(np.zeros(4))

    @pytest.mark.parametrize("name", ["in_features", "out_features"])
    @pytest.mark.parametrize("bad", [0, -1, -7])
    def test_below_1(self, name, bad):
        layer = Through()
        setattr(layer, name, bad)
        with pytest.raises(ValueError, match=rf"^Through: {name}: expected 1 or more, got {bad}$"):
            nn.Sequential(layer)

    @pytest.mark.parametrize("name", ["in_features", "out_features"])
    @pytest.mark.parametrize("bad", ["3", 2.5])
    def test_no_integers(self, name, bad):
        layer = Through()
        setattr(layer, name, bad)
        message = rf"^Through: {name}: expected an integer, got {type(bad).__name__}$"
        with pytest.raises(TypeError, match=message):
            nn.Sequential(layer)


class TestLifetimes:
    """Networks that go while a layer stays, and the other way round."""

    def test_the_layer_outlives_its_network(self):
        net = network(Scale())
        layer, linear = net[1], net[0]
        row = linear(np.ones(3))
        del net
        gc.collect()
        np.testing.assert_array_equal(layer(np.ones(4)), layer.factor)
        layer.factor = 2
        np.testing.assert_array_equal(layer(np.ones(4)), [2] * 4)
        np.testing.assert_array_equal(linear(np.ones(3)), row)
        layer.grad_factor[:] = 1

    def test_parameters_outlive_both(self):
        net = network(Scale())
        parameters = net.parameters()
        opt = optim.SGD(parameters, lr=1)
        view = net[1].factor
        del net
        gc.collect()
        parameters[2].grad[:] = 1
        opt.step()
        np.testing.assert_allclose(view, np.linspace(0, 1, 4), atol=1e-15)

    def test_deleted_from_another_thread(self):
        holder = [network(Scale())]
        thread = threading.Thread(target=holder.clear)
        thread.start()
        thread.join()
        gc.collect()
        assert holder == []

    def test_alive_when_the_interpreter_ends(self):
        out = alone("""
import sys, threading
class Layer(nn.Layer):
    def __init__(self): self.parameter("p", np.zeros(2))
    def forward(self, x, training): return x
    def backward(self, delta): return delta
net = nn.Sequential(nn.Linear(2, 2), Layer())
net.owner = net[1].owner = net
sys.kept, sys.view, sys.lone = net, net[1].p, Layer()
sys.lone(np.zeros(2))
net.forward(np.zeros(2))
print("end")
""")
        assert out == "end\n"


def test_repr_is_what_messages_say():
    class Named(Through):
        def __repr__(self):
            return "a layer of mine"

    net = network(Named(lambda x, training: x[:, :1]))
    assert "(1): a layer of mine" in repr(net)
    message = re.escape("a layer of mine.forward: expected an array (1, 4) back, got (1, 1)")
    with pytest.raises(ValueError, match=f"^{message}$"):
        net(np.zeros(3))


def test_repr_may_show_parameters():
    class Shown(nn.Layer):
        def __init__(self):
            self.parameter("gain", np.array(2.5))

        def forward(self, x, training):
            return x * self.gain

        def backward(self, delta):
            return delta * self.gain

        def __repr__(self):
            return f"Shown({self.gain:.1f})"

    assert repr(Shown()) == "Shown(2.5)"
    net = nn.Sequential(nn.Linear(3, 2), Shown(), seed=0)
    assert "(1): Shown(2.5)" in repr(net)
    assert {"gain", "grad_gain"} <= set(dir(net[1]))
    assert {"weight", "bias", "grad_weight", "grad_bias"} <= set(dir(net[0]))
