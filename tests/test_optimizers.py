"""Optimizers: updates against plain NumPy, groups, options and errors."""

import copy
import gc
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaprop import nn, optim


def network(dtype="float64", seed=0):
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), dtype=dtype, seed=seed)


class ReferenceSGD:
    """SGD of one array, by its formula."""

    def __init__(self, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
        self.lr, self.momentum, self.dampening = lr, momentum, dampening
        self.weight_decay, self.nesterov, self.buffer = weight_decay, nesterov, None

    def step(self, p, g):
        g = g + self.weight_decay * p
        if self.momentum:
            if self.buffer is None:
                self.buffer = g
            else:
                self.buffer = self.momentum * self.buffer + (1 - self.dampening) * g
            g = g + self.momentum * self.buffer if self.nesterov else self.buffer
        return p - self.lr * g


class ReferenceAdam:
    """Adam of one array, by its formula."""

    def __init__(self, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.m = self.v = 0.0
        self.t = 0

    def step(self, p, g):
        self.t += 1
        g = g + self.weight_decay * p
        b1, b2 = self.betas
        self.m = b1 * self.m + (1 - b1) * g
        self.v = b2 * self.v + (1 - b2) * g**2
        m, v = self.m / (1 - b1**self.t), self.v / (1 - b2**self.t)
        return p - self.lr * m / (np.sqrt(v) + self.eps)


REFERENCES = {optim.SGD: ReferenceSGD, optim.Adam: ReferenceAdam}
OPTIONS = [
    (optim.SGD, {"lr": 0.1}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.1, "nesterov": True}),
    (optim.SGD, {"lr": 0.0}),
    (optim.Adam, {"lr": 0.01}),
    (optim.Adam, {"lr": 0.01, "betas": (0.5, 0.8), "eps": 1e-3, "weight_decay": 0.1}),
    (optim.Adam, {"lr": 0.01, "betas": (0.0, 0.0)}),
]
ids = [f"{kind.__name__}-{i}" for i, (kind, _) in enumerate(OPTIONS)]
each_option = pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=ids)


@each_option
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_equal_numpy(kind, options, dtype, rng):
    net = network(dtype)
    opt = kind(net.parameters(), **options)
    reference = REFERENCES[kind](**options)
    p = net.flat_parameters.astype(float)
    rtol, atol = (2e-5, 2e-6) if dtype == "float32" else (1e-12, 1e-14)
    for _ in range(20):
        g = rng.normal(size=p.size).astype(dtype)
        net.flat_gradients[:] = g
        opt.step()
        p = reference.step(p, g.astype(float))
        np.testing.assert_allclose(net.flat_parameters, p, rtol=rtol, atol=atol)
        np.testing.assert_array_equal(net.flat_gradients, g)


def test_groups_have_options_of_their_own(rng):
    net = network()
    w0, b0, w1, b1 = net.parameters()
    opt = optim.SGD(
        [
            {"params": [w0, b0], "lr": 0.5},
            {"params": w1, "momentum": 0.9},
            {"params": iter([b1]), "weight_decay": 1.0, "lr": 0},
        ],
        lr=0.1,
    )
    references = [ReferenceSGD(0.5)] * 2 + [ReferenceSGD(0.1, momentum=0.9), ReferenceSGD(0)]
    values = [p.value.copy() for p in net.parameters()]
    for _ in range(5):
        net.flat_gradients[:] = rng.normal(size=net.flat_gradients.size)
        for i, p in enumerate(net.parameters()):
            values[i] = references[i].step(values[i], p.grad.copy())
        opt.step()
        for value, p in zip(values, net.parameters(), strict=True):
            np.testing.assert_allclose(p.value, value, rtol=1e-13)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_parameters_not_given_stay(kind):
    net = network()
    opt = kind(net.parameters()[:1], lr=0.1)
    before = net.flat_parameters.copy()
    net.flat_gradients[:] = 1
    opt.step()
    assert (net.flat_parameters[:12] != before[:12]).all()
    np.testing.assert_array_equal(net.flat_parameters[12:], before[12:])
    opt.zero_grad()
    assert not net.flat_gradients[:12].any()
    assert (net.flat_gradients[12:] == 1).all()


