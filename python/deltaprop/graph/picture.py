"""Rendering of a graph as SVG."""

import math
import unicodedata
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from deltaprop import _core
from deltaprop._core import Node
from deltaprop.graph.layout import layout
from deltaprop.graph.text import expression, symbol

_LONGEST = 20  # characters of a name or a value
_SYMBOLS = {"multiply": "×", "divide": "÷", "subtract": "−", "negative": "−", "square": "( )²"}
# Functions whose inputs may be swapped; the order matters for all others.
_SYMMETRIC = {"add", "multiply", "maximum", "minimum", "equal", "not_equal"}

# All in pixels.
_ADVANCE = 8.0  # of a character; the font is monospaced, so that widths of texts are known
_LINE = 16.0
_CLEAR = 10.0  # from an edge to the middle of its labels
_MARGIN = 14.0
_COLUMN_GAP = 30.0
_ROW_GAP = 12.0
_BEND = 12.0
_PORTS = 9.0  # between edges that end at the same node
_HEAD = 7.0
_NODE = 34.0
_CONSTANT = 24.0
_BASELINE = 4.5  # of text, below its middle

# Attributes instead of a style sheet, which would also apply to the page around the SVG. Blue and
# vermilion are Okabe and Ito's, safe for colour-blind readers, darkened for text.
_STYLES = {
    "name": 'fill="#222" font-weight="bold"',
    "op": 'fill="#444"',
    "value": 'fill="#0063a3"',
    "delta": 'fill="#b34700"',
    "computed": 'fill="#fff" stroke="#444"',
    "variable": 'fill="#dcebf7" stroke="#0063a3"',
    "constant": 'fill="#eee" stroke="#aaa"',
}


def _short(value: Any) -> str:
    """Return a number with 6 digits, up to 4 elements with 4 digits each, else the shape."""
    array = np.asarray(value)
    if array.ndim == 0:
        return f"{array + 0.0:.6g}"  # -0 is 0
    if array.size <= 4:
        text = np.array2string(
            array + 0.0, separator=", ", formatter={"float_kind": lambda number: f"{number:.4g}"}
        )
        text = " ".join(text.split())
        if len(text) <= _LONGEST:
            return text
    return str(array.shape)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _xml(text: str) -> str:
    """Return text escaped for XML, without unprintable characters."""
    return escape("".join(c if c.isprintable() else " " for c in text))


@dataclass
class _Box:
    """A node, or the labels of an edge."""

    texts: list[tuple[str, str]]  # (style, text) from top to bottom
    border: str = ""  # style; empty for the labels of an edge
    truncated: bool = False  # its inputs are not drawn
    title: str = ""

    @property
    def min_size(self) -> float:
        return _CONSTANT if self.border == "constant" else _NODE

    @property
    def width(self) -> float:
        wide = max(
            sum(2 if unicodedata.east_asian_width(c) in "WFA" else 1 for c in text)
            for _, text in self.texts
        )
        return max(wide * _ADVANCE + 14, self.min_size) if self.border else wide * _ADVANCE + 4

    @property
    def height(self) -> float:
        return max(len(self.texts) * _LINE + 8, self.min_size) if self.border else 4 * _CLEAR

    @property
    def radius(self) -> float:
        return _NODE / 2 if self.border == "computed" else 6

    def edge(self, port: float) -> float:
        """Return the distance from the centre to the border at a vertical offset."""
        bow = max(0.0, abs(port) - (self.height / 2 - self.radius))
        return self.width / 2 - self.radius + math.sqrt(self.radius**2 - bow**2)


def _node_box(node: Node, uses: int, truncated: bool) -> _Box:
    computed = node.op not in {"variable", "constant"}
    texts = [("name", _cut(node.name))] if node.name else []
    if computed:
        texts.append(("op", _cut(_SYMBOLS.get(node.op, symbol(node)))))
    elif not node.name:
        texts.append(("op", _short(node.value)))
    if node.grad is not None and (node.op == "variable" or uses > 1):
        texts.append(("delta", f"δ {_short(node.grad)}"))
    return _Box(texts, "computed" if computed else node.op, truncated, expression(node))


def _edge_box(source: Node, delta: Any) -> _Box:
    value = _short(source.value)
    texts = [("value", f"{_cut(source.name)} = {value}" if source.name else value)]
    return _Box(texts if delta is None else [*texts, ("delta", f"δ {_short(delta)}")])


