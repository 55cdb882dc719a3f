"""Normalisation of features over the batch, or of rows over their features."""

from collections.abc import Sequence
from typing import Any, ClassVar

from deltaprop import _core
from deltaprop._arrays import Array, as_count, as_flag, as_real
from deltaprop.nn.core_module import ConfiguredLayer


class BatchNorm1d(ConfiguredLayer):
    """Normalises each feature over the rows of the batch, as ``torch.nn.BatchNorm1d``.

    In inference, and in training while the layer is frozen, it uses the running statistics. Each
    batch updates them: in `forward`, and in `fit` unless the loss or a delta is not finite.

    Parameters
    ----------
    num_features : int
        Width of the input, 1 or more.
    eps : float, default 1e-5
        Added to the variance, 0 or more.
    momentum : float from 0 to 1, or None, default 0.1
        The weight of each batch in the running statistics. None: a cumulative average over all
        batches.
    affine : bool, default True
        Whether the layer has weight and bias.

    Attributes
    ----------
    weight, bias, grad_weight, grad_bias : ndarray, shape (num_features,), or None
        Writable views into the flat buffers; initialised to ones and zeros.
    running_mean, running_var : ndarray, shape (num_features,)
        Writable views; initialised to zeros and ones. The variance is the unbiased estimate.
    num_batches_tracked : ndarray, shape ()
        The number of batches in the running statistics, in the network's dtype: float32 counts up
        to 2**24.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or out of range. ValueError in training for a batch of
        fewer than 2 rows, whose variance is undefined.

    Notes
    -----
    Formula: f(x) = weight xhat + bias, xhat = (x - mean) / sqrt(var + eps), var the mean of
    (x - mean)^2
    Derivative: dJ/dx = weight / sqrt(var + eps) (d - mean(d) - xhat mean(d xhat)), d = dJ/df, the
    means over the batch; without them where mean and var are the running ones; dJ/dweight =
    sum(d xhat), dJ/dbias = sum(d)
    Source: torch.nn.BatchNorm1d; Ioffe and Szegedy, "Batch normalization: accelerating deep network
    training by reducing internal covariate shift" (2015), algorithm 1

    PyTorch's option `track_running_stats` is not available, since inference of a row must not
    depend on other rows, nor is a separate `bias`: `affine` controls both parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from deltaprop import nn
    >>> nn.BatchNorm1d(1).forward([[1.0], [3.0]]).round(2)
    array([[-1.],
           [ 1.]], dtype=float32)
    """

    _names: ClassVar[tuple[str, ...]] = ("weight", "bias")
    _buffer_names: ClassVar[tuple[str, ...]] = (
        "running_mean",
        "running_var",
        "num_batches_tracked",
    )

    weight: Array | None
    bias: Array | None
    grad_weight: Array | None
    grad_bias: Array | None
    running_mean: Array
    running_var: Array
    num_batches_tracked: Array

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
    ) -> None:
        self.num_features = as_count(num_features, "BatchNorm1d: num_features", 1)
        self.eps = as_real(eps, "BatchNorm1d: eps", at_least=0)
        self.momentum = (
            None if momentum is None else as_real(momentum, "BatchNorm1d: momentum", 0, 1)
        )
        self.affine = as_flag(affine, "BatchNorm1d: affine")
        self.in_features = self.out_features = self.num_features
        if not self.affine:
            self._leave_out("weight", "bias")
        self._core_layer()

    def _core_layer(self) -> _core.Layer:
        return _core.BatchNorm(self.num_features, self.eps, self.momentum, self.affine, repr(self))


