"""The schedules, a formula each: t counts epochs or steps, lr0 is a group's base learning rate."""

import itertools
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from deltaprop import _core
from deltaprop._arrays import Array, as_name, as_real
from deltaprop.optim.optimizer import Optimizer
from deltaprop.optim.schedule import ByCount, LRScheduler


def _half_cosine(start: Any, end: Any, part: Array) -> Array:
    """Go from start to end along half a cosine: part is 0 at the start and 1 at the end."""
    return np.asarray(end + (start - end) * (1 + _core.cos(math.pi * part)) / 2)


def _check_callable(function: Any, name: str) -> None:
    if not callable(function):
        raise TypeError(f"{name}: expected a function, got {type(function).__name__}")


def _number(value: Any, name: str) -> float:
    # Neither infinity nor NaN is a mistake here: losses may be such.
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    return float(value)


def _called(function: Callable[[Any], float], x: Array, name: str) -> Array:
    """Return a user's function of each of x, an integer array."""
    values = [as_real(function(k), f"{name}({k})") for k in x.ravel().tolist()]
    return np.array(values, dtype=np.float64).reshape(x.shape)


def _line(start: Any, end: Any, part: Array) -> Array:
    return np.asarray((end - start) * np.minimum(part, 1) + start)


class StepLR(ByCount):
    """Multiply the learning rate by `gamma` every `step_size` counts.

    Parameters
    ----------
    optimizer : Optimizer
    step_size : int
        1 or more.
    gamma : float, default 0.1
        0 or more.
    every : {"epoch", "step"}, default "epoch"
        What `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of a wrong kind, or what is not an optimizer.

    Notes
    -----
    Formula: lr(t) = lr0 gamma^floor(t / step_size)

    Source: torch.optim.lr_scheduler.StepLR.

    Examples
    --------
    >>> from deltaprop import nn, optim
    >>> opt = optim.SGD(nn.Sequential(nn.Linear(1, 1)).parameters(), lr=1.0)
    >>> schedule = optim.StepLR(opt, step_size=2, gamma=0.5)
    >>> schedule.table(5)["lr"].ravel().tolist()
    [1.0, 1.0, 0.5, 0.5, 0.25]
    >>> schedule.step()
    >>> schedule.step()
    >>> opt.lr
    0.5
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, *, every: str = "epoch"
    ) -> None:
        super().__init__(optimizer, every)
        self.step_size = self._core_network("step_size", step_size, 1)
        self.gamma = self._real("gamma", gamma)
        self._attach()

    def _at(self, base: Array, t: Array) -> Array:
        return base * _core.power(self.gamma, t // self.step_size)


class MultiStepLR(ByCount):
    """Multiply the learning rate by `gamma` at each milestone.

    Parameters
    ----------
    optimizer : Optimizer
    milestones : iterable of int
        Counts of 1 or more, increasing.
    gamma : float, default 0.1
        0 or more.
    every : {"epoch", "step"}, default "epoch"
        What `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of a wrong kind, or what is not an optimizer.

    Notes
    -----
    Formula: lr(t) = lr0 gamma^(the number of milestones at t or before)

    Source: torch.optim.lr_scheduler.MultiStepLR.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        *,
        every: str = "epoch",
    ) -> None:
        super().__init__(optimizer, every)
        self.milestones = self._increasing("milestones", milestones)
        self.gamma = self._real("gamma", gamma)
        self._attach()

    def _at(self, base: Array, t: Array) -> Array:
        return base * _core.power(self.gamma, np.searchsorted(self.milestones, t, side="right"))


class ConstantLR(ByCount):
    """Multiply the learning rate by `factor` for the first `total_iters` counts.

    Parameters
    ----------
    optimizer : Optimizer
    factor : float, default 1/3
        From 0 to 1.
    total_iters : int, default 5
        1 or more.
    every : {"epoch", "step"}, default "epoch"
        What `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of a wrong kind, or what is not an optimizer.

    Notes
    -----
    Formula: lr(t) = lr0 factor for t < total_iters, lr0 after

    Source: torch.optim.lr_scheduler.ConstantLR.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1 / 3,
        total_iters: int = 5,
        *,
        every: str = "epoch",
    ) -> None:
        super().__init__(optimizer, every)
        self.factor = self._real("factor", factor, at_most=1)
        self.total_iters = self._core_network("total_iters", total_iters, 1)
        self._attach()

    def _at(self, base: Array, t: Array) -> Array:
        return base * np.where(t < self.total_iters, self.factor, 1.0)


