"""Copies and pickles of networks, layers and what goes with them."""

import copy
import gc
import pickle

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
HOW = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle-{p}": lambda x, p=p: pickle.loads(pickle.dumps(x, p)) for p in PROTOCOLS},
}
each_way = pytest.mark.parametrize("how", HOW.values(), ids=HOW)


class Scale(nn.Layer):
    """At module level, as pickle wants it."""

    def __init__(self, width, note="a note"):
        self.in_features = width
        self.note = note
        self.parameter("factor", np.linspace(1, 2, width))

    def forward(self, x, training):
        if training:
            self.x = x
        return x * self.factor

    def backward(self, delta):
        self.grad_factor += (delta * self.x).sum(0)
        return delta * self.factor


class Named(nn.Sequential):
    """A network that takes other arguments than its base and knows more."""

    def __init__(self, width, *, name):
        super().__init__(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 2), seed=4)
        self.name = name

    def double(self, x):
        return 2 * self(x)


def network(dtype="float32"):
    net = nn.Sequential(
        nn.Linear(3, 4), Scale(4), nn.Sigmoid(), nn.ReLU(), nn.Identity(), nn.Linear(4, 2),
        dtype=dtype, seed=2**64 - 5,
    )  # fmt: skip
    net.flat_parameters[:] += 0.25
    return net


def fit(net, **options):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    opt = optim.SGD(net.parameters(), lr=0.1)
    return net.fit(X, y, loss=nn.MSELoss(), optimizer=opt, epochs=2, batch_size=7, **options)


@each_way
@pytest.mark.parametrize("dtype", ["float32", "float64"])
class TestNetworks:
    """A copy is a network of its own that goes on in the same way."""

    def test_it_is_the_same(self, how, dtype):
        net = network(dtype)
        other = how(net)
        assert type(other) is nn.Sequential
        assert repr(other) == repr(net)
        assert other.dtype == net.dtype
        assert other.seed == net.seed
        assert other.flat_parameters.tobytes() == net.flat_parameters.tobytes()
        assert [p.name for p in other.parameters()] == [p.name for p in net.parameters()]
        x = np.random.default_rng(1).normal(size=(5, 3))
        np.testing.assert_array_equal(other(x), net(x))
        assert other[1].note == "a note"

    def test_it_shares_nothing(self, how, dtype):
        net = network(dtype)
        before = net.flat_parameters.copy()
        other = how(net)
        assert not np.shares_memory(other.flat_parameters, net.flat_parameters)
        assert not np.shares_memory(other.flat_gradients, net.flat_gradients)
        assert np.shares_memory(other[0].weight, other.flat_parameters)
        assert np.shares_memory(other[1].factor, other.flat_parameters)
        assert all(a is not b for a, b in zip(net, other, strict=True))
        other.flat_parameters[:] = 0
        other.flat_gradients[:] = 1
        np.testing.assert_array_equal(net.flat_parameters, before)
        assert not net.flat_gradients.any()
        fit(other)
        np.testing.assert_array_equal(net.flat_parameters, before)

    def test_it_trains_as_the_original(self, how, dtype):
        net = network(dtype)
        fit(net)
        other = how(net)
        first, second = fit(net), fit(other)
        np.testing.assert_array_equal(first["loss"], second["loss"])
        assert net.flat_parameters.tobytes() == other.flat_parameters.tobytes()

    def test_after_a_pass_by_hand(self, how, dtype):
        net = network(dtype)
        net.forward(np.ones((4, 3)))
        other = how(net)
        with pytest.raises(RuntimeError, match="expected a fresh training pass"):
            other.backward(np.ones((4, 2)))
        net.backward(np.ones((4, 2)))

    def test_it_outlives_the_original(self, how, dtype):
        net = network(dtype)
        x = np.ones((4, 3))
        expected = net(x)
        other = how(net)
        del net
        gc.collect()
        np.testing.assert_array_equal(other(x), expected)
        other.forward(x)
        other.backward(np.ones((4, 2)))

    def test_a_copy_of_a_copy(self, how, dtype):
        net = network(dtype)
        other = how(how(net))
        assert other.flat_parameters.tobytes() == net.flat_parameters.tobytes()

    def test_optimizers_take_it(self, how, dtype):
        other = how(network(dtype))
        with pytest.raises(ValueError, match="expected an optimizer of this network's parameters"):
            other.fit(
                np.zeros((1, 3)),
                np.zeros((1, 2)),
                loss=nn.MSELoss(),
                optimizer=optim.SGD(network(dtype).parameters()),
                epochs=1,
            )
        fit(other)


