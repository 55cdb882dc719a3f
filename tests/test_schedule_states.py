"""States of schedules."""

import json
import math

import pytest

from deltaprop import optim
from schedule_cases import ALL, go, make, optimizer, options


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