class LinearLR(ByCount):
    """Change the learning rate's factor in a straight line over `total_iters` counts.

    Parameters
    ----------
    optimizer : Optimizer
    start_factor : float, default 1/3
        Above 0, up to 1.
    end_factor : float, default 1
        From 0 to 1.
    total_iters : int, default 5
        1 or more.
    every : {"epoch", "step"}, default "epoch"
        What `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of a wrong kind, or what is not an optimizer.

    Notes
    -----
    Formula: lr(t) = lr0 (start_factor + (end_factor - start_factor) min(t, total_iters) /
    total_iters)

    Source: torch.optim.lr_scheduler.LinearLR.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        *,
        every: str = "epoch",
    ) -> None:
        super().__init__(optimizer, every)
        self.start_factor = self._real("start_factor", start_factor, at_most=1)
        if self.start_factor == 0:
            raise ValueError("LinearLR: start_factor: expected a number above 0, got 0")
        self.end_factor = self._real("end_factor", end_factor, at_most=1)
        self.total_iters = self._core_network("total_iters", total_iters, 1)
        self._attach()

    def _at(self, base: Array, t: Array) -> Array:
        return base * _line(self.start_factor, self.end_factor, t / self.total_iters)


class ExponentialLR(ByCount):
    """Multiply the learning rate by `gamma` at every count.

    Parameters
    ----------
    optimizer : Optimizer
    gamma : float
        0 or more.
    every : {"epoch", "step"}, default "epoch"
        What `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of a wrong kind, or what is not an optimizer.

    Notes
    -----
    Formula: lr(t) = lr0 gamma^t

    Source: torch.optim.lr_scheduler.ExponentialLR.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, *, every: str = "epoch") -> None:
        super().__init__(optimizer, every)
        self.gamma = self._real("gamma", gamma)
        self._attach()

    def _at(self, base: Array, t: Array) -> Array:
        return base * _core.power(self.gamma, t)


class PolynomialLR(ByCount):
    """Let the learning rate fall to 0 by a power over `total_iters` counts.

    Parameters
    ----------
    optimizer : Optimizer
    total_iters : int, default 5
        1 or more.
    power : float, default 1
        0 or more.
    every : {"epoch", "step"}, default "epoch"
        What `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of a wrong kind, or what is not an optimizer.

    Notes
    -----
    Formula: lr(t) = lr0 (1 - min(t, total_iters) / total_iters)^power

    Source: torch.optim.lr_scheduler.PolynomialLR.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        *,
        every: str = "epoch",
    ) -> None:
        super().__init__(optimizer, every)
        self.total_iters = self._core_network("total_iters", total_iters, 1)
        self.power = self._real("power", power)
        self._attach()

    def _at(self, base: Array, t: Array) -> Array:
        left = 1 - np.minimum(t, self.total_iters) / self.total_iters
        return base * _core.power(left, self.power)


