"""Learning-rate schedules: each beside PyTorch's, and their values ahead."""

import inspect
import math
import re
import time

import numpy as np
import pytest

from deltaprop import _core, nn, optim
from deltaprop.optim import lr_scheduler
from deltaprop.optim.schedule import ByCount, LRScheduler
from schedule_cases import ALL, CASES, STEPS, VALUES, go, make, optimizer, options

COUNTED = [(name, i) for name, i in ALL if name != "ReduceLROnPlateau"]
# Those that move momentum, with both kinds of it.
CYCLING = {"OneCycleLR", "CyclicLR", "SequentialLR"}
WITH_RULES = [(*case, "SGD") for case in ALL] + [
    (*case, "Adam") for case in ALL if case[0] in CYCLING
]


def peer_optimizer(torch, rule="SGD"):
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.05},
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.3},
    ]
    return getattr(torch.optim, rule)(groups)


def test_every_schedule_has_cases():
    found = {
        name
        for name in optim.__all__
        if inspect.isclass(kind := getattr(optim, name))
        and issubclass(kind, LRScheduler)
        and kind is not LRScheduler
    }
    assert found == set(CASES)
    written = {
        name
        for name, kind in vars(lr_scheduler).items()
        if inspect.isclass(kind) and issubclass(kind, LRScheduler) and not name.startswith("_")
    }
    assert written - {"ByCount", "LRScheduler"} == found


@pytest.mark.parametrize("name", CASES)
def test_notes_tell_the_formula_and_its_source(name):
    doc = inspect.getdoc(getattr(optim, name))
    notes = doc[doc.index("Notes\n-----") :]
    assert re.search(r"^Formula: .+", notes, re.MULTILINE)
    assert re.search(r"^Source: .+", notes, re.MULTILINE)


@pytest.mark.parametrize(
    "name", [n for n in CASES if n not in ("ReduceLROnPlateau", "SequentialLR")]
)
def test_what_is_counted_is_a_keyword(name):
    every = inspect.signature(getattr(optim, name)).parameters["every"]
    assert every.kind is inspect.Parameter.KEYWORD_ONLY
    assert every.default == ("step" if name in {"OneCycleLR", "CyclicLR"} else "epoch")


@pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")
@pytest.mark.filterwarnings("ignore:Seems like:UserWarning")
@pytest.mark.parametrize(("name", "i", "rule"), WITH_RULES)
def test_500_steps_against_pytorch(name, i, rule, peer):
    torch = peer("torch")
    theirs = peer_optimizer(torch, rule)
    ours = optimizer(rule)
    reference = make(theirs, name, i, torch.optim.lr_scheduler)
    schedule = make(ours, name, i)
    want, got = [options(theirs)], [options(ours)]
    for k in range(STEPS):
        reference.step(*([] if isinstance(schedule, ByCount) else [VALUES[k]]))
        go(schedule, start=k)
        want.append(options(theirs))
        got.append(options(ours))
        assert schedule.last_lr == [group["lr"] for group in ours.param_groups]
        assert schedule.get_last_lr() == pytest.approx(reference.get_last_lr(), rel=1e-12)
    assert schedule.count == STEPS
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("name", "i", "rule"), [case for case in WITH_RULES if case[0] != "ReduceLROnPlateau"]
)
def test_a_table_has_the_bits_of_steps_by_hand(name, i, rule):
    opt = optimizer(rule)
    schedule = make(opt, name, i)
    for start, n in [(0, 300), (300, 200)]:
        table = schedule.table(n)
        assert all(t.shape == (n, 2) and t.dtype == np.float64 for t in table.values())
        for k in range(n):
            assert schedule.count == start + k
            for option, values in table.items():
                now = [g["betas"][0] if option == "beta1" else g[option] for g in opt.param_groups]
                assert now == values[k].tolist()
            schedule.step()
    assert schedule.table(0)["lr"].shape == (0, 2)
    cycles = "OneCycle" in repr(CASES[name][i]) or name in {"OneCycleLR", "CyclicLR"}
    if cycles and CASES[name][i].get("cycle_momentum", True):
        assert set(table) == {"lr", "momentum" if rule == "SGD" else "beta1"}
    else:
        assert set(table) == {"lr"}


@pytest.mark.parametrize(("name", "i"), COUNTED)
def test_advancing_is_stepping(name, i):
    one, many = optimizer(), optimizer()
    schedule = make(one, name, i)
    for _ in range(123):
        schedule.step()
    schedule = make(many, name, i)
    schedule.advance(100)
    schedule.advance(0)
    schedule.advance(23)
    assert options(one) == options(many)
    assert schedule.count == 123


@pytest.mark.parametrize("name", sorted(set(CASES) - {"LambdaLR", "ReduceLROnPlateau"}))
def test_a_million_values_ahead(name):
    more = {"total_steps": 10**6} if name == "OneCycleLR" else {}
    schedule = make(optimizer(), name, **more)
    began = time.perf_counter()
    table = schedule.table(10**6)
    assert time.perf_counter() - began < 3  # a loaded machine; well under one otherwise
    assert table["lr"].shape == (10**6, 2)


