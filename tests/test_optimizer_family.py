"""Every optimizer: 1,000 steps against PyTorch in both precisions, states, options, edges."""

import inspect
import re
import zlib

import numpy as np
import pytest

from deltaprop import nn, optim

FAMILY = {
    name: kind
    for name in optim.__all__
    if issubclass(kind := getattr(optim, name), optim.Optimizer) and kind is not optim.Optimizer
}
# Variants of the options of each; whoever is not here fails the tests below.
VARIANTS = {
    "SGD": [
        {"lr": 0.1},
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.3},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True},
    ],
    "Adam": [
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1},
        {"lr": 0.01, "amsgrad": True},
        {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    "AdamW": [
        {},
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.3, "maximize": True},
        {"lr": 0.01, "amsgrad": True},
    ],
    "NAdam": [
        {},
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1},
        {"momentum_decay": 0.1, "decoupled_weight_decay": True, "weight_decay": 0.1},
        {"maximize": True},
    ],
    "RAdam": [
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1},
        {"lr": 0.01, "betas": (0.5, 0.5)},
        {"lr": 0.01, "decoupled_weight_decay": True, "weight_decay": 0.1, "maximize": True},
    ],
    "Adamax": [
        {},
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1},
        {"maximize": True},
    ],
    "Adagrad": [
        {},
        {"lr": 0.1, "lr_decay": 0.01, "initial_accumulator_value": 0.5},
        {"eps": 1e-3, "weight_decay": 0.1, "maximize": True},
    ],
    "Adadelta": [
        {},
        {"lr": 0.5, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1},
        {"rho": 1.0, "maximize": True},
    ],
    "RMSprop": [
        {},
        {"alpha": 0.5, "eps": 1e-3, "weight_decay": 0.1},
        {"momentum": 0.9},
        {"centered": True, "alpha": 0.9},
        {"centered": True, "momentum": 0.5, "maximize": True},
    ],
    "Rprop": [
        {},
        {"etas": (0.9, 1.5), "step_sizes": (1e-3, 0.1), "lr": 0.05},
        {"maximize": True},
    ],
    "ASGD": [
        {},
        {"lr": 0.1, "lambd": 0.01, "alpha": 0.5, "t0": 100, "weight_decay": 0.1},
        {"maximize": True, "lambd": 0.0},
    ],
    "Lion": [
        {},
        {"lr": 0.01, "betas": (0.5, 0.8), "weight_decay": 0.1},
        {"maximize": True},
    ],
}
CASES = [(name, i) for name in FAMILY for i in range(len(VARIANTS.get(name, [{}])))]
each_case = pytest.mark.parametrize(("name", "variant"), CASES)
each_member = pytest.mark.parametrize("name", FAMILY)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
# Of the norm of what the steps have moved; RAdam's first rates are differences of large numbers.
BOUNDS = {"float32": 3e-5, "float64": 1e-11}
STEPS = 1000


class NumpyLion:
    """Lion by the paper's algorithm 2, in double."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0, maximize=False):
        self.p, self.lr, self.betas, self.weight_decay = params, lr, betas, weight_decay
        self.sign = -1 if maximize else 1
        self.m = [np.zeros_like(p) for p in params]

    def step(self, gradients):
        b1, b2 = self.betas
        for i, gradient in enumerate(gradients):
            g, m = self.sign * gradient, self.m[i]
            update = np.sign(b1 * m + (1 - b1) * g) + self.weight_decay * self.p[i]
            self.p[i] = self.p[i] - self.lr * update
            self.m[i] = b2 * m + (1 - b2) * g


class TorchRule:
    """An optimizer of PyTorch behind the same three lines."""

    def __init__(self, torch, name, params, **options):
        self.torch = torch
        self.p = [torch.tensor(p, requires_grad=True) for p in params]
        self.rule = getattr(torch.optim, name)(self.p, **options)

    def step(self, gradients):
        for p, g in zip(self.p, gradients, strict=True):
            p.grad = self.torch.tensor(np.ascontiguousarray(g), dtype=p.dtype)
        self.rule.step()


@pytest.fixture
def oracle(peer):
    """Return the function that makes a member's oracle from its name, parameters and options."""

    def make(name, params, **options):
        if name == "Lion":
            return NumpyLion([p.astype(float) for p in params], **options)
        return TorchRule(peer("torch"), name, params, **options)

    return make


