"""Histories as HTML for Jupyter."""

from collections.abc import Mapping, Sequence

import numpy as np

from deltaprop import _html
from deltaprop._arrays import Array
from deltaprop._figure import BLUE, COLOURS, ORANGE, Line, svg
from deltaprop._table import some_of

_MAX_LAYERS = len(COLOURS)


# A Mapping instead of History, whose module imports this one.
Columns = Mapping[str, Array]


def history_html(title: str, history: Columns) -> str:
    """Return a history as HTML: a chart of the losses, and first and last value of each key."""
    rows = [
        (key, f"{values[0]:.5g}", f"{values[-1]:.5g}")
        for key, values in history.items()
        if values.ndim == 1 and len(values) > 0
    ]
    table = _html.table(("", "first", "last"), rows) if rows else ""
    return _html.block(title, losses(history), table)


def losses(history: Columns) -> str:
    """Return a chart of loss and validation loss; empty before the first epoch."""
    lines, entries = [], []
    for key, colour, dashed in (("loss", BLUE, False), ("val_loss", ORANGE, True)):
        if key in history and len(history[key]) > 0:
            values = history[key]
            lines.append(Line(np.arange(1, len(values) + 1), values, colour, dashed))
            entries.append((colour, dashed, f"{key} {values[-1]:.4g}"))
    return _chart(lines, "loss", entries) if lines else ""


def delta_sizes(epochs: Sequence[int], sizes: Array, names: Sequence[str]) -> str:
    """Return a chart of the deltas' norms, (samples, layers), with a line for each layer."""
    positive = np.where(sizes > 0, sizes, np.nan)  # a logarithmic axis cannot show 0
    shown = some_of(len(names), _MAX_LAYERS)
    colours = [COLOURS[i] for i in range(len(shown))]
    lines = [Line(np.array(epochs), positive[:, i], c) for i, c in zip(shown, colours, strict=True)]
    entries = [
        (c, False, f"{names[i]} {sizes[-1, i]:.2g}") for i, c in zip(shown, colours, strict=True)
    ]
    if len(shown) < len(names):
        entries.append(("transparent", False, f"{len(shown)} of {len(names)} layers"))
    return _chart(lines, "delta of each layer, Euclidean norm of dJ/d(output)", entries)


def _chart(lines: Sequence[Line], title: str, entries: Sequence[tuple[str, bool, str]]) -> str:
    return _html.picture(svg(lines, title), title) + _html.legend(entries)