def test_functions_are_the_c_librarys_to_the_bit():
    rng = np.random.default_rng(0)
    x = rng.normal(size=1000) * np.logspace(-3, 6, 1000)
    assert _core.cos(x).tolist() == [math.cos(v) for v in x]
    base = rng.random(1000) * 2
    exponent = np.arange(1000.0) / 7
    expected = [math.pow(b, e) for b, e in zip(base, exponent, strict=True)]
    assert _core.power(base, exponent).tolist() == expected
    assert _core.power(10.0, [[400], [-400]]).tolist() == [[math.inf], [0.0]]


def test_a_plateau_cannot_be_known_ahead():
    assert optim.ReduceLROnPlateau(optimizer()).table(3) is None


def test_the_first_values_are_written_at_once():
    opt = optimizer()
    optim.LinearLR(opt, 0.1)
    assert [g["lr"] for g in opt.param_groups] == [0.05 * 0.1, 0.3 * 0.1]
    opt = optimizer("Adam")
    optim.CyclicLR(opt, 0.01, 0.1, max_momentum=0.7)
    assert opt.param_groups[1]["lr"] == 0.01
    assert opt.param_groups[1]["betas"] == (0.7, 0.999)


def test_the_end_of_one_cycle():
    for strategy in ("cos", "linear"):
        opt = optimizer()
        schedule = optim.OneCycleLR(opt, 1.0, 10, anneal_strategy=strategy)
        assert schedule.table(10)["lr"][-1] == pytest.approx([1 / 25 / 1e4] * 2)
        go(schedule, 10)
        with pytest.raises(ValueError, match=r"OneCycleLR: .*total_steps = 10, got 11"):
            schedule.step()
        assert schedule.count == 10
        with pytest.raises(ValueError, match=r"OneCycleLR: .*total_steps = 10"):
            schedule.table(2)
    # "linear" does not go on below 0 after the last update.
    assert opt.lr == pytest.approx(1 / 25 / 1e4)


def test_a_phase_without_length_is_over_at_once():
    schedule = optim.OneCycleLR(optimizer(), 1.0, 10, pct_start=0.1)
    assert schedule.table(11)["lr"][0].tolist() == [1.0, 1.0]
    schedule = optim.OneCycleLR(optimizer(), 1.0, 1)
    assert np.isfinite(schedule.table(2)["lr"]).all()


def test_huge_and_tiny():
    for name, settings in [("ExponentialLR", {"gamma": 0.5}), ("StepLR", {"step_size": 1})]:
        schedule = getattr(optim, name)(optimizer(), **settings)
        schedule.advance(10**9)
        assert schedule.last_lr == [0.0, 0.0]
    grows = optim.ExponentialLR(optimizer(), 2.0)
    with pytest.raises(ValueError, match=r"ExponentialLR: expected lr to be finite .* count 1024"):
        grows.table(2000)
    with pytest.raises(ValueError, match="ExponentialLR: expected lr to be finite"):
        grows.advance(10**6)
    assert grows.count == 0
    restarts = optim.CosineAnnealingWarmRestarts(optimizer(), 1, 10**18)
    restarts.advance(2**62)
    assert np.isfinite(restarts.last_lr).all()
    halves = optim.CyclicLR(optimizer(), 0.1, 1.0, 1, mode="triangular2")
    assert halves.table(3000)["lr"][2999].tolist() == [0.1, 0.1]
    with pytest.raises(ValueError, match="2\\*\\*63"):
        halves.advance(2**63 - 1) or halves.advance(1)


def test_values_of_lr_lambda_are_checked():
    for wrong in (lambda t: -1.0 if t == 3 else 1.0, lambda t: math.nan if t == 3 else 1.0):
        schedule = optim.LambdaLR(optimizer(), wrong)
        go(schedule, 2)
        with pytest.raises(ValueError, match="LambdaLR"):
            schedule.step()
        assert schedule.count == 2
    with pytest.raises(TypeError, match=r"LambdaLR: lr_lambda\(0\): expected a number, got 'a'"):
        optim.LambdaLR(optimizer(), lambda t: "a")
    opt = optimizer()

    def fails(t):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        optim.LambdaLR(opt, fails)
    assert opt._schedule is None
    assert opt.lr == 0.05


def test_a_plateau_follows_what_the_user_writes():
    opt = optimizer()
    schedule = optim.ReduceLROnPlateau(opt, patience=0, factor=0.5)
    schedule.step(1)
    opt.lr = 8.0
    schedule.step(np.float32(1))
    assert schedule.last_lr == [4.0, 4.0]
    assert schedule.every == "epoch"
    for wrong in ("1", None, [1.0]):
        with pytest.raises(TypeError, match="ReduceLROnPlateau: value: expected a number"):
            schedule.step(wrong)
    assert schedule.count == 2


def test_representations():
    schedule = optim.StepLR(optimizer(), 3)
    schedule.step()
    assert repr(schedule) == "StepLR(every='epoch', step_size=3, gamma=0.1, count=1)"
    for name in CASES:
        assert repr(make(optimizer(), name)).startswith(f"{name}(every=")


def test_training_by_hand_takes_the_schedule():
    net = nn.Sequential(nn.Linear(1, 1), dtype="float64", seed=0)
    opt = optim.SGD(net.parameters(), lr=1.0)
    schedule = optim.MultiStepLR(opt, [2], gamma=0.25)
    net[0].weight[...] = 0
    moved = []
    for _ in range(4):
        before = net[0].weight.item()
        net[0].grad_weight[...] = -1
        opt.step()
        schedule.step()
        moved.append(net[0].weight.item() - before)
    assert moved == [1.0, 1.0, 0.25, 0.25]
