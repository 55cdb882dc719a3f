"""The learning-rate range test."""

import math

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim


def problem(rows=200):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 3))
    return X, np.tanh(X @ [[1.0], [-2.0], [0.5]]) + 0.05 * rng.normal(size=(rows, 1))


def network(dtype="float32"):
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1), dtype=dtype, seed=1)


def everything(net, opt):
    """Return all that a range test must leave alone, as bytes and plain values."""
    state = opt.state_dict()
    arrays = [
        (place, name, np.asarray(value).tobytes())
        for place, entry in state["state"].items()
        for name, value in entry.items()
    ]
    rest = {k: v for k, v in state.items() if k not in {"state", "ema"}}
    averages = [(k, v.tobytes()) for k, v in state["ema"].items()]
    buffers = net.flat_parameters.tobytes(), net.flat_gradients.tobytes()
    return buffers, net._network.epochs, arrays, rest, averages


def test_the_numbers_are_those_of_a_loop_by_hand():
    X, y = problem()
    w = np.random.default_rng(1).random(200)
    net, other = network("float64"), network("float64")
    loss = nn.MSELoss()
    result = dp.lr_range_test(
        net,
        X,
        y,
        loss=loss,
        optimizer=optim.SGD(net.parameters(), momentum=0.9),
        start=1e-3,
        end=0.5,
        steps=15,
        batch_size=60,
        shuffle=False,
        sample_weight=w,
    )
    opt = optim.SGD(other.parameters(), momentum=0.9)
    lrs = np.geomspace(1e-3, 0.5, 15)
    losses = []
    for k, lr in enumerate(lrs):
        i = k % 4 * 60
        rows = slice(i, min(i + 60, 200))
        a = other.forward(X[rows])
        losses.append(loss(a, y[rows], w[rows]))
        other.zero_grad()
        other.backward(loss.delta(a, y[rows], w[rows]))
        opt.lr = lr
        opt.step()
    np.testing.assert_array_equal(result.loss, losses)
    np.testing.assert_array_equal(result.lr, lrs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", ["Adam", "SGD", "RMSprop"])
def test_nothing_changes(rule, dtype):
    X, y = problem()
    net = network(dtype)
    opt = getattr(optim, rule)(net.parameters(), lr=0.01, clip_norm=1.0, ema_decay=0.9)
    optim.StepLR(opt, 3)
    net.fit(X, y, loss=nn.MSELoss(), optimizer=opt, epochs=2)
    net.backward(np.ones_like(net.forward(X)))
    before = everything(net, opt)
    dp.lr_range_test(net, X, y, loss=nn.MSELoss(), optimizer=opt, steps=30)
    assert everything(net, opt) == before

    class Breaks(nn.MSELoss):
        calls = 0

        def __call__(self, outputs, y, sample_weight=None):
            type(self).calls += 1
            if self.calls == 5:
                raise KeyError("mine")
            return super().__call__(outputs, y, sample_weight)

    with pytest.raises(KeyError, match="mine"):
        dp.lr_range_test(net, X, y, loss=Breaks(), optimizer=opt)
    assert everything(net, opt) == before


def test_it_goes_on_from_the_optimizers_state():
    X, y = problem()
    net = network("float64")
    opt = optim.Adam(net.parameters(), lr=0.05)
    arguments = {"loss": nn.MSELoss(), "steps": 10, "start": 0.01, "seed": 3}
    net.fit(X, y, loss=nn.MSELoss(), optimizer=opt, epochs=1)
    on = dp.lr_range_test(net, X, y, optimizer=opt, **arguments)
    anew = dp.lr_range_test(net, X, y, optimizer=optim.Adam(net.parameters()), **arguments)
    assert on.loss[0] == anew.loss[0]
    assert (on.loss[2:] != anew.loss[2:]).all()
    # The same again, as nothing has changed; another order of the rows is another result.
    again = dp.lr_range_test(net, X, y, optimizer=opt, **arguments)
    np.testing.assert_array_equal(again.loss, on.loss)
    other = dp.lr_range_test(net, X, y, optimizer=opt, **{**arguments, "seed": 4})
    assert other.loss[0] != on.loss[0]


def test_groups_in_another_order():
    X, y = problem()
    net = network("float64")
    groups = [{"params": net[2].parameters(), "lr": 0.3}, {"params": net[0].parameters()[:1]}]
    opt = optim.SGD(groups, momentum=0.5)
    opt.step()
    before = everything(net, opt)
    result = dp.lr_range_test(net, X, y, loss=nn.MSELoss(), optimizer=opt, start=0.01, steps=40)
    assert everything(net, opt) == before
    assert result.loss[-1] < result.loss[0]


def test_it_stops_when_the_loss_diverges():
    X, y = problem()
    net = network()
    opt = optim.SGD(net.parameters())
    result = dp.lr_range_test(
        net, X, y, loss=nn.MSELoss(), optimizer=opt, start=1e-4, end=1e4, steps=200
    )
    assert len(result.lr) == len(result.loss) < 200
    assert result.loss[-1] > 4 * result.loss.min()
    assert np.isfinite(result.loss).all()
    # Where training at the suggestion works and at the last rate does not.
    assert 1e-3 < result.suggestion < result.lr[-1] / 5


def test_a_loss_below_zero_is_no_divergence():
    class Shifted:
        def __call__(self, outputs, y):
            return nn.MSELoss()(outputs, y) - 100

        def delta(self, outputs, y):
            return nn.MSELoss().delta(outputs, y)

    X, y = problem()
    net = network()
    opt = optim.SGD(net.parameters())
    result = dp.lr_range_test(net, X, y, loss=Shifted(), optimizer=opt, steps=50, end=0.01)
    assert len(result.lr) == 50


def test_the_suggestion_is_where_the_loss_falls_fastest():
    lr = np.geomspace(1e-5, 1, 101)
    fall = 1 - 0.9 / (1 + np.exp(-4 * (np.log10(lr) + 3)))
    result = dp.LRRange(lr, fall + np.where(lr > 0.1, 40 * (lr - 0.1), 0))
    assert np.log10(result.suggestion) == pytest.approx(-3, abs=0.2)
    assert math.isnan(dp.LRRange(lr, np.linspace(1, 2, 101)).suggestion)
    np.testing.assert_allclose(dp.LRRange(lr, np.full(101, 3.0)).smoothed, 3, rtol=1e-14)
    # Symmetric: a peak stays where it is.
    peak = dp.LRRange(lr, np.eye(101)[50]).smoothed
    np.testing.assert_allclose(peak[20:81], peak[80:19:-1], rtol=1e-2)
    assert peak.argmax() == 50


def test_the_table():
    lr = np.geomspace(1e-5, 1, 101)
    result = dp.LRRange(lr, -np.log(lr + 1e-3))
    lines = repr(result).splitlines()
    assert lines[0] == "LRRange: 101 steps"
    assert lines[1].split() == ["lr", "loss", "smoothed"]
    assert 20 <= len(lines) <= 3 + 20
    marked = [line for line in lines if "<- suggestion" in line]
    assert len(marked) == 1
    assert float(marked[0].split()[0]) == pytest.approx(result.suggestion, rel=1e-2)
    assert "suggestion" not in repr(dp.LRRange(lr, lr))
    assert len(repr(dp.LRRange(lr[:1], lr[:1])).splitlines()) == 4


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"start": 0}, ValueError, "lr_range_test: expected 0 < start < end, got 0 and 1"),
        ({"start": 2}, ValueError, "lr_range_test: expected 0 < start < end, got 2 and 1"),
        ({"end": math.nan}, ValueError, "lr_range_test: end: expected a finite number, got nan"),
        ({"start": "a"}, TypeError, "lr_range_test: start: expected a number"),
        ({"steps": 1}, ValueError, "lr_range_test: steps: expected 2 or more, got 1"),
        ({"batch_size": 0}, ValueError, "lr_range_test: batch_size: expected 1 or more, got 0"),
        ({"batch_size": None}, TypeError, "lr_range_test: batch_size: expected an integer"),
        ({"seed": -1}, ValueError, "lr_range_test: expected a seed from 0"),
        ({"loss": nn.MSELoss}, TypeError, "lr_range_test: expected a loss with __call__"),
        ({"loss": nn.MSELoss(reduction="none")}, ValueError, "lr_range_test: .* got 'none'"),
        ({"optimizer": optim.SGD}, TypeError, "lr_range_test: expected an optimizer"),
        (
            {"optimizer": optim.SGD(network().parameters())},
            ValueError,
            "lr_range_test: expected an optimizer of this network's parameters",
        ),
        (
            {"sample_weight": np.ones(3)},
            ValueError,
            r"^sample_weight: expected \(200,\), got \(3,\)$",
        ),
        ({"sample_weight": -np.ones(200)}, ValueError, "weight"),
    ],
)
def test_errors(settings, error, match):
    X, y = problem()
    net = network()
    arguments = {"loss": nn.MSELoss(), "optimizer": optim.SGD(net.parameters()), **settings}
    before = net.flat_parameters.copy()
    with pytest.raises(error, match=match):
        dp.lr_range_test(net, X, y, **arguments)
    np.testing.assert_array_equal(net.flat_parameters, before)


