"""Deltaprop's cost against width, depth, batch and rows, fitted by a straight line."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.peers import OURS
from benchmarks.turns import Group
from benchmarks.works import Network, Serving, Training, Work, square


@dataclass
class Law:
    """Microseconds against a quantity, and the line `fixed + each * quantity` through them."""

    name: str
    quantity: str
    amounts: list[int]
    micros: list[float]
    fixed: float
    each: float
    off: float
    """The largest relative deviation from the line, negative below it."""
    at: int
    """The amount with the largest deviation."""
    power: float
    """The slope in log-log scale over the larger half."""


Family = tuple[str, str, Sequence[Work], Callable[[Any], int]]
DEEP = (1, 2, 4, 8, 16, 32)


def families(longest: int) -> list[Family]:
    """Return the series of works, each with at most `longest` works."""
    widths = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)[:longest]
    deep = [Training(Network((64,) * (n + 1), "Tanh"), 64, steps=20) for n in DEEP[:longest]]
    counts = [4**i for i in range(9)][:longest]
    batches = [Training(Network((64, 128, 64, 10)), n, steps=max(2, 4096 // n)) for n in counts[:7]]
    served = [Serving(Network((64, 128, 64, 10)), n) for n in counts]
    return [
        (
            "width",
            "parameters of w-w-w-10, a step of 256 rows",
            [square(w, 256) for w in widths],
            lambda work: work.network.parameters,
        ),
        (
            "depth",
            "layers 64 wide, a step of 64 rows",
            deep,
            lambda work: len(work.network.widths) - 1,
        ),
        ("batch", "rows of a step of 64-128-64-10", batches, lambda work: work.batch),
        ("rows", "rows predicted by 64-128-64-10", served, lambda work: work.rows),
    ]


def fit(amounts: list[int], micros: list[float]) -> tuple[float, float, float, int, float]:
    """Fit a line with non-negative coefficients by least squares of relative errors."""
    x, t = np.array(amounts, float), np.array(micros)
    fixed, each = np.linalg.lstsq(np.stack([1 / t, x / t], 1), np.ones(len(t)))[0]
    if fixed < 0:
        fixed, each = 0.0, np.sum(x / t) / np.sum((x / t) ** 2)
    residuals = t / (fixed + each * x) - 1
    worst = np.argmax(np.abs(residuals))
    half = len(x) // 2
    power = np.polyfit(np.log(x[half:]), np.log(t[half:]), 1)[0] if len(x) - half > 1 else np.nan
    return float(fixed), float(each), float(residuals[worst]), amounts[worst], float(power)


def laws(group: Group, turns: int, seconds: float, longest: int) -> list[Law]:
    """Measure every series with deltaprop; take the minimum over the turns."""
    remote, results = group.remotes[OURS], []
    for name, quantity, works, amount in families(longest):
        micros = []
        for work in works:
            remote.ask("prepare", work)
            micros.append(min(remote.ask("slice", seconds)[0] for _ in range(turns)))
        amounts = [amount(work) for work in works]
        results.append(Law(name, quantity, amounts, micros, *fit(amounts, micros)))
    return results