@pytest.fixture(autouse=True)
def double_scalars(request):
    """Let PyTorch keep its scalar states, as NAdam's product, in float64."""
    if "oracle" not in request.fixturenames and "torch" not in request.fixturenames:
        yield
        return
    torch = request.getfixturevalue("peer")("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def torch(peer):
    return peer("torch")


def network(dtype="float64", seed=0):
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), dtype=dtype, seed=seed)


def values(net):
    return [p.value.copy() for p in net.parameters()]


def set_gradients(net, gradients):
    for p, g in zip(net.parameters(), gradients, strict=True):
        p.grad[...] = g


def draws(net, rng):
    return [rng.normal(size=p.value.shape).astype(np.float32) for p in net.parameters()]


def distance(ours, theirs, start):
    """Give the norm of the difference, relative to how far the parameters have come."""
    flat = [
        np.concatenate([np.asarray(a, float).ravel() for a in x]) for x in (ours, theirs, start)
    ]
    return np.linalg.norm(flat[0] - flat[1]) / np.linalg.norm(flat[1] - flat[2])


def detached(oracle):
    return [p.detach().numpy() if hasattr(p, "detach") else p for p in oracle.p]


def test_every_member_has_cases():
    assert set(VARIANTS) == set(FAMILY)


@each_member
def test_every_option_has_a_variant(name):
    options = inspect.signature(FAMILY[name]).parameters.keys() - {"params", "kwargs"}
    covered = {key for variant in VARIANTS[name] for key in variant}
    assert options | {"maximize"} <= covered | {"lr"}, options - covered


@each_case
@each_dtype
def test_a_thousand_steps(oracle, name, variant, dtype):
    # Gradients given, so that an error of one step does not feed the next; a first one of 0, as
    # units that wake later have it; sizes over six decades, so that every eps counts.
    options = VARIANTS[name][variant]
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    net = network(dtype)
    start = values(net)
    ours = FAMILY[name](net.parameters(), **options)
    theirs = oracle(name, start, **options)
    for step in range(STEPS):
        scale = 0 if step == 0 else 10.0 ** rng.integers(-4, 2)
        gradients = [g * np.float32(scale) for g in draws(net, rng)]
        set_gradients(net, gradients)
        ours.step()
        theirs.step(gradients)
    error = distance(values(net), detached(theirs), start)
    # Lion's oracle works in double, whose parameters no step of 1e-4 rounds.
    bound = 2e-4 if (name, dtype) == ("Lion", "float32") else BOUNDS[dtype]
    assert error <= bound, f"{error:.1e}"


@each_member
def test_defaults_are_theirs(torch, name):
    if name == "Lion":
        expected = {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.0}
    else:
        theirs = inspect.signature(getattr(torch.optim, name)).parameters
        foreign = {"params", "foreach", "capturable", "differentiable", "fused", "maximize"}
        expected = {k: p.default for k, p in theirs.items() if k not in foreign}
    ours = inspect.signature(FAMILY[name]).parameters
    assert {k: p.default for k, p in ours.items() if k not in {"params", "kwargs"}} == expected
    # What is positional there is so here, in the same order.
    assert [k for k in ours if k in expected] == list(expected)


@each_member
def test_the_notes_say_the_formula_and_its_source(name):
    notes = inspect.getdoc(FAMILY[name]).split("Notes\n-----\n")[1]
    for label in ("Formula", "Source"):
        assert re.search(rf"^{label}: \S", notes, re.MULTILINE)
    assert re.search(r"\(\d{4}\)", notes)


# ---- state dictionaries


def run(net, opt, steps, seed):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        set_gradients(net, draws(net, rng))
        opt.step()


def tensors(torch, state):
    """Return a state_dict whose arrays are tensors."""
    entries = {
        i: {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in entry.items()}
        for i, entry in state["state"].items()
    }
    return {"state": entries, "param_groups": state["param_groups"]}


@pytest.mark.parametrize(("name", "variant"), [c for c in CASES if c[0] != "Lion"])
@each_dtype
def test_a_state_goes_to_pytorch_and_back(torch, name, variant, dtype):
    options = VARIANTS[name][variant]
    net, back = network(dtype), network(dtype)
    ours = FAMILY[name](net.parameters(), **options)
    run(net, ours, 7, seed=1)
    theirs = TorchRule(torch, name, values(net))  # the options come with the state
    theirs.rule.load_state_dict(tensors(torch, ours.state_dict()))
    start = values(net)
    rng = np.random.default_rng(2)
    for _ in range(5):
        gradients = draws(net, rng)
        set_gradients(net, gradients)
        ours.step()
        theirs.step(gradients)
    assert distance(values(net), detached(theirs), start) <= BOUNDS[dtype]

    returned = FAMILY[name](back.parameters())
    returned.load_state_dict(theirs.rule.state_dict())
    for p, value in zip(back.parameters(), detached(theirs), strict=True):
        p.value = value
    start = values(back)
    for _ in range(5):
        gradients = draws(net, rng)
        set_gradients(back, gradients)
        returned.step()
        theirs.step(gradients)
    assert distance(values(back), detached(theirs), start) <= BOUNDS[dtype]


