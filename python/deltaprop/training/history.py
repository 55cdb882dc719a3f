"""What a fit tells of itself."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaprop import _lazy
from deltaprop._arrays import Array, as_count
from deltaprop._table import aligned, some_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class _Column:
    """Numbers, or rows of them, that are added and looked at in turn, each in constant time."""

    def __init__(self, values: Any = ()) -> None:
        self._room: Array = np.array(values, dtype=np.float64)
        self._size = len(self._room)

    def extend(self, values: Any) -> None:
        values = np.asarray(values, dtype=np.float64)
        if len(values) == 0:  # of no shape yet
            return
        size = self._size + len(values)
        if size > len(self._room):
            room = np.empty((max(16, 2 * self._size, size), *values.shape[1:]))
            if self._size > 0:
                room[: self._size] = self._room[: self._size]
            self._room = room
        self._room[self._size : size] = values
        self._size = size

    def append(self, value: Any) -> None:
        if self._size == len(self._room):
            self.extend([value])
        else:
            self._room[self._size] = value
            self._size += 1

    def array(self) -> Array:
        return self._room[: self._size]


class History(Mapping[str, Array]):
    """The course of a fit: a value an epoch under each key, as 1-D float64 arrays.

    Keys are "loss" and "lr"; "val_loss" with validation data; a metric's name, and that after
    ``"val_"``; "loss_0", "loss_1", ... where there are several heads. Asked for by `record`:
    "activation_norm", "delta_norm" and "gradient_norm", of shape (epochs, layers), with a column
    for each layer in the order of `Sequential.summary`, containers left out; a frozen layer's
    gradient has norm 0.

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

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the columns as lists, ready for JSON or a DataFrame.

        Returns
        -------
        dict of str to list
        """
        return {key: self[key].tolist() for key in self}

    def table(self, rows: int = 20) -> str:
        """Return a table of the epochs, a column for each key with one number an epoch.

        Epochs are counted from 1, as `progress` counts them: line n shows ``history[key][n - 1]``.

        Parameters
        ----------
        rows : int, default 20
            Epochs shown at the most: the first, the last, and some evenly between.

        Returns
        -------
        str
        """
        keys = [key for key in self if self[key].ndim == 1]
        shown = some_of(len(self["loss"]), as_count(rows, "History.table: rows", 1))
        lines = [["epoch", *keys]]
        lines += [[str(i + 1), *(f"{self[key][i]:.5g}" for key in keys)] for i in shown]
        return aligned(lines)

    def plot(self, *, ax: "Axes | None" = None) -> "Axes":
        """Draw loss, validation loss and learning rate by epoch: `deltaprop.plot.history`.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure without it.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        draw: Callable[..., Axes] = _lazy.attribute("deltaprop.plot", "history")
        return draw(self, ax=ax)

    def _extend(self, columns: Mapping[str, Any]) -> None:
        """Add what each key has of some more epochs; a new key begins with them."""
        for key, values in columns.items():
            self._column(key).extend(values)

    def _append(self, epoch: Mapping[str, Any]) -> None:
        """Add what each key has of one more epoch, as fast as can be: some take microseconds."""
        for key, value in epoch.items():
            self._column(key).append(value)

    def _column(self, key: str) -> _Column:
        if key not in self._columns:
            self._columns[key] = _Column()
        return self._columns[key]

    def __getitem__(self, key: str) -> Array:
        return self._columns[key].array()

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def _repr_html_(self) -> str:
        from deltaprop.training.history_html import history_html

        title = f"History: {self.epochs:,} epochs, {self.updates:,} updates{self._ending}"
        return history_html(title, self)

    @property
    def _ending(self) -> str:
        """How the fit ended, if it has, for the end of a title."""
        return f", stopped by {self.stop_reason}" if self.stop_reason else ""

    def __repr__(self) -> str:
        parts = [f"{self.epochs} epochs", f"{self.updates} updates"]
        for key in ("loss", "val_loss"):
            if key in self and len(self[key]) > 0:
                parts.append(f"{key} {self[key][0]:.4g} -> {self[key][-1]:.4g}")
        parts.append(f"stopped by {self.stop_reason}" if self.stop_reason else "running")
        return f"History({', '.join(parts)})"