def test_step_leaves_gradients_and_zero_grad_clears_them():
    net = network()
    opt = optim.Adam(net.parameters())
    grad = net.parameters()[0].grad
    net.flat_gradients[:] = 1
    opt.step()
    assert (grad == 1).all()
    opt.zero_grad()
    assert (grad == 0).all()
    assert not net.flat_gradients.any()


class TestParamGroups:
    """Options as they can be read and written."""

    def test_reading(self):
        net = network()
        opt = optim.Adam(net.parameters(), lr=0.25, betas=(0.5, 0.75))
        (group,) = opt.param_groups
        assert dict(group) == {
            "params": group["params"],
            "lr": 0.25,
            "betas": (0.5, 0.75),
            "eps": 1e-8,
            "weight_decay": 0.0,
            "amsgrad": False,
            "decoupled_weight_decay": False,
            "maximize": False,
            "l1": 0.0,
            "l2": 0.0,
            "max_norm": None,
            "nonnegative": False,
        }
        assert [p.name for p in group["params"]] == [p.name for p in net.parameters()]
        assert len(group) == 12
        assert "lr=0.25, betas=(0.5, 0.75)" in repr(opt)
        assert type(optim.SGD(net.parameters()).param_groups[0]["nesterov"]) is bool

    @pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
    def test_writing_takes_effect_at_the_next_step(self, kind):
        net = network()
        opt = kind(net.parameters(), lr=0.1)
        net.flat_gradients[:] = 1
        opt.step()
        opt.param_groups[0]["lr"] = 0
        before = net.flat_parameters.copy()
        opt.step()
        np.testing.assert_array_equal(net.flat_parameters, before)
        assert opt.lr == 0

    def test_momentum_may_begin_late(self):
        net = network()
        opt = optim.SGD(net.parameters(), lr=1.0)
        p = net.flat_parameters.copy()
        net.flat_gradients[:] = 1
        opt.step()
        opt.param_groups[0]["momentum"] = 0.5
        opt.step()
        opt.step()
        np.testing.assert_allclose(net.flat_parameters, p - 1 - 1 - 1.5, rtol=1e-13)

    def test_betas_are_written_together(self):
        opt = optim.Adam(network().parameters())
        opt.param_groups[0]["betas"] = [0.1, 0.2]
        assert opt.param_groups[0]["betas"] == (0.1, 0.2)

    def test_lr_of_all_groups(self):
        w0, b0, w1, b1 = network().parameters()
        opt = optim.SGD([{"params": [w0], "lr": 1}, {"params": [b0, w1, b1], "lr": 2}])
        assert opt.lr == 1.0
        opt.lr = 0.5
        assert [g["lr"] for g in opt.param_groups] == [0.5, 0.5]

    def test_a_refused_value_changes_nothing(self):
        opt = optim.SGD(network().parameters(), lr=0.5)
        with pytest.raises(ValueError, match=r"^SGD: expected lr >= 0, got -1\.0$"):
            opt.lr = -1
        with pytest.raises(TypeError, match=r"^SGD: expected a number for lr, got 'x'$"):
            opt.param_groups[0]["lr"] = "x"
        with pytest.raises(ValueError, match=r"^SGD: expected one of the options .*, got 'rate'$"):
            opt.param_groups[0]["rate"] = 1
        with pytest.raises(ValueError, match=r"^SGD: expected one of the options .* got 'params'$"):
            opt.param_groups[0]["params"] = []
        with pytest.raises(ValueError, match=r"^SGD: nesterov expected momentum > 0"):
            opt.param_groups[0]["nesterov"] = True
        with pytest.raises(TypeError, match="cannot be removed, only changed"):
            del opt.param_groups[0]["lr"]
        with pytest.raises(KeyError, match="rate"):
            opt.param_groups[0]["rate"]
        assert dict(opt.param_groups[0])["lr"] == 0.5