@each_case
@each_dtype
def test_loading_and_stepping_is_never_having_stopped(name, variant, dtype):
    options = {**VARIANTS[name][variant], "ema_decay": 0.9, "clip_norm": 0.5, "max_norm": 0.7}
    whole, first, second = (network(dtype) for _ in range(3))
    opt = FAMILY[name](whole.parameters(), **options)
    run(whole, opt, 4, seed=1)
    run(whole, opt, 4, seed=2)
    opt = FAMILY[name](first.parameters(), **options)
    run(first, opt, 4, seed=1)
    second.flat_parameters[:] = first.flat_parameters
    resumed = FAMILY[name](second.parameters())
    run(second, resumed, 2, seed=3)  # what it has is forgotten
    second.flat_parameters[:] = first.flat_parameters
    resumed.load_state_dict(opt.state_dict())
    run(second, resumed, 4, seed=2)
    np.testing.assert_array_equal(second.flat_parameters, whole.flat_parameters)
    opt = FAMILY[name](whole.parameters(), **options)
    assert [p["lr"] for p in resumed.param_groups] == [p["lr"] for p in opt.param_groups]


@each_case
def test_states_are_copies_in_the_shape_of_the_parameters(name, variant):
    net = network()
    opt = FAMILY[name](net.parameters(), **VARIANTS[name][variant])
    assert opt.state_dict()["state"] == {}
    run(net, opt, 2, seed=0)
    state = opt.state_dict()
    arrays = 0
    for i, entry in state["state"].items():
        for value in entry.values():
            if isinstance(value, np.ndarray):
                assert value.shape == net.parameters()[i].value.shape
                assert value.flags.c_contiguous
                value[...] = np.nan
                arrays += 1
            else:
                assert np.isfinite(value)
    keeps_nothing = name == "SGD" and "momentum" not in VARIANTS[name][variant]
    assert (arrays == 0) == keeps_nothing
    run(net, opt, 1, seed=0)
    assert np.isfinite(net.flat_parameters).all()


