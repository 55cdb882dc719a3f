"""A network as a node of a graph."""

import gc
import re
import threading

import numpy as np
import pytest

from deltaprop import graph, nn, optim
from nests import Nest, Scale
from processes import alone

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
each_shape = pytest.mark.parametrize("shape", [(3,), (1, 3), (6, 3), (0, 3)], ids=str)


def network(dtype="float64", seed=0):
    layers = nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)
    return nn.Sequential(*layers, dtype=dtype, seed=seed)


def points(shape, dtype="float64"):
    return np.random.default_rng(1).normal(size=shape).astype(dtype)


class Direction:
    """A loss whose delta is what it was given: dJ/d(outputs) for `input_gradient`."""

    def __init__(self, delta):
        self.found = delta

    def __call__(self, outputs, y):
        return float((outputs * self.found).sum())

    def delta(self, outputs, y):
        return self.found


@each_dtype
@pytest.mark.parametrize("leaf", ["float32", "float64"])
@each_shape
def test_values_and_gradients_are_the_networks(dtype, leaf, shape):
    net = network(dtype)
    x = graph.variable(points(shape, leaf))
    y = net.node(x)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.value, net(x.value))
    delta = points(y.shape, dtype)
    y.backward(delta)
    assert x.grad.dtype == leaf
    expected = net.input_gradient(x.value, None, loss=Direction(delta)) if x.size else x.value
    np.testing.assert_array_equal(x.grad, expected.astype(leaf))
    assert not net.flat_gradients.any()


def test_gradients_are_differences():
    net = network()
    x = points((4, 3))

    def f(x):
        return (net.node(np.sin(x) * 2) ** 2).sum() + x.sum()

    slopes = graph.grad(f)(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-5
        difference = (f(graph.variable(x + step)).value - f(graph.variable(x - step)).value) / 2e-5
        assert slopes[i] == pytest.approx(difference, rel=1e-7, abs=1e-8)


def test_jacobians_are_the_networks():
    net = network()
    x = points(3)
    np.testing.assert_allclose(graph.jacobian(net.node)(x), net.jacobian(x), rtol=1e-13)


@pytest.mark.parametrize("seed", range(12))
def test_networks_of_all_kinds_of_containers(seed):
    nest = Nest(np.random.default_rng(seed), 3, 4)
    net = nn.Sequential(nest.ours(), dtype="float64", seed=seed)
    x = graph.variable(points((5, 3)))
    y = net.node(x)
    np.testing.assert_array_equal(y.value, net(x.value))
    delta = points(y.shape)
    y.backward(delta)
    np.testing.assert_array_equal(x.grad, net.input_gradient(x.value, None, loss=Direction(delta)))


def test_paths_through_two_networks_and_around_them_add():
    one, two = (
        network(seed=0),
        nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), dtype="float64", seed=1),
    )
    x = graph.variable(points((4, 3)))
    (two.node(one.node(x)) * x + one.node(x).sum()).sum().backward()
    hidden = one(x.value)
    inner = two.input_gradient(hidden, None, loss=Direction(x.value))
    around = 12 * np.ones((4, 2))
    expected = two(hidden) + one.input_gradient(x.value, None, loss=Direction(inner + around))
    np.testing.assert_allclose(x.grad, expected, rtol=1e-12)


def test_constants_and_plain_arrays():
    net = network()
    y = net.node([[1, 2, 3]])
    np.testing.assert_array_equal(y.value, net([[1, 2, 3]]))
    with pytest.raises(ValueError, match="depends on a variable"):
        y.backward(1)


def test_inference_and_not_training():
    net = nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2), seed=0
    )
    net.forward(points((20, 3)))
    state = net.state_dict()
    x = graph.variable(points((5, 3)))
    y = net.node(x)
    for _ in range(3):
        y.forward()
        y.backward(np.ones((5, 2)))
        np.testing.assert_array_equal(y.value, net(x.value))
        expected = net.input_gradient(x.value, None, loss=Direction(np.ones((5, 2), "float32")))
        np.testing.assert_array_equal(x.grad, expected)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, state[name])


def test_forward_sees_the_parameters_of_now_and_the_x_that_was_set():
    net = network()
    x = graph.variable(points((5, 3)))
    y = net.node(x)
    before = np.array(y.value)
    X = points((30, 3))
    net.fit(X, X[:, :2], loss=nn.MSELoss(), optimizer=optim.SGD(net.parameters(), lr=0.1), epochs=2)
    np.testing.assert_array_equal(y.value, before)
    y.forward()
    np.testing.assert_array_equal(y.value, net(x.value))
    assert not np.array_equal(y.value, before)
    x.value = x.value + 1
    y.forward()
    np.testing.assert_array_equal(y.value, net(x.value))


def test_the_node_keeps_its_network_alive():
    def made():
        net = nn.Sequential(nn.Linear(3, 2), Scale(), nn.ExpressionLayer(np.tanh), seed=0)
        x = graph.variable(points((4, 3)))
        return x, net.node(x), net(x.value), net(x.value[::-1])

    x, y, value, turned = made()
    gc.collect()
    x.value = x.value[::-1]
    y.forward()
    np.testing.assert_array_equal(y.value, turned)
    assert not np.array_equal(turned, value)
    y.backward(np.ones((4, 2)))
    assert x.grad.any()