class CosineAnnealingLR(ByCount):
    """Let the learning rate fall to `eta_min` along half a cosine, then rise again, and so on.

    Parameters
    ----------
    optimizer : Optimizer
    T_max : int
        Counts from the top to the bottom, 1 or more.
    eta_min : float, default 0
        The smallest learning rate, 0 or more.
    every : {"epoch", "step"}, default "epoch"
        What `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of a wrong kind, or what is not an optimizer.

    Notes
    -----
    Formula: lr(t) = eta_min + (lr0 - eta_min) (1 + cos(pi t / T_max)) / 2

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017),
    equation 5, without the restarts; torch.optim.lr_scheduler.CosineAnnealingLR.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, *, every: str = "epoch"
    ) -> None:
        super().__init__(optimizer, every)
        self.T_max = self._core_network("T_max", T_max, 1)
        self.eta_min = self._real("eta_min", eta_min)
        self._attach()

    def _at(self, base: Array, t: Array) -> Array:
        return _half_cosine(base, self.eta_min, t / self.T_max)


class CosineAnnealingWarmRestarts(ByCount):
    """Let the learning rate fall to `eta_min` along half a cosine, again and again from the top.

    Parameters
    ----------
    optimizer : Optimizer
    T_0 : int
        Counts of the first fall, 1 or more.
    T_mult : int, default 1
        Each fall takes that many times the counts of the one before; 1 or more.
    eta_min : float, default 0
        The smallest learning rate, 0 or more.
    every : {"epoch", "step"}, default "epoch"
        What `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of a wrong kind, or what is not an optimizer.

    Notes
    -----
    Formula: lr(t) = eta_min + (lr0 - eta_min) (1 + cos(pi T_cur / T_i)) / 2, where T_cur counts
    from the last restart and T_i = T_0 T_mult^(the number of restarts so far)

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017),
    equation 5; torch.optim.lr_scheduler.CosineAnnealingWarmRestarts.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        *,
        every: str = "epoch",
    ) -> None:
        super().__init__(optimizer, every)
        self.T_0 = self._core_network("T_0", T_0, 1)
        self.T_mult = self._core_network("T_mult", T_mult, 1)
        self.eta_min = self._real("eta_min", eta_min)
        self._attach()

    def _at(self, base: Array, t: Array) -> Array:
        if self.T_mult == 1:
            return _half_cosine(base, self.eta_min, t % self.T_0 / self.T_0)
        starts, lengths = [0.0], [float(self.T_0)]
        while starts[-1] + lengths[-1] <= t.max(initial=0):
            starts.append(starts[-1] + lengths[-1])
            lengths.append(lengths[-1] * self.T_mult)
        i = np.searchsorted(starts, t, side="right") - 1
        return _half_cosine(base, self.eta_min, (t - np.take(starts, i)) / np.take(lengths, i))


class LambdaLR(ByCount):
    """Multiply the learning rate by what a function of the count returns.

    Parameters
    ----------
    optimizer : Optimizer
    lr_lambda : callable, or list of callables
        Takes the count, an int, and returns a factor of 0 or more; a list has one for each group.
    every : {"epoch", "step"}, default "epoch"
        What `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a list of another length than the groups, or what is not callable.

    Notes
    -----
    Formula: lr(t) = lr0 lr_lambda(t)

    Source: torch.optim.lr_scheduler.LambdaLR.

    For the same count the function must return the same: it is called ahead for a whole `fit`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        *,
        every: str = "epoch",
    ) -> None:
        super().__init__(optimizer, every)
        groups = len(optimizer.param_groups)
        many = isinstance(lr_lambda, list | tuple)
        self._lambdas = list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda]
        if many and len(self._lambdas) != groups:
            raise ValueError(
                f"LambdaLR: lr_lambda: expected {groups} functions, one a group, "
                f"got {len(self._lambdas)}"
            )
        for function in self._lambdas:
            _check_callable(function, "LambdaLR: lr_lambda")
        self._attach()

    def _at(self, base: Array, t: Array) -> Array:
        factors = [_called(f, t, "LambdaLR: lr_lambda") for f in self._lambdas]
        return np.asarray(base * np.concatenate(factors, axis=1))


class _WithMomentum(ByCount):
    """Base of those that move the momentum against the learning rate: SGD's, or Adam's beta1."""

    def _cycle(self, cycle_momentum: bool) -> None:
        self.cycle_momentum = bool(cycle_momentum)
        if not cycle_momentum:
            return
        known = self._optimizer.param_groups[0]
        if "betas" not in known and "momentum" not in known:
            raise ValueError(
                f"{type(self).__name__}: expected an optimizer with momentum or betas for "
                f"cycle_momentum=True, got {type(self._optimizer).__name__}"
            )
        self._options = ("lr", "beta1" if "betas" in known else "momentum")

    def _momenta(self, option: str, value: Any) -> list[float]:
        values = self._each(option, value, at_most=1)
        if 1 in values:
            raise ValueError(f"{type(self).__name__}: {option}: expected numbers below 1, got 1")
        return values


