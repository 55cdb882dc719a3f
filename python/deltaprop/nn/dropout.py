"""Layers that drop elements at random in training."""

from deltaprop import _core
from deltaprop._arrays import as_real
from deltaprop.nn.core_module import ConfiguredLayer


class RandomMask(ConfiguredLayer):
    """A random mask, drawn in each training pass; the identity in inference."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = as_real(p, f"{type(self).__name__}: p", 0, 1)

    def _core_layer(self) -> _core.Layer:
        return _core.Dropout(self._kind, self.p)

    _kind: str


class Dropout(RandomMask):
    """Sets elements to 0 at random in training, as ``torch.nn.Dropout``; inputs of any width.

    The identity in inference. Masks depend only on the network's seed, the number of the training
    pass and the layer's position, not on threads or on how rows are divided among them.

    Parameters
    ----------
    p : float from 0 to 1, default 0.5
        The probability that an element is set to 0.

    Raises
    ------
    TypeError, ValueError
        If `p` is not a number or is out of range.

    Notes
    -----
    Formula: f(x) = m x / (1 - p) in training, m = 0 with probability p, else 1; x in inference
    Derivative: f'(x) = m / (1 - p) in training, 1 in inference
    Source: torch.nn.Dropout; Srivastava et al., "Dropout: a simple way to prevent neural networks
    from overfitting" (2014), section 4

    Examples
    --------
    >>> from deltaprop import nn
    >>> nn.Dropout(0.2)([1.0, 2.0])
    array([1., 2.], dtype=float32)
    """

    _kind = "Dropout"


class AlphaDropout(RandomMask):
    """Drops elements and keeps mean and variance, for use with SELU, as ``torch.nn.AlphaDropout``.

    The identity in inference; inputs of any width. Masks are drawn as those of `Dropout`.

    Parameters
    ----------
    p : float from 0 to 1, default 0.5
        The probability that an element is dropped; with 1 all elements become 0.

    Raises
    ------
    TypeError, ValueError
        If `p` is not a number or is out of range.

    Notes
    -----
    Formula: f(x) = a (m x - (1 - m) alpha) + a p alpha in training, m = 0 with probability p,
    else 1, alpha = 1.7580993408473766, a = 1 / sqrt((1 - p) (1 + p alpha^2)); x in inference
    Derivative: f'(x) = a m in training, 1 in inference
    Source: torch.nn.AlphaDropout; Klambauer et al., "Self-normalizing neural networks" (2017),
    section 3
    """

    _kind = "AlphaDropout"
