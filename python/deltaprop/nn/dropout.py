"""Layers that drop elements at random in training."""

from deltaprop import _core
from deltaprop._arrays import as_real
from deltaprop.nn.core_module import ConfiguredLayer


class RandomMask(ConfiguredLayer):
    """A mask drawn anew in each training pass; the identity in inference."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = as_real(p, f"{type(self).__name__}: p", 0, 1)

    def _core_layer(self) -> _core.Layer:
        return _core.Dropout(self._kind, self.p)

    _kind: str


class Dropout(RandomMask):
    """Sets elements to 0 at random in training, as ``torch.nn.Dropout``; inputs of any width.

    Off in inference. A mask is decided by the network's seed, the number of the training pass and
    the layer's place, never by threads or how rows are divided.

    Parameters
    ----------
    p : float from 0 to 1, default 0.5
        The probability of an element to be set to 0.

    Raises
    ------
    TypeError, ValueError
        For what is no number, or out of range.

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

    Off in inference; inputs of any width. Masks are drawn as those of `Dropout`.

    Parameters
    ----------
    p : float from 0 to 1, default 0.5
        The probability of an element to be dropped; at 1 all become 0.

    Raises
    ------
    TypeError, ValueError
        For what is no number, or out of range.

    Notes
    -----
    Formula: f(x) = a (m x - (1 - m) alpha) + a p alpha in training, m = 0 with probability p,
    else 1, alpha = 1.7580993408473766, a = 1 / sqrt((1 - p) (1 + p alpha^2)); x in inference
    Derivative: f'(x) = a m in training, 1 in inference
    Source: torch.nn.AlphaDropout; Klambauer et al., "Self-normalizing neural networks" (2017),
    section 3
    """

    _kind = "AlphaDropout"
