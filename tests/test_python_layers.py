"""Layers and losses written in Python."""

import gc
import re
import threading
import weakref

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from processes import alone


class Scale(nn.Layer):
    """Multiplies each feature; keeps x."""

    def __init__(self, width=4):
        self.parameter("factor", np.linspace(1, 2, width))

    def forward(self, x, training):
        if training:
            self.x = x
        return x * self.factor

    def backward(self, delta):
        self.grad_factor += (delta * self.x).sum(0)
        return delta * self.factor


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


class Through(nn.Layer):
    """Passes everything on; calls what it is given."""

    def __init__(self, forward=None, backward=None):
        self.on_forward, self.on_backward = forward, backward

    def forward(self, x, training):
        return x if self.on_forward is None else self.on_forward(x, training)

    def backward(self, delta):
        return delta if self.on_backward is None else self.on_backward(delta)


class Squares:
    """nn.MSELoss once more, in Python."""

    def __call__(self, outputs, y, sample_weight=None):
        w = np.ones(len(y)) if sample_weight is None else sample_weight
        return float((w @ (outputs - y) ** 2).sum() / w.sum() / y.shape[1])

    def delta(self, outputs, y, sample_weight=None):
        w = np.ones(len(y)) if sample_weight is None else sample_weight
        return 2 * (outputs - y) * w[:, None] / w.sum() / y.shape[1]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def data(rows=30):
    rng = np.random.default_rng(1)
    return rng.normal(size=(rows, 3)), rng.normal(size=(rows, 2))


def network(*middle, dtype="float64"):
    return nn.Sequential(nn.Linear(3, 4), *middle, nn.Linear(4, 2), dtype=dtype, seed=0)


def fit(net, loss=None, **options):
    X, y = data()
    options = {"epochs": 3, "batch_size": 8, **options}
    opt = options.pop("optimizer", None) or optim.SGD(net.parameters(), lr=0.1)
    return net.fit(X, y, loss=loss or nn.MSELoss(), optimizer=opt, **options)


