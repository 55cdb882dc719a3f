"""What all optimizers have in common: penalties, clipping, constraints, averages, fit."""

import numpy as np
import pytest

from deltaprop import nn, optim
from optimizers import (
    FAMILY,
    draws,
    each_dtype,
    each_member,
    network,
    run,
    set_gradients,
    values,
)


@pytest.fixture
def torch(peer):
    return peer("torch")


def common_step(g, p, options):
    """Penalties, then clipping, as design and docstrings say it, of a list of arrays in double."""
    sign = -1 if options.get("maximize") else 1
    g = [
        sign * a + options.get("l2", 0) * b + options.get("l1", 0) * np.sign(b)
        for a, b in zip(g, p, strict=True)
    ]
    if (limit := options.get("clip_norm")) is not None:
        norm = np.sqrt(sum((a**2).sum() for a in g))
        g = [a * min(1, limit / (norm + 1e-6)) for a in g]
    if (bound := options.get("clip_value")) is not None:
        g = [np.clip(a, -bound, bound) for a in g]
    return g


def constrained(p, options):
    if options.get("nonnegative"):
        p = [np.maximum(a, 0) for a in p]
    if (limit := options.get("max_norm")) is not None:
        norms = [np.linalg.norm(a, axis=-1, keepdims=True) for a in p]
        p = [
            np.where(n > limit, a * (limit / (n + 1e-7)), a) if a.ndim == 2 else a
            for a, n in zip(p, norms, strict=True)
        ]
    return p


COMMON = [
    {"l2": 0.3},
    {"l1": 0.2},
    {"l1": 0.2, "l2": 0.3, "maximize": True},
    {"clip_norm": 0.5},
    {"clip_norm": 1e6},
    {"clip_value": 0.25},
    {"clip_norm": 3.0, "clip_value": 0.5, "l1": 0.1, "l2": 0.1},
    {"nonnegative": True},
    {"max_norm": 0.3},
    {"max_norm": 0.3, "nonnegative": True, "l1": 0.01, "clip_norm": 1.0, "ema_decay": 0.8},
]


@pytest.mark.parametrize("options", COMMON, ids=str)
@each_dtype
def test_common_options_are_their_formulas(options, dtype):
    net = network(dtype)
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.5, **options)
    p = [v.astype(float) for v in values(net)]
    p[0][0, 0] = 0  # where |p| has no derivative
    net.parameters()[0].value[0, 0] = 0
    buffers = [np.zeros_like(v) for v in p]
    averages = None
    rng = np.random.default_rng(0)
    for _ in range(20):
        gradients = draws(net, rng)
        set_gradients(net, gradients)
        opt.step()
        for before, q in zip(gradients, net.parameters(), strict=True):
            np.testing.assert_array_equal(q.grad, before)
        g = common_step([a.astype(float) for a in gradients], p, options)
        buffers = [0.5 * b + a for b, a in zip(buffers, g, strict=True)]
        p = constrained([a - 0.1 * b for a, b in zip(p, buffers, strict=True)], options)
        decay = options.get("ema_decay", 0)
        averages = (
            p
            if averages is None
            else [decay * a + (1 - decay) * b for a, b in zip(averages, p, strict=True)]
        )
    rtol, atol = (1e-4, 1e-5) if dtype == "float32" else (1e-11, 1e-13)
    for ours, theirs in zip(values(net), p, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)
    if "max_norm" in options:
        norms = np.linalg.norm(net[0].weight.astype(float), axis=1)
        assert (norms <= 0.3 * (1 + 1e-6)).all()
        assert (norms > 0.299).any()
    if "ema_decay" in options:
        for i, average in enumerate(averages):
            np.testing.assert_allclose(opt.state_dict()["ema"][i], average, rtol=rtol, atol=atol)


@each_member
@each_dtype
def test_common_options_act_on_every_member(name, dtype):
    # Penalties and clipping by hand on the gradients, against the options.
    options = {"l1": 0.1, "l2": 0.2, "clip_norm": 0.7, "clip_value": 0.3}
    ours, plain = network(dtype), network(dtype)
    a = FAMILY[name](ours.parameters(), lr=0.01, max_norm=0.5, nonnegative=True, **options)
    b = FAMILY[name](plain.parameters(), lr=0.01)
    rng = np.random.default_rng(0)
    for _ in range(10):
        gradients = draws(ours, rng)
        set_gradients(ours, gradients)
        p = [v.astype(float) for v in values(plain)]
        set_gradients(plain, common_step([g.astype(float) for g in gradients], p, options))
        a.step()
        b.step()
        for q, value in zip(
            plain.parameters(),
            constrained(values(plain), {"max_norm": 0.5, "nonnegative": True}),
            strict=True,
        ):
            q.value = value
    tolerance = 2e-3 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(
        ours.flat_parameters, plain.flat_parameters, rtol=tolerance, atol=tolerance
    )


