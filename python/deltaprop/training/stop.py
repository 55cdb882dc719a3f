"""Stop rules."""

import math
from typing import Any

import numpy as np


class StopOnPlateau:
    """Stop when the whole set's loss moved by less than `eps` from one look to the next.

    Parameters
    ----------
    eps : float
        Above 0.
    every : {"epoch", "update"}, default "epoch"
        When to look: after each epoch, or after each update of the parameters.
    loss : loss, optional
        What to look at; None: the loss trained with.

    Raises
    ------
    ValueError
        For another `every`, or an `eps` that is not a positive number.

    Notes
    -----
    Each look is an inference over all rows given to `fit`, weighed by `sample_weight`. The first
    look stops nothing.
    """

    def __init__(self, eps: float, every: str = "epoch", loss: Any = None) -> None:
        if every not in ("epoch", "update"):
            raise ValueError(f"StopOnPlateau: expected every 'epoch' or 'update', got {every!r}")
        if not isinstance(eps, int | float | np.number):
            raise TypeError(f"StopOnPlateau: expected a number as eps, got {eps!r}")
        if not (math.isfinite(eps) and eps > 0):
            raise ValueError(f"StopOnPlateau: expected eps > 0, got {eps}")
        self.eps = float(eps)
        self.every = every
        self.loss = loss

    def __repr__(self) -> str:
        return f"StopOnPlateau(eps={self.eps:g}, every={self.every!r}, loss={self.loss!r})"
