"""Every optimizer: 1,000 steps against PyTorch in both precisions, options, edges."""

import inspect
import re
import zlib

import numpy as np
import pytest

from deltaprop import nn, optim
from optimizers import (
    BOUNDS,
    CASES,
    FAMILY,
    ORACLES,
    VARIANTS,
    TorchRule,
    detached,
    distance,
    draws,
    each_case,
    each_dtype,
    each_member,
    in_double,
    network,
    run,
    set_gradients,
    values,
)


@pytest.fixture
def torch(peer):
    yield from in_double(peer("torch"))


@pytest.fixture
def oracle(request):
    """Return the function that makes a member's oracle from its name, parameters and options."""

    def make(name, params, **options):
        if name in ORACLES:
            return ORACLES[name]([p.astype(float) for p in params], **options)
        return TorchRule(request.getfixturevalue("torch"), name, params, **options)

    return make


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
    net = nn.Sequential(nn.Linear(5, 4), dtype=dtype, seed=0)
    start = values(net)
    ours = FAMILY[name](net.parameters(), **options)
    theirs = oracle(name, start, **options)
    for step in range(1000):
        scale = 0 if step == 0 else 10.0 ** rng.integers(-4, 2)
        gradients = [g * np.float32(scale) for g in draws(net, rng)]
        set_gradients(net, gradients)
        ours.step()
        theirs.step(gradients)
    error = distance(values(net), detached(theirs), start)
    # Our oracles work in double, whose parameters no step of 1e-4 rounds.
    bound = 2e-4 if name in ORACLES and dtype == "float32" else BOUNDS[dtype]
    assert error <= bound, f"{error:.1e}"


@each_member
def test_defaults_are_theirs(torch, name):
    theirs = inspect.signature(ORACLES.get(name) or getattr(torch.optim, name)).parameters
    foreign = {"params", "foreach", "capturable", "differentiable", "fused", "maximize"}
    expected = {k: p.default for k, p in theirs.items() if k not in foreign}
    ours = inspect.signature(FAMILY[name]).parameters
    assert {k: p.default for k, p in ours.items() if k not in {"params", "kwargs"}} == expected
    # Positional arguments are the same, in the same order.
    assert [k for k in ours if k in expected] == list(expected)


@each_member
def test_the_notes_say_the_formula_and_its_source(name):
    notes = inspect.getdoc(FAMILY[name]).split("Notes\n-----\n")[1]
    for label in ("Formula", "Source"):
        assert re.search(rf"^{label}: \S", notes, re.MULTILINE)
    assert re.search(r"\(\d{4}\)", notes)


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