BAD_SGD = [
    ({"lr": -0.1}, "SGD: expected lr >= 0, got -0.1"),
    ({"lr": np.nan}, "SGD: expected lr >= 0, got nan"),
    ({"lr": np.inf}, "SGD: expected lr >= 0, got inf"),
    ({"momentum": -1}, "SGD: expected momentum >= 0, got -1.0"),
    ({"weight_decay": -1}, "SGD: expected weight_decay >= 0, got -1.0"),
    ({"dampening": np.nan}, "SGD: expected a finite dampening, got nan"),
    ({"nesterov": True}, "SGD: nesterov expected momentum > 0 and dampening = 0, got"),
    ({"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "SGD: nesterov expected momentum > 0"),
]
BAD_ADAM = [
    ({"lr": -1}, "Adam: expected lr >= 0, got -1.0"),
    ({"betas": (1.0, 0.9)}, "Adam: expected 0 <= beta1 < 1, got 1.0"),
    ({"betas": (0.9, -0.1)}, "Adam: expected 0 <= beta2 < 1, got -0.1"),
    ({"betas": (0.9, np.nan)}, "Adam: expected 0 <= beta2 < 1, got nan"),
    ({"betas": (0.9,)}, "Adam: expected 2 numbers for betas, got (0.9,)"),
    ({"eps": -1}, "Adam: expected eps >= 0, got -1.0"),
    ({"weight_decay": -1}, "Adam: expected weight_decay >= 0, got -1.0"),
]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [(optim.SGD, *bad) for bad in BAD_SGD] + [(optim.Adam, *bad) for bad in BAD_ADAM],
)
def test_options_out_of_range(kind, options, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        kind(network().parameters(), **options)
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        kind([{"params": network().parameters(), **options}])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (optim.SGD, {"lr": "fast"}),
        (optim.SGD, {"lr": None}),
        (optim.SGD, {"lr": 1j}),
        (optim.SGD, {"momentum": [0.9, 0.9]}),
        (optim.Adam, {"betas": ("a", 0.9)}),
        (optim.Adam, {"betas": 0.9}),
        (optim.Adam, {"eps": object()}),
    ],
)
def test_options_that_are_no_numbers(kind, options):
    (name,) = options
    with pytest.raises(TypeError, match=f"^{kind.__name__}: expected .*number.* for {name}, got"):
        kind(network().parameters(), **options)


def test_a_number_too_large_for_a_float():
    with pytest.raises((ValueError, TypeError), match=r"^SGD: expected .*lr"):
        optim.SGD(network().parameters(), lr=10**400)


