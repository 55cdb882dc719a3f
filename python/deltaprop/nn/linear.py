"""The dense, fully connected layer."""

from typing import ClassVar

from deltaprop import _core
from deltaprop._arrays import Array, as_count, as_flag, as_name
from deltaprop.nn.core_module import CoreLayer


class Linear(CoreLayer):
    """A dense layer, z = a w + b, as ``torch.nn.Linear``.

    Parameters
    ----------
    in_features, out_features : int
        Widths of input and output, 1 or more.
    bias : bool, default True
        Whether the layer has a bias b.
    init : str, default "default"
        The initialisation. "default" draws weight and bias from U(-k, k), k = 1/sqrt(in_features),
        as PyTorch's Linear. Others set the bias to 0: "kaiming_uniform", "xavier_normal",
        "orthogonal" and every initialiser of `nn.init`, without the underscore and with default
        options. Keras's `he_...` and `glorot_...` are synonyms of `kaiming_...` and `xavier_...`.

    Attributes
    ----------
    weight, grad_weight : ndarray, shape (out_features, in_features)
        Writable views into the flat buffers, which store w as (in_features, out_features).
    bias, grad_bias : ndarray, shape (out_features,), or None without a bias

    Raises
    ------
    ValueError
        For a width below 1 or an unknown `init`.
    TypeError
        For a width, `bias` or `init` of the wrong type.

    Notes
    -----
    Formula: z = a w + b
    Derivative: dJ/dw = a^T delta, dJ/db = the sum of delta over the rows, dJ/da = delta w^T, with
    delta = dJ/dz
    Source: torch.nn.Linear; Rumelhart, Hinton and Williams, "Learning representations by
    back-propagating errors" (1986), equations 1, 6 and 7

    Examples
    --------
    >>> import numpy as np
    >>> from deltaprop import nn
    >>> nn.Linear(4, 5)(np.ones((2, 4))).shape
    (2, 5)
    """

    _names: ClassVar[tuple[str, ...]] = ("weight", "bias")

    weight: Array
    bias: Array | None
    grad_weight: Array
    grad_bias: Array | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, init: str = "default"
    ) -> None:
        self.in_features: int = as_count(in_features, "Linear: in_features", 1)
        self.out_features: int = as_count(out_features, "Linear: out_features", 1)
        if not as_flag(bias, "Linear: bias"):
            self._leave_out("bias")
        self.init = as_name(init, "Linear: init")
        self._core_layer()

    def _core_layer(self) -> _core.Layer:
        return _core.Linear(self.in_features, self.out_features, "bias" in self._names, self.init)
