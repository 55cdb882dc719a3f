"""Schedules: PyTorch's numbers, tables, state and errors."""

import inspect
import json
import math
import re
import time

import numpy as np
import pytest

from deltaprop import _core, nn, optim
from deltaprop.optim import lr_scheduler
from deltaprop.optim.schedule import ByCount, LRScheduler

STEPS = 500

# name: settings that are tried, the first ones as short as they can be.
CASES = {
    "StepLR": [{"step_size": 30}, {"step_size": 7, "gamma": 0.9}, {"step_size": 100, "gamma": 2}],
    "MultiStepLR": [{"milestones": [30, 80]}, {"milestones": [1, 2, 400], "gamma": 0.3}],
    "ConstantLR": [{}, {"factor": 0.7, "total_iters": 100}, {"factor": 1, "total_iters": 1}],
    "LinearLR": [
        {},
        {"start_factor": 1, "end_factor": 0.01, "total_iters": 300},
        {"start_factor": 0.2, "end_factor": 0.9, "total_iters": 1000},
        {"start_factor": 0.5, "total_iters": 1},
    ],
    "ExponentialLR": [{"gamma": 0.95}, {"gamma": 1.01}, {"gamma": 1}],
    "PolynomialLR": [{}, {"total_iters": 400, "power": 2.5}, {"total_iters": 600, "power": 0.5}],
    "CosineAnnealingLR": [
        {"T_max": 500},
        {"T_max": 50},
        {"T_max": 30, "eta_min": 0.001},
        {"T_max": 1},
        {"T_max": 7, "eta_min": 0.1},
    ],
    "CosineAnnealingWarmRestarts": [
        {"T_0": 10},
        {"T_0": 3, "T_mult": 2, "eta_min": 0.001},
        {"T_0": 1, "T_mult": 3},
    ],
    "LambdaLR": [
        {"lr_lambda": lambda t: 0.95**t},
        {"lr_lambda": [math.cosh, lambda t: 1 / (t + 1)]},
    ],
    "OneCycleLR": [
        {"max_lr": 0.1, "total_steps": STEPS},
        {"max_lr": [0.1, 3.0], "epochs": 60, "steps_per_epoch": 10, "three_phase": True},
        {"max_lr": 1, "total_steps": 501, "anneal_strategy": "linear", "pct_start": 0.25},
        {"max_lr": 1, "total_steps": 700, "pct_start": 0.7, "three_phase": True},
        {"max_lr": 1, "total_steps": 600, "pct_start": 0.0, "div_factor": 3},
        {"max_lr": 1, "total_steps": 600, "final_div_factor": 7, "cycle_momentum": False},
        {
            "max_lr": 1,
            "total_steps": 600,
            "base_momentum": [0.5, 0.1],
            "max_momentum": 0.99,
            "pct_start": 0.001,
        },
    ],
    "CyclicLR": [
        {"base_lr": 0.001, "max_lr": 0.1},
        {"base_lr": [0.1, 0.2], "max_lr": [1.0, 0.3], "step_size_up": 20, "step_size_down": 7},
        {"base_lr": 0.1, "max_lr": 1, "step_size_up": 30, "mode": "triangular2"},
        {"base_lr": 0.1, "max_lr": 1, "step_size_up": 9, "mode": "exp_range", "gamma": 0.99},
        {
            "base_lr": 0.1,
            "max_lr": 1,
            "step_size_up": 9,
            "scale_fn": lambda c: 1 / c**2,
            "cycle_momentum": False,
        },
        {
            "base_lr": 0.1,
            "max_lr": 1,
            "step_size_up": 3,
            "scale_fn": lambda t: 0.9**t,
            "scale_mode": "iterations",
            "base_momentum": 0.1,
        },
    ],
    # (name, settings) of each part in place of the parts.
    "SequentialLR": [
        {
            "schedulers": [
                ("LinearLR", {"start_factor": 0.01, "total_iters": 20}),
                ("CosineAnnealingLR", {"T_max": 100, "eta_min": 0.001}),
                ("ConstantLR", {"factor": 0.5}),
            ],
            "milestones": [20, 90],
        },
        {
            "schedulers": [
                ("OneCycleLR", {"max_lr": 1, "total_steps": 200}),
                ("StepLR", {"step_size": 10}),
            ],
            "milestones": [100],
            "every": "step",
        },
        {
            "schedulers": [
                ("PolynomialLR", {"total_iters": 70}),
                ("ExponentialLR", {"gamma": 0.99}),
                ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2}),
                ("MultiStepLR", {"milestones": [3, 5]}),
                ("LambdaLR", {"lr_lambda": lambda t: 1 / (1 + t)}),
            ],
            "milestones": [1, 60, 150, 300],
        },
        {"schedulers": [("StepLR", {"step_size": 3, "gamma": 0.9})], "milestones": []},
    ],
    "ReduceLROnPlateau": [
        {},
        {"mode": "max", "factor": 0.5, "patience": 3, "cooldown": 4},
        {"threshold_mode": "abs", "threshold": 0.05, "patience": 0, "min_lr": [0.02, 0.001]},
        {"mode": "max", "threshold_mode": "abs", "threshold": 0.1, "factor": 0.9, "eps": 1e-3},
    ],
}
ALL = [(name, i) for name, cases in CASES.items() for i in range(len(cases))]
COUNTED = [(name, i) for name, i in ALL if name != "ReduceLROnPlateau"]
# Those that move momentum, with both kinds of it.
CYCLING = {"OneCycleLR", "CyclicLR", "SequentialLR"}
WITH_RULES = [(*case, "SGD") for case in ALL] + [
    (*case, "Adam") for case in ALL if case[0] in CYCLING
]

