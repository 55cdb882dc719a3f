"""Line plots: training histories, and fitted functions of one variable."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaprop._arrays import Array, as_array
from deltaprop._figure import COLOURS, ORANGE, outline, spans_decades
from deltaprop.plot._shared import axes, ink, limits, outputs, some_rows
from deltaprop.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_POINTS = 2000  # of a line


def history(history: History | Mapping[str, History], *, ax: "Axes | None" = None) -> "Axes":
    """Plot loss, validation loss and learning rate of a training history by epoch.

    The loss has a logarithmic axis if it is positive and spans more than two decades. A learning
    rate that changes has a separate axis on the right, logarithmic if its median is below a tenth
    of its maximum; a constant learning rate is given in the legend.

    Parameters
    ----------
    history : History, or a mapping of labels to them
        Several histories are drawn in different colours, with dashed validation losses.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. Default: new Axes in a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        If `history` is neither.
    ValueError
        For an empty mapping.
    ImportError
        Without matplotlib.
    """
    alone = isinstance(history, History)
    histories = _named(history)
    ax = axes(ax, "history")
    from matplotlib.ticker import MaxNLocator

    changes = any(np.ptp(h["lr"]) > 0 for h in histories.values() if len(h["lr"]) > 0)
    right = ax.twinx() if changes else None
    grey = {"color": ink(ax), "alpha": 0.7}
    for i, (name, course) in enumerate(histories.items()):
        colour = {"color": COLOURS[i % len(COLOURS)]}
        _line(ax, course["loss"], "loss" if alone else name, "-", colour)
        if "val_loss" in course:
            other = {"color": ORANGE} if alone else colour
            _line(ax, course["val_loss"], "validation" if alone else "", "--", other)
        if right is not None:
            text = "learning rate" if alone else ""
            _line(right, course["lr"], text, ":", grey if alone else colour)
    handles = [line for part in (ax, right) if part for line in part.get_legend_handles_labels()[0]]
    if not alone:  # line styles, which the colours do not explain
        if any("val_loss" in course for course in histories.values()):
            handles += ax.plot([], [], "--", label="validation", **grey)
        if right is not None:
            handles += right.plot([], [], ":", label="learning rate", **grey)
    if alone and right is None and len(histories[""]["lr"]) > 0:
        handles += ax.plot([], [], " ", label=f"learning rate {histories['']['lr'][0]:.3g}")
    ax.set(xlabel="epoch", ylabel="loss")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if spans_decades(_drawn(ax)):
        ax.set_yscale("log")
    if right is not None:
        _scale_rates(right)
    _legend_below(ax, handles)
    return ax


def _scale_rates(ax: "Axes") -> None:
    ax.set_ylabel("learning rate")
    rates = _drawn(ax)
    # A cosine has small rates at its end only.
    if spans_decades(rates) and 10 * np.median(rates) < rates.max():
        ax.set_yscale("log")
    else:
        ax.set_ylim(0, ax.get_ylim()[1])


def _legend_below(ax: "Axes", handles: list[Any]) -> None:
    """Put the legend below the label of the axis, where it hides neither a line nor a title."""
    from matplotlib.transforms import ScaledTranslation

    below = ScaledTranslation(
        0, -3.4 * float(ax.xaxis.label.get_fontsize()) / 72, ax.figure.dpi_scale_trans
    )
    ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=ax.transAxes + below,
        borderaxespad=0,
        ncols=3,
        frameon=False,
    )


def _named(history: Any) -> Mapping[str, History]:
    if isinstance(history, History):
        return {"": history}
    if not isinstance(history, Mapping):
        raise TypeError(
            f"plot.history: expected a History or a mapping of labels to them, "
            f"got {type(history).__name__}"
        )
    if not history:
        raise ValueError("plot.history: expected one History or more, got an empty mapping")
    for name, course in history.items():
        if not isinstance(course, History):
            raise TypeError(
                f"plot.history: expected a History for {name!r}, got {type(course).__name__}"
            )
    return history


def _line(ax: "Axes", values: Array, label: str, style: str, options: dict[str, Any]) -> None:
    shown = outline(values, _MOST_POINTS)
    marker = "o" if len(values) == 1 else None
    text = label or "_"  # matplotlib omits such labels from the legend
    ax.plot(shown + 1, values[shown], linestyle=style, marker=marker, label=text, **options)


def _drawn(ax: "Axes") -> Array:
    """Return all values of the lines of an Axes."""
    lines = [np.asarray(line.get_ydata(), dtype=float) for line in ax.get_lines()]
    return np.concatenate([np.empty(0), *lines])


def fit_1d(model: Any, x: Any, y: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Plot samples of a function of one variable, and the network's outputs as lines.

    Parameters
    ----------
    model : network or other callable
        Takes an array (N, 1) and returns (N, k) or (N,); k lines are drawn.
    x : array_like, shape (N, 1) or (N,)
    y : array_like, shape (N, m) or (N,)
        The samples. Of more than 2,000 rows a random subset is drawn.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. Default: new Axes in a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        For other shapes, or if no x is finite.
    TypeError
        If `model` is not callable, or `x` or `y` are not arrays of real numbers.
    ImportError
        Without matplotlib.
    """
    where = "fit_1d"
    x, y = as_array(x, f"plot.{where}: x"), as_array(y, f"plot.{where}: y")
    if x.ndim not in (1, 2) or x.shape[1:] not in ((), (1,)):
        raise ValueError(f"plot.{where}: expected x of shape (N, 1) or (N,), got {x.shape}")
    if y.ndim not in (1, 2) or len(y) != len(x):
        raise ValueError(f"plot.{where}: expected y of {len(x)} rows, got {y.shape}")
    x = x.reshape(-1).astype(np.float64)
    places = np.linspace(*limits(x, 0.02, where), 500)
    lines = outputs(model, places[:, None], where).reshape(len(places), -1)
    samples = y.reshape(len(y), -1)
    rows, note = some_rows(len(x))

    ax = axes(ax, where)
    several = samples.shape[1] > 1
    for i, column in enumerate(samples[rows].T):
        marker: dict[str, Any] = {"marker": ".", "linestyle": "none", "alpha": 0.5}
        colour = COLOURS[i % len(COLOURS)] if several else ink(ax)
        text = f"samples {i}{note}" if several else f"samples{note}"
        ax.plot(x[rows], column, color=colour, label=text, zorder=1, **marker)
    for i, column in enumerate(lines.T):
        text = "network" if lines.shape[1] == 1 else f"network, output {i}"
        ax.plot(places, column, color=COLOURS[i % len(COLOURS)], label=text, linewidth=2)
    ax.set(xlabel="x", ylabel="y")
    ax.legend()
    return ax
