"""What all schedules share: they attach to an optimizer, count, and write its options."""

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
    """Base of the schedules: values of an optimizer's options by a count of epochs or steps.

    It attaches itself to its optimizer, where the newest takes over, and writes its first values at
    once. The base learning rates are the optimizer's; a schedule that takes over from another
    has the bases of that one, except for groups whose ``lr`` was written since.

    Its values follow from the bases and the count: an ``lr`` assigned in between holds until the
    next count only, where PyTorch's chainable forms and our `ReduceLROnPlateau` go on from it.

    `fit` advances it; attach it before, or in a callback's ``on_train_begin``. By hand, call
    ``step()`` after ``optimizer.step()``, once an epoch or once an update as you like: `every` is
    only for `fit`.

    Attributes
    ----------
    every : {"epoch", "step"}
        What `fit` counts: epochs, or updates.
    count : int
        Epochs or steps so far.
    last_lr : list of float
        The learning rates it wrote last, one a group.
    """

    # Options it writes, by the names of the core: "lr", and "momentum" or "beta1".
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
        """Write the first values and take over; what a constructor ends with."""
        self._show()
        self._optimizer._schedule = self

    @property
    def count(self) -> int:
        """Epochs or steps so far."""
        return self._count

    @property
    def last_lr(self) -> list[float]:
        """The learning rates it wrote last, one a group."""
        lrs: list[float] = self._last.tolist()
        return lrs

    def get_last_lr(self) -> list[float]:
        """Return `last_lr`, as PyTorch's schedules do.

        Returns
        -------
        list of float
        """
        return self.last_lr

    def table(self, n: int) -> dict[str, Array] | None:
        """Return the values for the next `n` counts, the current one first; None if unknown ahead.

        Parameters
        ----------
        n : int
            Epochs or steps, 0 or more.

        Returns
        -------
        dict of str to ndarray, shape (n, groups), or None
            float64, by the options "lr" and, where it is cycled, "momentum" or "beta1".

        Raises
        ------
        ValueError
            If a value is not finite or below 0, or the schedule ends before.
        """
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return its settings and how far it has come, in numbers, strings and lists.

        Functions given to it are not in it.

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
        """Go on where another was when it gave `state`; on an error nothing changes.

        Parameters
        ----------
        state : mapping
            As `state_dict` gives it, of a schedule with the same settings.

        Raises
        ------
        ValueError
            If entries are missing, unknown or out of range, or a setting differs.
        TypeError
            For what is not a mapping, or a wrong kind of entry.
        RuntimeError
            If another schedule has taken over.
        """
        self._check_attached()
        made = self._restored(state)
        made._show()
        vars(self).update(vars(made))

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
        made = copy.copy(self)
        made._base = np.array(self._each("base_lrs", state["base_lrs"]))
        made._count = self._core_network("count", state["count"], 0)
        return made

    def _core_network(self, option: str, value: Any, at_least: int) -> int:
        return as_count(value, f"{type(self).__name__}: {option}", at_least)

    def _real(self, option: str, value: Any, at_least: float = 0, at_most: float = inf) -> float:
        return as_real(value, f"{type(self).__name__}: {option}", at_least, at_most)

    def _each(self, option: str, value: Any, at_most: float = inf) -> list[float]:
        """Return a number of 0 or more for each group, from one for all or from a list."""
        groups = len(self._optimizer.param_groups)
        values = list(value) if isinstance(value, list | tuple) else [value] * groups
        if len(values) != groups:
            raise ValueError(
                f"{type(self).__name__}: {option}: expected {groups} numbers, one a group, "
                f"got {len(values)}"
            )
        return [self._real(option, v, at_most=at_most) for v in values]

    def _increasing(self, option: str, value: Any) -> list[int]:
        """Return whole numbers of 1 or more, each above the one before."""
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
        """Return of which key `fit` shows it the values, where it does not go by the count."""
        return "val_loss" if "val_loss" in keys else "loss"

    def _check_attached(self) -> None:
        now = self._optimizer._schedule
        if now is not self:
            raise RuntimeError(
                f"{type(self).__name__}: expected to be the optimizer's schedule, "
                f"but {type(now).__name__} has taken over"
            )

    def _current(self) -> dict[str, Array]:
        """Return the values at this count, (groups,) each."""
        raise NotImplementedError

    def _show(self) -> None:
        """Write the values at this count into the groups."""
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
    """Base of the schedules whose values follow from the count alone: a formula each."""

    def step(self) -> None:
        """Count one more epoch or step and write its values into the optimizer's groups.

        Raises
        ------
        RuntimeError
            If another schedule has taken over.
        ValueError
            If a value is not finite or below 0, or the schedule has ended.
        """
        self.advance(1)

    def advance(self, n: int) -> None:
        """Count `n` more, as `n` calls of ``step()``, but write the last values only.

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
        made = copy.copy(self)
        made._count = self._core_network("count", self._count + self._core_network("n", n, 0), 0)
        made._show()
        vars(self).update(vars(made))

    def table(self, n: int) -> dict[str, Array]:  # noqa: D102  (documented in the base)
        t = np.arange(self._count, self._count + self._core_network("n", n, 0))
        return {option: self._checked(option, t) for option in self._options}

    def _at(self, base: Array, t: Array) -> Array:
        """Return the learning rates from base ones (groups,) at counts (n, 1)."""
        raise NotImplementedError

    def _values(self, option: str, t: Array) -> Array:
        """Return an option's values at counts (n,), shape (n, groups)."""
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