# Values that fall, stay, jump, and at last are no numbers.
VALUES = np.concatenate(
    [
        np.exp(-np.arange(150) / 30),
        np.full(150, 0.001),
        np.abs(np.sin(np.arange(150))),
        [np.nan, np.inf, -np.inf],
        np.full(47, -7.0),
    ]
)


def optimizer(rule="SGD", dtype="float64"):
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1), dtype=dtype, seed=0)
    first, second = net[0].parameters(), net[1].parameters()
    groups = [{"params": first, "lr": 0.05}, {"params": second, "lr": 0.3}]
    return getattr(optim, rule)(groups)


def peer_optimizer(torch, rule="SGD"):
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.05},
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.3},
    ]
    return getattr(torch.optim, rule)(groups)


def make(opt, name, i=0, space=optim, **more):
    """Make ours (space: deltaprop.optim) or PyTorch's."""
    settings = dict(CASES[name][i], **more)
    if "schedulers" in settings:
        parts = [getattr(space, part)(opt, **s) for part, s in settings.pop("schedulers")]
        if space is not optim:
            settings.pop("every", None)
        return getattr(space, name)(opt, parts, **settings)
    return getattr(space, name)(opt, **settings)


def options(opt):
    """Return lr and momentum or betas of all groups, of either package."""
    return [
        [group["lr"], *group.get("betas", (group.get("momentum", 0.0),))]
        for group in opt.param_groups
    ]


def go(schedule, steps=1, start=0):
    """Step a schedule, with the next of VALUES where it wants one."""
    if isinstance(schedule, ByCount):
        schedule.advance(steps)
    else:
        for k in range(start, start + steps):
            schedule.step(VALUES[k])


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
    wanted = [math.pow(b, e) for b, e in zip(base, exponent, strict=True)]
    assert _core.power(base, exponent).tolist() == wanted
    assert _core.power(10.0, [[400], [-400]]).tolist() == [[math.inf], [0.0]]


def test_a_plateau_cannot_be_known_ahead():
    assert optim.ReduceLROnPlateau(optimizer()).table(3) is None


@pytest.mark.parametrize(("name", "i"), ALL)
def test_a_loaded_state_goes_on_as_if_never_stopped(name, i):
    whole, first, second = optimizer(), optimizer(), optimizer()
    schedule = make(whole, name, i)
    go(schedule, 400)
    stopped = make(first, name, i)
    go(stopped, 170)
    state = stopped.state_dict()
    assert json.loads(json.dumps(state)) == state
    resumed = make(second, name, i)
    second.lr = 7.0
    resumed.load_state_dict(state)
    assert options(second) == options(first)
    assert resumed.last_lr == stopped.last_lr
    assert resumed.state_dict() == state
    go(resumed, 230, start=170)
    assert options(second) == options(whole)
    assert resumed.state_dict() == schedule.state_dict()


