"""Plain-text tables."""

from collections.abc import Sequence

import numpy as np

from deltaprop._arrays import Array


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as text with right-aligned columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def some_of(count: int, most: int) -> Array:
    """Return at most `most` evenly spaced indices of `count`, the first and last included."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))


def decimals(number: float) -> str:
    """Return a number with 6 decimals; from 1e9 on with an exponent, which keeps columns narrow."""
    return f"{number:.6f}" if abs(number) < 1e9 else f"{number:.6e}"
