"""What a fit tells of itself."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from deltaprop._arrays import Array


class _Column:
    """Numbers that are appended and looked at in turn, each in constant time."""

    def __init__(self, values: Any = ()) -> None:
        self._room: Array = np.array(values, dtype=np.float64)
        self._size = len(self._room)

    def append(self, value: float) -> None:
        if self._size == len(self._room):
            self._room = np.resize(self._room, max(16, 2 * self._size))
        self._room[self._size] = value
        self._size += 1

    def array(self) -> Array:
        return self._room[: self._size]


class History(Mapping[str, Array]):
    """The course of a fit: a value an epoch under each key, as 1-D float64 arrays.

    Keys are "loss", "lr" and, with validation data, "val_loss".

    Attributes
    ----------
    epochs : int
        Epochs begun; all but possibly the last were finished.
    updates : int
        Updates of the parameters.
    stop_reason : str
        "epochs" (all done), "plateau" (the stop rule) or "callback"; "" while `fit` runs.
    stop_losses : ndarray
        The stop rule's loss at each of its looks.
    """

    def __init__(self) -> None:
        self._columns = {"loss": _Column()}
        self.epochs = 0
        self.updates = 0
        self.stop_reason = ""
        self.stop_losses: Array = np.empty(0)

    def _append(self, values: dict[str, float]) -> None:
        for key, value in values.items():
            self._columns.setdefault(key, _Column()).append(value)

    def _finish(self, result: dict[str, Any]) -> None:
        self.epochs = result.pop("epochs")
        self.updates = result.pop("updates")
        self.stop_reason = result.pop("stop_reason")
        self.stop_losses = np.asarray(result.pop("stop_losses"), dtype=np.float64)
        self._columns = {key: _Column(values) for key, values in result.items()}

    def __getitem__(self, key: str) -> Array:
        return self._columns[key].array()

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        parts = [f"{self.epochs} epochs", f"{self.updates} updates"]
        for key in ("loss", "val_loss"):
            if key in self and len(self[key]) > 0:
                parts.append(f"{key} {self[key][0]:.4g} -> {self[key][-1]:.4g}")
        parts.append(f"stopped by {self.stop_reason}" if self.stop_reason else "running")
        return f"History({', '.join(parts)})"