class TestParameters:
    """self.parameter(name, array)."""

    def test_they_are_views_of_the_flat_buffers(self):
        layer = Scale()
        np.testing.assert_allclose(layer.factor, np.linspace(1, 2, 4))
        net = network(layer)
        names = [p.name for p in net.parameters()]
        assert names == ["0.weight", "0.bias", "1.factor", "2.weight", "2.bias"]
        assert np.shares_memory(layer.factor, net.flat_parameters)
        assert np.shares_memory(layer.grad_factor, net.flat_gradients)
        np.testing.assert_allclose(layer.factor, np.linspace(1, 2, 4))
        layer.factor = 3
        assert (net.flat_parameters == 3).sum() == 4
        layer.grad_factor += 1
        assert net.flat_gradients.sum() == 4
        assert net.state_dict()["1.factor"].shape == (4,)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_they_and_the_arrays_have_the_networks_dtype(self, dtype):
        seen = []

        def note(array, training=None):
            seen.append(array.dtype)
            return array

        layer = Scale()
        net = network(layer, Through(note, note), dtype=dtype)
        assert layer.factor.dtype == layer.grad_factor.dtype == net.dtype
        net.forward(np.zeros((2, 3)))
        net.backward(np.zeros((2, 2)))
        net(np.zeros(3))
        assert seen == [net.dtype] * 3

    @pytest.mark.parametrize("shape", [(), (1,), (2, 3), (2, 3, 4), (0,), (3, 0)])
    def test_shapes(self, shape):
        class Layer(Through):
            def __init__(self):
                super().__init__()
                self.parameter("p", np.full(shape, 5.0))

        net = nn.Sequential(Layer(), nn.Linear(2, 2))
        assert net[0].p.shape == net[0].grad_p.shape == shape
        assert (net[0].p == 5).all()
        assert net.state_dict()["0.p"].shape == shape

    @pytest.mark.parametrize("last", [True, False])
    def test_one_without_elements_can_be_trained(self, last):
        # Once an index out of range in the update: a crash.
        out = alone(f"""
class Layer(nn.Layer):
    def __init__(self): self.parameter("p", np.zeros(0))
    def forward(self, x, training): return x
    def backward(self, delta): return delta
layers = [nn.Linear(2, 2), Layer()]
net = nn.Sequential(*(layers if {last} else layers[::-1]))
x = np.ones((20, 2))
h = net.fit(x, x, loss=nn.MSELoss(), optimizer=optim.Adam(net.parameters(), lr=0.1), epochs=50)
assert h["loss"][-1] < h["loss"][0] / 2
net.forward(x); net.backward(x)
assert dp.check_gradients(net, nn.MSELoss(), x[:2], x[:2]).ok
print("fine")
""")
        assert out == "fine\n"

    @pytest.mark.parametrize("name", ["", "a b", "1a", "a.b", "forward", "in_features", "factor"])
    def test_names_that_are_refused(self, name):
        layer = Scale()
        with pytest.raises(ValueError, match=f"^Scale: expected a new name, got {name!r}$"):
            layer.parameter(name, 0.0)

    def test_a_name_that_another_attribute_has(self):
        class Layer(Through):
            def __init__(self):
                super().__init__()
                self.gain = 1.0
                self.parameter("gain", 7.0)

        try:
            layer = Layer()
        except ValueError as error:
            assert "gain" in str(error)  # noqa: PT017  (either is right)
        else:
            assert layer.gain == 7

    @pytest.mark.parametrize("names", [("a", "grad_a"), ("grad_a", "a")])
    def test_a_name_that_a_gradient_has(self, names):
        class Layer(Through):
            def __init__(self):
                super().__init__()
                for i, name in enumerate(names):
                    self.parameter(name, float(i))

        with pytest.raises(ValueError, match=r"^Layer: expected a new name, got"):
            Layer()

    def test_values_that_are_no_numbers(self):
        with pytest.raises(TypeError, match=r"^p: expected real numbers, got dtype complex128$"):
            Through().parameter("p", 1j)

    def test_not_after_joining_a_network(self):
        net = network(Scale())
        message = r"^Scale\(\): expected parameters to be declared before it joins a network$"
        with pytest.raises(ValueError, match=message):
            net[1].parameter("more", 1.0)

    def test_after_use_alone(self):
        layer = Scale(2)
        layer.factor = [5, 6]
        layer.parameter("more", 1.0)
        assert [p.name for p in layer.parameters()] == ["factor", "more"]
        np.testing.assert_array_equal(layer.factor, [5, 6])

    def test_the_initial_array_is_copied(self):
        class Layer(Through):
            def __init__(self, array):
                super().__init__()
                self.parameter("p", array)

        array = np.ones(3)
        layer = Layer(array)
        array[:] = 9
        assert (layer.p == 1).all()
        layer.p = 2
        assert (array == 9).all()

    def test_freed_with_its_network(self):
        layer = Scale()
        net = network(layer)
        layer.owner = net  # a cycle through the core
        ends = [weakref.ref(net), weakref.ref(layer)]
        del net, layer
        gc.collect()
        assert [end() for end in ends] == [None, None]


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

    def test_training_is_told(self):
        told = []

        def note(x, training):
            told.append(training)
            return x

        net = network(Through(note))
        net(np.zeros(3))
        net.forward(np.zeros(3))
        net.forward(np.zeros(3), training=False)
        net.predict(np.zeros(3))
        fit(net, epochs=1, batch_size=None, validation_data=data())
        assert told == [False, True, False, False, True, False]

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


