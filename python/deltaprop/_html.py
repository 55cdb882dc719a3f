"""What Jupyter shows of things: HTML without scripts, in the colours of the page around it."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape

from deltaprop._table import some_of

# Said here, since pages colour tables, and every second line of them, in ways of their own.
_TABLE = "border-collapse:collapse;color:inherit;font-size:inherit;margin:0.3em 0"
_CELL = "padding:0.15em 1em 0.15em 0;text-align:left;white-space:nowrap;background:none"
_MOST_ROWS = 60
_MOST_LETTERS = 100  # of a cell


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; of more than 60 rows the first, the last, some between, and the count."""
    shown = some_of(len(rows), _MOST_ROWS)
    lines = [_row("th", head), *(_row("td", rows[i]) for i in shown)]
    if len(shown) < len(rows):
        lines.append(_row("td", [f"{len(shown)} of {len(rows):,} rows"]))
    return f'<table style="{_TABLE}">{"".join(lines)}</table>'


def _row(kind: str, cells: Sequence[str]) -> str:
    shown = (escape(_cut(cell)) for cell in cells)
    return "<tr>" + "".join(f'<{kind} style="{_CELL}">{c}</{kind}>' for c in shown) + "</tr>"


def _cut(text: str) -> str:
    left_out = len(text) - _MOST_LETTERS
    return text if left_out <= 0 else f"{text[:_MOST_LETTERS]}... ({left_out:,} more letters)"


def block(title: str, *parts: str) -> str:
    """Return HTML under a title."""
    return f"<div><div><b>{escape(title)}</b></div>{''.join(parts)}</div>"


def legend(entries: Sequence[tuple[str, bool, str]]) -> str:
    """Return what the lines of a figure mean: colour, whether dashed, words."""
    lines = [
        f'<span style="display:inline-block;white-space:nowrap;margin-right:1.2em">'
        f'<span style="display:inline-block;width:1.6em;vertical-align:middle;'
        f'border-top:2px {"dashed" if dashed else "solid"} {colour};margin-right:0.4em"></span>'
        f"{escape(words)}</span>"
        for colour, dashed, words in entries
    ]
    return f'<div style="max-width:400px;font-size:90%">{"".join(lines)}</div>'


def picture(svg: str, alt: str) -> str:
    """Return SVG within HTML, as an `img`.

    Jupyter takes the tags of SVG, but no pictures, out of what it does not trust: the outputs of
    every notebook that another person ran.
    """
    data = b64encode(svg.encode()).decode()
    return (
        f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(alt)}" style="max-width:100%">'
    )
