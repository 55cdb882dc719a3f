"""Tables of text."""

from collections.abc import Sequence


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of equally many cells with their columns flush right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def decimals(number: float) -> str:
    """Return a number with 6 decimals; large ones with an exponent, or they would fill the line."""
    return f"{number:.6f}" if abs(number) < 1e9 else f"{number:.6e}"