class TestStateDict:
    """Layout, and what is refused."""

    def make(self, **options):
        net = network()
        w0, b0, w1, _ = net.parameters()
        groups = [{"params": [w1, b0], "lr": 0.5}, {"params": [w0]}]
        return net, optim.Adam(groups, lr=0.1, **options)

    def test_the_layout(self):
        net, opt = self.make(ema_decay=0.5)
        run(net, opt, 3, seed=0)
        state = opt.state_dict()
        assert list(state["state"]) == [0, 1, 2]
        assert state["state"][0]["step"] == 3
        assert state["state"][0]["exp_avg"].shape == (2, 4)
        assert [g["params"] for g in state["param_groups"]] == [[0, 1], [2]]
        assert [g["lr"] for g in state["param_groups"]] == [0.5, 0.1]
        assert state["ema_decay"] == 0.5
        assert state["clip_norm"] is None
        assert state["ema"][2].shape == (4, 3)
        assert "schedule" not in state

    def bad(self, state, what):
        first = state["state"][0]
        match what:
            case "no groups":
                del state["param_groups"]
            case "more groups":
                state["param_groups"].append(state["param_groups"][0])
            case "groups":
                state["param_groups"] = 5
            case "fewer params":
                state["param_groups"][0]["params"] = [0]
            case "twice":
                state["param_groups"][1]["params"] = [0]
            case "names":
                state["param_groups"][1]["params"] = ["w"]
            case "option":
                state["param_groups"][1]["lr"] = -1
            case "kind":
                state["param_groups"][1]["lr"] = "fast"
            case "no option":
                del state["param_groups"][0]["betas"]
            case "new option":
                state["param_groups"][0]["momentum"] = 1
            case "shape":
                state["state"][2]["exp_avg_sq"] = np.ones((3, 4))
            case "strings":
                state["state"][2]["exp_avg_sq"] = np.array([["a"]])
            case "no array":
                del state["state"][2]["exp_avg_sq"]
            case "array":
                first["sum"] = np.ones((2, 4))
            case "no step":
                del first["step"]
            case "half a step":
                first["step"] = 1.5
            case "nan step":
                first["step"] = np.nan
            case "entry":
                state["state"][1] = 7
            case "place":
                state["state"][9] = first
            case "state":
                state["state"] = []
            case "ema":
                state["ema"][1] = np.ones(3)
            case "ema place":
                state["ema"][7] = np.ones(3)
            case "clip":
                state["clip_norm"] = -1.0
            case "schedule":
                state["schedule"] = {}
            case "key":
                state["else"] = 1
            case "amsgrad":
                state["param_groups"][0]["amsgrad"] = True
        return state

    @pytest.mark.parametrize(
        ("what", "error", "message"),
        [
            ("no groups", ValueError, r"state_dict: expected \['param_groups'\] as well"),
            ("more groups", ValueError, "expected 2 param_groups, got 3"),
            ("groups", TypeError, "expected a list of param_groups, got int"),
            ("fewer params", ValueError, r"param_groups\[0\]: expected 2 params, got \[0\]"),
            ("twice", ValueError, r"param_groups\[1\]: expected 1 params, got \[0\]"),
            ("names", TypeError, r"expected params to be a list of integers, got \['w'\]"),
            ("option", ValueError, "expected lr >= 0, got -1.0"),
            ("kind", TypeError, "expected a number for lr, got 'fast'"),
            ("no option", ValueError, r"expected \['betas'\] as well"),
            ("new option", ValueError, r"expected none but .*, got \['momentum'\]"),
            ("shape", ValueError, r"state 2, exp_avg_sq: expected shape \(4, 3\), got \(3, 4\)"),
            ("strings", TypeError, "state 2, exp_avg_sq: expected real numbers"),
            ("no array", ValueError, r"state 2: expected \['exp_avg_sq'\] as well"),
            ("array", ValueError, r"state 0: expected none but .*, got \['sum'\]"),
            ("no step", ValueError, r"state 0: expected \['step'\] as well"),
            ("half a step", ValueError, "state 0: expected step to be a count, got 1.5"),
            ("nan step", ValueError, "state 0, step: expected a finite number, got nan"),
            ("entry", TypeError, "state 1: expected a dict, got int"),
            ("place", ValueError, r"state: expected none but \[0, 1, 2\], got \[9\]"),
            ("state", TypeError, "state: expected a dict, got list"),
            ("ema", ValueError, r"ema 1: expected shape \(4,\), got \(3,\)"),
            ("ema place", ValueError, r"ema: expected none but .*, got \[7\]"),
            ("clip", ValueError, "expected clip_norm > 0 or None, got -1.0"),
            ("schedule", ValueError, "expected no schedule, as none is attached, got one"),
            ("key", ValueError, r"state_dict: expected none but .*, got \['else'\]"),
            ("amsgrad", ValueError, r"state 0: expected \['max_exp_avg_sq'\] as well"),
        ],
    )
    def test_what_is_refused_changes_nothing(self, what, error, message):
        net, opt = self.make(ema_decay=0.5)
        run(net, opt, 3, seed=0)
        other_net, other = self.make(clip_value=2.0)
        run(other_net, other, 2, seed=1)
        before = other.state_dict()
        with pytest.raises(error, match=f"^Adam: {message}|^Adam: .*: {message}"):
            other.load_state_dict(self.bad(opt.state_dict(), what))
        after = other.state_dict()
        np.testing.assert_equal(after, before)

    def test_not_a_dict(self):
        _, opt = self.make()
        with pytest.raises(TypeError, match=r"^Adam: state_dict: expected a dict, got int$"):
            opt.load_state_dict(5)

    def test_a_schedule_goes_along(self):
        class Schedule:
            def __init__(self):
                self.state = 3

            def state_dict(self):
                return {"at": self.state}

            def load_state_dict(self, state):
                if state["at"] < 0:
                    raise ValueError("at: expected 0 or more")
                self.state = state["at"]

        _, opt = self.make()
        opt._schedule = Schedule()
        state = opt.state_dict()
        assert state["schedule"] == {"at": 3}
        _, other = self.make(clip_norm=1.0)
        other._schedule = Schedule()
        other.load_state_dict({**state, "schedule": {"at": 8}})
        assert (other._schedule.state, other.clip_norm) == (8, None)
        other.clip_norm = 2.0
        with pytest.raises(ValueError, match="at: expected 0 or more"):
            other.load_state_dict({**state, "schedule": {"at": -1}})
        assert other.clip_norm == 2.0

    def test_momentum_of_nothing_begins_with_the_gradient(self):
        # A state without a buffer is one that has not begun: dampening spares the first gradient.
        net = network()
        opt = optim.SGD(net.parameters(), lr=1.0, momentum=0.5, dampening=0.5)
        opt.load_state_dict({**opt.state_dict(), "state": {0: {"momentum_buffer": None}}})
        before = net.flat_parameters.copy()
        net.flat_gradients[:] = 1
        opt.step()
        np.testing.assert_allclose(net.flat_parameters, before - 1, rtol=1e-14, atol=1e-15)


