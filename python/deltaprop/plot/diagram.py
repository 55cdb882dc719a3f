"""A network as neurons and the weights between them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaprop._arrays import Array
from deltaprop._figure import BLUE, RED
from deltaprop.nn.containers import Concat, Container, Heads, Residual
from deltaprop.nn.embedding import Embedding
from deltaprop.nn.linear import Linear
from deltaprop.nn.module import Module
from deltaprop.plot._shared import axes, ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NEURONS = 12  # of a layer


def network(net: Module, *, ax: "Axes | None" = None) -> "Axes":
    """Draw a network: a column of neurons for each layer, and its weights as lines.

    The heavier a weight, the thicker and the less transparent is its line; those above 0 have one
    colour, those below 0 the other. Over each column stands how many neurons the layer has, under
    it what the layer is, with the activations and the like that keep its width. Of more than 12
    neurons the first and the last ones are drawn. A `Residual` is an arc over its layers; the
    branches of `Concat` and `Heads` stand one above the other.

    Parameters
    ----------
    net : Sequential, layer or other module
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        For what is no network.
    ImportError
        Without matplotlib.
    """
    if not isinstance(net, Module):
        raise TypeError(f"plot.network: expected a network, got {type(net).__name__}")
    diagram = _Diagram(net._storage().network.out_features())
    diagram.add(net, None, 0.0)
    ax = axes(ax, "network")
    diagram.draw(ax)
    return ax


class _Column:
    """The neurons of a layer, as far as they are drawn."""

    def __init__(self, x: float, centre: float, width: int, caption: str) -> None:
        cut = width > _MOST_NEURONS
        half = _MOST_NEURONS // 2
        self.index = np.r_[:half, width - half : width] if cut else np.arange(width)
        # Dots take the place of one between the halves.
        slots = np.r_[:half, half + 1 : 2 * half + 1] if cut else self.index
        self.x = np.full(len(slots), x)
        self.y = centre + slots.max() / 2 - slots
        self.centre = centre
        self.width = width
        self.captions = [caption]


@dataclass(frozen=True)
class _Flow:
    """What goes into a layer: the neurons of a column, or of several branches together."""

    columns: tuple[_Column, ...]

    @property
    def x(self) -> Array:
        return np.concatenate([column.x for column in self.columns])

    @property
    def y(self) -> Array:
        return np.concatenate([column.y for column in self.columns])

    @property
    def index(self) -> Array:
        starts = np.cumsum([0, *(column.width for column in self.columns)])
        return np.concatenate(
            [start + c.index for start, c in zip(starts, self.columns, strict=False)]
        )

    @property
    def width(self) -> int:
        return sum(column.width for column in self.columns)


@dataclass
class _Diagram:
    """Where everything stands, in units of the distance between neurons and between layers."""

    widths: list[list[int]]  # of the outputs of each block
    columns: list[_Column] = field(default_factory=list)
    lines: list[tuple[Array, Array]] = field(default_factory=list)  # their ends, their weights
    arcs: list[tuple[float, float, float]] = field(default_factory=list)  # x, x, y

    def add(self, module: Module, inputs: _Flow | None, centre: float) -> _Flow:
        """Draw a module to the right of its inputs, None if they are the network's own."""
        known = _inputs_of(module)
        if inputs is None and len(known) < 2:
            inputs = self._column(0.0, centre, max([1, *known]), "input")
        if isinstance(module, Concat | Heads):
            return self._branches(module, inputs, centre)
        if isinstance(module, Container):
            flow = inputs
            for child in module:
                flow = self.add(child, flow, centre)
            assert flow is not None
            if isinstance(module, Residual) and inputs is not None:
                top = max(column.y.max() for column in (*inputs.columns, *flow.columns))
                self.arcs.append((inputs.x.max(), flow.x.max(), top))
            return flow
        assert inputs is not None
        return self._layer(module, inputs, centre)

    def _layer(self, layer: Module, inputs: _Flow, centre: float) -> _Flow:
        name = type(layer).__name__
        place = layer._storage()
        (width,) = self.widths[place.block]
        if isinstance(layer, Embedding):
            width = inputs.width * layer.embedding_dim
        if not isinstance(layer, Linear) and width in (-1, inputs.width):
            for column in inputs.columns:
                column.captions.append(name)
            return inputs
        outputs = self._column(inputs.x.max() + 1, centre, width, name)
        # Else how many columns an Embedding has been given is not known.
        if isinstance(layer, Linear) and layer.in_features == inputs.width:
            weights = layer.weight[np.ix_(outputs.index, inputs.index)]
            ends = np.empty((*weights.shape, 2, 2))
            ends[:, :, 0] = np.column_stack([inputs.x, inputs.y])
            ends[:, :, 1] = np.column_stack([outputs.x, outputs.y])[:, None]
            self.lines.append((ends.reshape(-1, 2, 2), weights.ravel()))
        return outputs

    def _branches(self, module: Container, inputs: _Flow | None, centre: float) -> _Flow:
        heights = np.array([self._height(child) + 3 for child in module])
        centres = centre + heights.sum() / 2 - np.cumsum(heights) + heights / 2
        flows = [self.add(m, inputs, c) for m, c in zip(module, centres, strict=True)]
        return _Flow(tuple(column for flow in flows for column in flow.columns))

    def _height(self, module: Module) -> float:
        """Return how many neurons stand above each other in it."""
        parts = [self._height(child) for child in module._children()]
        if isinstance(module, Concat | Heads):
            return sum(parts) + 3 * len(parts)
        widths = [*_inputs_of(module), *self.widths[module._storage().block]]
        return max([1, *parts, *(min(width, _MOST_NEURONS + 1) for width in widths)])

    def _column(self, x: float, centre: float, width: int, caption: str) -> _Flow:
        column = _Column(x, centre, width, caption)
        self.columns.append(column)
        return _Flow((column,))

    def draw(self, ax: "Axes") -> None:
        """Put it on Axes."""
        from matplotlib.collections import LineCollection
        from matplotlib.colors import to_rgba
        from matplotlib.lines import Line2D

        weights = np.concatenate([np.empty(0), *(values for _, values in self.lines)])
        most = float(np.abs(weights).max(initial=0)) or 1.0
        if self.lines:
            strength = np.abs(weights) / most
            colours = np.where(weights[:, None] > 0, to_rgba(RED), to_rgba(BLUE))
            colours[:, 3] = 0.05 + 0.85 * strength
            ends = np.concatenate([ends for ends, _ in self.lines])
            widths = 0.3 + 2.7 * strength
            ax.add_collection(LineCollection(list(ends), colors=colours, linewidths=widths))
            ax.legend(
                handles=[
                    Line2D([], [], color=RED, label="weight > 0"),
                    Line2D([], [], color=BLUE, label="weight < 0"),
                ],
                title=f"largest |weight| {most:.3g}",
                loc="upper center",
                bbox_to_anchor=(0.5, 0),
                ncols=2,
                frameon=False,
            )
        along = np.linspace(0, 1, 50)
        for start, end, top in self.arcs:
            x, y = start + (end - start) * along, top + 1.5 + 1.5 * np.sin(np.pi * along)
            ax.plot(x, y, color=ink(ax), linewidth=1, marker="v", markersize=5, markevery=[-1])
        for column in self.columns:
            ax.scatter(
                column.x, column.y, s=60, color="white", edgecolors="black", linewidths=1, zorder=3
            )
            x, low, high = column.x[0], column.y.min(), column.y.max()
            if len(column.index) < column.width:
                ax.text(x, column.centre, "⋮", ha="center", va="center", fontsize=14)
            ax.annotate(
                f"{column.width:,}", (x, high), (0, 9), textcoords="offset points", ha="center"
            )
            ax.annotate(
                "\n".join(column.captions),
                (x, low),
                (0, -9),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize="small",
            )
        ax.margins(0.15, 0.2)
        ax.autoscale_view()
        ax.set_axis_off()


def _inputs_of(module: Module) -> set[int]:
    """Return the widths of its inputs as far as they are known: several for several inputs.

    -1 stands for the columns of an Embedding, of which there may be any number.
    """
    children = module._children()
    if isinstance(module, Embedding):
        return {-1}
    if isinstance(module, Concat | Heads):
        return set().union(*map(_inputs_of, children))
    widths = [_inputs_of(child) for child in children]
    for i, (child, found) in enumerate(zip(children, widths, strict=True)):
        if isinstance(child, Embedding):
            after = next(filter(None, widths[i + 1 :]), found)
            return {max(-1, width // child.embedding_dim) for width in after}
        if found:
            return found
    width: Any = getattr(module, "in_features", None)
    return set() if width is None else {width}
