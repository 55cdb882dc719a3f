"""Plots of gradient checks and confusion matrices."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaprop._arrays import Array, as_array
from deltaprop._figure import BLUE, RED
from deltaprop.gradcheck import GradientReport
from deltaprop.plot._shared import axes, classes, ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_BARS = 40
_MOST_NUMBERS = 20  # maximum number of classes for which counts are printed in the cells


def gradient_check(report: GradientReport, *, ax: "Axes | None" = None) -> "Axes":
    """Plot the largest relative error of each parameter's gradient, and the tolerance.

    Of more than 40 parameters the 40 with the largest errors are drawn. Errors are also printed, on
    the right.

    Parameters
    ----------
    report : GradientReport
        The result of `deltaprop.check_gradients`.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. Default: new Axes in a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        If `report` is not a GradientReport.
    ImportError
        Without matplotlib.
    """
    if not isinstance(report, GradientReport):
        raise TypeError(
            f"plot.gradient_check: expected a GradientReport, got {type(report).__name__}"
        )
    errors = np.array([row.max_error for row in report.rows])
    worst = np.argsort(-np.nan_to_num(errors, nan=np.inf), kind="stable")[:_MOST_BARS]
    worst.sort()
    rows, errors = [report.rows[i] for i in worst], errors[worst]
    real = errors[(errors > 0) & np.isfinite(errors)]
    ends = np.array([*real, report.tolerance])
    low, high = ends.min() / 10, ends.max() * 10

    ax = axes(ax, "gradient_check")
    places = np.arange(len(rows))
    wrong = ~(errors <= report.tolerance)
    lengths = np.where(errors > 0, np.minimum(errors, high), low) - low
    ax.barh(places, lengths, left=low, color=np.where(wrong, RED, BLUE).tolist(), height=0.6)
    for place, row in enumerate(rows):
        note = f" ({row.kinks} on kinks)" if row.kinks else ""
        text = f"{row.max_error:.2g}{note}" if row.checked > row.kinks else f"none compared{note}"
        options: dict[str, Any] = {"color": RED, "weight": "bold"} if wrong[place] else {}
        ax.text(1.02, place, text, transform=ax.get_yaxis_transform(), va="center", **options)
    ax.axvline(report.tolerance, color=ink(ax), linestyle="--")
    ax.set_xscale("log")
    ax.set(xlim=(low, high), ylim=(len(rows) - 0.4, -0.6))
    ax.set_xlabel(f"largest relative error; dashed: tolerance {report.tolerance:.0e}")
    ax.set_yticks(places, [row.name for row in rows])
    left_out = len(report.rows) - len(rows)
    more = f", the {len(rows)} worst of {len(report.rows)} parameters" if left_out else ""
    ax.set_title(("gradients ok" if report.ok else "gradients WRONG") + more)
    return ax


def confusion(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Sequence[Any] | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Plot the confusion matrix: the number of rows by true and predicted class.

    Parameters
    ----------
    y_true, y_pred : array_like of int, shape (N,) or (N, 1)
        True and predicted classes, such as ``net(X).argmax(axis=1)``.
    labels : sequence, optional
        Names of classes 0, 1, ... Default: the classes that occur, by number.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. Default: new Axes in a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the numbers of rows differ or are 0, for other shapes, or for a class without a label.
    TypeError
        If classes are not integers.
    ImportError
        Without matplotlib.
    """
    true, seen = _classes(y_true, "y_true"), _classes(y_pred, "y_pred")
    if len(true) != len(seen) or len(true) == 0:
        raise ValueError(
            f"plot.confusion: expected as many rows of each, and one or more, "
            f"got {len(true)} and {len(seen)}"
        )
    kinds = np.unique([true, seen])
    if labels is not None:
        if kinds[0] < 0 or kinds[-1] >= len(labels):
            raise ValueError(
                f"plot.confusion: expected classes from 0 to {len(labels) - 1}, as there are "
                f"labels, got {kinds[0]} to {kinds[-1]}"
            )
        kinds = np.arange(len(labels))
    names = [str(kind) for kind in (kinds if labels is None else labels)]
    counts = np.zeros((len(kinds), len(kinds)), dtype=int)
    np.add.at(counts, (np.searchsorted(kinds, true), np.searchsorted(kinds, seen)), 1)

    ax = axes(ax, "confusion")
    image = ax.imshow(counts, cmap="cividis", vmin=0)
    ax.figure.colorbar(image, ax=ax, label="rows")
    if len(kinds) <= _MOST_NUMBERS:
        for (i, j), count in np.ndenumerate(counts):
            colour = "black" if count > counts.max() / 2 else "white"
            ax.text(j, i, f"{count:,}", ha="center", va="center", color=colour, size=9)
    places = np.arange(len(kinds))
    ax.set_xticks(places, names, rotation=45 if max(map(len, names)) > 3 else 0)
    ax.set_yticks(places, names)
    right = float(np.trace(counts) / counts.sum())
    ax.set(xlabel="predicted", ylabel="true", title=f"accuracy {right:.1%} of {counts.sum():,}")
    return ax


def _classes(y: Any, name: str) -> Array:
    array = as_array(y, f"plot.confusion: {name}")
    if array.shape[1:] not in ((), (1,)) or array.ndim == 0:
        raise ValueError(
            f"plot.confusion: expected {name} of shape (N,), got {array.shape}; "
            f"argmax(axis=1) makes classes of scores"
        )
    return classes(array, "confusion", name)
