"""Line charts as SVG, a thousand times cheaper than matplotlib, and helpers that figures share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deltaprop._arrays import Array

# The palette of Okabe and Ito, "Color universal design" (2008), without black, which is invisible
# on a dark page; yellow, weak on a white page, comes last.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")
BLUE, ORANGE, GREEN, RED = COLOURS[:4]
# An image cannot inherit the page's colours: this grey is readable on white and on black.
_INK = "#7a7a7a"

_WIDTH, _HEIGHT = 400, 200
_LEFT, _TOP, _BOTTOM, _EDGE = 52, 22, 34, 20  # margins around the lines
_MAX_POINTS = 400  # of a line: one per unit of width


@dataclass(frozen=True)
class Line:
    """A line of a figure."""

    x: Array
    y: Array
    colour: str
    dashed: bool = False


def outline(values: Array, max_points: int) -> Array:
    """Return the indices of the points to draw: minimum and maximum of each bin, and the last."""
    count = len(values)
    if count <= max_points:
        return np.arange(count)
    width = -(-count // (max_points // 2))
    bins = np.append(values, np.full(-count % width, np.nan)).reshape(-1, width)
    first = np.arange(len(bins)) * width
    missing = np.isnan(bins)
    lowest = np.where(missing, np.inf, bins).argmin(axis=1)
    highest = np.where(missing, -np.inf, bins).argmax(axis=1)
    return np.unique([*(first + lowest), *(first + highest), count - 1])


def spans_decades(values: Array) -> bool:
    """Return whether to use a logarithmic axis: all values above 0, spanning a factor of 100."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() > 100 * finite.min())


def svg(lines: Sequence[Line], title: str) -> str:
    """Return a chart of lines over epochs as SVG, readable on light and dark pages.

    Parameters
    ----------
    lines : sequence of Line
        Points that are not finite are left out. The axis is logarithmic if `spans_decades`.
    title : str
        Text above the chart.
    """
    epochs = np.concatenate([np.ones(1), *(line.x for line in lines)])
    values = np.concatenate([np.empty(0), *(line.y for line in lines)])
    across = _Axis(epochs, _LEFT, _WIDTH - _EDGE, min_step=1)
    up = _Axis(values, _HEIGHT - _BOTTOM, _TOP, logarithmic=spans_decades(values))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" font-size="11" '
        f'fill="{_INK}">'
        f'<text x="{_LEFT}" y="12">{title}</text>'
    ]
    for y, text in up.ticks(4):
        parts.append(
            f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _EDGE}" stroke="{_INK}" '
            f'stroke-opacity="0.3"/>'
            f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        )
    for x, text in across.ticks(6):
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle">{text}</text>'
        )
    middle = (_LEFT + _WIDTH - _EDGE) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 5}" text-anchor="middle">epoch</text>')
    parts += [_draw(line, across, up) for line in lines]
    return "".join(parts) + "</svg>"


def _draw(line: Line, across: "_Axis", up: "_Axis") -> str:
    points = outline(line.y, _MAX_POINTS)
    # Formatting Python floats is several times faster than formatting NumPy scalars.
    x, y = across(line.x[points]).tolist(), up(line.y[points]).tolist()
    finite = [False, *map(math.isfinite, y), False]
    path, dots = "", ""
    for i, (before, here, after) in enumerate(zip(finite, finite[1:], finite[2:], strict=False)):
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
    """Maps values to pixel positions."""

    def __init__(
        self,
        values: Array,
        start: float,
        end: float,
        logarithmic: bool = False,
        min_step: float = 0.0,
    ) -> None:
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        extra = 0.0 if low < high else abs(low) / 2 or 1.0
        self._low, self._high = low - extra, high + extra
        self._start, self._end = start, end
        self._logarithmic = logarithmic
        self._min_step = min_step

    def __call__(self, values: Array) -> Array:
        low, high = self._scaled(np.array([self._low, self._high]))
        with np.errstate(invalid="ignore"):
            fraction = (self._scaled(values) - low) / (high - low)
            return np.asarray(self._start + fraction * (self._end - self._start))

    def _scaled(self, values: Array) -> Array:
        return np.asarray(np.log10(values) if self._logarithmic else values)

    def ticks(self, count: int) -> list[tuple[float, str]]:
        """Return positions and labels of ticks at round values: `count` or a few more at most."""
        if self._logarithmic:
            low, high = np.ceil(np.log10(self._low)), np.floor(np.log10(self._high))
            step = max(1, -(-(high - low + 1) // count))
            values = 10.0 ** np.arange(low, high + 1, step)
        else:
            span = max((self._high - self._low) / count, self._min_step)
            size = 10.0 ** np.floor(np.log10(span))
            step = size * min(f for f in (1, 2, 2.5, 5, 10) if f * size >= span)
            values = step * np.arange(np.ceil(self._low / step), self._high / step + 1e-9)
        style = ",.0f" if self._min_step >= 1 else ".4g"
        return [(p, f"{v:{style}}") for p, v in zip(self(values).tolist(), values, strict=True)]