@pytest.mark.parametrize(("name", "i"), ALL)
def test_a_state_is_checked_and_loaded_whole_or_not_at_all(name, i):
    opt = optimizer()
    schedule = make(opt, name, i)
    go(schedule, 3)
    before, values = schedule.state_dict(), options(opt)
    wrong = [
        ({k: v for k, v in before.items() if k != "count"}, "missing"),
        ({**before, "gama": 1}, "unknown"),
        ({**before, "schedule": "Other"}, "expected a state of the same, got 'Other'"),
        ({**before, "count": -1}, "count"),
        ({**before, "base_lrs": [0.1]}, "base_lrs"),
        ({**before, "base_lrs": [0.1, -1.0]}, "base_lrs"),
        ({**before, "base_lrs": [0.1, math.nan]}, "base_lrs"),
        ({**before, "every": "step" if schedule.every == "epoch" else "epoch"}, "every"),
    ]
    for state, match in wrong:
        with pytest.raises(ValueError, match=match):
            schedule.load_state_dict(state)
    for state in (None, [1], {**before, "count": "3"}, {**before, "base_lrs": ["a", "b"]}):
        with pytest.raises(TypeError):
            schedule.load_state_dict(state)
    assert schedule.state_dict() == before
    assert options(opt) == values


def test_a_state_of_other_settings_is_refused():
    step = state = optim.StepLR(optimizer(), 3).state_dict()
    with pytest.raises(ValueError, match=r"StepLR.load_state_dict: expected gamma to be 0\.5"):
        optim.StepLR(optimizer(), 3, gamma=0.5).load_state_dict(state)
    sequence = make(optimizer(), "SequentialLR")
    state = sequence.state_dict()
    with pytest.raises(ValueError, match="schedulers"):
        sequence.load_state_dict({**state, "schedulers": state["schedulers"][:2]})
    with pytest.raises(ValueError, match=r"ConstantLR.load_state_dict: .* got 'StepLR'"):
        sequence.load_state_dict({**state, "schedulers": [*state["schedulers"][:2], step]})
    plateau = optim.ReduceLROnPlateau(optimizer())
    state = plateau.state_dict()
    with pytest.raises(ValueError, match="num_bad_epochs"):
        plateau.load_state_dict({**state, "num_bad_epochs": -1})
    with pytest.raises(TypeError, match="best"):
        plateau.load_state_dict({**state, "best": None})


def test_the_first_values_are_written_at_once():
    opt = optimizer()
    optim.LinearLR(opt, 0.1)
    assert [g["lr"] for g in opt.param_groups] == [0.05 * 0.1, 0.3 * 0.1]
    opt = optimizer("Adam")
    optim.CyclicLR(opt, 0.01, 0.1, max_momentum=0.7)
    assert opt.param_groups[1]["lr"] == 0.01
    assert opt.param_groups[1]["betas"] == (0.7, 0.999)


def test_the_newest_takes_over():
    opt = optimizer()
    old = optim.LinearLR(opt, 0.1)
    new = optim.StepLR(opt, 1, 0.5)
    assert opt._schedule is new
    # The bases are those of the schedule before, not what it had written.
    assert new.last_lr == [0.05, 0.3]
    for call in (old.step, lambda: old.advance(2), lambda: old.load_state_dict(old.state_dict())):
        with pytest.raises(RuntimeError, match=r"LinearLR: .* but StepLR has taken over"):
            call()
    assert old.count == 0
    assert opt.lr == 0.05
    new.step()
    opt.param_groups[0]["lr"] = 9.0
    assert optim.ExponentialLR(opt, 1).last_lr == [9.0, 0.3]


def test_parts_of_a_sequence_are_taken_over():
    opt = optimizer()
    parts = [optim.LinearLR(opt), optim.StepLR(opt, 1)]
    sequence = optim.SequentialLR(opt, parts, [5])
    assert sequence.last_lr == pytest.approx([0.05 / 3, 0.1])
    with pytest.raises(RuntimeError, match="SequentialLR has taken over"):
        parts[1].step()


