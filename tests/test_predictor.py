"""Predictors, and outputs written where the caller wants them."""

import copy
import pickle
import threading

import numpy as np
import pytest

import layer_cases
from deltaprop import nn, optim

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def network(dtype="float32", widths=(3, 8, 2)):
    layers = [nn.Linear(widths[0], widths[1]), nn.Tanh(), nn.Linear(widths[1], widths[2])]
    return nn.Sequential(*layers, dtype=dtype, seed=0)


def rows(shape, dtype="float32"):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def same(a, b):
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert a.tobytes() == b.tobytes()


@each_dtype
@pytest.mark.parametrize("shape", [(3,), (0, 3), (1, 3), (7, 3), (5000, 3)])
def test_the_networks_bits(dtype, shape):
    net = network(dtype)
    x = rows(shape, dtype)
    expected = net(x)
    predict = net.predictor()
    same(predict(x), expected)
    for call in (net, predict):
        out = np.full(expected.shape, np.nan, dtype)
        assert call(x, out=out) is out
        same(out, expected)


@each_dtype
@pytest.mark.parametrize("widths", [(1, 1, 1), (64, 300, 10), (784, 256, 10)])
def test_other_sizes(dtype, widths):
    net = network(dtype, widths)
    predict = net.predictor()
    for shape in ((widths[0],), (2, widths[0]), (100, widths[0])):
        same(predict(rows(shape, dtype)), net(rows(shape, dtype)))


@each_dtype
@pytest.mark.parametrize(("name", "options"), layer_cases.CASES, ids=str)
def test_every_layer(name, options, dtype):
    rng = np.random.default_rng(0)
    net = layer_cases.network(name, options, dtype)
    x = layer_cases.sample(name, rng).astype(dtype)
    net.forward(x)
    predict = net.predictor()
    for given in (x, x[0]):
        same(predict(given), net(given))


def test_whatever_the_network_takes():
    net = network()
    predict = net.predictor()
    x = rows((6, 3))
    read_only = x.copy()
    read_only.flags.writeable = False
    for given in (x.tolist(), x.astype(float), x[::-1], x[::2], np.asfortranarray(x), read_only):
        same(predict(given), net(given))
    same(predict(x[0].tolist()), net(x[0]))


@pytest.mark.parametrize(
    "x",
    [rows((4,)), rows((2, 4)), rows((2, 2, 3)), np.float32(1), "text", None, np.array(["a"] * 3)],
    ids=lambda x: type(x).__name__,
)
def test_it_refuses_what_the_network_refuses(x):
    net = network()
    with pytest.raises((ValueError, TypeError)) as theirs:
        net(x)
    with pytest.raises(theirs.type) as ours:
        net.predictor()(x)
    assert str(ours.value) == str(theirs.value)


def test_how_it_is_called():
    predict = network().predictor()
    x = rows((3,))
    for call in (
        predict,
        lambda: predict(x, x),
        lambda: predict(x=x),
        lambda: predict(x, into=x),
        lambda: predict(x, out=None, into=None),
    ):
        with pytest.raises(TypeError, match=r"predictor: expected arguments \(x, out=None\)"):
            call()
    same(predict(x, out=None), predict(x))
    for again in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            again(predict)
    with pytest.raises(TypeError, match="Predictor"):
        type(predict)()


@pytest.mark.parametrize("rows_of_x", [None, 2, 5000])
def test_an_out_that_does_not_fit(rows_of_x):
    net = network()
    shape = (3,) if rows_of_x is None else (rows_of_x, 3)
    x, fits = rows(shape), (*shape[:-1], 2)
    frozen = np.empty(fits, np.float32)
    frozen.flags.writeable = False
    wide = np.empty((*fits[:-1], 4), np.float32)
    text = f"out: expected a writable C-contiguous array of float32 {fits}, got "
    for out, got in (
        (np.empty(fits), f"float64 {fits}"),
        (np.empty((*fits, 1), np.float32), f"float32 {(*fits, 1)}"),
        (frozen, f"a read-only float32 {fits}"),
        (wide[..., ::2], f"a strided float32 {fits}"),
    ):
        for call in (net, net.predictor()):
            with pytest.raises(ValueError) as error:  # noqa: PT011  (the text is compared below)
                call(x, out=out)
            assert str(error.value) == text + got
    for call in (net, net.predictor()):
        with pytest.raises(TypeError, match="got list"):
            call(x, out=[1, 2])
        with pytest.raises(ValueError, match="expected 1 arrays, got 2"):
            call(x, out=(np.empty(fits, np.float32),) * 2)
        memory = np.zeros(x.size + 2, np.float32)
        own = memory[: x.size].reshape(shape)
        with pytest.raises(ValueError, match="expected memory apart from x's"):
            call(own, out=memory[2 : 2 + int(np.prod(fits))].reshape(fits))


def test_several_inputs_and_heads():
    net = nn.Sequential(
        nn.Concat(nn.Linear(3, 4), nn.Linear(2, 4)), nn.Tanh(), nn.Heads(nn.Linear(8, 1), nn.ReLU())
    )
    x = rows((5, 3)), rows((5, 2))
    out = np.empty((5, 1), np.float32), np.empty((5, 8), np.float32)
    predict = net.predictor()
    expected = net(x)
    for call in (net, predict):
        for given in (call(x), call(x, out=out)):
            for a, b in zip(given, expected, strict=True):
                same(a, b)
        assert call(x, out=out)[1] is out[1]


class Doubled(nn.Layer):
    """A layer in Python."""

    def __init__(self):
        self.factor = 2.0

    def forward(self, x, training):
        return self.factor * x

    def backward(self, delta):
        return self.factor * delta


def test_layers_in_python():
    net = nn.Sequential(nn.Linear(3, 4), Doubled(), seed=0)
    predict = net.predictor()
    same(predict(rows((2, 3))), net(rows((2, 3))))


def test_training_goes_past_it():
    net = network()
    predict = net.predictor()
    x = rows((50, 3))
    before = net(x)
    net.fit(x, x[:, :2], loss=nn.MSELoss(), optimizer=optim.SGD(net.parameters(), lr=0.1), epochs=2)
    same(predict(x), before)
    assert not np.array_equal(net(x), before)
    del net
    same(predict(x[0]), before[0])


@pytest.mark.parametrize("widths", [(3, 8, 2), (784, 256, 10)])
def test_from_many_threads_at_once(widths):
    net = network(widths=widths)
    predict, x = net.predictor(), rows((40, widths[0]))
    expected, wrong = net(x), []

    def work(i):
        out = np.empty(widths[2], np.float32)
        for _ in range(300):
            predict(x[i], out=out)
            if out.tobytes() != expected[i].tobytes():
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