class LayerNorm(ConfiguredLayer):
    """Normalises each row over its features, as ``torch.nn.LayerNorm``.

    Parameters
    ----------
    normalized_shape : int or sequence of one int
        Width of the input, 1 or more.
    eps : float, default 1e-5
        Added to the variance, 0 or more.
    elementwise_affine : bool, default True
        Whether the layer has weight and bias.
    bias : bool, default True
        Whether the layer has a bias, with `elementwise_affine`.

    Attributes
    ----------
    weight, bias, grad_weight, grad_bias : ndarray, shape (normalized_shape,), or None
        Writable views into the flat buffers; initialised to ones and zeros.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or out of range.

    Notes
    -----
    Formula: f(x) = weight xhat + bias, xhat = (x - mean(x)) / sqrt(var(x) + eps), over each row
    Derivative: dJ/dx = (g - mean(g) - xhat mean(g xhat)) / sqrt(var(x) + eps), g = weight dJ/df;
    dJ/dweight and dJ/dbias are the sums over the rows of xhat dJ/df and dJ/df
    Source: torch.nn.LayerNorm; Ba, Kiros and Hinton, "Layer normalization" (2016), equations 3
    and 4

    Examples
    --------
    >>> from deltaprop import nn
    >>> nn.LayerNorm(2)([1.0, 3.0]).round(2)
    array([-1.,  1.], dtype=float32)
    """

    _names: ClassVar[tuple[str, ...]] = ("weight", "bias")

    weight: Array | None
    bias: Array | None
    grad_weight: Array | None
    grad_bias: Array | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        self.normalized_shape = _width(normalized_shape, "LayerNorm: normalized_shape")
        self.eps = as_real(eps, "LayerNorm: eps", at_least=0)
        self.elementwise_affine = as_flag(elementwise_affine, "LayerNorm: elementwise_affine")
        with_bias = as_flag(bias, "LayerNorm: bias")
        self.in_features = self.out_features = self.normalized_shape
        if not self.elementwise_affine:
            self._leave_out("weight", "bias")
        elif not with_bias:
            self._leave_out("bias")
        self._core_layer()

    def _core_layer(self) -> _core.Layer:
        return _core.RowNorm(
            True,
            self.normalized_shape,
            self.eps,
            self.elementwise_affine,
            "bias" in self._names,
            repr(self),
        )


class RMSNorm(ConfiguredLayer):
    """Divides each row by the root of its mean square, as ``torch.nn.RMSNorm``.

    Parameters
    ----------
    normalized_shape : int or sequence of one int
        Width of the input, 1 or more.
    eps : float, optional
        Added to the mean square, 0 or more. Default: the machine epsilon of the network's dtype.
    elementwise_affine : bool, default True
        Whether the layer has a weight.

    Attributes
    ----------
    weight, grad_weight : ndarray, shape (normalized_shape,), or None
        Writable views into the flat buffers; the weight is initialised to ones.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or out of range.

    Notes
    -----
    Formula: f(x) = weight xhat, xhat = x / sqrt(mean(x^2) + eps), over each row
    Derivative: dJ/dx = (g - xhat mean(g xhat)) / sqrt(mean(x^2) + eps), g = weight dJ/df;
    dJ/dweight is the sum over the rows of xhat dJ/df
    Source: torch.nn.RMSNorm; Zhang and Sennrich, "Root mean square layer normalization" (2019),
    equation 4

    Examples
    --------
    >>> from deltaprop import nn
    >>> nn.RMSNorm(2)([3.0, 3.0]).round(2)
    array([1., 1.], dtype=float32)
    """

    _names: ClassVar[tuple[str, ...]] = ("weight",)

    weight: Array | None
    grad_weight: Array | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
    ) -> None:
        self.normalized_shape = _width(normalized_shape, "RMSNorm: normalized_shape")
        self.eps = None if eps is None else as_real(eps, "RMSNorm: eps", at_least=0)
        self.elementwise_affine = as_flag(elementwise_affine, "RMSNorm: elementwise_affine")
        self.in_features = self.out_features = self.normalized_shape
        if not self.elementwise_affine:
            self._leave_out("weight")
        self._core_layer()

    def _core_layer(self) -> _core.Layer:
        return _core.RowNorm(
            False, self.normalized_shape, self.eps, self.elementwise_affine, False, repr(self)
        )


def _width(shape: Any, name: str) -> int:
    """Return the width, which may be given as a shape, as in PyTorch."""
    if isinstance(shape, tuple | list):
        if len(shape) != 1:
            raise ValueError(
                f"{name}: expected one width, as inputs are (N, features), got {shape}"
            )
        (shape,) = shape
    return as_count(shape, name, 1)
