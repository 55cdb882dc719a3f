"""The schedules. In the formulas t is the count and lr0 a group's base learning rate."""

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


def _half_cosine(start: Any, end: Any, fraction: Array) -> Array:
    """Interpolate along half a cosine; `fraction` is 0 at the start and 1 at the end."""
    return np.asarray(end + (start - end) * (1 + _core.cos(math.pi * fraction)) / 2)


def _check_callable(function: Any, name: str) -> None:
    if not callable(function):
        raise TypeError(f"{name}: expected a function, got {type(function).__name__}")


def _number(value: Any, name: str) -> float:
    # Infinity and NaN are allowed, since losses can have these values.
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    return float(value)


def _map(function: Callable[[Any], float], x: Array, name: str) -> Array:
    """Return a user's function of each element of x, an integer array."""
    values = [as_real(function(k), f"{name}({k})") for k in x.ravel().tolist()]
    return np.array(values, dtype=np.float64).reshape(x.shape)


def _line(start: Any, end: Any, fraction: Array) -> Array:
    """Interpolate along a straight line; `fraction` is 0 at the start and 1 at the end."""
    return np.asarray((end - start) * np.minimum(fraction, 1) + start)


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
        The unit that `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of the wrong type, or an `optimizer` of another type.

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
        self.step_size = self._integer("step_size", step_size, 1)
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
        The unit that `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of the wrong type, or an `optimizer` of another type.

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
        The unit that `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of the wrong type, or an `optimizer` of another type.

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
        self.total_iters = self._integer("total_iters", total_iters, 1)
        self._attach()

    def _at(self, base: Array, t: Array) -> Array:
        return base * np.where(t < self.total_iters, self.factor, 1.0)


class LinearLR(ByCount):
    """Change the learning rate linearly between two factors over `total_iters` counts.

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
        The unit that `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of the wrong type, or an `optimizer` of another type.

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
        self.total_iters = self._integer("total_iters", total_iters, 1)
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
        The unit that `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of the wrong type, or an `optimizer` of another type.

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
    """Decay the learning rate to 0 by a power law over `total_iters` counts.

    Parameters
    ----------
    optimizer : Optimizer
    total_iters : int, default 5
        1 or more.
    power : float, default 1
        0 or more.
    every : {"epoch", "step"}, default "epoch"
        The unit that `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of the wrong type, or an `optimizer` of another type.

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
        self.total_iters = self._integer("total_iters", total_iters, 1)
        self.power = self._real("power", power)
        self._attach()

    def _at(self, base: Array, t: Array) -> Array:
        left = 1 - np.minimum(t, self.total_iters) / self.total_iters
        return base * _core.power(left, self.power)