class TestParams:
    """Arguments that count as parameters."""

    @pytest.mark.parametrize("bad", [None, 5, object()])
    def test_not_iterable(self, bad):
        message = r"^SGD: expected net\.parameters\(\) or a list of groups, got"
        with pytest.raises(TypeError, match=message):
            optim.SGD(bad)

    def test_one_parameter_is_not_a_list(self):
        with pytest.raises(TypeError, match="or a list of groups, got Parameter"):
            optim.SGD(network().parameters()[0])

    @pytest.mark.parametrize("make", [lambda n: n, lambda n: [n.flat_parameters], lambda n: "ab"])
    def test_other_things(self, make):
        message = r"^Adam: expected parameters as net\.parameters\(\) gives them, got \w+$"
        with pytest.raises(TypeError, match=message):
            optim.Adam(make(network()))

    def test_groups_without_params(self):
        p = network().parameters()
        with pytest.raises(TypeError, match=r"^SGD: expected groups with the key 'params', got"):
            optim.SGD([{"params": p[:1]}, p[1]])
        with pytest.raises(TypeError, match=r"^SGD: expected groups with the key 'params', got"):
            optim.SGD([{"lr": 1}])
        with pytest.raises(TypeError, match=r"^SGD: expected .*param"):
            optim.SGD([{"params": 5}])

    def test_unknown_options(self):
        with pytest.raises(
            ValueError, match=r"^SGD: expected the options \['lr', .* got \['bt'\]$"
        ):
            optim.SGD([{"params": network().parameters(), "bt": 1}])

    def test_none_at_all(self):
        with pytest.raises(ValueError, match=r"^SGD: expected one parameter or more, got none$"):
            optim.SGD([])
        with pytest.raises(ValueError, match=r"^SGD: expected one parameter or more, got none$"):
            optim.SGD(nn.Sequential(nn.ReLU()).parameters())

    def test_twice(self):
        p = network().parameters()
        with pytest.raises(ValueError, match=r"^Adam: parameter '0\.weight' is listed twice$"):
            optim.Adam([{"params": p}, {"params": p[:1]}])

    def test_of_two_networks(self):
        with pytest.raises(ValueError, match=r"^SGD: expected parameters of one network"):
            optim.SGD(network().parameters() + network().parameters())

    def test_of_layers_and_in_any_order(self):
        net = network()
        opt = optim.SGD(net[2].parameters()[::-1], lr=1)
        before = net.flat_parameters.copy()
        net.flat_gradients[:] = 1
        opt.step()
        np.testing.assert_array_equal(net.flat_parameters[:16], before[:16])
        np.testing.assert_allclose(net.flat_parameters[16:], before[16:] - 1, atol=1e-15)

    def test_a_generator(self):
        net = network()
        assert len(optim.SGD(p for p in net.parameters()).param_groups[0]["params"]) == 4


def test_it_works_without_the_network_object():
    net = network()
    values, gradients = net.flat_parameters, net.flat_gradients
    opt = optim.SGD(net.parameters(), lr=1)
    del net
    gc.collect()
    before = values.copy()
    gradients[:] = 1
    opt.step()
    np.testing.assert_allclose(values, before - 1, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps])
def test_it_refuses_to_be_copied(kind, how):
    opt = kind(network().parameters())
    with pytest.raises(TypeError, match=f"^{kind.__name__} cannot be copied: it belongs to its"):
        how(opt)


@settings(max_examples=50, deadline=None)
@given(
    lr=st.floats(0, 1),
    momentum=st.floats(0.01, 0.99),
    dampening=st.floats(-1, 1),
    weight_decay=st.floats(0, 0.5),
    seed=st.integers(0, 2**16),
)
def test_sgd_of_any_options(lr, momentum, dampening, weight_decay, seed):
    options = {
        "lr": lr,
        "momentum": momentum,
        "dampening": dampening,
        "weight_decay": weight_decay,
    }
    rng = np.random.default_rng(seed)
    net = network()
    opt, reference = optim.SGD(net.parameters(), **options), ReferenceSGD(**options)
    p = net.flat_parameters.copy()
    for _ in range(4):
        g = rng.normal(size=p.size)
        net.flat_gradients[:] = g
        opt.step()
        p = reference.step(p, g)
    np.testing.assert_allclose(net.flat_parameters, p, rtol=1e-11, atol=1e-12)


def test_strings_are_no_numbers():
    p = network().parameters()
    with pytest.raises(TypeError, match=r"^SGD: expected a number for lr, got '0.1'$"):
        optim.SGD(p, lr="0.1")
    with pytest.raises(TypeError, match=r"^Adam: expected 2 numbers for betas, got '00'$"):
        optim.Adam(p, betas="00")


def test_messages_show_the_number_that_came():
    with pytest.raises(ValueError, match=r"^Adam: expected eps >= 0, got -1e-09$"):
        optim.Adam(network().parameters(), eps=-1e-9)
