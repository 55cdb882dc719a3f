"""Layers written in Python that call networks, and subclasses of built-in modules."""

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from python_modules import Through, data, fit, network


class TestNested:
    """Networks inside layers, and layers that call their own network."""

    def test_another_network_inside(self, rng):
        class Inner(nn.Layer):
            in_features = out_features = 4

            def __init__(self):
                self.net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), dtype="float64", seed=1)

            def forward(self, x, training):
                return self.net.forward(x) if training else self.net(x)

            def backward(self, delta):
                return self.net.backward(delta)

        flat = nn.Sequential(
            nn.Linear(3, 4), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2), dtype="float64"
        )
        net = network(Inner())
        state = dict(zip(flat.state_dict(), [
            net[0].weight, net[0].bias, net[1].net[0].weight, net[1].net[0].bias,
            net[2].weight, net[2].bias,
        ], strict=True))  # fmt: skip
        flat.load_state_dict(state)
        x, d = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
        np.testing.assert_array_equal(net(x), flat(x))
        np.testing.assert_array_equal(net.forward(x), flat.forward(x))
        np.testing.assert_array_equal(net.backward(d), flat.backward(d))
        np.testing.assert_array_equal(net[1].net[0].grad_weight, flat[1].grad_weight)
        fit(net)

    def test_a_network_trained_inside_forward(self):
        def train(x, training):
            if training:
                fit(inner, epochs=1)
            return x

        inner, net = network(), network(Through(train))
        before = inner.flat_parameters.copy()
        fit(net)
        assert not np.array_equal(inner.flat_parameters, before)

    def test_forward_calls_its_own_network(self):
        net = network(Through(lambda x, training: net(np.zeros((len(x), 3))) @ np.ones((2, 4))))
        for call in (net, net.forward, lambda x: fit(net)):
            with pytest.raises(RecursionError, match="recursion"):
                call(np.zeros((2, 3)))

    @pytest.mark.parametrize("inner", ["forward", "backward", "activations", "deltas"])
    @pytest.mark.parametrize("place", ["forward", "backward"])
    def test_a_pass_inside_a_pass_of_the_same_network(self, inner, place):
        def work(array, training=None):
            member = getattr(net, inner)
            if callable(member):
                member(np.zeros((2, 3 if inner == "forward" else 2)))
            return array

        net = network(Through(**{place: work}))
        with pytest.raises(RuntimeError, match=r"in use|expected a"):
            net.backward(net.forward(np.zeros((2, 3))))
        net[1].on_forward = net[1].on_backward = None
        net.backward(net.forward(np.zeros((2, 3))))

    @pytest.mark.parametrize("place", ["forward", "backward"])
    def test_fit_inside_a_pass_of_the_same_network(self, place):
        def work(array, training=None):
            fit(net)
            return array

        net = network(Through(**{place: work}))
        before = net.flat_parameters.copy()
        message = "^the network is in use: expected"
        with pytest.raises(RuntimeError, match=message):
            fit(net)
        with pytest.raises(RuntimeError, match=message):
            net.backward(net.forward(np.zeros((2, 3))))
        np.testing.assert_array_equal(net.flat_parameters, before)

    def test_a_step_inside_a_pass_of_fit(self):
        net = network(Through(lambda x, training: opt.step() or x))
        opt = optim.SGD(net.parameters(), lr=0.1)
        with pytest.raises(RuntimeError, match=r"^step: not while a step of fit runs$"):
            fit(net, optimizer=opt)

    def test_options_written_inside_a_pass_of_fit(self):
        def slow(x, training):
            opt.lr = 0
            return x

        net = network(Through(slow))
        opt = optim.SGD(net.parameters(), lr=0.1)
        before = net.flat_parameters.copy()
        fit(net, optimizer=opt)
        np.testing.assert_array_equal(net.flat_parameters, before)


class TestOverriding:
    """Python code over a built-in layer is run, or refused."""

    def test_a_loss(self):
        class Twice(nn.MSELoss):
            def __call__(self, outputs, y, sample_weight=None):
                return 2 * super().__call__(outputs, y, sample_weight)

            def delta(self, outputs, y, sample_weight=None):
                return 2 * super().delta(outputs, y, sample_weight)

        a, b = network(), network()
        X, y = data()
        weights = np.linspace(0, 1, len(X))
        for net, loss in ((a, Twice()), (b, nn.MSELoss(factor=2))):
            net.fit(
                X,
                y,
                loss=loss,
                optimizer=optim.SGD(net.parameters(), lr=0.1),
                epochs=3,
                sample_weight=weights,
            )
        np.testing.assert_allclose(a.flat_parameters, b.flat_parameters, rtol=1e-12)
        assert dp.check_gradients(a, Twice(), X, y).ok

    @pytest.mark.parametrize("kind", [nn.Linear, nn.ReLU])
    @pytest.mark.parametrize("method", ["forward", "backward"])
    def test_a_layer(self, kind, method):
        with pytest.raises(TypeError, match=r"^Mine: expected a subclass of nn.Layer"):
            type("Mine", (kind,), {method: lambda self, x, training=True: x})

    @pytest.mark.parametrize("method", ["forward", "backward", "__call__"])
    def test_a_network(self, method):
        with pytest.raises(TypeError, match=rf"^Mine: expected {method} to be Sequential's"):
            type("Mine", (nn.Sequential,), {method: lambda self, x: x})

    def test_a_parameter_of_a_built_in_layer(self):
        with pytest.raises(TypeError, match=r"^Linear\(3, 2\): expected a layer written in Python"):
            nn.Linear(3, 2).parameter("gate", np.ones(2))