def test_wrong_data():
    net = network()
    given = {"loss": nn.MSELoss(), "optimizer": optim.SGD(net.parameters())}
    X, y = problem()
    with pytest.raises(ValueError, match=r"^X: expected one row or more, got \(0, 3\)$"):
        dp.lr_range_test(net, X[:0], y[:0], **given)
    with pytest.raises(ValueError, match=r"^y: expected 200 rows, as X has, got shape \(5, 1\)$"):
        dp.lr_range_test(net, X, y[:5], **given)
    with pytest.raises(ValueError, match=r"expected input \(N, 3\), got \(200, 2\)"):
        dp.lr_range_test(net, X[:, :2], y, **given)
    with pytest.raises(ValueError, match=r"nan|finite"):
        dp.lr_range_test(net, X * np.nan, y, **given)
    with pytest.raises(TypeError, match="X: expected real numbers"):
        dp.lr_range_test(net, X.astype(str), y, **given)


def test_several_inputs_heads_and_skips():
    X, y = problem()
    net = nn.Sequential(
        nn.Concat(nn.Linear(3, 4), nn.Linear(1, 2)),
        nn.Residual(nn.Linear(6, 6), nn.Tanh()),
        nn.Heads(nn.Linear(6, 1), nn.Linear(6, 2)),
        dtype="float64",
        seed=0,
    )
    opt = optim.Adam(net.parameters())
    before = everything(net, opt)
    losses, weights = (nn.MSELoss(), nn.CrossEntropyLoss()), (1.0, 0.5)
    targets = y, (y[:, 0] > 0).astype(int)
    result = dp.lr_range_test(
        net,
        (X, X[:, :1]),
        targets,
        loss=losses,
        loss_weights=weights,
        optimizer=opt,
        batch_size=200,
        end=0.01,
        steps=12,
    )
    assert everything(net, opt) == before
    a, b = net((X, X[:, :1]))
    first = losses[0](a, targets[0]) + 0.5 * losses[1](b, targets[1])
    assert result.loss[0] == pytest.approx(first, rel=1e-14)
    assert len(result.loss) == 12
    assert result.loss[-1] < result.loss[0]
