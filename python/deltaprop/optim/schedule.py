"""Base classes of the schedules: they count epochs or steps and write an optimizer's options."""

import copy
import itertools
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any, Self

import numpy as np

from deltaprop._arrays import Array, as_count, as_real
from deltaprop._checked_init import CheckedInit
from deltaprop.optim.optimizer import Optimizer


class LRScheduler(CheckedInit):
    """Base class of schedules: an optimizer's options as functions of a count of epochs or steps.

    A schedule attaches itself to its optimizer, replacing an earlier one, and writes its first
    values immediately. Its base learning rates are those of the optimizer. A schedule that replaces
    another uses the base rates of that one, except for groups whose ``lr`` was written since.

    Values are functions of the base rates and the count: an ``lr`` that you assign is overwritten
    at the next count. PyTorch's chainable forms and `ReduceLROnPlateau` continue from it instead.

    `fit` advances the schedule; attach it before `fit`, or in a callback's ``on_train_begin``. In
    your own loop, call ``step()`` after ``optimizer.step()``, once per epoch or once per update;
    `every` applies to `fit` only.

    Attributes
    ----------
    every : {"epoch", "step"}
        The unit that `fit` counts: epochs or updates.
    count : int
        Epochs or steps so far.
    last_lr : list of float
        The learning rates written last, one per group.
    """

    # The options that it writes, by the names of the core: "lr", and "momentum" or "beta1".
    _options: tuple[str, ...] = ("lr",)

    def __init__(self, optimizer: Optimizer, every: str) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__}: expected an optimizer, got {type(optimizer).__name__}"
            )
        self.every = self._one_of("every", every, ("epoch", "step"))
        self._optimizer = optimizer
        self._count = 0
        lrs = np.array([group["lr"] for group in optimizer.param_groups])
        before = optimizer._schedule
        self._base: Array = lrs
        if before is not None:
            self._base = np.where(lrs == before._last, before._base, lrs)

    def _attach(self) -> None:
        """Write the first values and attach to the optimizer; the last step of a constructor."""
        self._write_values()
        self._optimizer._schedule = self

    @property
    def count(self) -> int:
        """Epochs or steps so far."""
        return self._count

    @property
    def last_lr(self) -> list[float]:
        """The learning rates written last, one per group."""
        lrs: list[float] = self._last.tolist()
        return lrs

    def get_last_lr(self) -> list[float]:
        """Return `last_lr`, for compatibility with PyTorch.

        Returns
        -------
        list of float
        """
        return self.last_lr

    def table(self, n: int) -> dict[str, Array] | None:
        """Return the values for `n` counts, the current one first; None if they are not known.

        Parameters
        ----------
        n : int
            Epochs or steps, 0 or more.

        Returns
        -------
        dict of str to ndarray, shape (n, groups), or None
            float64 arrays under the keys "lr" and, if momentum is cycled, "momentum" or "beta1".
            None for a schedule that depends on results, such as `ReduceLROnPlateau`.

        Raises
        ------
        ValueError
            If a value is negative or not finite, or the schedule ends within the `n` counts.
        """
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return settings and progress as numbers, strings and lists.

        Functions passed as arguments are not included.

        Returns
        -------
        dict
        """
        return {
            "schedule": type(self).__name__,
            **self._settings(),
            "base_lrs": self._base.tolist(),
            "count": self._count,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state. On an error nothing changes.

        Parameters
        ----------
        state : mapping
            As returned by `state_dict` of a schedule with the same settings.

        Raises
        ------
        ValueError
            If entries are missing, unknown or out of range, or a setting differs.
        TypeError
            If `state` is not a mapping, or an entry has the wrong type.
        RuntimeError
            If another schedule has replaced this one.
        """
        self._check_attached()
        restored = self._restored(state)
        restored._write_values()
        vars(self).update(vars(restored))

    def _restored(self, state: Mapping[str, Any]) -> Self:
        name = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state, Mapping):
            raise TypeError(f"{name}: expected a mapping, got {type(state).__name__}")
        own = self.state_dict()
        if state.get("schedule") != own["schedule"]:
            raise ValueError(f"{name}: expected a state of the same, got {state.get('schedule')!r}")
        missing = [key for key in own if key not in state]
        unknown = [key for key in state if key not in own]
        if missing or unknown:
            raise ValueError(
                f"{name}: expected {list(own)}, got missing {missing} and unknown {unknown}"
            )
        for key, value in self._settings().items():
            if state[key] != value:
                raise ValueError(f"{name}: expected {key} to be {value!r}, got {state[key]!r}")
        restored = copy.copy(self)
        restored._base = np.array(self._per_group("base_lrs", state["base_lrs"]))
        restored._count = self._integer("count", state["count"], 0)
        return restored

    def _integer(self, option: str, value: Any, at_least: int) -> int:
        return as_count(value, f"{type(self).__name__}: {option}", at_least)

    def _real(self, option: str, value: Any, at_least: float = 0, at_most: float = inf) -> float:
        return as_real(value, f"{type(self).__name__}: {option}", at_least, at_most)

    def _per_group(self, option: str, value: Any, at_most: float = inf) -> list[float]:
        """Return a non-negative number per group, from one number for all groups or a list."""
        groups = len(self._optimizer.param_groups)
        values = list(value) if isinstance(value, list | tuple) else [value] * groups
        if len(values) != groups:
            raise ValueError(
                f"{type(self).__name__}: {option}: expected {groups} numbers, one a group, "
                f"got {len(values)}"
            )
        return [self._real(option, v, at_most=at_most) for v in values]

    def _increasing(self, option: str, value: Any) -> list[int]:
        """Return strictly increasing integers of 1 or more."""
        name = f"{type(self).__name__}: {option}"
        if not isinstance(value, Iterable):
            raise TypeError(f"{name}: expected a list of integers, got {type(value).__name__}")
        values = [as_count(v, name, 1) for v in value]
        if any(b <= a for a, b in itertools.pairwise(values)):
            raise ValueError(f"{name}: expected increasing counts, got {values}")
        return values

    def _one_of(self, option: str, value: Any, names: tuple[str, ...]) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError(
                f"{type(self).__name__}: {option}: expected one of {list(names)}, got {value!r}"
            )
        return value

    def _settings(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if not k.startswith("_")}

    def _watched(self, keys: Sequence[str]) -> str:
        """Return the history key whose values `fit` passes to `step`, if it needs values."""
        return "val_loss" if "val_loss" in keys else "loss"

    def _check_attached(self) -> None:
        now = self._optimizer._schedule
        if now is not self:
            raise RuntimeError(
                f"{type(self).__name__}: expected to be the optimizer's schedule, "
                f"but {type(now).__name__} has taken over"
            )

    def _current(self) -> dict[str, Array]:
        """Return the options' values at the current count, arrays of shape (groups,)."""
        raise NotImplementedError

    def _write_values(self) -> None:
        """Write the values at the current count into the groups."""
        values = self._current()
        for i, group in enumerate(self._optimizer.param_groups):
            for option, column in values.items():
                if option == "beta1":
                    group["betas"] = (float(column[i]), *group["betas"][1:])
                else:
                    group[option] = float(column[i])
        self._last = values["lr"]

    def __repr__(self) -> str:
        settings = "".join(f"{k}={v!r}, " for k, v in self._settings().items())
        return f"{type(self).__name__}({settings}count={self._count})"