class TestLosses:
    """Losses written in Python."""

    def test_the_same_as_a_built_in_one(self):
        a, b = network(), network()
        weight = np.linspace(0, 2, 30)
        for options in ({}, {"sample_weight": weight}, {"validation_data": data(10)}):
            h = fit(a, Squares(), **options)
            g = fit(b, nn.MSELoss(), **options)
            np.testing.assert_allclose(a.flat_parameters, b.flat_parameters, rtol=1e-12)
            assert list(h) == list(g)
            for key in h:
                np.testing.assert_allclose(h[key], g[key], rtol=1e-12)

    def test_plateaus(self):
        stop = dp.StopOnPlateau(1e-4, loss=Squares())
        h = fit(network(), epochs=1000, stop=stop)
        g = fit(network(), epochs=1000, stop=dp.StopOnPlateau(1e-4))
        np.testing.assert_allclose(h.stop_losses, g.stop_losses, rtol=1e-12)
        assert h.epochs < 1000

    @pytest.mark.parametrize(
        "y",
        [
            np.arange(30),
            np.arange(30.0),
            np.arange(60.0).reshape(30, 2),
            np.arange(90).reshape(30, 3),
            np.arange(30.0).reshape(30, 1),
        ],
        ids=lambda y: f"{y.dtype}{y.shape}",
    )
    @pytest.mark.parametrize("where", ["training", "validation", "stop"])
    def test_y_comes_as_it_was_given(self, y, where):
        seen = []

        class Loss:
            def __call__(self, outputs, y):
                seen.append(y)
                return 0.0

            def delta(self, outputs, y):
                return np.zeros_like(outputs)

        class Quiet(Loss):
            def __call__(self, outputs, y):
                return 0.0

        net = network()
        X, targets = data()
        opt = optim.SGD(net.parameters())
        options = {"loss": Loss(), "optimizer": opt, "epochs": 1, "batch_size": None}
        if where == "training":
            net.fit(X, y, **options)
        elif where == "validation":
            for other in (np.arange(30), np.arange(30.0), targets):
                # The first call is the training batch, the last the validation data.
                net.fit(X, other, **options, validation_data=(X, y))
        else:
            options["loss"] = Quiet()
            net.fit(X, y, **options, stop=dp.StopOnPlateau(1, loss=Loss()))
        assert seen[-1].shape == y.shape
        assert seen[-1].dtype == y.dtype
        np.testing.assert_array_equal(seen[-1], y)

    def test_y_comes_as_it_was_given_whatever_the_training_targets_are(self):
        seen = []

        class Loss:
            def __call__(self, outputs, y):
                seen.append(y)
                return 0.0

            def delta(self, outputs, y):
                return np.zeros_like(outputs)

        net, X = network(), data()[0]
        kinds = [np.arange(30), np.arange(30.0) + 0.5, np.arange(60.0).reshape(30, 2)[::-1]]
        for y in kinds:
            for held in kinds:
                net.fit(
                    X,
                    y,
                    loss=Loss(),
                    optimizer=optim.SGD(net.parameters()),
                    epochs=1,
                    batch_size=None,
                    validation_data=(X, held),
                )
                np.testing.assert_array_equal(seen[-1], held)

    def test_what_it_gets_is_its_own(self):
        kept = []

        class Loss(Squares):
            def __call__(self, outputs, y):
                kept.append((outputs, outputs.copy(), y, y.copy()))
                return super().__call__(outputs, y)

        fit(network(), Loss())
        for outputs, outputs_then, y, y_then in kept:
            np.testing.assert_array_equal(outputs, outputs_then)
            np.testing.assert_array_equal(y, y_then)

    def test_one_that_writes_into_its_arguments(self):
        class Loss(Squares):
            def delta(self, outputs, y):
                delta = super().delta(outputs, y)
                outputs[:], y[:] = np.nan, np.nan
                return delta

        X, y = data()
        kept = y.copy()
        net, plain = network(), network()
        for n, loss in ((net, Loss()), (plain, Squares())):
            opt = optim.SGD(n.parameters(), lr=0.1)
            n.fit(X, y, loss=loss, optimizer=opt, epochs=2, batch_size=8)
        np.testing.assert_array_equal(y, kept)
        np.testing.assert_array_equal(net.flat_parameters, plain.flat_parameters)

    def test_weights_that_it_does_not_take(self):
        class Loss:
            def __call__(self, outputs, y):
                return 0.0

            def delta(self, outputs, y):
                return outputs * 0

        with pytest.raises(TypeError, match="unexpected keyword argument 'sample_weight'"):
            fit(network(), Loss(), sample_weight=np.ones(30))

    def test_several_threads_at_once(self):
        nets = [network(Scale()) for _ in range(6)]
        errors = []

        def work(net):
            try:
                fit(net, Squares(), epochs=20)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(net,)) for net in nets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        for net in nets[1:]:
            np.testing.assert_array_equal(net.flat_parameters, nets[0].flat_parameters)


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


class TestOverriding:
    """What is written in Python over something built in is run, or refused."""

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


@pytest.mark.parametrize("where", ["y", "validation_data y"])
@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_targets_for_a_loss_in_python_are_looked_through_at_the_door(where, bad):
    X, y = data()
    spoilt = y.copy()
    spoilt[3, 1] = bad
    net = network()
    before = net.flat_parameters.copy()
    train, held_out = (spoilt, y) if where == "y" else (y, spoilt)
    with pytest.raises(ValueError, match=rf"^{where}: expected finite numbers, got .* in row 3$"):
        net.fit(
            X,
            train,
            loss=Squares(),
            optimizer=optim.SGD(net.parameters()),
            epochs=1,
            validation_data=(X, held_out),
        )
    np.testing.assert_array_equal(net.flat_parameters, before)