def test_clipping_and_norms_are_pytorchs(torch):
    net = network()
    opt = optim.SGD(net.parameters(), lr=1.0, clip_norm=0.7, max_norm=0.4)
    theirs = [torch.tensor(v, requires_grad=True) for v in values(net)]
    gradients = draws(net, np.random.default_rng(0))
    set_gradients(net, gradients)
    for p, g in zip(theirs, gradients, strict=True):
        p.grad = torch.tensor(g, dtype=p.dtype)
    torch.nn.utils.clip_grad_norm_(theirs, 0.7)
    torch.optim.SGD(theirs, lr=1.0).step()
    opt.step()
    for p, q in zip(net.parameters(), theirs, strict=True):
        value = torch.renorm(q, 2, 0, 0.4) if q.ndim == 2 else q
        np.testing.assert_allclose(p.value, value.detach().numpy(), rtol=1e-12)


def test_options_by_group():
    net = network()
    w0, b0, w1, b1 = net.parameters()
    opt = optim.SGD(
        [{"params": [w0], "l2": 1.0}, {"params": [w1, b1], "nonnegative": True}, {"params": [b0]}],
        lr=0.5,
    )
    before = values(net)
    opt.step()
    np.testing.assert_allclose(w0.value, 0.5 * before[0], rtol=1e-14)
    np.testing.assert_array_equal(b0.value, before[1])
    np.testing.assert_array_equal(w1.value, np.maximum(before[2], 0))
    assert (before[2] < 0).any()
    assert [g["l2"] for g in opt.param_groups] == [1.0, 0.0, 0.0]
    opt.param_groups[2]["max_norm"] = 0.5
    assert opt.param_groups[2]["max_norm"] == 0.5
    opt.param_groups[2]["max_norm"] = None
    assert opt.param_groups[2]["max_norm"] is None


BAD = [
    ({"l1": -1}, ValueError, "expected l1 >= 0, got -1.0"),
    ({"l2": np.nan}, ValueError, "expected l2 >= 0, got nan"),
    ({"max_norm": 0}, ValueError, "expected max_norm > 0 or None, got 0.0"),
    ({"max_norm": np.nan}, ValueError, "expected max_norm > 0 or None, got nan"),
    ({"max_norm": "a"}, TypeError, "expected a number for max_norm, got 'a'"),
    ({"l1": None}, TypeError, "expected a number for l1, got None"),
    ({"nonnegative": 2}, TypeError, "expected True or False for nonnegative, got 2"),
    ({"maximize": "no"}, TypeError, "expected True or False for maximize, got 'no'"),
    ({"clip_norm": 0}, ValueError, "expected clip_norm > 0 or None, got 0.0"),
    ({"clip_norm": np.nan}, ValueError, "expected clip_norm > 0 or None, got nan"),
    ({"clip_value": -1}, ValueError, "expected clip_value > 0 or None, got -1.0"),
    ({"clip_value": "1"}, TypeError, "expected a number for clip_value, got '1'"),
    ({"ema_decay": 1}, ValueError, "expected 0 <= ema_decay < 1 or None, got 1.0"),
    ({"ema_decay": [0.1]}, TypeError, r"expected a number for ema_decay, got \[0.1\]"),
]


@each_member
@pytest.mark.parametrize(("options", "error", "message"), BAD, ids=str)
def test_common_options_out_of_range(name, options, error, message):
    with pytest.raises(error, match=f"^{name}: {message}$"):
        FAMILY[name](network().parameters(), **options)
    opt = FAMILY[name](network().parameters())
    before = opt.state_dict()
    (key, value) = next(iter(options.items()))
    writes = opt.param_groups[0].__setitem__ if key in opt.param_groups[0] else opt.__setattr__
    with pytest.raises(error, match=f"^{name}: {message}$"):
        writes(key, value)
    assert opt.state_dict() == before


def test_unknown_options():
    with pytest.raises(TypeError, match="unexpected keyword argument 'momentum'"):
        optim.Adam(network().parameters(), momentum=0.9)