# To find an input


SAMPLES = np.array([[1], [1.1], [1.2], [2]])
LABELS = np.array([[2.21], [2.431], [2.652], [4.42]])


@each_dtype
def test_the_black_box_is_solved(dtype):
    net = nn.Sequential(nn.Linear(1, 1), dtype=dtype, seed=0)
    opt = optim.SGD(net.parameters(), lr=0.1)
    net.fit(SAMPLES, LABELS, loss=nn.MSELoss(), optimizer=opt, epochs=3000, batch_size=None)
    x = graph.variable([1.0], name="x")
    solution = graph.solve(net.node(x).sum(), 4.0, x, tol=1e-5)
    assert net(x.value)[0] == pytest.approx(4, abs=1e-5)
    assert x.value[0] == pytest.approx(4 / 2.21, abs=1e-3)
    # A line: one correction, and in float32 another for what was rounded.
    assert solution.updates <= 2


def test_an_input_is_found_by_solving_and_by_descent():
    X = np.linspace(0, 3, 200).reshape(-1, 1)
    net = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1), dtype="float64", seed=0)
    net.fit(X, X**2, loss=nn.MSELoss(), optimizer=optim.Adam(net.parameters(), lr=0.02), epochs=300)
    x = graph.variable([2.5])
    graph.solve(net.node(x).sum(), 3.0, x, tol=1e-10)
    assert net(x.value)[0] == pytest.approx(3, abs=1e-10)
    path = optim.descend(
        lambda x: (net.node(graph.reshape(x, (1,))) - 3).sum() ** 2, 2.5, lr=0.02, steps=500
    )
    assert path.points[-1, 0] == pytest.approx(x.value[0], rel=1e-6)


def test_an_input_of_several_numbers_is_found_by_descent():
    net = network()
    expected = net([0.2, -0.1, 0.3])
    path = optim.descend(
        lambda *x: ((net.node(graph.stack(x)) - expected) ** 2).sum(), (0, 0, 0), 0.5, steps=3000
    )
    np.testing.assert_allclose(net(path.points[-1]), expected, atol=1e-4)


# What it refuses


@pytest.mark.parametrize(
    ("x", "got"),
    [
        (1.0, "()"),
        (np.zeros((2, 2, 3)), "(2, 2, 3)"),
        (np.zeros((2, 4)), "(2, 4)"),
        ([1.0], "(1,)"),
    ],
)
def test_other_shapes(x, got):
    for given in (x, graph.variable(x)):
        text = f"Linear(3, 8): expected input (N, 3), got {got}"
        with pytest.raises(ValueError, match=re.escape(text)):
            network().node(given)


def test_what_is_no_network_of_one_input_and_one_output():
    heads = nn.Sequential(nn.Linear(3, 2), nn.Heads(nn.Linear(2, 1), nn.Linear(2, 2)))
    text = "^node: expected a network of one input and one output, got 1 and 2$"
    with pytest.raises(ValueError, match=text):
        heads.node(points(3))
    branches = nn.Sequential(nn.Concat(nn.Linear(2, 3), nn.Linear(3, 3)))
    with pytest.raises(ValueError, match=r"expected input \(N, 3\), got \(2,\)"):
        branches.node(points(2))
    with pytest.raises(TypeError, match=r"^graph: expected a node or numbers, got str$"):
        network().node("x")


def test_second_derivatives():
    net = network()
    for f in (lambda x: net.node(x).sum(), lambda x: (net.node(x) ** 2).sum()):
        with pytest.raises(TypeError, match=r"^network: expected first derivatives of a network's"):
            graph.hessian(f)(points(3))


def test_while_another_thread_fits():
    net = network()
    x = graph.variable(points((4, 3)))
    y = net.node(x)
    X = points((50, 3))
    entered, leave = threading.Event(), threading.Event()

    def wait(run):
        entered.set()
        assert leave.wait(20)

    fit = threading.Thread(
        target=net.fit,
        args=(X, X[:, :2]),
        kwargs={
            "loss": nn.MSELoss(),
            "optimizer": optim.SGD(net.parameters(), lr=0.1),
            "epochs": 1,
            "callbacks": [wait],
        },
    )
    fit.start()
    try:
        assert entered.wait(20)
        for call in (y.forward, lambda: y.backward(np.ones((4, 2))), lambda: net.node(x)):
            with pytest.raises(RuntimeError, match="the network is in use"):
                call()
    finally:
        leave.set()
        fit.join()
    y.forward()
    np.testing.assert_array_equal(y.value, net(x.value))


def test_callbacks_of_its_own_fit():
    net = network()
    x = graph.variable(points((4, 3)))
    y = net.node(x)
    seen = []

    def look(run):
        y.forward()
        seen.append(np.array_equal(y.value, net(x.value)))

    X = points((50, 3))
    opt = optim.SGD(net.parameters(), lr=0.1)
    net.fit(X, X[:, :2], loss=nn.MSELoss(), optimizer=opt, epochs=3, callbacks=[look])
    assert seen == [True] * 3


