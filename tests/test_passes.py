"""Sequential: forward, backward and predict."""

import re

import numpy as np
import pytest

from deltaprop import nn, optim
from sequential_cases import network


class TestPasses:
    """Forward, backward, activations, deltas."""

    def test_activations_and_deltas_equal_numpy(self, rng):
        net = network(dtype="float64")
        x, d2 = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
        out = net.forward(x)
        z = x @ net[0].weight.T + net[0].bias
        a = np.tanh(z)
        y = a @ net[2].weight.T + net[2].bias
        for found, expected in zip(net.activations, [z, a, y], strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)
        np.testing.assert_array_equal(out, net.activations[-1])
        dx = net.backward(d2)
        d1 = d2 @ net[2].weight
        d0 = d1 * (1 - a**2)
        for found, expected in zip(net.deltas, [d0, d1, d2], strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(dx, d0 @ net[0].weight, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(net[0].grad_weight, d0.T @ x, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(net[2].grad_bias, d2.sum(0), rtol=1e-12, atol=1e-14)

    def test_they_are_read_only(self):
        net = network()
        net.forward(np.ones((2, 3)))
        net.backward(np.ones((2, 2)))
        for array in net.activations + net.deltas:
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1

    def test_they_are_overwritten_by_the_next_pass(self):
        net = network()
        net.forward(np.ones((2, 3)))
        first = net.activations[0]
        kept = first.copy()
        net.forward(np.full((2, 3), 5))
        assert not np.array_equal(first, kept)
        np.testing.assert_array_equal(first, net.activations[0])
        net.forward(np.ones((1000, 3)))
        # The pass has moved on to a larger buffer; the old one still is memory of ours.
        assert np.isfinite(first).all()
        assert net.activations[0].shape == (1000, 4)
        net.forward(np.ones((1, 3)))
        assert net.activations[0].shape == (1, 4)

    def test_what_is_returned_is_fresh_and_x_is_copied(self, rng):
        net = network(dtype="float64")
        x = rng.normal(size=(2, 3))
        kept = x.copy()
        out = net.forward(x)
        assert out.flags.writeable
        expected = net.activations[-1].copy()
        x[:] = 99
        out[:] = 99
        np.testing.assert_array_equal(net.activations[-1], expected)
        back = net.backward(np.ones((2, 2)))
        assert back.flags.writeable
        back[:] = 99
        np.testing.assert_allclose(net[0].grad_weight, net.deltas[0].T @ kept, rtol=1e-12)

    def test_before_any_pass(self):
        net = network()
        message = r"^activations: expected a training pass; call net\.forward\(x\) first$"
        with pytest.raises(RuntimeError, match=message):
            net.activations
        net(np.zeros(3))
        with pytest.raises(RuntimeError, match=message):
            net.activations
        net.forward(np.zeros(3))
        message = r"^deltas: expected a backward pass; call net\.forward\(x\) and net\.backward"
        with pytest.raises(RuntimeError, match=message):
            net.deltas

    def test_backward_consumes_the_pass(self):
        net = network()
        message = (
            r"^backward: expected a fresh training pass; "
            r"call net\.forward\(x\), not net\(x\), before each backward$"
        )
        with pytest.raises(RuntimeError, match=message):
            net.backward(np.zeros(2))
        net(np.zeros((1, 3)))
        with pytest.raises(RuntimeError, match=message):
            net.backward(np.zeros((1, 2)))
        net.forward(np.zeros((1, 3)))
        net.backward(np.zeros((1, 2)))
        assert len(net.activations) == len(net.deltas) == 3
        with pytest.raises(RuntimeError, match=message):
            net.backward(np.zeros((1, 2)))

    def test_inference_does_not_touch_the_pass(self):
        net = network()
        net.forward(np.ones((2, 3)))
        kept = [a.copy() for a in net.activations]
        net(np.zeros((50, 3)))
        net.predict(np.zeros((50, 3)), batch_size=7)
        net.forward(np.zeros((9, 3)), training=False)
        net[0](np.zeros(3))
        for a, b in zip(net.activations, kept, strict=True):
            np.testing.assert_array_equal(a, b)
        net.backward(np.ones((2, 2)))

    @pytest.mark.parametrize("shape", [(2,), (1, 2), (3, 3), (3,), (), (3, 2, 1), (0, 2)])
    def test_a_delta_of_another_shape(self, shape):
        net = network()
        net.forward(np.zeros((3, 3)))
        text = re.escape(f"backward: expected delta (3, 2), the shape of the output, got {shape}")
        with pytest.raises(ValueError, match=f"^{text}$"):
            net.backward(np.zeros(shape))
        # Refused before anything changes: the pass remains.
        assert net.backward(np.zeros((3, 2))).shape == (3, 3)

    def test_a_delta_of_no_numbers(self):
        net = network()
        net.forward(np.zeros((1, 3)))
        with pytest.raises(
            TypeError, match=r"^delta: expected real numbers, got dtype complex128$"
        ):
            net.backward(np.zeros((1, 2), complex))

    def test_a_refused_forward_leaves_the_pass_before_it(self):
        net = network()
        net.forward(np.zeros((3, 3)))
        with pytest.raises(
            ValueError, match=r"^Linear\(3, 4\): expected input \(N, 3\), got \(3, 2\)$"
        ):
            net.forward(np.zeros((3, 2)))
        assert net.backward(np.zeros((3, 2))).shape == (3, 3)

    def test_fit_makes_the_pass_stale(self):
        net = network()
        net.forward(np.zeros((3, 3)))
        opt = optim.SGD(net.parameters())
        net.fit(np.zeros((3, 3)), np.zeros((3, 2)), loss=nn.MSELoss(), optimizer=opt, epochs=1)
        with pytest.raises(RuntimeError, match="expected a fresh training pass"):
            net.backward(np.zeros((3, 2)))
        with pytest.raises(RuntimeError, match="expected a training pass"):
            net.activations

    @pytest.mark.parametrize("rows", [1, 191, 192, 193, 2500])
    def test_batches_of_any_size(self, rows, rng):
        net = network(dtype="float64")
        x, d = rng.normal(size=(rows, 3)), rng.normal(size=(rows, 2))
        out = net.forward(x)
        back = net.backward(d)
        grad = net.flat_gradients.copy()
        net.zero_grad()
        for i in range(rows):
            np.testing.assert_array_equal(net.forward(x[i]), out[i])
            np.testing.assert_array_equal(net.backward(d[i]), back[i])
        np.testing.assert_allclose(grad, net.flat_gradients, rtol=1e-10, atol=1e-10)

    def test_an_activation_first(self, rng):
        net = nn.Sequential(nn.ReLU(), nn.Linear(3, 2), dtype="float64", seed=0)
        with pytest.raises(
            ValueError, match=r"^Linear\(3, 2\): expected input \(N, 3\), got \(4,\)$"
        ):
            net(np.zeros(4))
        x = rng.normal(size=(5, 3))
        net.forward(x)
        back = net.backward(np.ones((5, 2)))
        np.testing.assert_allclose(back, (x > 0) * net[1].weight.sum(0), rtol=1e-14)

    def test_any_width(self):
        net = nn.Sequential(nn.Tanh(), nn.ReLU())
        for width in (1, 5, 2):
            assert net.forward(np.ones((3, width))).shape == (3, width)
            assert net.activations[1].shape == (3, width)
            assert net.backward(np.ones((3, width))).shape == (3, width)


class TestPredict:
    """Inference in parts."""

    @pytest.mark.parametrize("size", [1, 2, 5, 7, 100])
    def test_batch_size_changes_nothing(self, size, rng):
        net = network()
        X = rng.normal(size=(7, 3))
        np.testing.assert_array_equal(net.predict(X, batch_size=size), net(X))
        np.testing.assert_array_equal(net.predict(X.tolist(), batch_size=size), net(X))
        np.testing.assert_array_equal(net.predict(X[0], batch_size=size), net(X[0]))
        assert net.predict(X[:0], batch_size=size).shape == (0, 2)

    def test_a_bad_batch_size(self):
        with pytest.raises(ValueError, match=r"^predict: batch_size: expected 1 or more, got 0$"):
            network().predict(np.zeros((2, 3)), batch_size=0)
        with pytest.raises(
            TypeError, match=r"^predict: batch_size: expected an integer, got float$"
        ):
            network().predict(np.zeros((2, 3)), batch_size=1.0)
