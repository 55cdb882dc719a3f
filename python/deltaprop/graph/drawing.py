"""Nodes drawn: what `node.draw()` gives, and what Jupyter shows of a node."""

import os

from deltaprop._arrays import as_count
from deltaprop._core import Node

_MOST_NODES = 200


class Drawing:
    """A picture of a graph. Jupyter shows it; elsewhere `save` it, or take its text by ``str``.

    Parameters
    ----------
    svg : str
        The picture, as SVG.
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
        return _picture(self._svg)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to an SVG file.

        Parameters
        ----------
        path : str or path-like
            Written over where it exists.
        """
        from pathlib import Path

        Path(path).write_text(self._svg, encoding="utf-8")


def draw(node: Node, depth: int | None = None) -> Drawing:
    """Return a picture of the node and all that it is made of, from the left to the right.

    Above each line stands the value that flows along it, below it the delta that flows back, once
    `backward` has run: the share of this path, dJ/d(its end) times the local derivative. Variables,
    and nodes that several lines leave, show the sum of the shares. Arrays of more than a few
    elements appear as their shapes. Where the order of the inputs matters and the lines do not come
    in that order from top to bottom, they have numbers. The deltas are of the last `backward`: run
    it again after `forward`.

    Parameters
    ----------
    depth : int, optional
        How many operations back from this node are shown, at least 1; all of them without it. What
        is cut off there has a dashed border.

    Returns
    -------
    Drawing
        Shown by Jupyter as it is; `.save(path)` writes an SVG file.

    Raises
    ------
    ValueError
        For more than 200 nodes, or a depth below 1.
    TypeError
        For a depth that is no integer.

    Examples
    --------
    >>> from deltaprop import graph
    >>> x = graph.variable(3.0, name="x")
    >>> "x = 3" in str((2 * x + 1).draw())
    True
    """
    nodes = _above(node, None if depth is None else as_count(depth, "draw: depth", 1))
    if nodes is None:
        raise ValueError(
            f"draw: expected {_MOST_NODES} nodes or fewer, got more; draw(depth=5) shows the last 5"
        )
    return Drawing(_svg(nodes))


def shown(node: Node) -> str | None:
    """Return the picture for Jupyter; None for too many nodes, so that it shows the expression."""
    nodes = _above(node, None)
    return None if nodes is None else _svg(nodes)


def shown_in_html(node: Node) -> str | None:
    """Return the same as HTML, for notebooks that Jupyter does not trust."""
    svg = shown(node)
    return None if svg is None else _picture(svg)


def _picture(svg: str) -> str:
    from deltaprop import _html

    return _html.picture(svg, "computational graph")


def _svg(nodes: dict[Node, tuple[Node, ...]]) -> str:
    from deltaprop.graph.picture import Picture

    return Picture(nodes).svg()


def _above(node: Node, depth: int | None) -> dict[Node, tuple[Node, ...]] | None:
    """Return the nodes that are shown, each after its inputs; None where they are too many."""
    from graphlib import TopologicalSorter

    sources: dict[Node, tuple[Node, ...]] = {}
    level = [node]
    while level:
        following: list[Node] = []
        for each in level:
            if each not in sources:
                sources[each] = each.inputs if depth is None or depth > 0 else ()
                following += sources[each]
        if len(sources) > _MOST_NODES:
            return None
        level, depth = following, None if depth is None else depth - 1
    return {each: sources[each] for each in TopologicalSorter(sources).static_order()}
