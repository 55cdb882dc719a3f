"""HTML for Jupyter: no scripts, colours inherited from the page."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape

from deltaprop._table import some_of

# Inline styles override those of the page, which may stripe or recolour table rows.
_TABLE = "border-collapse:collapse;color:inherit;font-size:inherit;margin:0.3em 0"
_CELL = "padding:0.15em 1em 0.15em 0;text-align:left;white-space:nowrap;background:none"
_MAX_ROWS = 60
_MAX_CHARACTERS = 100  # of a cell


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table. Of more than 60 rows it shows 60, evenly spaced, and the total count."""
    shown = some_of(len(rows), _MAX_ROWS)
    lines = [_row("th", head), *(_row("td", rows[i]) for i in shown)]
    if len(shown) < len(rows):
        lines.append(_row("td", [f"{len(shown)} of {len(rows):,} rows"]))
    return f'<table style="{_TABLE}">{"".join(lines)}</table>'


def _row(kind: str, cells: Sequence[str]) -> str:
    shown = (escape(_cut(cell)) for cell in cells)
    return "<tr>" + "".join(f'<{kind} style="{_CELL}">{c}</{kind}>' for c in shown) + "</tr>"


def _cut(text: str) -> str:
    left_out = len(text) - _MAX_CHARACTERS
    return text if left_out <= 0 else f"{text[:_MAX_CHARACTERS]}... ({left_out:,} more letters)"


def block(title: str, *parts: str) -> str:
    """Return HTML parts under a title."""
    return f"<div><div><b>{escape(title)}</b></div>{''.join(parts)}</div>"


def legend(entries: Sequence[tuple[str, bool, str]]) -> str:
    """Return a legend; each entry is a line's colour, whether it is dashed, and its label."""
    lines = [
        f'<span style="display:inline-block;white-space:nowrap;margin-right:1.2em">'
        f'<span style="display:inline-block;width:1.6em;vertical-align:middle;'
        f'border-top:2px {"dashed" if dashed else "solid"} {colour};margin-right:0.4em"></span>'
        f"{escape(label)}</span>"
        for colour, dashed, label in entries
    ]
    return f'<div style="max-width:400px;font-size:90%">{"".join(lines)}</div>'


def picture(svg: str, alt: str) -> str:
    """Return SVG as an HTML `img` element.

    Jupyter strips SVG tags, but not images, from untrusted outputs: those of every notebook that
    another person ran.
    """
    data = b64encode(svg.encode()).decode()
    return (
        f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(alt)}" style="max-width:100%">'
    )
