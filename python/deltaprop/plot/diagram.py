"""Diagrams of networks: neurons and the weights between them."""

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

_MAX_NEURONS = 12  # of a layer


def network(net: Module, *, ax: "Axes | None" = None) -> "Axes":
    """Draw a network: a column of neurons for each layer, and lines for its weights.

    Lines are thicker and more opaque for larger absolute weights; colours distinguish positive and
    negative ones. Each column has the number of neurons above it and the names of its layer, and of
    activations and other layers of the same width, below it. Of more than 12 neurons only the first
    and last are drawn. A `Residual` is an arc over its layers; the branches of `Concat` and `Heads`
    are stacked vertically.

    Parameters
    ----------
    net : Sequential, layer or other module
    ax : matplotlib.axes.Axes, optional
        Axes to draw on. Default: new Axes in a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        If `net` is not a network.
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
    """The neurons of a layer that are drawn."""

    def __init__(self, x: float, centre: float, width: int, caption: str) -> None:
        cut = width > _MAX_NEURONS
        half = _MAX_NEURONS // 2
        self.index = np.r_[:half, width - half : width] if cut else np.arange(width)
        # One free slot for the dots between the halves.
        slots = np.r_[:half, half + 1 : 2 * half + 1] if cut else self.index
        self.x = np.full(len(slots), x)
        self.y = centre + slots.max() / 2 - slots
        self.centre = centre
        self.width = width
        self.captions = [caption]


@dataclass(frozen=True)
class _Flow:
    """The inputs of a layer: the neurons of one column, or of several branches together."""

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
    """Positions of all elements, in units of the distances between neurons and between layers."""

    widths: list[list[int]]  # of the outputs of each block
    columns: list[_Column] = field(default_factory=list)
    lines: list[tuple[Array, Array]] = field(default_factory=list)  # their ends, their weights
    arcs: list[tuple[float, float, float]] = field(default_factory=list)  # x, x, y

    def add(self, module: Module, inputs: _Flow | None, centre: float) -> _Flow:
        """Add a module to the right of its inputs; None stands for the inputs of the network."""
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
        (width,) = self.widths[layer._storage().block]
        if isinstance(layer, Embedding):
            width = inputs.width * layer.embedding_dim
        if not isinstance(layer, Linear) and width in (-1, inputs.width):
            for column in inputs.columns:
                column.captions.append(name)
            return inputs
        outputs = self._column(inputs.x.max() + 1, centre, width, name)
        # Behind an Embedding on any number of columns the inputs of the weights are unknown.
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
        """Return the number of neurons that a module stacks vertically."""
        parts = [self._height(child) for child in module._children()]
        if isinstance(module, Concat | Heads):
            return sum(parts) + 3 * len(parts)
        widths = [*_inputs_of(module), *self.widths[module._storage().block]]
        return max([1, *parts, *(min(width, _MAX_NEURONS + 1) for width in widths)])

    def _column(self, x: float, centre: float, width: int, caption: str) -> _Flow:
        column = _Column(x, centre, width, caption)
        self.columns.append(column)
        return _Flow((column,))

    def draw(self, ax: "Axes") -> None:
        """Draw the diagram on Axes."""
        from matplotlib.collections import LineCollection
        from matplotlib.colors import to_rgba
        from matplotlib.lines import Line2D

        weights = np.concatenate([np.empty(0), *(values for _, values in self.lines)])
        largest = float(np.abs(weights).max(initial=0)) or 1.0
        if self.lines:
            strength = np.abs(weights) / largest
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
                title=f"largest |weight| {largest:.3g}",
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
    """Return the known widths of a module's inputs.

    -1 stands for the columns of an Embedding, which accepts any number.
    """
    children = module._children()
    if isinstance(module, Embedding):
        return {-1}
    if isinstance(module, Concat | Heads):
        return set().union(*map(_inputs_of, children))
    widths = [_inputs_of(child) for child in children]
    for i, (child, known) in enumerate(zip(children, widths, strict=True)):
        if isinstance(child, Embedding):
            after = next(filter(None, widths[i + 1 :]), known)
            return {max(-1, width // child.embedding_dim) for width in after}
        if known:
            return known
    width: Any = getattr(module, "in_features", None)
    return set() if width is None else {width}
