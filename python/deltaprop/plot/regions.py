"""Decision regions of classifiers with two features."""

from typing import TYPE_CHECKING, Any

import numpy as np

from deltaprop._arrays import Array, as_array
from deltaprop._figure import COLOURS
from deltaprop.plot._shared import axes, classes, limits, outputs, some_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GRID = 300  # points along each feature
_MARKERS = "os^DvPX"


def decision_boundary(model: Any, X: Any, y: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Plot the classes that a model predicts over two features, and the samples.

    Parameters
    ----------
    model : network or other callable
        Takes an array (N, 2). Integers (N,) that it returns are classes; for outputs (N, k) the
        class is the column with the largest value. For a single column it is the lower or the
        higher of the two labels in y, depending on whether the output is above their mean or, for
        a fitted network whose outputs are logits, above 0.
    X : array_like, shape (N, 2)
    y : array_like of int, shape (N,) or (N, 1)
        Classes. Of more than 2,000 samples a random subset is drawn.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. Default: new Axes in a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        For other shapes, if no sample is finite, or for one column of outputs with more than two
        classes.
    TypeError
        If classes are not integers, or `model` is not callable.
    ImportError
        Without matplotlib.
    """
    where = "decision_boundary"
    X, y = as_array(X, f"plot.{where}: X"), as_array(y, f"plot.{where}: y")
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(f"plot.{where}: expected X of shape (N, 2), got {X.shape}")
    if y.shape not in ((len(X),), (len(X), 1)):
        raise ValueError(f"plot.{where}: expected y of shape ({len(X)},), got {y.shape}")
    labels = classes(y, where, "y")
    spans = [limits(X[:, i], 0.08, where) for i in (0, 1)]
    places = np.meshgrid(*(np.linspace(*span, _GRID) for span in spans))
    seen = _classes(model, np.column_stack([p.ravel() for p in places]), labels, where)
    kinds = np.unique(np.append(labels, seen))
    seen = np.searchsorted(kinds, seen).reshape(_GRID, _GRID)

    ax = axes(ax, where)
    colours = _colours(len(kinds))
    ax.imshow(
        np.append(colours, np.full((len(kinds), 1), 0.3), axis=1)[seen],
        extent=(*spans[0], *spans[1]),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        zorder=0,
    )
    rows, note = some_rows(len(X))
    for k, kind in enumerate(kinds):
        own = rows[labels[rows] == kind]
        ax.scatter(
            X[own, 0],
            X[own, 1],
            s=18,
            color=[colours[k]],
            marker=_MARKERS[k % len(_MARKERS)],
            linewidths=0.5,
            edgecolors="white",
            label=str(kind),
        )
    ax.set(xlabel="feature 0", ylabel="feature 1", xlim=spans[0], ylim=spans[1])
    ax.legend(title=f"class{note}", ncols=-(-len(kinds) // 10))
    return ax


def _classes(model: Any, x: Array, labels: Array, where: str) -> Array:
    """Return the class that the model predicts at each point."""
    found = outputs(model, x, where)
    if found.ndim == 1 and found.dtype.kind in "biu":
        return np.asarray(found, dtype=int)
    if found.ndim == 2 and found.shape[1] > 1:
        return np.asarray(found.argmax(axis=1))
    kinds = np.unique(labels)
    if len(kinds) > 2:
        raise ValueError(
            f"plot.{where}: expected a column of outputs for each of {len(kinds)} classes, got one"
        )
    low, high = kinds[0], kinds[-1]
    if low == high:  # only one label occurs: the other is 0 or 1
        low, high = min(low, 0), max(high, 1)
    middle = 0.0 if "sigmoid" in getattr(model, "_output_transforms", ()) else (low + high) / 2
    return np.asarray(np.where(found.reshape(-1) > middle, high, low))


def _colours(count: int) -> Array:
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    if count <= len(COLOURS):
        return np.array([to_rgb(colour) for colour in COLOURS[:count]])
    return np.asarray(colormaps["viridis"](np.linspace(0, 1, count)))[:, :3]
