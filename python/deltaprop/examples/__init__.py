"""The two examples of ``python -m deltaprop``, as functions."""

from deltaprop.examples.digits import train_digits
from deltaprop.examples.trapezoid import train_trapezoid

__all__ = ["train_digits", "train_trapezoid"]
