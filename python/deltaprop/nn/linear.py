"""The dense layer."""

from typing import ClassVar

from deltaprop import _core
from deltaprop._arrays import Array, as_count, as_name
from deltaprop.nn.native import NativeLayer


class Linear(NativeLayer):
    """A dense layer, z = a w + b.

    Parameters
    ----------
    in_features, out_features : int
        Widths of input and output, 1 or more.
    init : str, default "default"
        How the weight starts. "default": weight and bias uniform on +-1/sqrt(in_features), as
        PyTorch's Linear. "kaiming_uniform", "kaiming_normal" (He et al. 2015, equation 10, for
        ReLU) and "xavier_uniform", "xavier_normal" (Glorot and Bengio 2010, equation 16): the bias
        is 0 then. Keras's "he_..." and "glorot_..." name the same.

    Attributes
    ----------
    weight, grad_weight : ndarray, shape (out_features, in_features)
        Writable views into the flat buffers, which store w as (in_features, out_features).
    bias, grad_bias : ndarray, shape (out_features,)

    Raises
    ------
    ValueError
        For a width below 1 or an unknown `init`.

    Notes
    -----
    Forward: z = a w + b. Backward: dJ/dw = a^T delta, dJ/db = the sum of delta over the rows,
    dJ/da = delta w^T, with delta = dJ/dz.

    Examples
    --------
    >>> import numpy as np
    >>> from deltaprop import nn
    >>> nn.Linear(4, 5)(np.ones((2, 4))).shape
    (2, 5)
    """

    _names: ClassVar[tuple[str, ...]] = ("weight", "bias")

    weight: Array
    bias: Array
    grad_weight: Array
    grad_bias: Array

    def __init__(self, in_features: int, out_features: int, *, init: str = "default") -> None:
        self.in_features: int = as_count(in_features, "Linear: in_features", 1)
        self.out_features: int = as_count(out_features, "Linear: out_features", 1)
        self.init = as_name(init, "Linear: init")
        self._core_layer()

    def _core_layer(self) -> _core.Layer:
        return _core.Linear(self.in_features, self.out_features, self.init)
