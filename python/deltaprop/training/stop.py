"""Stop rules."""

import math
from typing import Any

import numpy as np


class StopOnPlateau:
    """Stop when the loss on all training data changes by less than `eps` between evaluations.

    Parameters
    ----------
    eps : float
        Minimum absolute change, above 0.
    every : {"epoch", "update"}, default "epoch"
        Whether to evaluate the loss after each epoch or after each update of the parameters.
    loss : loss, optional
        The loss to evaluate. Default: the training loss.

    Raises
    ------
    ValueError
        For another `every`, or if `eps` is not positive and finite.
    TypeError
        If `eps` is not a number.

    Notes
    -----
    Each evaluation is an inference pass over all rows passed to `fit`, weighted by `sample_weight`.
    The first evaluation never stops the fit.
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
