"""Arguments that schedules refuse."""

import math

import pytest

from deltaprop import optim
from schedule_cases import CASES, make, optimizer, options


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
