"""An optimizer's schedule during `fit`, as a table computed in advance or step by step."""

from collections.abc import Mapping, Sequence
from typing import Any

from deltaprop._arrays import Array
from deltaprop.optim.optimizer import Optimizer
from deltaprop.optim.schedule import ByCount


class ScheduleTable:
    """The optimizer's schedule during `fit`, as a table of values if they are known in advance."""

    def __init__(
        self, optimizer: Optimizer, epochs: int, updates: int | None, keys: Sequence[str]
    ) -> None:
        """Compute the table; `updates`: number per epoch, None if unknown."""
        self._optimizer = optimizer
        self._schedule = optimizer._schedule
        self._by_epoch = self._schedule is None or self._schedule.every == "epoch"
        self._table: dict[str, Any] | None = None
        self._manual = False
        self._counted = 0
        if self._schedule is None:
            return
        self._watched = self._schedule._watched(keys)
        if not self._by_epoch and updates is None:
            self._manual = True
            return
        count = epochs * (1 if self._by_epoch else updates or 0)
        # One more value, for the end of the fit; a schedule that is too short raises here.
        self._table = self._schedule.table(count + 1)
        self._manual = self._table is None

    @property
    def every_update(self) -> bool:
        """Whether a row of the table is for an update, not for an epoch."""
        return not self._by_epoch

    def columns(self) -> list[tuple[int, str, Array]]:
        """Return the table's columns, each with its parameter group and option."""
        return [
            (group, option, table[:, group])
            for option, table in (self._table or {}).items()
            for group in range(table.shape[1])
        ]

    @property
    def wants_epochs(self) -> bool:
        """Whether `count` must be called after each epoch."""
        return self._manual and self._by_epoch

    @property
    def wants_updates(self) -> bool:
        """Whether `count` must be called after each update."""
        return self._manual and not self._by_epoch

    def count(self, epochs: int, updates: int, values: Mapping[str, Any] | None = None) -> None:
        """Advance the schedule to these counts; `values`: the epoch's, for `ReduceLROnPlateau`."""
        now = epochs if self._by_epoch else updates
        if self._schedule is None or now == self._counted:
            return
        if isinstance(self._schedule, ByCount):
            self._schedule.advance(now - self._counted)
        elif values is not None:
            self._schedule.step(values[self._watched])
        self._counted = now

    def check_late(self) -> None:
        """Raise RuntimeError for a schedule that was attached during training."""
        if self._schedule is None and self._optimizer._schedule is not None:
            raise RuntimeError(
                "fit: expected a schedule to be attached before the first epoch, "
                f"got {type(self._optimizer._schedule).__name__} in the middle"
            )