# Within a loss


def fitted(loss, batch_size=7, seed=3, dtype="float64", more=()):
    net = nn.Sequential(nn.Linear(3, 3), *more, dtype=dtype, seed=seed)
    X = points((25, 3))
    opt = optim.SGD(net.parameters(), lr=0.05)
    history = net.fit(X, X[:, :2], loss=loss, optimizer=opt, epochs=4, batch_size=batch_size)
    return net, history


@each_dtype
def test_a_loss_that_looks_through_another_network(dtype):
    features = network(dtype, seed=5)
    before = features.flat_parameters.copy()
    net, history = fitted(nn.ExpressionLoss(lambda a, y: (features.node(a) - y) ** 2), dtype=dtype)
    np.testing.assert_array_equal(features.flat_parameters, before)
    assert not features.flat_gradients.any()
    # The same as one network whose second part stays as it is.
    again = nn.Sequential(nn.Linear(3, 3), network(dtype, seed=5), dtype=dtype, seed=3)
    again[1].freeze()
    X = points((25, 3))
    opt = optim.SGD(again.parameters(), lr=0.05)
    other = again.fit(X, X[:, :2], loss=nn.MSELoss(), optimizer=opt, epochs=4, batch_size=7)
    small = 1e-4 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(history["loss"], other["loss"], rtol=small)
    np.testing.assert_allclose(net[0].weight, again[0].weight, rtol=small, atol=small)


def test_networks_that_only_a_loss_knows():
    # Their layers in Python are let go where the fit runs, more sizes than are kept in mind.
    out = alone("""
class Twice(nn.Layer):
    def forward(self, x, training): return 2 * x
    def backward(self, delta): return 2 * delta
X = np.random.default_rng(0).normal(size=(30, 3))
made = []
def f(a, y):
    made.append(a.shape[0])
    return (nn.Sequential(nn.Linear(3, 3), Twice(), seed=0).node(a) - y) ** 2
class Batches:
    def __iter__(self):
        for n in range(1, 31): yield X[:n], X[:n]
net = nn.Sequential(nn.Linear(3, 3), seed=1)
history = net.fit(Batches(), loss=nn.ExpressionLoss(f), epochs=6,
                  optimizer=optim.SGD(net.parameters(), lr=0.01))
print(history["loss"][-1] < history["loss"][0], len(made) > 100)
""")
    assert out == "True True\n"


def test_the_network_that_is_fitted_within_its_own_loss():
    # Its parameters count as constants there, those that the last update left.
    net = nn.Sequential(nn.Linear(3, 3), dtype="float64", seed=3)
    twin = nn.Sequential(nn.Linear(3, 3), dtype="float64", seed=3)
    X = points((25, 3))
    loss = nn.ExpressionLoss(lambda a, y: (net.node(a) - y) ** 2)
    net.fit(
        X, X, loss=loss, optimizer=optim.SGD(net.parameters(), lr=0.1), epochs=5, batch_size=None
    )
    opt = optim.SGD(twin.parameters(), lr=0.1)
    for _ in range(5):
        a = twin.forward(X)
        error = (twin(a) - X) * 2 / X.size
        twin.backward(error @ twin[0].weight)
        opt.step()
        opt.zero_grad()
    np.testing.assert_allclose(net.flat_parameters, twin.flat_parameters, rtol=1e-12)


def test_such_a_network_with_layers_in_python():
    net = nn.Sequential(nn.Linear(3, 3), Scale(), seed=0)
    X = points((25, 3))
    with pytest.raises(RuntimeError, match="not while a step of fit runs"):
        net.fit(
            X,
            X,
            loss=nn.ExpressionLoss(lambda a, y: (net.node(a) - y) ** 2),
            optimizer=optim.SGD(net.parameters(), lr=0.1),
            epochs=1,
        )
    assert net(X).shape == (25, 3)


def test_x_is_set_while_a_layer_in_python_runs():
    # In a process of its own, for it once might have crashed.
    out = alone("""
import sys, threading
from deltaprop import graph
sys.setswitchinterval(1e-6)
class Slow(nn.Layer):
    def forward(self, x, training):
        self.x = [np.ones(100_000) for _ in range(3)]
        return x * 2
    def backward(self, delta): return delta * 2
net = nn.Sequential(Slow(), nn.Linear(3, 3), seed=0)
x = graph.variable(np.zeros((2000, 3)))
y = net.node(x)
done = threading.Event()
def meddle():
    while not done.is_set():
        kept = x.value, y.value
        x.value = np.ones((2000, 3))
        del kept
threads = [threading.Thread(target=meddle) for _ in range(3)]
for t in threads: t.start()
for _ in range(200):
    y.forward()
    y.backward(np.ones((2000, 3)))
done.set()
for t in threads: t.join()
print(np.isfinite(y.value).all() and np.isfinite(x.grad).all())
""")
    assert out == "True\n"