@each_way
class TestSubclasses:
    """Networks with classes and attributes of their own."""

    def test_they_keep_their_class_and_methods(self, how):
        net = Named(5, name="first")
        other = how(net)
        assert type(other) is Named
        np.testing.assert_array_equal(other.double(np.ones(3)), net.double(np.ones(3)))

    def test_they_keep_their_attributes(self, how):
        other = how(Named(5, name="first"))
        assert other.name == "first"

    def test_a_plain_network_keeps_its_attributes(self, how):
        net = network()
        net.units = {"x": "metres"}
        assert how(net).units == {"x": "metres"}

    def test_an_attribute_that_is_a_layer_of_the_network(self, how):
        net = Named(5, name="first")
        net.output = net[2]
        other = how(net)
        assert other.output is other[2]

    def test_a_network_that_its_layer_knows(self, how):
        net = network()
        net[1].owner = net
        other = how(net)
        assert other[1].owner is other
        np.testing.assert_array_equal(other(np.ones(3)), net(np.ones(3)))


@each_way
@pytest.mark.parametrize(
    "make",
    [lambda: nn.Linear(3, 2, init="he_normal"), nn.Tanh, nn.ReLU, nn.Sigmoid, nn.Identity],
    ids=["Linear", "Tanh", "ReLU", "Sigmoid", "Identity"],
)
class TestLayers:
    """A copied layer belongs to no network and keeps its values."""

    def test_alone(self, make, how):
        layer = make()
        expected = layer(np.ones(3))
        other = how(layer)
        assert repr(other) == repr(layer)
        np.testing.assert_array_equal(other(np.ones(3)), expected)
        for a, b in zip(layer.parameters(), other.parameters(), strict=True):
            assert not np.shares_memory(a.value, b.value)

    def test_of_a_network(self, make, how):
        net = nn.Sequential(nn.Linear(3, 3), make(), seed=0)
        other = how(net[1])
        np.testing.assert_array_equal(other(np.ones(3)), net[1](np.ones(3)))
        again = nn.Sequential(other)
        np.testing.assert_array_equal(again(np.ones(3)), net[1](np.ones(3)))

    def test_never_used(self, make, how):
        other = how(make())
        a = nn.Sequential(other, seed=0).flat_parameters
        b = nn.Sequential(make(), seed=0).flat_parameters
        np.testing.assert_array_equal(a, b)


@each_way
class TestPythonLayers:
    """Layers written in Python, on their own."""

    def test_values_and_attributes(self, how):
        layer = Scale(3, note=["x"])
        layer.factor = [1, 2, 3]
        other = how(layer)
        np.testing.assert_array_equal(other.factor, [1, 2, 3])
        assert other.note == ["x"]
        other.factor = 0
        np.testing.assert_array_equal(layer.factor, [1, 2, 3])
        assert other.factor.dtype == layer.factor.dtype

    def test_of_a_network(self, how):
        net = network()
        other = how(net[1])
        np.testing.assert_array_equal(other.factor, net[1].factor)
        other.parameter("more", 1.0)
        assert [p.name for p in other.parameters()] == ["factor", "more"]


@each_way
def test_copied_values_may_be_written_before_use(how):
    layer = nn.Linear(2, 2)
    layer.weight = np.eye(2)
    other = how(layer)
    other.weight *= 3
    np.testing.assert_array_equal(layer.weight, np.eye(2))


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
@each_way
def test_optimizers_refuse(how, kind):
    opt = kind(network().parameters())
    message = (
        f"^{kind.__name__} cannot be copied: it belongs to its network's buffers; "
        r"make one for the copied network's parameters\(\)$"
    )
    with pytest.raises(TypeError, match=message):
        how(opt)


@each_way
def test_what_else_can_be_copied(how):
    stop = how(dp.StopOnPlateau(0.5, every="update", loss=nn.MSELoss(reduction="sum")))
    assert repr(stop) == repr(
        dp.StopOnPlateau(0.5, every="update", loss=nn.MSELoss(reduction="sum"))
    )
    history = fit(network())
    other = how(history)
    assert repr(other) == repr(history)
    for key in history:
        np.testing.assert_array_equal(other[key], history[key])
    net = nn.Sequential(nn.Linear(2, 2), seed=0)
    report = dp.check_gradients(net, nn.MSELoss(), [[1, 2]], [[1, 2]])
    assert how(report) == report


def test_together_they_stay_together():
    net = network()
    pair = copy.deepcopy({"net": net, "again": net})
    assert pair["net"] is pair["again"]


def test_a_pickle_is_small():
    net = nn.Sequential(nn.Linear(100, 100), seed=0)
    net.forward(np.zeros((1000, 100)))
    assert len(pickle.dumps(net)) < net.flat_parameters.nbytes * 1.1 + 2000


def test_a_pickle_that_names_the_former_module_of_sequential():
    net = nn.Sequential(nn.Linear(2, 3), nn.Residual(nn.Sequential(nn.Linear(3, 3))), seed=0)
    pickled = pickle.dumps(net, protocol=0)
    former = pickled.replace(b"cdeltaprop.network.sequential\n", b"cdeltaprop.nn.sequential\n")
    assert former != pickled
    twin = pickle.loads(former)
    assert type(twin) is nn.Sequential
    assert twin([1.0, 2.0]).tobytes() == net([1.0, 2.0]).tobytes()