class CosineAnnealingLR(ByCount):
    """Move the learning rate along a cosine between its base value and `eta_min`.

    Parameters
    ----------
    optimizer : Optimizer
    T_max : int
        Counts from the base rate to `eta_min`, half a period; 1 or more.
    eta_min : float, default 0
        The smallest learning rate, 0 or more.
    every : {"epoch", "step"}, default "epoch"
        The unit that `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of the wrong type, or an `optimizer` of another type.

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
        self.T_max = self._integer("T_max", T_max, 1)
        self.eta_min = self._real("eta_min", eta_min)
        self._attach()

    def _at(self, base: Array, t: Array) -> Array:
        return _half_cosine(base, self.eta_min, t / self.T_max)


class CosineAnnealingWarmRestarts(ByCount):
    """Decay the learning rate to `eta_min` along half a cosine, with restarts at the base rate.

    Parameters
    ----------
    optimizer : Optimizer
    T_0 : int
        Counts until the first restart, 1 or more.
    T_mult : int, default 1
        Factor by which the number of counts between restarts grows; 1 or more.
    eta_min : float, default 0
        The smallest learning rate, 0 or more.
    every : {"epoch", "step"}, default "epoch"
        The unit that `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of the wrong type, or an `optimizer` of another type.

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
        self.T_0 = self._integer("T_0", T_0, 1)
        self.T_mult = self._integer("T_mult", T_mult, 1)
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
        Takes the count, an int, and returns a factor of 0 or more. A list has one per group.
    every : {"epoch", "step"}, default "epoch"
        The unit that `fit` counts.

    Raises
    ------
    ValueError, TypeError
        If the list and the groups differ in length, or an item is not callable.

    Notes
    -----
    Formula: lr(t) = lr0 lr_lambda(t)

    Source: torch.optim.lr_scheduler.LambdaLR.

    The function must return the same value for the same count: `fit` calls it in advance for all
    counts.
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
        factors = [_map(f, t, "LambdaLR: lr_lambda") for f in self._lambdas]
        return np.asarray(base * np.concatenate(factors, axis=1))


class _WithMomentum(ByCount):
    """Base class of schedules that cycle momentum, SGD's or Adam's beta1, inversely to the rate."""

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
        values = self._per_group(option, value, at_most=1)
        if 1 in values:
            raise ValueError(f"{type(self).__name__}: {option}: expected numbers below 1, got 1")
        return values


class OneCycleLR(_WithMomentum):
    """Raise the learning rate to `max_lr`, then decay it far below its initial value.

    Parameters
    ----------
    optimizer : Optimizer
    max_lr : float, or list of float, one per group
        The maximum, 0 or more.
    total_steps : int, optional
        Length of the cycle, 1 or more. Default: `epochs` times `steps_per_epoch`.
    epochs, steps_per_epoch : int, optional
        1 or more; required without `total_steps`.
    pct_start : float, default 0.3
        Fraction of the cycle in which the rate rises, from 0 to 1.
    anneal_strategy : {"cos", "linear"}, default "cos"
    cycle_momentum : bool, default True
        Whether to cycle SGD's momentum, or Adam's betas[0], in the opposite direction.
    base_momentum : float, or list of float, default 0.85
        Momentum at the maximum rate, from 0 to below 1.
    max_momentum : float, or list of float, default 0.95
        Momentum at the start and at the end.
    div_factor : float, default 25
        The initial learning rate is max_lr / div_factor. Above 0.
    final_div_factor : float, default 1e4
        The final learning rate is the initial one / final_div_factor. Above 0.
    three_phase : bool, default False
        Whether the rate first returns to its initial value, symmetrically to the rise, and then
        decays to its final value.
    every : {"epoch", "step"}, default "step"
        The unit that `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of the wrong type, an `optimizer` of another type, an
        optimizer without momentum if `cycle_momentum` is True, or a count beyond `total_steps`.

    Notes
    -----
    Formula: lr(t) = b + (a - b) (1 + cos(pi p)) / 2, or a + (b - a) p for "linear", where a phase
    goes from a to b and p is the part of it that is over. Phases end at t = pct_start total_steps -
    1 (from max_lr / div_factor to max_lr) and at total_steps - 1; with `three_phase` there is one
    more end at 2 pct_start total_steps - 2. Momentum is found by the same formula.

    Source: Smith and Topin, "Super-convergence: very fast training of neural networks using large
    learning rates" (2018), section 3; torch.optim.lr_scheduler.OneCycleLR.

    At count `total_steps`, after the last update, "linear" keeps its final value; PyTorch's
    continues below 0. `max_lr` replaces the optimizer's learning rates.
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
            total_steps = self._integer("epochs", epochs, 1) * self._integer(
                "steps_per_epoch", steps_per_epoch, 1
            )
        self.total_steps = self._integer("total_steps", total_steps, 1)
        self.max_lr = self._per_group("max_lr", max_lr)
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
        # Counts are sorted, so a phase is a slice of them.
        bounds = [0, *np.searchsorted(t, ends[:-1], side="right"), len(t)]
        for i, (start, stop) in enumerate(itertools.pairwise([0.0, *ends])):
            phase = slice(bounds[i], bounds[i + 1])
            elapsed, length = t[phase, np.newaxis] - start, stop - start
            # A phase of length 0 ends at once; PyTorch divides by 0.
            fraction = elapsed / length if length != 0 else np.ones(elapsed.shape)
            values[phase] = anneal(knots[i], knots[i + 1], fraction)
        return values


