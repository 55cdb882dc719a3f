"""Tables of text."""

from collections.abc import Sequence

import numpy as np

from deltaprop._arrays import Array


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of equally many cells with their columns flush right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def some_of(count: int, most: int) -> Array:
    """Return which of so many lines to show: the first, the last, and some evenly between."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))


def decimals(number: float) -> str:
    """Return a number with 6 decimals; large ones with an exponent, or they would fill the line."""
    return f"{number:.6f}" if abs(number) < 1e9 else f"{number:.6e}"