class ByCount(LRScheduler):
    """Base class of schedules whose values are a function of the count."""

    def step(self) -> None:
        """Advance the count by one and write the new values into the optimizer's groups.

        Raises
        ------
        RuntimeError
            If another schedule has replaced this one.
        ValueError
            If a value is negative or not finite, or the schedule has ended.
        """
        self.advance(1)

    def advance(self, n: int) -> None:
        """Advance the count by `n`; like `n` calls of ``step()``, but writes the last values only.

        Parameters
        ----------
        n : int
            Epochs or steps, 0 or more.

        Raises
        ------
        RuntimeError, ValueError
            As for ``step()``.
        """
        self._check_attached()
        advanced = copy.copy(self)
        advanced._count = self._integer("count", self._count + self._integer("n", n, 0), 0)
        advanced._write_values()
        vars(self).update(vars(advanced))

    def table(self, n: int) -> dict[str, Array]:  # noqa: D102  (documented in the base)
        t = np.arange(self._count, self._count + self._integer("n", n, 0))
        return {option: self._checked(option, t) for option in self._options}

    def _at(self, base: Array, t: Array) -> Array:
        """Return the learning rates (n, groups) at counts (n, 1), from base rates (groups,)."""
        raise NotImplementedError

    def _values(self, option: str, t: Array) -> Array:
        """Return an option's values (n, groups) at counts (n,)."""
        return self._at(self._base, t[:, np.newaxis])

    def _checked(self, option: str, t: Array) -> Array:
        with np.errstate(all="ignore"):
            values = self._values(option, t)
        wrong = ~(np.isfinite(values) & (values >= 0))
        if wrong.any():
            row, group = np.argwhere(wrong)[0]
            raise ValueError(
                f"{type(self).__name__}: expected {option} to be finite and 0 or more, "
                f"got {values[row, group]:g} at count {t[row]}"
            )
        return values

    def _current(self) -> dict[str, Array]:
        return {o: self._checked(o, np.array([self._count]))[0] for o in self._options}
