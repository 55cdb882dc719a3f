"""Heat maps of what the layers of a network give, and of their deltas."""

from typing import TYPE_CHECKING, Any

import numpy as np

from deltaprop._arrays import Array, as_count
from deltaprop._table import some_of
from deltaprop.nn.containers import Container
from deltaprop.plot._shared import axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_ROWS = 100
_MOST_COLUMNS = 100
_MOST_CAPTIONS = 4  # that have room side by side


def activations(net: Container, *, layer: int | None = None, ax: "Axes | None" = None) -> "Axes":
    """Draw the outputs of all layers in the last ``net.forward``, side by side.

    A line of the picture is a row of the batch, a column a neuron; all layers have one scale. Under
    each layer stands the root of the mean of its squares (rms). Of more than 100 rows, or 100
    neurons of a layer, some evenly between are drawn.

    Parameters
    ----------
    net : Sequential or other container
        After a `forward` by hand.
    layer : int, optional
        Only this one; as for a list, -1 is the last.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    RuntimeError
        If there was no `forward` yet.
    ValueError
        For a layer that there is not, or a pass without rows.
    TypeError
        For what is no network, or a layer's number of another kind.
    ImportError
        Without matplotlib.
    """
    return _heat(net, "activations", layer, ax)


def deltas(net: Container, *, layer: int | None = None, ax: "Axes | None" = None) -> "Axes":
    """Draw dJ/d(output) of all layers in the last ``net.backward``, side by side.

    As `activations`, in colours that change at 0.

    Parameters
    ----------
    net : Sequential or other container
        After a `forward` and a `backward` by hand.
    layer : int, optional
        Only this one; as for a list, -1 is the last.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    RuntimeError
        If the last `forward` has had no `backward` yet.
    ValueError, TypeError, ImportError
        As `activations`.
    """
    return _heat(net, "deltas", layer, ax)


def _heat(net: Any, what: str, layer: int | None, ax: "Axes | None") -> "Axes":
    if not isinstance(net, Container):
        raise TypeError(f"plot.{what}: expected a network, got {type(net).__name__}")
    found = [_matrix(value) for value in getattr(net, what)]
    chosen = range(len(found)) if layer is None else [_stored(layer, len(found), what)]
    if len(found[0]) == 0:
        raise ValueError(f"plot.{what}: expected a pass of one row or more, got none")
    rows = some_of(len(found[0]), _MOST_ROWS)
    shown = [found[i][rows][:, some_of(found[i].shape[1], _MOST_COLUMNS)] for i in chosen]

    ax = axes(ax, what)
    options = _colouring(np.concatenate([part.ravel() for part in shown]), what)
    for place, part in enumerate(shown):
        image = ax.imshow(
            part,
            extent=(place + 0.04, place + 0.96, len(rows) - 0.5, -0.5),
            aspect="auto",
            interpolation="nearest",
            **options,
        )
    label = "activation" if what == "activations" else "delta, dJ/d(output)"
    ax.figure.colorbar(image, ax=ax, label=label)
    ax.set(xlim=(0, len(shown)), ylim=(len(rows) - 0.5, -0.5))
    slanted = len(shown) > _MOST_CAPTIONS
    captions = [_caption(i, net[i], found[i], p) for i, p in zip(chosen, shown, strict=True)]
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
    total = len(found[0])
    ax.set_ylabel("row" if total == len(rows) else f"row ({len(rows)} of {total:,})")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def _matrix(value: Any) -> Array:
    """Return rows by neurons; those of several heads side by side."""
    if isinstance(value, tuple):
        return np.concatenate([_matrix(part) for part in value], axis=1)
    return np.atleast_2d(value)


def _stored(layer: Any, count: int, what: str) -> int:
    where = f"plot.{what}: layer"
    return as_count(layer, where, -count, count - 1) % count


def _colouring(values: Array, what: str) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    if what == "activations":
        low, high = (finite.min(), finite.max()) if finite.size else (0, 1)
        return {"cmap": "viridis", "vmin": float(low), "vmax": float(high)}
    most = float(np.abs(finite).max(initial=0)) or 1.0
    return {"cmap": "RdBu_r", "vmin": -most, "vmax": most}


def _caption(i: int, module: Any, whole: Array, shown: Array) -> list[str]:
    width, part = whole.shape[1], shown.shape[1]
    rms = float(np.sqrt(np.mean(np.square(whole, dtype=np.float64))))
    cut = [] if width == part else [f"{part} of {width:,}"]
    return [f"{i}: {type(module).__name__}", *cut, f"rms {rms:.2g}"]
