"""Each schedule with the arguments it is tested with, in PyTorch's names where it has them."""

import math

import numpy as np

from deltaprop import nn, optim
from deltaprop.optim.schedule import ByCount

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
