"""How the course of a fit looks in Jupyter."""

from collections.abc import Mapping, Sequence

import numpy as np

from deltaprop import _html
from deltaprop._arrays import Array
from deltaprop._figure import BLUE, COLOURS, ORANGE, Line, svg
from deltaprop._table import some_of

_MOST_LAYERS = len(COLOURS)


# A history is a mapping; its class stands above this module.
Columns = Mapping[str, Array]


def history_html(title: str, history: Columns) -> str:
    """Return a history as HTML: its losses as lines, the first and the last value of each key."""
    rows = [
        (key, f"{values[0]:.5g}", f"{values[-1]:.5g}")
        for key, values in history.items()
        if values.ndim == 1 and len(values) > 0
    ]
    told = _html.table(("", "first", "last"), rows) if rows else ""
    return _html.block(title, losses(history), told)


def losses(history: Columns) -> str:
    """Return a figure of loss and validation loss; nothing where there are none yet."""
    lines, words = [], []
    for key, colour, dashed in (("loss", BLUE, False), ("val_loss", ORANGE, True)):
        if key in history and len(history[key]) > 0:
            values = history[key]
            lines.append(Line(np.arange(1, len(values) + 1), values, colour, dashed))
            words.append((colour, dashed, f"{key} {values[-1]:.4g}"))
    return _figure(lines, "loss", words) if lines else ""


def delta_sizes(epochs: Sequence[int], sizes: Array, names: Sequence[str]) -> str:
    """Return a figure of the deltas' sizes, (times, layers), a line for each layer."""
    drawn = np.where(sizes > 0, sizes, np.nan)  # 0 has no place on a logarithmic axis
    shown = some_of(len(names), _MOST_LAYERS)
    colours = [COLOURS[i] for i in range(len(shown))]
    lines = [Line(np.array(epochs), drawn[:, i], c) for i, c in zip(shown, colours, strict=True)]
    words = [
        (c, False, f"{names[i]} {sizes[-1, i]:.2g}") for i, c in zip(shown, colours, strict=True)
    ]
    if len(shown) < len(names):
        words.append(("transparent", False, f"{len(shown)} of {len(names)} layers"))
    return _figure(lines, "delta of each layer, Euclidean norm of dJ/d(output)", words)


def _figure(lines: Sequence[Line], title: str, words: Sequence[tuple[str, bool, str]]) -> str:
    return _html.picture(svg(lines, title), title) + _html.legend(words)