# ---- what all have in common


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


def out_of_range():
    """Give for each member and option a value that is refused, as its default's kind says."""
    for name, kind in FAMILY.items():
        for key, p in inspect.signature(kind).parameters.items():
            if isinstance(p.default, bool):
                yield name, key, "x", TypeError
            elif isinstance(p.default, tuple):
                for bad in (np.nan, -0.5):
                    yield name, key, (bad, p.default[1]), ValueError
                    yield name, key, (p.default[0], bad), ValueError
                yield name, key, (0.5,), ValueError
                yield name, key, 0.5, TypeError
            elif isinstance(p.default, int | float):
                yield name, key, np.nan, ValueError
                yield name, key, np.inf, ValueError
                yield name, key, "x", TypeError
                if key != "dampening":
                    yield name, key, -1e-3, ValueError


@pytest.mark.parametrize(("name", "key", "value", "error"), list(out_of_range()), ids=str)
def test_every_option_is_checked(name, key, value, error):
    with pytest.raises(error, match=rf"^{name}: expected .*got"):
        FAMILY[name](network().parameters(), **{key: value})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Adadelta", {"rho": 1.5}, "Adadelta: expected 0 <= rho <= 1, got 1.5"),
        ("Lion", {"betas": (0.9, 1.0)}, "Lion: expected 0 <= beta2 < 1, got 1.0"),
        ("Rprop", {"etas": (1.0, 1.2)}, "Rprop: expected 0 < etaminus < 1, got 1.0"),
        ("Rprop", {"etas": (0.5, 1.0)}, "Rprop: expected etaplus > 1, got 1.0"),
        ("Rprop", {"step_sizes": (1, 0.5)}, "Rprop: expected step_sizes in order, got 1.0 and 0.5"),
        ("AdamW", {"lr": -1}, "AdamW: expected lr >= 0, got -1.0"),
    ],
)
def test_ranges(name, options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        FAMILY[name](network().parameters(), **options)


def test_unknown_options():
    with pytest.raises(TypeError, match="unexpected keyword argument 'momentum'"):
        optim.Adam(network().parameters(), momentum=0.9)


# ---- averages


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


# ---- within fit


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


# ---- edges


@each_case
@each_dtype
def test_huge_and_tiny_gradients(name, variant, dtype):
    options = VARIANTS[name][variant]
    big = 1e15 if dtype == "float32" else 1e100
    for size in (0.0, big, 1 / big, np.finfo(dtype).smallest_subnormal):
        net = network(dtype)
        opt = FAMILY[name](net.parameters(), **options)
        for _ in range(4):
            net.flat_gradients[:] = size
            opt.step()
        assert np.isfinite(net.flat_parameters).all(), size


# Rprop's lr is where its step sizes begin.
@pytest.mark.parametrize(("name", "variant"), [c for c in CASES if c[0] != "Rprop"])
def test_no_step_without_a_rate(name, variant):
    net = network()
    before = net.flat_parameters.copy()
    run(net, FAMILY[name](net.parameters(), **{**VARIANTS[name][variant], "lr": 0.0}), 3, seed=0)
    np.testing.assert_array_equal(net.flat_parameters, before)


@each_member
def test_one_parameter_of_one_element(name):
    net = nn.Sequential(nn.Linear(1, 1), dtype="float64", seed=0)
    opt = FAMILY[name](net.parameters()[:1], lr=0.1)
    before = net.flat_parameters.copy()
    net.flat_gradients[:] = 1
    opt.step()
    assert net.flat_parameters[0] < before[0]
    assert net.flat_parameters[1] == before[1]


def test_a_gradient_of_infinite_norm_stops_nothing_else(torch):
    # As clip_grad_norm_: the scale is 0, so that all but the infinite element stays.
    net = network()
    opt = optim.SGD(net.parameters(), lr=1.0, clip_norm=1.0)
    before = net.flat_parameters.copy()
    net.flat_gradients[:] = 1
    net.flat_gradients[3] = 1e200
    opt.step()
    np.testing.assert_array_equal(net.flat_parameters, before)
