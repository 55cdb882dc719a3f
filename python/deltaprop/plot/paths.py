"""Paths of gradient descent on functions of one and two variables."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaprop._arrays import Array, as_array
from deltaprop._core import Node
from deltaprop._figure import BLUE, RED
from deltaprop._table import some_of
from deltaprop.optim.descent import Descent
from deltaprop.plot._shared import axes, limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARGIN = 0.25
_MAX_POINTS = 2000
_MAX_MARKERS = 200  # longer paths are drawn as a line without markers


def descent_1d(f: Callable[..., Any], path: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draw a function of one variable and the path of a descent on it.

    Parameters
    ----------
    f : callable
        Function of one array, element by element, as for `optim.descend`.
    path : Descent or array_like, shape (steps + 1,) or (steps + 1, 1)
        The points, from the start on; points that are not finite are left out.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. Default: new Axes in a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the path has another shape or no finite point, or `f` returns an array of another shape
        than its argument.
    TypeError
        If `f` is not callable.
    ImportError
        Without matplotlib.
    """
    points = _points(path, 1, "descent_1d")
    grid = np.linspace(*limits(points, _MARGIN, "descent_1d"), 500)
    line, heights = (_values(f, "descent_1d", x) for x in (grid, points[:, 0]))
    ax = axes(ax, "descent_1d")
    ax.plot(grid, line, color=BLUE, label="f", zorder=1)
    _draw(ax, points[:, 0], heights)
    ax.set(xlabel="x", ylabel="f(x)")
    ax.legend()
    return ax


def descent_contour(f: Callable[..., Any], path: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draw the contours of a function of two variables and the path of a descent on it.

    Levels are spaced quadratically, so that contours around a minimum are evenly spaced.

    Parameters
    ----------
    f : callable
        Function of two arrays, element by element, as for `optim.descend`.
    path : Descent or array_like, shape (steps + 1, 2)
        The points, from the start on; points that are not finite are left out.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. Default: new Axes in a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError, TypeError, ImportError
        As for `descent_1d`.
    """
    points = _points(path, 2, "descent_contour")
    x, y, z = _grid(f, points, 200, "descent_contour")
    ax = axes(ax, "descent_contour")
    from matplotlib.ticker import MaxNLocator

    low, high = limits(z, 0, "descent_contour")
    levels = low + (high - low) * np.linspace(0, 1, 21) ** 2
    options: dict[str, Any] = {"levels": levels, "norm": _norm(z)}
    filled = ax.contourf(x, y, z, cmap="viridis", **options)
    ax.contour(x, y, z, colors="white", linewidths=0.5, alpha=0.5, levels=levels)
    ax.figure.colorbar(filled, ax=ax, label="f(x, y)", ticks=MaxNLocator(7))
    _draw(ax, *points.T)
    ax.set(xlabel="x", ylabel="y")
    ax.legend()
    return ax


def descent_surface(f: Callable[..., Any], path: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draw a function of two variables as a surface and the path of a descent on it, in 3-D.

    Parameters
    ----------
    f : callable
        Function of two arrays, element by element, as for `optim.descend`.
    path : Descent or array_like, shape (steps + 1, 2)
        The points, from the start on; points that are not finite are left out.
    ax : matplotlib.axes.Axes of projection "3d", optional
        Axes to draw on. Default: new Axes in a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError, TypeError, ImportError
        As for `descent_1d`; ValueError for Axes that are not 3-D.
    """
    points = _points(path, 2, "descent_surface")
    x, y, z = _grid(f, points, 80, "descent_surface")
    heights = _values(f, "descent_surface", *points.T)
    ax3: Any = axes(ax, "descent_surface", "3d")
    ax3.computed_zorder = False  # else the surface hides the path
    ax3.plot_surface(
        x, y, z, cmap="viridis", norm=_norm(z), alpha=0.8, rcount=80, ccount=80, linewidth=0
    )
    _draw(ax3, *points.T, heights)
    ax3.set(xlabel="x", ylabel="y", zlabel="f(x, y)")
    ax3.legend(loc="upper left")  # loc="best" is slow with this number of polygons
    result: Axes = ax3
    return result


def _points(path: Any, variables: int, where: str) -> Array:
    """Return the finite points of a path, (points, variables)."""
    points = path.points if isinstance(path, Descent) else as_array(path, f"plot.{where}: path")
    if points.ndim == 1 and variables == 1:
        points = points[:, None]
    if points.ndim != 2 or points.shape[1] != variables:
        shapes = "(N,) or (N, 1)" if variables == 1 else f"(N, {variables})"
        raise ValueError(f"plot.{where}: expected a path of shape {shapes}, got {points.shape}")
    points = points[np.isfinite(points).all(axis=1)].astype(np.float64)
    if len(points) == 0:
        raise ValueError(f"plot.{where}: expected a path with a finite point, got none")
    return points


def _values(f: Callable[..., Any], where: str, *x: Array) -> Array:
    if not callable(f):
        raise TypeError(f"plot.{where}: expected a function of arrays, got {type(f).__name__}")
    result = f(*x)
    # Functions of `graph` return nodes for arrays.
    array = as_array(result.value if isinstance(result, Node) else result, f"plot.{where}: f")
    if array.shape not in ((), x[0].shape):
        raise ValueError(f"plot.{where}: expected f to give {x[0].shape}, got {array.shape}")
    return np.broadcast_to(array, x[0].shape).astype(np.float64)


def _grid(
    f: Callable[..., Any], points: Array, count: int, where: str
) -> tuple[Array, Array, Array]:
    spans = (limits(column, _MARGIN, where) for column in points.T)
    x, y = np.meshgrid(*(np.linspace(*span, count) for span in spans))
    return x, y, _values(f, where, x, y)


def _norm(z: Array) -> Any:
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, float(np.nanmin(z)), float(np.nanmax(z)))


def _draw(ax: Any, *coordinates: Array) -> None:
    """Draw the path, its start and its end."""
    steps = len(coordinates[0]) - 1
    shown = some_of(len(coordinates[0]), _MAX_POINTS)
    ax.plot(
        *(values[shown] for values in coordinates),
        color=RED,
        marker="." if steps < _MAX_MARKERS else None,
        linewidth=1.2,
        label=f"path, {steps:,} steps",
        zorder=4,
    )
    for i, marker, label in ((0, "o", "start"), (-1, "*", "end")):
        ax.plot(
            *(values[[i]] for values in coordinates),
            color="white",
            markeredgecolor="black",
            marker=marker,
            markersize=8 if i == 0 else 12,
            linestyle="none",
            label=label,
            zorder=5,
        )