class OneCycleLR(_WithMomentum):
    """Raise the learning rate to `max_lr`, then let it fall far below where it began.

    Parameters
    ----------
    optimizer : Optimizer
    max_lr : float, or list of float, one a group
        The top, 0 or more.
    total_steps : int, optional
        Length of the cycle, 1 or more. None: `epochs` times `steps_per_epoch`.
    epochs, steps_per_epoch : int, optional
        1 or more; needed without `total_steps`.
    pct_start : float, default 0.3
        The part of the cycle that rises, from 0 to 1.
    anneal_strategy : {"cos", "linear"}, default "cos"
    cycle_momentum : bool, default True
        Whether SGD's momentum, or Adam's betas[0], moves the other way.
    base_momentum : float, or list of float, default 0.85
        Momentum at the top, from 0 to below 1.
    max_momentum : float, or list of float, default 0.95
        Momentum at the start and at the end.
    div_factor : float, default 25
        The first learning rate is max_lr / div_factor. Above 0.
    final_div_factor : float, default 1e4
        The last learning rate is the first / final_div_factor. Above 0.
    three_phase : bool, default False
        Whether it first falls back to where it began, symmetrically, and then to the end.
    every : {"epoch", "step"}, default "step"
        What `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of a wrong kind, what is not an optimizer, one without
        momentum where it is to be cycled; and for a count beyond `total_steps`.

    Notes
    -----
    Formula: lr(t) = b + (a - b) (1 + cos(pi p)) / 2, or a + (b - a) p for "linear", where a phase
    goes from a to b and p is the part of it that is over. Phases end at t = pct_start total_steps -
    1 (from max_lr / div_factor to max_lr) and at total_steps - 1; with `three_phase` there is one
    more end at 2 pct_start total_steps - 2. Momentum is found by the same formula.

    Source: Smith and Topin, "Super-convergence: very fast training of neural networks using large
    learning rates" (2018), section 3; torch.optim.lr_scheduler.OneCycleLR.

    At count `total_steps`, which follows the last update, "linear" stays where it ended; PyTorch's
    goes on below 0. `max_lr` takes the place of the optimizer's learning rates.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        *,
        every: str = "step",
    ) -> None:
        super().__init__(optimizer, every)
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(
                    "OneCycleLR: expected total_steps, or epochs and steps_per_epoch, got neither"
                )
            total_steps = self._core_network("epochs", epochs, 1) * self._core_network(
                "steps_per_epoch", steps_per_epoch, 1
            )
        self.total_steps = self._core_network("total_steps", total_steps, 1)
        self.max_lr = self._each("max_lr", max_lr)
        self.pct_start = self._real("pct_start", pct_start, at_most=1)
        self.anneal_strategy = self._one_of("anneal_strategy", anneal_strategy, ("cos", "linear"))
        self._cycle(cycle_momentum)
        self.base_momentum = self._momenta("base_momentum", base_momentum)
        self.max_momentum = self._momenta("max_momentum", max_momentum)
        self.div_factor = self._real("div_factor", div_factor)
        self.final_div_factor = self._real("final_div_factor", final_div_factor)
        if self.div_factor == 0 or self.final_div_factor == 0:
            raise ValueError("OneCycleLR: expected div_factor and final_div_factor above 0, got 0")
        self.three_phase = bool(three_phase)
        self._base = np.array([top / self.div_factor for top in self.max_lr])
        self._attach()

    def _values(self, option: str, t: Array) -> Array:
        if np.any(t > self.total_steps):
            raise ValueError(
                f"OneCycleLR: expected counts up to total_steps = {self.total_steps}, got {t.max()}"
            )
        if option == "lr":
            low, high, end = self._base, np.array(self.max_lr), self._base / self.final_div_factor
        else:
            low, high, end = (
                np.array(m) for m in (self.max_momentum, self.base_momentum, self.max_momentum)
            )
        rise, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        ends, knots = [rise, last], np.array([low, high, end])
        if self.three_phase:
            fall = 2 * self.pct_start * self.total_steps - 2
            ends, knots = [rise, fall, last], np.array([low, high, low, end])
        anneal = _half_cosine if self.anneal_strategy == "cos" else _line
        values = np.empty((len(t), knots.shape[1]))
        # Counts ascend: a phase is a run of them.
        bounds = [0, *np.searchsorted(t, ends[:-1], side="right"), len(t)]
        for i, (begun, over) in enumerate(itertools.pairwise([0.0, *ends])):
            own = slice(bounds[i], bounds[i + 1])
            since, length = t[own, np.newaxis] - begun, over - begun
            # A phase without length is over at once; PyTorch divides by 0.
            part = since / length if length != 0 else np.ones(since.shape)
            values[own] = anneal(knots[i], knots[i + 1], part)
        return values


class CyclicLR(_WithMomentum):
    """Move the learning rate between `base_lr` and `max_lr`, up and down.

    Parameters
    ----------
    optimizer : Optimizer
    base_lr, max_lr : float, or list of float, one a group
        The two ends, 0 or more.
    step_size_up : int, default 2000
        Counts from `base_lr` to `max_lr`, 1 or more.
    step_size_down : int, optional
        Counts back. None: `step_size_up`.
    mode : {"triangular", "triangular2", "exp_range"}, default "triangular"
        What the height of a cycle is scaled by: 1, 1 / 2^(cycle - 1), or gamma^t.
    gamma : float, default 1
        For "exp_range", 0 or more.
    scale_fn : callable, optional
        Of the cycle (1, 2, ...) or the count; returns the scale in place of that of `mode`.
    scale_mode : {"cycle", "iterations"}, default "cycle"
        What `scale_fn` takes.
    cycle_momentum : bool, default True
        Whether SGD's momentum, or Adam's betas[0], moves the other way.
    base_momentum : float, or list of float, default 0.8
        Momentum at `max_lr`, from 0 to below 1.
    max_momentum : float, or list of float, default 0.9
        Momentum at `base_lr`.
    every : {"epoch", "step"}, default "step"
        What `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of a wrong kind, what is not an optimizer, or one without
        momentum where it is to be cycled.

    Notes
    -----
    Formula: lr(t) = base_lr + (max_lr - base_lr) h(t) s, where h goes from 0 to 1 in `step_size_up`
    counts and back in `step_size_down`, and s is the scale. Momentum is
    max_momentum - (max_momentum - base_momentum) h(t) s.

    Source: Smith, "Cyclical learning rates for training neural networks" (2017), section 3;
    torch.optim.lr_scheduler.CyclicLR.

    `base_lr` takes the place of the optimizer's learning rates.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        *,
        every: str = "step",
    ) -> None:
        super().__init__(optimizer, every)
        self.base_lr = self._each("base_lr", base_lr)
        self.max_lr = self._each("max_lr", max_lr)
        self.step_size_up = self._core_network("step_size_up", step_size_up, 1)
        down = step_size_up if step_size_down is None else step_size_down
        self.step_size_down = self._core_network("step_size_down", down, 1)
        self.mode = self._one_of("mode", mode, ("triangular", "triangular2", "exp_range"))
        self.gamma = self._real("gamma", gamma)
        if scale_fn is not None:
            _check_callable(scale_fn, "CyclicLR: scale_fn")
        self._scale_fn = scale_fn
        self.scale_mode = self._one_of("scale_mode", scale_mode, ("cycle", "iterations"))
        self._cycle(cycle_momentum)
        self.base_momentum = self._momenta("base_momentum", base_momentum)
        self.max_momentum = self._momenta("max_momentum", max_momentum)
        self._base = np.array(self.base_lr)
        self._attach()

    def _scale(self, t: Array, cycle: Array) -> Array:
        if self._scale_fn is not None:
            x = cycle.astype(np.int64) if self.scale_mode == "cycle" else t
            return _called(self._scale_fn, x, "CyclicLR: scale_fn")
        if self.mode == "triangular2":
            return _core.power(2, 1 - cycle)
        return _core.power(self.gamma, t) if self.mode == "exp_range" else np.ones(t.shape)

    def _values(self, option: str, t: Array) -> Array:
        t = t[:, np.newaxis]
        whole = float(self.step_size_up + self.step_size_down)
        turn = self.step_size_up / whole
        cycle = np.floor(1 + t / whole)
        x = 1 + t / whole - cycle
        height = np.where(x <= turn, x / turn, (x - 1) / (turn - 1))
        if option == "lr":
            start, end = np.array(self.base_lr), np.array(self.max_lr)
        else:
            start, end = np.array(self.max_momentum), np.array(self.base_momentum)
        return np.asarray(start + (end - start) * height * self._scale(t, cycle))


class SequentialLR(ByCount):
    """One schedule after the other, each counting from 0 at its milestone.

    Parameters
    ----------
    optimizer : Optimizer
    schedulers : list of schedules
        Of the same optimizer, and not ReduceLROnPlateau; it takes over from them.
    milestones : list of int
        Counts of 1 or more, increasing, at which the next begins: one fewer than the schedules.
    every : {"epoch", "step"}, optional
        What `fit` counts. None: what the schedules do, which must be the same for all.

    Raises
    ------
    ValueError, TypeError
        For schedules of another optimizer, or that cannot follow each other, or a wrong number of
        milestones.

    Notes
    -----
    Formula: lr(t) = lr_i(t - m_i), where m_i is the last milestone at t or before, or 0

    Source: torch.optim.lr_scheduler.SequentialLR.

    Momentum keeps its last value while schedules run that do not cycle it; before the first that
    does, it has the first value of that one.

    Examples
    --------
    >>> from deltaprop import nn, optim
    >>> opt = optim.SGD(nn.Sequential(nn.Linear(1, 1)).parameters(), lr=1.0)
    >>> warm_up = optim.LinearLR(opt, 0.25, total_iters=3)
    >>> schedule = optim.SequentialLR(opt, [warm_up, optim.ExponentialLR(opt, 0.5)], [3])
    >>> schedule.table(6)["lr"].ravel().tolist()
    [0.25, 0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Iterable[LRScheduler],
        milestones: Iterable[int],
        *,
        every: str | None = None,
    ) -> None:
        parts: list[ByCount] = []
        for part in schedulers if isinstance(schedulers, Iterable) else [schedulers]:
            if not isinstance(part, ByCount):
                raise TypeError(
                    "SequentialLR: schedulers: expected schedules whose values follow from the "
                    f"count, got {type(part).__name__}"
                )
            if part._optimizer is not optimizer:
                raise ValueError(
                    "SequentialLR: schedulers: expected schedules of the same optimizer, "
                    f"got a {type(part).__name__} of another"
                )
            parts.append(part)
        counted = {part.every for part in parts}
        if not parts or (every is None and len(counted) > 1):
            raise ValueError(
                "SequentialLR: schedulers: expected one or more that count the same, or every=, "
                f"got {len(parts)} that count {sorted(counted)}"
            )
        super().__init__(optimizer, every or parts[0].every)
        self._parts = parts
        self._options = tuple(dict.fromkeys(o for part in self._parts for o in part._options))
        self.milestones = self._increasing("milestones", milestones)
        if len(self.milestones) != len(parts) - 1:
            raise ValueError(
                f"SequentialLR: milestones: expected {len(parts) - 1}, one fewer than schedules, "
                f"got {len(self.milestones)}"
            )
        self._attach()

    def _values(self, option: str, t: Array) -> Array:
        starts = [0, *self.milestones]
        ends = [*self.milestones, np.iinfo(np.int64).max]
        having = [i for i, part in enumerate(self._parts) if option in part._options]
        turn = np.searchsorted([starts[i] for i in having], t, side="right") - 1
        values = np.empty((len(t), len(self._optimizer.param_groups)))
        for k, i in enumerate(having):
            rows = np.maximum(turn, 0) == k
            own = np.clip(t[rows], starts[i], ends[i] - 1) - starts[i]
            values[rows] = self._parts[i]._values(option, own)
        return values

    def state_dict(self) -> dict[str, Any]:  # noqa: D102  (documented in the base)
        return {**super().state_dict(), "schedulers": [part.state_dict() for part in self._parts]}

    def _restored(self, state: Mapping[str, Any]) -> Self:
        made = super()._restored(state)
        parts = state["schedulers"]
        if not isinstance(parts, list) or len(parts) != len(self._parts):
            raise ValueError(
                f"SequentialLR.load_state_dict: expected schedulers to be a list of "
                f"{len(self._parts)}, got {parts!r}"
            )
        made._parts = [own._restored(s) for own, s in zip(self._parts, parts, strict=True)]
        return made


class ReduceLROnPlateau(LRScheduler):
    """Lower the learning rate when a value has stopped getting better.

    `fit` gives it, after each epoch, a value of the history. By hand, call ``step(value)``.

    Parameters
    ----------
    optimizer : Optimizer
    mode : {"min", "max"}, default "min"
        Whether lower values are better, or higher ones.
    factor : float, default 0.1
        What the learning rate is multiplied by, from 0 to below 1.
    patience : int, default 10
        Values in a row that may be no better; 0 or more.
    threshold : float, default 1e-4
        By how much a value must be better than the best to count; 0 or more.
    threshold_mode : {"rel", "abs"}, default "rel"
        Whether `threshold` is a part of the best value, or a difference.
    cooldown : int, default 0
        Values after a reduction that are not counted; 0 or more.
    min_lr : float, or list of float, one a group, default 0
        No learning rate is set below it.
    eps : float, default 1e-8
        A reduction by no more than that is not made.
    monitor : str, optional
        The key of the history that `fit` gives it. None, with mode "min" only: "val_loss" where
        there are validation data, else "loss".

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of a wrong kind, or what is not an optimizer. ValueError, as a
        fit begins, where its history will have no such key, or for mode "max" without one.

    Notes
    -----
    Formula: lr <- max(factor lr, min_lr), when more than `patience` values in a row were not better
    than the best, v < best (1 - threshold) or v < best - threshold for "abs" (with mode "max",
    v > best (1 + threshold) or v > best + threshold)

    Source: torch.optim.lr_scheduler.ReduceLROnPlateau.

    A NaN is no better than any value.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0.0,
        eps: float = 1e-8,
        *,
        monitor: str | None = None,
    ) -> None:
        super().__init__(optimizer, "epoch")
        self.mode = self._one_of("mode", mode, ("min", "max"))
        self.factor = self._real("factor", factor, at_most=1)
        if self.factor == 1:
            raise ValueError("ReduceLROnPlateau: factor: expected a number below 1, got 1")
        self.patience = self._core_network("patience", patience, 0)
        self.threshold = self._real("threshold", threshold)
        self.threshold_mode = self._one_of("threshold_mode", threshold_mode, ("rel", "abs"))
        self.cooldown = self._core_network("cooldown", cooldown, 0)
        self.min_lr = self._each("min_lr", min_lr)
        self.eps = self._real("eps", eps)
        self.monitor = None if monitor is None else as_name(monitor, "ReduceLROnPlateau: monitor")
        self._lr: Array = np.array([group["lr"] for group in optimizer.param_groups])
        self._best = math.inf if mode == "min" else -math.inf
        self._bad = self._cooling = 0
        self._attach()

    def step(self, value: float) -> None:
        """Take the next value, and lower the learning rates where it is time.

        Parameters
        ----------
        value : float

        Raises
        ------
        RuntimeError
            If another schedule has taken over.
        TypeError
            For what is not a number.
        """
        self._check_attached()
        value = _number(value, "ReduceLROnPlateau: value")
        if self._is_better(value):
            self._best, self._bad = value, 0
        else:
            self._bad += 1
        if self._cooling > 0:
            self._cooling -= 1
            self._bad = 0
        self._lr = np.array([group["lr"] for group in self._optimizer.param_groups])
        if self._bad > self.patience:
            self._bad, self._cooling = 0, self.cooldown
            lower = np.maximum(self._lr * self.factor, self.min_lr)
            self._lr = np.where(self._lr - lower > self.eps, lower, self._lr)
        self._count += 1
        self._show()

    def _watched(self, keys: Sequence[str]) -> str:
        if self.monitor is None and self.mode == "max":
            raise ValueError(
                "ReduceLROnPlateau: expected a monitor where mode is 'max', got None, the loss"
            )
        key = super()._watched(keys) if self.monitor is None else self.monitor
        if key not in keys:
            raise ValueError(
                f"ReduceLROnPlateau: expected monitor to be of {list(keys)}, got {key!r}"
            )
        return key

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return sign * value < sign * self._best * (1 - sign * self.threshold)
        return sign * value < sign * self._best - self.threshold

    def _current(self) -> dict[str, Array]:
        return {"lr": self._lr}

    def state_dict(self) -> dict[str, Any]:  # noqa: D102  (documented in the base)
        return {
            **super().state_dict(),
            "last_lr": self._lr.tolist(),
            "best": self._best,
            "num_bad_epochs": self._bad,
            "cooldown_counter": self._cooling,
        }

    def _restored(self, state: Mapping[str, Any]) -> Self:
        made = super()._restored(state)
        made._lr = np.array(self._each("last_lr", state["last_lr"]))
        made._best = _number(state["best"], "ReduceLROnPlateau: best")
        made._bad = self._core_network("num_bad_epochs", state["num_bad_epochs"], 0)
        made._cooling = self._core_network("cooldown_counter", state["cooldown_counter"], 0)
        return made
