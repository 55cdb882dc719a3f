"""What the pictures share: Axes, colours, limits, and fewer points where there are too many."""

from typing import TYPE_CHECKING, Any

import numpy as np

from deltaprop._arrays import Array, as_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SAMPLES = 2000


def axes(ax: Any, where: str, projection: str = "rectilinear") -> "Axes":
    """Return the Axes to draw on: those given, or new ones in a figure of their own.

    Raises
    ------
    ImportError
        Without matplotlib.
    TypeError, ValueError
        For what is no Axes, or Axes of another projection.
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
    """Return the colour of its words, which its page lets see."""
    return ax.title.get_color()


def outputs(model: Any, x: Array, where: str) -> Array:
    """Return what a network, or any callable, makes of rows: (N, k), or (N,) as it is."""
    if not callable(model):
        raise TypeError(
            f"plot.{where}: expected a network or another callable, got {type(model).__name__}"
        )
    found = model(x)
    if isinstance(found, tuple):
        raise TypeError(f"plot.{where}: expected one output, got a tuple of {len(found)}")
    array = as_array(found, f"plot.{where}: the model's output")
    if array.ndim not in (1, 2) or len(array) != len(x):
        raise ValueError(
            f"plot.{where}: expected the model to give ({len(x)}, k), got {array.shape}"
        )
    return array


def classes(y: Array, where: str, name: str) -> Array:
    """Return classes as integers (N,): of (N,) or (N, 1) whole numbers.

    Raises
    ------
    TypeError
        For other numbers.
    """
    if not np.array_equal(y, np.rint(y)):
        raise TypeError(f"plot.{where}: expected integer classes in {name}, got other numbers")
    return y.reshape(-1).astype(int)


def limits(values: Array, margin: float, where: str) -> tuple[float, float]:
    """Return the range of the finite values, and so much of it more on either side."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise ValueError(f"plot.{where}: expected at least one finite point, got none")
    low, high = float(finite.min()), float(finite.max())
    extra = margin * (high - low) if high > low else max(abs(low), 1.0) / 2
    return low - extra, high + extra


def some_rows(count: int) -> tuple[Array, str]:
    """Return which of so many samples to draw, and what a label adds to say so."""
    if count <= MOST_SAMPLES:
        return np.arange(count), ""
    # Drawn at random: every n-th would meet the rhythm of sorted or periodic data.
    chosen = np.random.default_rng(0).choice(count, MOST_SAMPLES, replace=False)
    return np.sort(chosen), f" ({MOST_SAMPLES:,} of {count:,})"
