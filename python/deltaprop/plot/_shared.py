"""Helpers that plots share: Axes, colours, limits, subsampling."""

from typing import TYPE_CHECKING, Any

import numpy as np

from deltaprop._arrays import Array, as_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SAMPLES = 2000


def axes(ax: Any, where: str, projection: str = "rectilinear") -> "Axes":
    """Return the Axes to draw on: `ax`, or new Axes in a new figure.

    Raises
    ------
    ImportError
        Without matplotlib.
    TypeError, ValueError
        If `ax` is not an Axes, or has another projection.
    """
    try:
        from matplotlib import pyplot
        from matplotlib.axes import Axes
    except ImportError:
        raise ImportError(f'plot.{where} needs matplotlib: pip install "deltaprop[plot]"') from None
    if ax is None:
        return pyplot.figure(layout="constrained").add_subplot(projection=projection)
    if not isinstance(ax, Axes):
        raise TypeError(f"plot.{where}: expected ax to be an Axes, got {type(ax).__name__}")
    if ax.name != projection:
        raise ValueError(
            f"plot.{where}: expected ax of projection {projection!r}, got one of {ax.name!r}"
        )
    return ax


def ink(ax: "Axes") -> Any:
    """Return the text colour of the Axes, which is visible on their background."""
    return ax.title.get_color()


def outputs(model: Any, x: Array, where: str) -> Array:
    """Return the outputs of a network or other callable for rows x: (N, k) or (N,)."""
    if not callable(model):
        raise TypeError(
            f"plot.{where}: expected a network or another callable, got {type(model).__name__}"
        )
    result = model(x)
    if isinstance(result, tuple):
        raise TypeError(f"plot.{where}: expected one output, got a tuple of {len(result)}")
    array = as_array(result, f"plot.{where}: the model's output")
    if array.ndim not in (1, 2) or len(array) != len(x):
        raise ValueError(
            f"plot.{where}: expected the model to give ({len(x)}, k), got {array.shape}"
        )
    return array


def classes(y: Array, where: str, name: str) -> Array:
    """Return classes (N,) or (N, 1) as integers (N,).

    Raises
    ------
    TypeError
        If a number is not an integer.
    """
    if not np.array_equal(y, np.rint(y)):
        raise TypeError(f"plot.{where}: expected integer classes in {name}, got other numbers")
    return y.reshape(-1).astype(int)


def limits(values: Array, margin: float, where: str) -> tuple[float, float]:
    """Return the range of the finite values, extended on both sides by a fraction `margin`."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise ValueError(f"plot.{where}: expected at least one finite point, got none")
    low, high = float(finite.min()), float(finite.max())
    extra = margin * (high - low) if high > low else max(abs(low), 1.0) / 2
    return low - extra, high + extra


def some_rows(count: int) -> tuple[Array, str]:
    """Return the indices of the samples to draw, and a note for the label if some are omitted."""
    if count <= MOST_SAMPLES:
        return np.arange(count), ""
    # At random: every n-th sample would alias with periodic data.
    chosen = np.random.default_rng(0).choice(count, MOST_SAMPLES, replace=False)
    return np.sort(chosen), f" ({MOST_SAMPLES:,} of {count:,})"