class TestAveraged:
    """The averages of the parameters in their place."""

    def make(self, kind=optim.SGD, **options):
        net = network()
        opt = kind(net.parameters(), ema_decay=0.5, **options)
        return net, opt

    def test_they_are_the_networks_for_a_while(self):
        net, opt = self.make(lr=0.1)
        expected = None
        rng = np.random.default_rng(0)
        for _ in range(5):
            set_gradients(net, draws(net, rng))
            opt.step()
            now = net.flat_parameters.copy()
            expected = now if expected is None else 0.5 * expected + 0.5 * now
        x = rng.normal(size=(4, 3))
        own, outside = net.flat_parameters.copy(), net(x)
        with opt.averaged():
            np.testing.assert_allclose(net.flat_parameters, expected, rtol=1e-13)
            inside = net(x)
            net.flat_parameters[0] = 9  # is not kept
            assert opt.state_dict()["ema"][0][0, 0] != 9
        np.testing.assert_array_equal(net.flat_parameters, own)
        np.testing.assert_array_equal(net(x), outside)
        assert not np.array_equal(inside, outside)
        with opt.averaged():
            np.testing.assert_allclose(net.flat_parameters, expected, rtol=1e-13)

    def test_own_weights_come_back_after_an_exception(self):
        net, opt = self.make(lr=0.1)
        run(net, opt, 3, seed=0)
        own = net.flat_parameters.copy()
        with pytest.raises(IndexError), opt.averaged():
            [][int((net.flat_parameters == own).all())]
        np.testing.assert_array_equal(net.flat_parameters, own)
        run(net, opt, 1, seed=0)

    def test_nothing_steps_meanwhile(self):
        net, opt = self.make(lr=0.1)
        run(net, opt, 3, seed=0)
        own = net.flat_parameters.copy()
        x, y = np.ones((4, 3)), np.ones((4, 2))
        with opt.averaged():
            with pytest.raises(RuntimeError, match=r"or its averages are shown$"):
                opt.step()
            with pytest.raises(RuntimeError, match="SGD: the averages are shown already"):
                opt.averaged().__enter__()
            for each in (opt, optim.SGD(net.parameters())):
                with pytest.raises(RuntimeError, match="is in use"):
                    net.fit(x, y, loss=nn.MSELoss(), optimizer=each, epochs=1)
        np.testing.assert_array_equal(net.flat_parameters, own)

    def test_in_a_callback_of_fit(self):
        net, opt = self.make(optim.Adam)
        plain, other = self.make(optim.Adam)
        x, y = np.ones((8, 3)), np.ones((8, 2))
        seen = []

        def look(run):
            own = net.flat_parameters.copy()
            with opt.averaged():
                seen.append(not np.array_equal(net.flat_parameters, own))

        options = {"loss": nn.MSELoss(), "epochs": 3, "batch_size": 4}
        net.fit(x, y, optimizer=opt, callbacks=[look], **options)
        plain.fit(x, y, optimizer=other, **options)
        assert seen == [True] * 3
        np.testing.assert_array_equal(net.flat_parameters, plain.flat_parameters)

    def test_without_any(self):
        net = network()
        opt = optim.SGD(net.parameters())
        message = r"^SGD: expected an ema_decay, got None: there are no averages$"
        with pytest.raises(RuntimeError, match=message), opt.averaged():
            pass
        opt.ema_decay = 0.9
        own = net.flat_parameters.copy()
        with opt.averaged():  # none has begun
            np.testing.assert_array_equal(net.flat_parameters, own)


FITS = [
    {"clip_norm": 0.1},
    {"clip_norm": 0.1, "l1": 0.01, "ema_decay": 0.9},
    {"max_norm": 0.4, "clip_value": 0.01},
    {"nonnegative": True, "ema_decay": 0.5, "l2": 0.1},
]


@each_member
@each_dtype
@pytest.mark.parametrize("options", FITS, ids=str)
def test_fit_has_the_bits_of_steps_by_hand(name, dtype, options):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    fitted, by_hand = network(dtype), network(dtype)
    a = FAMILY[name](fitted.parameters(), **options)
    b = FAMILY[name](by_hand.parameters(), **options)
    loss = nn.MSELoss()
    fitted.fit(x, y, loss=loss, optimizer=a, epochs=3, batch_size=8, shuffle=False)
    for _ in range(3):
        for i in range(0, 30, 8):
            rows = slice(i, i + 8)
            by_hand.backward(loss.delta(by_hand.forward(x[rows]), y[rows]))
            b.step()
            b.zero_grad()
    np.testing.assert_array_equal(fitted.flat_parameters, by_hand.flat_parameters)
    np.testing.assert_equal(a.state_dict(), b.state_dict())


def test_clipping_set_by_a_callback():
    x, y = np.ones((8, 3)), np.ones((8, 2))
    net, whole = network(), network()
    opt, other = optim.SGD(net.parameters(), lr=0.1), optim.SGD(whole.parameters(), lr=0.1)

    def clip(run):
        opt.clip_norm = None if opt.clip_norm else 0.01

    options = {"loss": nn.MSELoss(), "batch_size": 4}
    net.fit(x, y, optimizer=opt, epochs=3, callbacks=[clip], seed=0, **options)
    for limit in (None, 0.01, None):
        other.clip_norm = limit
        whole.fit(x, y, optimizer=other, epochs=1, shuffle=False, **options)
    np.testing.assert_array_equal(net.flat_parameters, whole.flat_parameters)