class Picture:
    """Boxes, their layout, and the edges between them."""

    def __init__(self, nodes: dict[Node, tuple[Node, ...]]) -> None:
        self._boxes: list[_Box] = []
        self._sources: list[list[int]] = []
        uses = dict.fromkeys(nodes, 0)
        for inputs in nodes.values():
            for x in inputs:
                uses[x] += 1
        index: dict[Node, int] = {}
        ordered = []
        for node, inputs in nodes.items():
            deltas = _core.graph_shares(node) if inputs else []
            ends = []
            for x, delta in zip(inputs, deltas, strict=True):
                # The box of such a constant shows its value, so the edge needs no label.
                plain = x.op == "constant" and not x.name and uses[x] == 1
                ends.append(index[x] if plain else self._add(_edge_box(x, delta), [index[x]]))
            truncated = bool(node.inputs) and not inputs
            index[node] = self._add(_node_box(node, uses[node], truncated), ends)
            if node.op not in _SYMMETRIC:
                ordered.append(index[node])
        self._add(_edge_box(node, node.grad), [index[node]])
        heights = [box.height + _ROW_GAP for box in self._boxes]
        self._layout = layout(self._sources, heights, _BEND)
        for i in ordered:
            self._number(i)
        self._left, self._right = self._columns()

    def _add(self, box: _Box, sources: list[int]) -> int:
        self._boxes.append(box)
        self._sources.append(sources)
        return len(self._boxes) - 1

    def _ports(self, i: int) -> list[float]:
        """Return vertical offsets, from the centre of a box or bend, where its edges end."""
        y, sources = self._layout.y, self._layout.sources[i]
        ranks = sorted(range(len(sources)), key=lambda k: y[sources[k]])
        return [(ranks.index(k) - (len(ranks) - 1) / 2) * _PORTS for k in range(len(ranks))]

    def _number(self, i: int) -> None:
        """Write numbers on the incoming edges of a box that do not arrive in input order."""
        ports = self._ports(i)
        if ports != sorted(ports):
            for k, source in enumerate(self._sources[i]):
                style, text = self._boxes[source].texts[0]
                self._boxes[source].texts[0] = style, f"{chr(ord('①') + k)} {text}"

    def _columns(self) -> tuple[list[float], list[float]]:
        """Return the left and right positions of each column."""
        left, right = [], []
        x = 0.0
        for column in self._layout.columns:
            left.append(x)
            x += max((self._boxes[i].width for i in column if i < len(self._boxes)), default=0.0)
            right.append(x)
            x += _COLUMN_GAP
        return left, right

    def svg(self) -> str:
        """Return the drawing as SVG."""
        boxes = range(len(self._boxes))
        parts = [edge for i in range(len(self._layout.y)) for edge in self._edges_to(i)]
        parts += map(self._draw_box, boxes)
        width = self._right[-1] + _HEAD + 2 * _MARGIN
        height = max(self._layout.y[i] + self._boxes[i].height / 2 for i in boxes) + 2 * _MARGIN
        area = f'x="{-_MARGIN:g}" y="{-_MARGIN:g}" width="{width:g}" height="{height:g}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
                f'viewBox="{-_MARGIN:g} {-_MARGIN:g} {width:g} {height:g}">',
                f'<rect {area} rx="8" fill="#fff"/>',
                "<g font-family=\"ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace\" "
                'font-size="13" text-anchor="middle" stroke-width="1.2">',
                *parts,
                "</g>",
                "</svg>",
            ]
        )

    def _bordered(self, i: int) -> bool:
        return i < len(self._boxes) and bool(self._boxes[i].border)

    def _edges_to(self, i: int) -> list[str]:
        """Return the edges that end at a box or bend, drawn up to its border or across it."""
        y, column = self._layout.y, self._layout.column
        parts = []
        for source, port in zip(self._layout.sources[i], self._ports(i), strict=True):
            x, to = self._right[column[source]], self._left[column[i]] - _HEAD
            start, end = x, self._right[column[i]]
            if self._bordered(source):
                start = self._middle(source) + self._boxes[source].edge(0)
            if self._bordered(i):
                end = self._middle(i) - self._boxes[i].edge(port) - _HEAD
            half, height = (x + to) / 2, y[i] + port
            parts.append(
                f'<path d="M{start:.1f} {y[source]:.1f}H{x:.1f}C{half:.1f} {y[source]:.1f} '
                f'{half:.1f} {height:.1f} {to:.1f} {height:.1f}H{end:.1f}" '
                'fill="none" stroke="#777"/>'
            )
            if self._bordered(i) or i == len(self._boxes) - 1:
                parts.append(
                    f'<path d="M{end:.1f} {height - _HEAD / 2:.1f}l{_HEAD:g} {_HEAD / 2:g}'
                    f'l{-_HEAD:g} {_HEAD / 2:g}z" fill="#777"/>'
                )
        return parts

    def _draw_box(self, i: int) -> str:
        """Return a box and its texts as SVG."""
        box, x, y = self._boxes[i], self._middle(i), self._layout.y[i]
        parts = [f"<title>{_xml(box.title)}</title>"] if box.title else []
        first, step = -_CLEAR, 2 * _CLEAR
        if box.border:
            first, step = -_LINE / 2 * (len(box.texts) - 1), _LINE
            dashes = 'stroke-dasharray="4 3"' if box.truncated else ""
            parts.append(
                f'<rect x="{x - box.width / 2:.1f}" y="{y - box.height / 2:.1f}" '
                f'width="{box.width:g}" height="{box.height:g}" rx="{box.radius:g}" '
                f"{_STYLES[box.border]} {dashes}/>"
            )
        for k, (style, text) in enumerate(box.texts):
            below = y + first + k * step + _BASELINE
            at = f'x="{x:.1f}" y="{below:.1f}"'
            parts.append(f"<text {at} {_STYLES[style]}>{_xml(text)}</text>")
        return f"<g>{''.join(parts)}</g>"

    def _middle(self, i: int) -> float:
        """Return the horizontal centre of a box, that of its column."""
        column = self._layout.column[i]
        return (self._left[column] + self._right[column]) / 2