def test_sequences_nest():
    def values(nested):
        opt = optimizer()
        a, b, c = optim.LinearLR(opt), optim.StepLR(opt, 2), optim.ExponentialLR(opt, 0.9)
        if nested:
            inner = optim.SequentialLR(opt, [b, c], [6])
            return optim.SequentialLR(opt, [a, inner], [5]).table(30)["lr"]
        return optim.SequentialLR(opt, [a, b, c], [5, 11]).table(30)["lr"]

    np.testing.assert_array_equal(values(True), values(False))


def test_what_a_sequence_counts():
    def every(*parts, **more):
        opt = optimizer()
        made = [optim.StepLR(opt, 1, every=p) for p in parts]
        return optim.SequentialLR(opt, made, [1], **more).every

    assert every("step", "step") == "step"
    assert every("epoch", "epoch") == "epoch"
    assert every("epoch", "step", every="step") == "step"
    with pytest.raises(ValueError, match=r"SequentialLR: schedulers: .* that count the same"):
        every("epoch", "step")


def test_momentum_in_a_sequence_stays_while_no_part_cycles_it():
    opt = optimizer()
    cycle = optim.OneCycleLR(opt, 1.0, 20, every="epoch", base_momentum=0.5, max_momentum=0.8)
    flat = optim.ExponentialLR(opt, 1)
    momentum = optim.SequentialLR(opt, [flat, cycle, flat], [3, 9]).table(12)["momentum"]
    alone = cycle._values("momentum", np.arange(6))
    np.testing.assert_array_equal(momentum[:3], np.full((3, 2), 0.8))
    np.testing.assert_array_equal(momentum[3:9], alone)
    np.testing.assert_array_equal(momentum[9:], np.tile(alone[-1], (3, 1)))


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


def test_functions_are_looked_at():
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


def test_momentum_needs_an_optimizer_that_has_it():
    opt = optimizer("Adagrad")
    for name, settings in [("OneCycleLR", {"max_lr": 1, "total_steps": 9}), ("CyclicLR", {})]:
        with pytest.raises(
            ValueError, match=f"{name}: expected an optimizer with momentum or beta"
        ):
            make(opt, name, **settings)
        assert set(make(opt, name, cycle_momentum=False, **settings).table(1)) == {"lr"}


@pytest.mark.parametrize("rule", ["RMSprop", "NAdam", "AdamW", "Lion"])
def test_momentum_of_every_rule_that_has_it(rule):
    opt = optimizer(rule)
    schedule = optim.CyclicLR(opt, 0.1, 1.0, 2, base_momentum=0.5, max_momentum=0.9)
    schedule.advance(2)
    group = opt.param_groups[1]
    assert (group["betas"][0] if "betas" in group else group["momentum"]) == 0.5


def test_an_optimizers_state_holds_that_of_its_schedule():
    first, second = optimizer("Adam"), optimizer("Adam")
    go(make(first, "OneCycleLR"), 77)
    resumed = make(second, "OneCycleLR")
    second.load_state_dict(first.state_dict())
    assert resumed.count == 77
    assert options(second) == options(first)
    # What another schedule is refused for, the optimizer is.
    with pytest.raises(ValueError, match=r"OneCycleLR\.load_state_dict: .* got 'StepLR'"):
        second.load_state_dict({**first.state_dict(), "schedule": {"schedule": "StepLR"}})
    assert options(second) == options(first)


def test_representations():
    schedule = optim.StepLR(optimizer(), 3)
    schedule.step()
    assert repr(schedule) == "StepLR(every='epoch', step_size=3, gamma=0.1, count=1)"
    for name in CASES:
        assert repr(make(optimizer(), name)).startswith(f"{name}(every=")


