"""Wrong return values and exceptions of layers and losses written in Python."""

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from python_modules import Squares, Through, data, fit, network


class TestWrongReturns:
    """Messages for what a layer or a loss gave back."""

    @pytest.mark.parametrize(
        ("value", "kind", "message"),
        [
            (
                None,
                TypeError,
                r"^Through\(\).forward: expected an array \(2, 4\) back, got NoneType$",
            ),
            (1.0, ValueError, r"^Through\(\).forward: expected an array \(2, 4\) back, got \(\)$"),
            (np.zeros((2, 3)), ValueError, r"expected an array \(2, 4\) back, got \(2, 3\)$"),
            (np.zeros((4, 2)), ValueError, r"expected an array \(2, 4\) back, got \(4, 2\)$"),
            (np.zeros(8), ValueError, r"expected an array \(2, 4\) back, got \(8,\)$"),
            (np.zeros((2, 4), complex), TypeError, "expected real numbers, got dtype complex128$"),
            (np.zeros((2, 4), object), TypeError, "expected real numbers, got dtype object$"),
            ([[1, 2], [3]], TypeError, r"expected an array \(2, 4\) back, got list$"),
            ("text", (TypeError, ValueError), r"expected an array \(2, 4\) back, got"),
        ],
    )
    def test_of_a_layer(self, value, kind, message):
        net = network(Through(lambda x, training: value))
        for call in (net, net.forward):
            with pytest.raises(kind, match=message):
                call(np.zeros((2, 3)))
        net = network(Through(backward=lambda d: value))
        net.forward(np.zeros((2, 3)))
        with pytest.raises(kind, match=message.replace(".forward", ".backward")):
            net.backward(np.zeros((2, 2)))
        before = net.flat_parameters.copy()
        with pytest.raises(kind, match=message.replace(".forward", ".backward")):
            fit(net, batch_size=2)
        np.testing.assert_array_equal(net.flat_parameters, before)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (None, "^Loss: expected a number back, got NoneType$"),
            ("a", "^Loss: expected a number back, got str$"),
            ("1.5", "^Loss: expected a number back, got str$"),
            (1j, "^Loss: expected a number back, got complex$"),
            (np.zeros((2, 2)), "^Loss: expected a number back, got ndarray$"),
        ],
    )
    def test_of_a_loss(self, value, message):
        class Loss:
            def __call__(self, outputs, y):
                return value

            def delta(self, outputs, y):
                return outputs

        with pytest.raises(TypeError, match=message):
            fit(network(), Loss())

    @pytest.mark.parametrize(
        ("make", "kind", "message"),
        [
            (
                lambda a: None,
                TypeError,
                r"^Loss.delta: expected an array \(8, 2\) back, got NoneType$",
            ),
            (
                lambda a: a[0],
                ValueError,
                r"^Loss.delta: expected an array \(8, 2\) back, got \(2,\)$",
            ),
            (lambda a: a.T, ValueError, r"expected an array \(8, 2\) back, got \(2, 8\)$"),
            (lambda a: 0.0, ValueError, r"expected an array \(8, 2\) back, got \(\)$"),
            (lambda a: a * 1j, TypeError, "^Loss.delta: expected real numbers, got dtype complex"),
        ],
    )
    def test_of_a_delta(self, make, kind, message):
        class Loss:
            def __call__(self, outputs, y):
                return 0.0

            def delta(self, outputs, y):
                return make(outputs)

        with pytest.raises(kind, match=message):
            fit(network(), Loss())

    def test_methods_that_are_missing(self):
        class Empty(nn.Layer):
            pass

        net = network(Empty())
        message = r"^Empty: expected a method forward\(x, training\)$"
        with pytest.raises(NotImplementedError, match=message):
            net(np.zeros(3))

        class Half(nn.Layer):
            def forward(self, x, training):
                return x

        net = network(Half())
        net.forward(np.zeros(3))
        with pytest.raises(
            NotImplementedError, match=r"^Half: expected a method backward\(delta\)$"
        ):
            net.backward(np.zeros(2))


class Odd(Exception):  # noqa: N818
    """Takes two arguments, so that it cannot be made again from its text."""

    def __init__(self, code, where):
        super().__init__(code, where)
        self.code = code


KINDS = [Odd, KeyboardInterrupt, SystemExit, StopIteration, FloatingPointError, MemoryError]


class TestExceptions:
    """What Python code raises comes through unchanged."""

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("place", ["forward", "backward"])
    def test_of_a_layer(self, kind, place):
        error = kind(5, "there")

        def fail(*args):
            raise error

        net = network(Through(**{place: fail}))
        calls = [lambda: fit(net)]
        if place == "forward":
            calls += [lambda: net(np.zeros(3)), lambda: net.forward(np.zeros(3))]
        else:
            calls += [lambda: net.backward(np.zeros(2))]
        for call in calls:
            if place == "backward":
                net.forward(np.zeros(3))
            with pytest.raises(kind, match="5") as caught:
                call()
            assert caught.value is error
            assert error.args == (5, "there")
            assert any(entry.name == "fail" for entry in caught.traceback)
        assert not net.flat_gradients.any()
        net[1].on_forward = net[1].on_backward = None
        fit(net)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("place", ["__call__", "delta", "stop", "__float__"])
    def test_of_a_loss(self, kind, place):
        error = kind(5, "there")

        class Number:
            def __float__(self):
                raise error

        class Loss(Squares):
            def __call__(self, outputs, y):
                if place == "__call__":
                    raise error
                return Number() if place == "__float__" else 1.0

            def delta(self, outputs, y):
                if place == "delta":
                    raise error
                return super().delta(outputs, y)

        class Bad:
            def __call__(self, outputs, y):
                raise error

            delta = None

            def __getattribute__(self, name):
                return (lambda *a: None) if name == "delta" else super().__getattribute__(name)

        net = network()
        options = {"stop": dp.StopOnPlateau(1, loss=Bad())} if place == "stop" else {}
        with pytest.raises(kind, match="5") as caught:
            fit(net, Loss(), **options)
        assert caught.value is error
        assert error.args == (5, "there")
        fit(net)

    def test_the_network_is_as_the_last_update_left_it(self):
        calls = []

        def fail_in_the_third(delta):
            calls.append(1)
            if len(calls) == 3:
                raise Odd(1, 2)
            return delta

        X, y = data()
        net, twin = network(Through(backward=fail_in_the_third)), network(Through())
        with pytest.raises(Odd, match="1"):
            fit(net, batch_size=10, shuffle=False)
        opt = optim.SGD(twin.parameters(), lr=0.1)
        twin.fit(
            X[:20],
            y[:20],
            loss=nn.MSELoss(),
            optimizer=opt,
            epochs=1,
            batch_size=10,
            shuffle=False,
        )
        np.testing.assert_array_equal(net.flat_parameters, twin.flat_parameters)
        assert not net.flat_gradients.any()

    def test_a_pass_that_failed_is_no_pass(self):
        def fail(*args):
            raise Odd(1, 2)

        net = network(Through())
        net.forward(np.zeros(3))
        net[1].on_forward = fail
        with pytest.raises(Odd, match="1"):
            net.forward(np.zeros(3))
        for call in (lambda: net.backward(np.zeros(2)), lambda: net.activations):
            with pytest.raises(RuntimeError, match=r"expected a .*training pass"):
                call()
