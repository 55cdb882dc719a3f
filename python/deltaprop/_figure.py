"""Lines as SVG, which costs a thousandth of a plotting library, and what all figures share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deltaprop._arrays import Array

# Those of Okabe and Ito, "Color universal design" (2008), without black, which a dark page hides;
# yellow, weak on a white one, comes last.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")
BLUE, ORANGE, GREEN, RED = COLOURS[:4]
# A picture has no part in the colours of the page: this is as far from white as from black.
_INK = "#7a7a7a"

_WIDTH, _HEIGHT = 400, 200
_LEFT, _TOP, _BOTTOM, _EDGE = 52, 22, 34, 20  # around the lines
_MOST_POINTS = 400  # of a line: one for each unit of width


@dataclass(frozen=True)
class Line:
    """A line of a figure."""

    x: Array
    y: Array
    colour: str
    dashed: bool = False


def outline(values: Array, most: int) -> Array:
    """Return which points of a line to draw: the least and greatest of each stretch, no more."""
    count = len(values)
    if count <= most:
        return np.arange(count)
    stretch = -(-count // (most // 2))
    whole = np.append(values, np.full(-count % stretch, np.nan)).reshape(-1, stretch)
    first = np.arange(len(whole)) * stretch
    missing = np.isnan(whole)
    least = np.where(missing, np.inf, whole).argmin(axis=1)
    greatest = np.where(missing, -np.inf, whole).argmax(axis=1)
    return np.unique([*(first + least), *(first + greatest), count - 1])


def spans_decades(values: Array) -> bool:
    """Return whether a logarithmic axis shows them better: all above 0, by a factor of 100."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() > 100 * finite.min())


def svg(lines: Sequence[Line], title: str) -> str:
    """Return lines by epoch, from the first on, as SVG in a grey that any page lets read.

    Parameters
    ----------
    lines : sequence of Line
        What is not finite is left out. The axis is logarithmic where `spans_decades`.
    title : str
        Stands above.
    """
    epochs = np.concatenate([np.ones(1), *(line.x for line in lines)])
    values = np.concatenate([np.empty(0), *(line.y for line in lines)])
    across = _Axis(epochs, _LEFT, _WIDTH - _EDGE, least_step=1)
    up = _Axis(values, _HEIGHT - _BOTTOM, _TOP, logarithmic=spans_decades(values))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" font-size="11" '
        f'fill="{_INK}">'
        f'<text x="{_LEFT}" y="12">{title}</text>'
    ]
    for place, text in up.ticks(4):
        parts.append(
            f'<path d="M{_LEFT} {place:.1f}H{_WIDTH - _EDGE}" stroke="{_INK}" '
            f'stroke-opacity="0.3"/>'
            f'<text x="{_LEFT - 5}" y="{place + 4:.1f}" text-anchor="end">{text}</text>'
        )
    for place, text in across.ticks(6):
        parts.append(
            f'<text x="{place:.1f}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle">{text}</text>'
        )
    middle = (_LEFT + _WIDTH - _EDGE) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 5}" text-anchor="middle">epoch</text>')
    parts += [_drawn(line, across, up) for line in lines]
    return "".join(parts) + "</svg>"


def _drawn(line: Line, across: "_Axis", up: "_Axis") -> str:
    shown = outline(line.y, _MOST_POINTS)
    # Python's numbers print several times faster than NumPy's.
    x, y = across(line.x[shown]).tolist(), up(line.y[shown]).tolist()
    there = [False, *map(math.isfinite, y), False]
    path, dots = "", ""
    for i, (before, here, after) in enumerate(zip(there, there[1:], there[2:], strict=False)):
        if here and not before and not after:
            dots += f'<circle cx="{x[i]:.1f}" cy="{y[i]:.1f}" r="3" fill="{line.colour}"/>'
        elif here:
            path += f"{'L' if before else 'M'}{x[i]:.1f} {y[i]:.1f}"
    dashes = ' stroke-dasharray="5 3"' if line.dashed else ""
    return (
        f'<path d="{path}" fill="none" stroke="{line.colour}" stroke-width="1.8" '
        f'stroke-linejoin="round" stroke-linecap="round"{dashes}/>{dots}'
    )


class _Axis:
    """From values to places."""

    def __init__(
        self,
        values: Array,
        start: float,
        end: float,
        logarithmic: bool = False,
        least_step: float = 0.0,
    ) -> None:
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        extra = 0.0 if low < high else abs(low) / 2 or 1.0
        self._low, self._high = low - extra, high + extra
        self._start, self._end = start, end
        self._logarithmic = logarithmic
        self._least_step = least_step

    def __call__(self, values: Array) -> Array:
        low, high = self._scaled(np.array([self._low, self._high]))
        with np.errstate(invalid="ignore"):
            part = (self._scaled(values) - low) / (high - low)
            return np.asarray(self._start + part * (self._end - self._start))

    def _scaled(self, values: Array) -> Array:
        return np.asarray(np.log10(values) if self._logarithmic else values)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Return places and words of round values, so many or a few more at the most."""
        if self._logarithmic:
            low, high = np.ceil(np.log10(self._low)), np.floor(np.log10(self._high))
            step = max(1, -(-(high - low + 1) // most))
            values = 10.0 ** np.arange(low, high + 1, step)
        else:
            span = max((self._high - self._low) / most, self._least_step)
            size = 10.0 ** np.floor(np.log10(span))
            step = size * min(f for f in (1, 2, 2.5, 5, 10) if f * size >= span)
            values = step * np.arange(np.ceil(self._low / step), self._high / step + 1e-9)
        written = ",.0f" if self._least_step >= 1 else ".4g"
        return [(p, f"{v:{written}}") for p, v in zip(self(values).tolist(), values, strict=True)]