class CyclicLR(_WithMomentum):
    """Cycle the learning rate between `base_lr` and `max_lr`.

    Parameters
    ----------
    optimizer : Optimizer
    base_lr, max_lr : float, or list of float, one per group
        The bounds, 0 or more.
    step_size_up : int, default 2000
        Counts from `base_lr` to `max_lr`, 1 or more.
    step_size_down : int, optional
        Counts from `max_lr` back to `base_lr`. Default: `step_size_up`.
    mode : {"triangular", "triangular2", "exp_range"}, default "triangular"
        Scale of a cycle's amplitude: 1, 1 / 2^(cycle - 1), or gamma^t.
    gamma : float, default 1
        For "exp_range", 0 or more.
    scale_fn : callable, optional
        Function of the cycle (1, 2, ...) or the count that returns the scale; replaces `mode`.
    scale_mode : {"cycle", "iterations"}, default "cycle"
        Whether `scale_fn` takes the cycle or the count.
    cycle_momentum : bool, default True
        Whether to cycle SGD's momentum, or Adam's betas[0], in the opposite direction.
    base_momentum : float, or list of float, default 0.8
        Momentum at `max_lr`, from 0 to below 1.
    max_momentum : float, or list of float, default 0.9
        Momentum at `base_lr`.
    every : {"epoch", "step"}, default "step"
        The unit that `fit` counts.

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of the wrong type, an `optimizer` of another type, or an
        optimizer without momentum if `cycle_momentum` is True.

    Notes
    -----
    Formula: lr(t) = base_lr + (max_lr - base_lr) h(t) s, where h goes from 0 to 1 in `step_size_up`
    counts and back in `step_size_down`, and s is the scale. Momentum is
    max_momentum - (max_momentum - base_momentum) h(t) s.

    Source: Smith, "Cyclical learning rates for training neural networks" (2017), section 3;
    torch.optim.lr_scheduler.CyclicLR.

    `base_lr` replaces the optimizer's learning rates.
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
        self.base_lr = self._per_group("base_lr", base_lr)
        self.max_lr = self._per_group("max_lr", max_lr)
        self.step_size_up = self._integer("step_size_up", step_size_up, 1)
        down = step_size_up if step_size_down is None else step_size_down
        self.step_size_down = self._integer("step_size_down", down, 1)
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
            return _map(self._scale_fn, x, "CyclicLR: scale_fn")
        if self.mode == "triangular2":
            return _core.power(2, 1 - cycle)
        return _core.power(self.gamma, t) if self.mode == "exp_range" else np.ones(t.shape)

    def _values(self, option: str, t: Array) -> Array:
        t = t[:, np.newaxis]
        period = float(self.step_size_up + self.step_size_down)
        peak = self.step_size_up / period
        cycle = np.floor(1 + t / period)
        x = 1 + t / period - cycle
        height = np.where(x <= peak, x / peak, (x - 1) / (peak - 1))
        if option == "lr":
            start, end = np.array(self.base_lr), np.array(self.max_lr)
        else:
            start, end = np.array(self.max_momentum), np.array(self.base_momentum)
        return np.asarray(start + (end - start) * height * self._scale(t, cycle))


class SequentialLR(ByCount):
    """Run several schedules in sequence; each counts from 0 at its milestone.

    Parameters
    ----------
    optimizer : Optimizer
    schedulers : list of schedules
        Schedules of the same optimizer, none of them ReduceLROnPlateau. This schedule replaces them
        as the optimizer's.
    milestones : list of int
        Increasing counts of 1 or more at which the next schedule starts; one fewer than schedules.
    every : {"epoch", "step"}, optional
        The unit that `fit` counts. Default: that of the schedules, which must all have the same.

    Raises
    ------
    ValueError, TypeError
        For schedules of another optimizer, of another type or with different units, or a wrong
        number of milestones.

    Notes
    -----
    Formula: lr(t) = lr_i(t - m_i), where m_i is the last milestone at t or before, or 0

    Source: torch.optim.lr_scheduler.SequentialLR.

    While a schedule runs that does not cycle momentum, momentum keeps its last value; before the
    first schedule that cycles it, momentum has the first value of that schedule.

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
        units = {part.every for part in parts}
        if not parts or (every is None and len(units) > 1):
            raise ValueError(
                "SequentialLR: schedulers: expected one or more that count the same, or every=, "
                f"got {len(parts)} that count {sorted(units)}"
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
        writers = [i for i, part in enumerate(self._parts) if option in part._options]
        active = np.searchsorted([starts[i] for i in writers], t, side="right") - 1
        values = np.empty((len(t), len(self._optimizer.param_groups)))
        for k, i in enumerate(writers):
            rows = np.maximum(active, 0) == k
            local = np.clip(t[rows], starts[i], ends[i] - 1) - starts[i]
            values[rows] = self._parts[i]._values(option, local)
        return values

    def state_dict(self) -> dict[str, Any]:  # noqa: D102  (documented in the base)
        return {**super().state_dict(), "schedulers": [part.state_dict() for part in self._parts]}

    def _restored(self, state: Mapping[str, Any]) -> Self:
        restored = super()._restored(state)
        parts = state["schedulers"]
        if not isinstance(parts, list) or len(parts) != len(self._parts):
            raise ValueError(
                f"SequentialLR.load_state_dict: expected schedulers to be a list of "
                f"{len(self._parts)}, got {parts!r}"
            )
        restored._parts = [own._restored(s) for own, s in zip(self._parts, parts, strict=True)]
        return restored


class ReduceLROnPlateau(LRScheduler):
    """Lower the learning rate when a monitored value stops improving.

    After each epoch `fit` passes it a value of the history. In your own loop call ``step(value)``.

    Parameters
    ----------
    optimizer : Optimizer
    mode : {"min", "max"}, default "min"
        Whether lower values are better, or higher ones.
    factor : float, default 0.1
        Factor by which the learning rate is multiplied, from 0 to below 1.
    patience : int, default 10
        Number of consecutive values without improvement that are tolerated; 0 or more.
    threshold : float, default 1e-4
        Minimum improvement over the best value; 0 or more.
    threshold_mode : {"rel", "abs"}, default "rel"
        Whether `threshold` is relative to the best value or absolute.
    cooldown : int, default 0
        Number of values after a reduction that are not counted; 0 or more.
    min_lr : float, or list of float, one per group, default 0
        Lower bound of the learning rate.
    eps : float, default 1e-8
        Reductions of this size or less are skipped.
    monitor : str, optional
        The history key whose values `fit` passes. Default, for mode "min" only: "val_loss" with
        validation data, else "loss".

    Raises
    ------
    ValueError, TypeError
        For a setting out of range or of the wrong type, or an `optimizer` of another type.
        ValueError at the start of `fit` if the history has no key `monitor`, or if `mode` is "max"
        and `monitor` is None.

    Notes
    -----
    Formula: lr <- max(factor lr, min_lr), when more than `patience` values in a row were not better
    than the best, v < best (1 - threshold) or v < best - threshold for "abs" (with mode "max",
    v > best (1 + threshold) or v > best + threshold)

    Source: torch.optim.lr_scheduler.ReduceLROnPlateau.

    NaN never counts as an improvement.
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
        self.patience = self._integer("patience", patience, 0)
        self.threshold = self._real("threshold", threshold)
        self.threshold_mode = self._one_of("threshold_mode", threshold_mode, ("rel", "abs"))
        self.cooldown = self._integer("cooldown", cooldown, 0)
        self.min_lr = self._per_group("min_lr", min_lr)
        self.eps = self._real("eps", eps)
        self.monitor = None if monitor is None else as_name(monitor, "ReduceLROnPlateau: monitor")
        self._lr: Array = np.array([group["lr"] for group in optimizer.param_groups])
        self._best = math.inf if mode == "min" else -math.inf
        self._bad_count = self._cooldown_left = 0
        self._attach()

    def step(self, value: float) -> None:
        """Take the next value, and lower the learning rates if they are due.

        Parameters
        ----------
        value : float

        Raises
        ------
        RuntimeError
            If another schedule has replaced this one.
        TypeError
            If `value` is not a number.
        """
        self._check_attached()
        value = _number(value, "ReduceLROnPlateau: value")
        if self._is_better(value):
            self._best, self._bad_count = value, 0
        else:
            self._bad_count += 1
        if self._cooldown_left > 0:
            self._cooldown_left -= 1
            self._bad_count = 0
        self._lr = np.array([group["lr"] for group in self._optimizer.param_groups])
        if self._bad_count > self.patience:
            self._bad_count, self._cooldown_left = 0, self.cooldown
            lower = np.maximum(self._lr * self.factor, self.min_lr)
            self._lr = np.where(self._lr - lower > self.eps, lower, self._lr)
        self._count += 1
        self._write_values()

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
            "num_bad_epochs": self._bad_count,
            "cooldown_counter": self._cooldown_left,
        }

    def _restored(self, state: Mapping[str, Any]) -> Self:
        restored = super()._restored(state)
        restored._lr = np.array(self._per_group("last_lr", state["last_lr"]))
        restored._best = _number(state["best"], "ReduceLROnPlateau: best")
        restored._bad_count = self._integer("num_bad_epochs", state["num_bad_epochs"], 0)
        restored._cooldown_left = self._integer("cooldown_counter", state["cooldown_counter"], 0)
        return restored