WRONG = [
    ("StepLR", {"step_size": 0}, "StepLR: step_size: expected 1 or more, got 0"),
    ("StepLR", {"step_size": 1.5}, "StepLR: step_size: expected an integer, got float"),
    ("StepLR", {"step_size": 2**63}, r"StepLR: step_size: expected less than 2\*\*63"),
    ("StepLR", {"gamma": -1}, "StepLR: gamma: expected 0 or more, got -1"),
    ("StepLR", {"gamma": math.nan}, "StepLR: gamma: expected a finite number, got nan"),
    ("StepLR", {"gamma": 10**400}, "StepLR: gamma: expected a finite number, got inf"),
    ("StepLR", {"gamma": "a"}, "StepLR: gamma: expected a number, got 'a'"),
    ("StepLR", {"every": "batch"}, r"StepLR: every: expected one of \['epoch', 'step'\]"),
    ("StepLR", {"every": None}, "StepLR: every"),
    ("MultiStepLR", {"milestones": [3, 2]}, "MultiStepLR: milestones: expected increasing counts"),
    ("MultiStepLR", {"milestones": [3, 3]}, "MultiStepLR: milestones: expected increasing counts"),
    ("MultiStepLR", {"milestones": [0]}, "MultiStepLR: milestones: expected 1 or more, got 0"),
    ("MultiStepLR", {"milestones": 3}, "MultiStepLR: milestones: expected a list of integers"),
    ("MultiStepLR", {"milestones": [1.5]}, "MultiStepLR: milestones: expected an integer"),
    ("ConstantLR", {"factor": 1.1}, "ConstantLR: factor: expected 1 or less, got 1.1"),
    ("ConstantLR", {"total_iters": 0}, "ConstantLR: total_iters: expected 1 or more"),
    ("LinearLR", {"start_factor": 0}, "LinearLR: start_factor: expected a number above 0, got 0"),
    ("LinearLR", {"start_factor": 2}, "LinearLR: start_factor: expected 1 or less"),
    ("LinearLR", {"end_factor": -1}, "LinearLR: end_factor: expected 0 or more"),
    ("LinearLR", {"total_iters": 0}, "LinearLR: total_iters: expected 1 or more"),
    ("ExponentialLR", {"gamma": math.inf}, "ExponentialLR: gamma: expected a finite number"),
    ("PolynomialLR", {"total_iters": -1}, "PolynomialLR: total_iters: expected 1 or more"),
    ("PolynomialLR", {"power": -1}, "PolynomialLR: power: expected 0 or more"),
    ("CosineAnnealingLR", {"T_max": 0}, "CosineAnnealingLR: T_max: expected 1 or more"),
    ("CosineAnnealingLR", {"eta_min": -1}, "CosineAnnealingLR: eta_min: expected 0 or more"),
    ("CosineAnnealingWarmRestarts", {"T_0": 0}, "T_0: expected 1 or more"),
    ("CosineAnnealingWarmRestarts", {"T_mult": 0}, "T_mult: expected 1 or more"),
    ("CosineAnnealingWarmRestarts", {"eta_min": "0"}, "eta_min: expected a number"),
    ("LambdaLR", {"lr_lambda": 3}, "LambdaLR: lr_lambda: expected a function, got int"),
    ("LambdaLR", {"lr_lambda": [abs] * 3}, "LambdaLR: lr_lambda: expected 2 functions, .* got 3"),
    ("LambdaLR", {"lr_lambda": [abs, 3]}, "LambdaLR: lr_lambda: expected a function, got int"),
    ("OneCycleLR", {"total_steps": None}, "OneCycleLR: expected total_steps, or epochs and"),
    ("OneCycleLR", {"total_steps": None, "epochs": 3}, "expected total_steps, or epochs and"),
    ("OneCycleLR", {"total_steps": None, "epochs": 0, "steps_per_epoch": 1}, "OneCycleLR: epochs"),
    ("OneCycleLR", {"total_steps": 0}, "OneCycleLR: total_steps: expected 1 or more"),
    ("OneCycleLR", {"max_lr": [1.0]}, "OneCycleLR: max_lr: expected 2 numbers, .* got 1"),
    ("OneCycleLR", {"max_lr": -1}, "OneCycleLR: max_lr: expected 0 or more"),
    ("OneCycleLR", {"pct_start": 1.5}, "OneCycleLR: pct_start: expected 1 or less"),
    ("OneCycleLR", {"anneal_strategy": "x"}, "OneCycleLR: anneal_strategy: expected one of"),
    ("OneCycleLR", {"base_momentum": 1}, "OneCycleLR: base_momentum: expected numbers below 1"),
    ("OneCycleLR", {"max_momentum": 1.5}, "OneCycleLR: max_momentum: expected 1 or less"),
    ("OneCycleLR", {"div_factor": 0}, "OneCycleLR: expected div_factor and final_div_factor above"),
    ("OneCycleLR", {"final_div_factor": 0}, "div_factor and final_div_factor above 0"),
    ("OneCycleLR", {"div_factor": 1e-320, "max_lr": 1}, "OneCycleLR: expected lr to be finite"),
    ("CyclicLR", {"base_lr": [1.0] * 3}, "CyclicLR: base_lr: expected 2 numbers, .* got 3"),
    ("CyclicLR", {"max_lr": "a"}, "CyclicLR: max_lr: expected a number"),
    ("CyclicLR", {"step_size_up": 0}, "CyclicLR: step_size_up: expected 1 or more"),
    ("CyclicLR", {"step_size_down": 0}, "CyclicLR: step_size_down: expected 1 or more"),
    ("CyclicLR", {"mode": "x"}, "CyclicLR: mode: expected one of"),
    ("CyclicLR", {"scale_mode": "x"}, "CyclicLR: scale_mode: expected one of"),
    ("CyclicLR", {"scale_fn": 3}, "CyclicLR: scale_fn: expected a function, got int"),
    ("CyclicLR", {"gamma": -1}, "CyclicLR: gamma: expected 0 or more"),
    ("SequentialLR", {"milestones": [3]}, "SequentialLR: milestones: expected 2, one fewer"),
    ("SequentialLR", {"milestones": [3, 3]}, "SequentialLR: milestones: expected increasing"),
    ("SequentialLR", {"schedulers": []}, "SequentialLR: schedulers: expected one or more"),
    ("SequentialLR", {"schedulers": [("ReduceLROnPlateau", {})]}, "got ReduceLROnPlateau"),
    ("ReduceLROnPlateau", {"mode": "x"}, "ReduceLROnPlateau: mode: expected one of"),
    ("ReduceLROnPlateau", {"factor": 1}, "ReduceLROnPlateau: factor: expected a number below 1"),
    ("ReduceLROnPlateau", {"factor": -1}, "ReduceLROnPlateau: factor: expected 0 or more"),
    ("ReduceLROnPlateau", {"patience": -1}, "patience: expected 0 or more"),
    ("ReduceLROnPlateau", {"threshold": -1}, "threshold: expected 0 or more"),
    ("ReduceLROnPlateau", {"threshold_mode": 3}, "threshold_mode: expected one of"),
    ("ReduceLROnPlateau", {"cooldown": -1}, "cooldown: expected 0 or more"),
    ("ReduceLROnPlateau", {"min_lr": [0.0]}, "min_lr: expected 2 numbers, one a group, got 1"),
    ("ReduceLROnPlateau", {"eps": -1}, "eps: expected 0 or more"),
    ("ReduceLROnPlateau", {"monitor": 3}, "ReduceLROnPlateau: monitor: expected a name, got int"),
]


@pytest.mark.parametrize(("name", "settings", "match"), WRONG)
def test_errors(name, settings, match):
    opt = optimizer()
    before = options(opt)
    with pytest.raises((ValueError, TypeError), match=match):
        make(opt, name, **settings)
    if name != "SequentialLR":
        assert options(opt) == before
        assert opt._schedule is None


@pytest.mark.parametrize("name", CASES)
def test_a_schedule_needs_an_optimizer(name):
    with pytest.raises((TypeError, ValueError), match="optimizer"):
        make(None, name) if name != "SequentialLR" else optim.SequentialLR(
            optimizer(), [optim.StepLR(optimizer(), 1)], []
        )
    assert {row[0] for row in WRONG} == set(CASES)


def test_parts_must_be_schedules():
    with pytest.raises(TypeError, match=r"SequentialLR: schedulers: .* got int"):
        optim.SequentialLR(optimizer(), [1], [])
    with pytest.raises(TypeError, match=r"SequentialLR: schedulers: .* got int"):
        optim.SequentialLR(optimizer(), 1, [])


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
