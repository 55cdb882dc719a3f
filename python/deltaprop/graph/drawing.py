"""Drawings of graphs: `node.draw()` and the display of a node in Jupyter."""

import os

from deltaprop._arrays import as_count
from deltaprop._core import Node

_MAX_NODES = 200


class Drawing:
    """A drawing of a graph. Jupyter displays it; `save` writes a file, ``str`` returns the SVG.

    Parameters
    ----------
    svg : str
        The drawing as SVG.
    """

    def __init__(self, svg: str) -> None:
        self._svg = svg

    def __str__(self) -> str:
        return self._svg

    def __repr__(self) -> str:
        return f"<Drawing of {len(self._svg)} characters of SVG>"

    def _repr_svg_(self) -> str:
        return self._svg

    def _repr_html_(self) -> str:
        return _image(self._svg)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the drawing to an SVG file.

        Parameters
        ----------
        path : str or path-like
            An existing file is overwritten.
        """
        from pathlib import Path

        Path(path).write_text(self._svg, encoding="utf-8")


def draw(node: Node, depth: int | None = None) -> Drawing:
    """Return a drawing of the graph that computes this node, from left to right.

    The value of an edge is printed above it. After `backward`, the delta of the edge is printed
    below it: this path's contribution, dJ/d(target) times the local derivative. Variables, and
    nodes with several outgoing edges, show the sum of the contributions. Arrays of more than 4
    elements are shown by their shape. Edges are numbered if the order of the inputs matters and
    differs from their order from top to bottom. The deltas are those of the last `backward`; call
    it again after `forward`.

    Parameters
    ----------
    depth : int, optional
        Number of operations to show, counted back from this node, at least 1. Default: all. Nodes
        whose inputs are not shown have a dashed border.

    Returns
    -------
    Drawing
        Displayed by Jupyter; `.save(path)` writes an SVG file.

    Raises
    ------
    ValueError
        For more than 200 nodes, or a depth below 1.
    TypeError
        If `depth` is not an integer.

    Examples
    --------
    >>> from deltaprop import graph
    >>> x = graph.variable(3.0, name="x")
    >>> "x = 3" in str((2 * x + 1).draw())
    True
    """
    nodes = _ancestors(node, None if depth is None else as_count(depth, "draw: depth", 1))
    if nodes is None:
        raise ValueError(
            f"draw: expected {_MAX_NODES} nodes or fewer, got more; draw(depth=5) shows the last 5"
        )
    return Drawing(_svg(nodes))


def to_svg(node: Node) -> str | None:
    """Return the SVG for Jupyter; None for too many nodes, so that Jupyter shows the ``repr``."""
    nodes = _ancestors(node, None)
    return None if nodes is None else _svg(nodes)


def to_html(node: Node) -> str | None:
    """Return the SVG as an HTML image, which Jupyter also displays in untrusted notebooks."""
    svg = to_svg(node)
    return None if svg is None else _image(svg)


def _image(svg: str) -> str:
    from deltaprop import _html

    return _html.picture(svg, "computational graph")


def _svg(nodes: dict[Node, tuple[Node, ...]]) -> str:
    from deltaprop.graph.picture import Picture

    return Picture(nodes).svg()


def _ancestors(node: Node, depth: int | None) -> dict[Node, tuple[Node, ...]] | None:
    """Return the nodes to draw with their inputs, topologically sorted; None for too many."""
    from graphlib import TopologicalSorter

    sources: dict[Node, tuple[Node, ...]] = {}
    level = [node]
    while level:
        following: list[Node] = []
        for each in level:
            if each not in sources:
                sources[each] = each.inputs if depth is None or depth > 0 else ()
                following += sources[each]
        if len(sources) > _MAX_NODES:
            return None
        level, depth = following, None if depth is None else depth - 1
    return {each: sources[each] for each in TopologicalSorter(sources).static_order()}
