"""Heat maps of the activations and deltas of a network's layers."""

from typing import TYPE_CHECKING, Any

import numpy as np

from deltaprop._arrays import Array, as_count
from deltaprop._table import some_of
from deltaprop.nn.containers import Container
from deltaprop.plot._shared import axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_ROWS = 100
_MAX_COLUMNS = 100
_MAX_CAPTIONS = 4  # that fit side by side; more are slanted


def activations(net: Container, *, layer: int | None = None, ax: "Axes | None" = None) -> "Axes":
    """Draw the outputs of all layers in the last ``net.forward``, side by side.

    Rows are those of the batch, columns are neurons; all layers share one colour scale. The label
    of each layer includes the root mean square (rms) of its outputs. Of more than 100 rows, or 100
    neurons of a layer, 100 evenly spaced ones are drawn.

    Parameters
    ----------
    net : Sequential or other container
        A network on which `forward` has been called.
    layer : int, optional
        Index of the only layer to draw; negative indices count from the end. Default: all layers.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. Default: new Axes in a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    RuntimeError
        If `forward` has not been called.
    ValueError
        If `layer` is out of range, or the pass had no rows.
    TypeError
        If `net` is not a network, or `layer` not an integer.
    ImportError
        Without matplotlib.
    """
    return _heat(net, "activations", layer, ax)


def deltas(net: Container, *, layer: int | None = None, ax: "Axes | None" = None) -> "Axes":
    """Draw dJ/d(output) of all layers in the last ``net.backward``, side by side.

    Like `activations`, with a diverging colour map centred at 0.

    Parameters
    ----------
    net : Sequential or other container
        A network on which `forward` and `backward` have been called.
    layer : int, optional
        Index of the only layer to draw; negative indices count from the end. Default: all layers.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. Default: new Axes in a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    RuntimeError
        If `backward` has not been called after the last `forward`.
    ValueError, TypeError, ImportError
        As `activations`.
    """
    return _heat(net, "deltas", layer, ax)


def _heat(net: Any, what: str, layer: int | None, ax: "Axes | None") -> "Axes":
    if not isinstance(net, Container):
        raise TypeError(f"plot.{what}: expected a network, got {type(net).__name__}")
    values = [_matrix(value) for value in getattr(net, what)]
    chosen = range(len(values)) if layer is None else [_index(layer, len(values), what)]
    if len(values[0]) == 0:
        raise ValueError(f"plot.{what}: expected a pass of one row or more, got none")
    rows = some_of(len(values[0]), _MAX_ROWS)
    shown = [values[i][rows][:, some_of(values[i].shape[1], _MAX_COLUMNS)] for i in chosen]

    ax = axes(ax, what)
    options = _colouring(np.concatenate([part.ravel() for part in shown]), what)
    for x, part in enumerate(shown):
        image = ax.imshow(
            part,
            extent=(x + 0.04, x + 0.96, len(rows) - 0.5, -0.5),
            aspect="auto",
            interpolation="nearest",
            **options,
        )
    label = "activation" if what == "activations" else "delta, dJ/d(output)"
    ax.figure.colorbar(image, ax=ax, label=label)
    ax.set(xlim=(0, len(shown)), ylim=(len(rows) - 0.5, -0.5))
    slanted = len(shown) > _MAX_CAPTIONS
    captions = [_caption(i, net[i], values[i], p) for i, p in zip(chosen, shown, strict=True)]
    ax.set_xticks(
        np.arange(len(shown)) + 0.5,
        [(", " if slanted else "\n").join(caption) for caption in captions],
        fontsize="small",
        rotation=45 if slanted else 0,
        ha="right" if slanted else "center",
        rotation_mode="anchor" if slanted else "default",
    )
    ticks = some_of(len(rows), 6)
    ax.set_yticks(ticks, [str(row) for row in rows[ticks]])
    total = len(values[0])
    ax.set_ylabel("row" if total == len(rows) else f"row ({len(rows)} of {total:,})")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def _matrix(value: Any) -> Array:
    """Return a matrix of rows by neurons, with several heads side by side."""
    if isinstance(value, tuple):
        return np.concatenate([_matrix(part) for part in value], axis=1)
    return np.atleast_2d(value)


def _index(layer: Any, count: int, what: str) -> int:
    where = f"plot.{what}: layer"
    return as_count(layer, where, -count, count - 1) % count


def _colouring(values: Array, what: str) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    if what == "activations":
        low, high = (finite.min(), finite.max()) if finite.size else (0, 1)
        return {"cmap": "viridis", "vmin": float(low), "vmax": float(high)}
    largest = float(np.abs(finite).max(initial=0)) or 1.0
    return {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}


def _caption(i: int, module: Any, values: Array, shown: Array) -> list[str]:
    width, part = values.shape[1], shown.shape[1]
    rms = float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
    omitted = [] if width == part else [f"{part} of {width:,}"]
    return [f"{i}: {type(module).__name__}", *omitted, f"rms {rms:.2g}"]
