"""Initialisers: PyTorch's ``nn.init``, with seeds.

Each fills a `Parameter`, or any writable array, in place and returns it. The same seed gives the
same numbers on every machine (`orthogonal_`: to rounding), for every dtype and memory order. The
name without its underscore is a value of ``nn.Linear(..., init=...)``, with the default options; a
network's first weight, filled with the network's seed, equals what that value gives.

Shapes are PyTorch's: a weight is (fan_out, fan_in); further axes count for both fans.

Examples
--------
>>> from deltaprop import nn
>>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), seed=0)
>>> w = nn.init.orthogonal_(net[0].weight, seed=1)
>>> bool(abs(w @ w.T - [[1, 0, 0], [0, 1, 0], [0, 0, 1]]).max() < 1e-6)
True
"""

import math
from typing import TypeVar

import numpy as np

from deltaprop import _core
from deltaprop._arrays import Array, as_name, as_real, as_seed, entropy
from deltaprop.nn.parameter import Parameter

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

Target = TypeVar("Target", Parameter, Array)

# Squared, since a variance is gain^2 / fan, and in floating point sqrt(2)^2 is not 2.
_SQUARED_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": (5 / 3) ** 2, "relu": 2.0, "selu": 9 / 16}
_MODES = ("fan_in", "fan_out")


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the recommended gain for a nonlinearity, which preserves the scale of activations.

    Parameters
    ----------
    nonlinearity : {"linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"}
    param : float, optional
        The negative slope of "leaky_relu", by default 0.01; ignored by the others.

    Returns
    -------
    float
        In the order above: 1, 1, 5/3, sqrt(2), sqrt(2 / (1 + param^2)), 3/4.

    Raises
    ------
    ValueError
        For another name, or a slope that is not finite.
    TypeError
        If `nonlinearity` is not a string, or the slope not a number.

    Notes
    -----
    Formula: 1 / sqrt(E f(z)^2), z standard normal, for ReLU and leaky ReLU; by custom for others.
    Source: ``torch.nn.init.calculate_gain``.
    """
    return math.sqrt(
        _squared_gain("calculate_gain", nonlinearity, 0.01 if param is None else param)
    )


def uniform_(tensor: Target, a: float = 0.0, b: float = 1.0, *, seed: int | None = None) -> Target:
    """Draw from the uniform distribution on [a, b).

    Parameters
    ----------
    tensor : Parameter or ndarray
        Filled in place.
    a, b : float, defaults 0 and 1
        Finite, a <= b.
    seed : int, optional
        Default: a random seed from the operating system.

    Returns
    -------
    Parameter or ndarray
        `tensor`.

    Raises
    ------
    ValueError
        For an option out of range, or a read-only array.
    TypeError
        If `tensor` is not an array of floating-point numbers, or an option has the wrong type.

    Notes
    -----
    Formula: w ~ U(a, b).
    Source: ``torch.nn.init.uniform_``.
    """
    a, b = _ordered("uniform_", a, b)
    return _fill("uniform", tensor, [a, b], seed)


def normal_(
    tensor: Target, mean: float = 0.0, std: float = 1.0, *, seed: int | None = None
) -> Target:
    """Draw from a normal distribution.

    Parameters
    ----------
    tensor : Parameter or ndarray
        Filled in place.
    mean : float, default 0
    std : float, default 1
        The standard deviation, 0 or more.
    seed : int, optional
        Default: a random seed from the operating system.

    Returns
    -------
    Parameter or ndarray
        `tensor`.

    Raises
    ------
    ValueError
        For an option out of range, or a read-only array.
    TypeError
        If `tensor` is not an array of floating-point numbers, or an option has the wrong type.

    Notes
    -----
    Formula: w ~ N(mean, std^2).
    Source: ``torch.nn.init.normal_``.
    """
    mean = as_real(mean, "normal_: mean")
    std = as_real(std, "normal_: std", 0)
    return _fill("normal", tensor, [mean, std], seed)


def trunc_normal_(
    tensor: Target,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    *,
    seed: int | None = None,
) -> Target:
    """Draw from a normal distribution truncated to [a, b].

    Parameters
    ----------
    tensor : Parameter or ndarray
        Filled in place.
    mean : float, default 0
    std : float, default 1
        The standard deviation before truncation, above 0.
    a, b : float, defaults -2 and 2
        Bounds of the values, not multiples of `std`; finite, a <= b.
    seed : int, optional
        Default: a random seed from the operating system.

    Returns
    -------
    Parameter or ndarray
        `tensor`.

    Raises
    ------
    ValueError
        For an option out of range, or a read-only array.
    TypeError
        If `tensor` is not an array of floating-point numbers, or an option has the wrong type.

    Notes
    -----
    Formula: w = mean + std Q(u), u ~ U(P((a - mean) / std), P((b - mean) / std)), P the normal
    distribution and Q its inverse.
    Source: ``torch.nn.init.trunc_normal_``; exact in the tails as well.
    """
    mean = as_real(mean, "trunc_normal_: mean")
    std = as_real(std, "trunc_normal_: std", 0)
    if std == 0:
        raise ValueError("trunc_normal_: std: expected more than 0, got 0")
    a, b = _ordered("trunc_normal_", a, b)
    return _fill("trunc_normal", tensor, [mean, std, a, b], seed)


def constant_(tensor: Target, val: float) -> Target:
    """Fill with one number.

    Parameters
    ----------
    tensor : Parameter or ndarray
        Filled in place.
    val : float
        Finite.

    Returns
    -------
    Parameter or ndarray
        `tensor`.

    Raises
    ------
    ValueError
        For a number that is not finite, or a read-only array.
    TypeError
        If `tensor` is not an array of floating-point numbers, or an option has the wrong type.

    Notes
    -----
    Formula: w = val.
    Source: ``torch.nn.init.constant_``.
    """
    return _fill("constant", tensor, [as_real(val, "constant_: val")])


def zeros_(tensor: Target) -> Target:
    """Fill with 0.

    Parameters
    ----------
    tensor : Parameter or ndarray
        Filled in place.

    Returns
    -------
    Parameter or ndarray
        `tensor`.

    Raises
    ------
    ValueError
        For a read-only array.
    TypeError
        If `tensor` is not an array of floating-point numbers.

    Notes
    -----
    Formula: w = 0.
    Source: ``torch.nn.init.zeros_``.
    """
    return _fill("zeros", tensor, [0.0])


def ones_(tensor: Target) -> Target:
    """Fill with 1.

    Parameters
    ----------
    tensor : Parameter or ndarray
        Filled in place.

    Returns
    -------
    Parameter or ndarray
        `tensor`.

    Raises
    ------
    ValueError
        For a read-only array.
    TypeError
        If `tensor` is not an array of floating-point numbers.

    Notes
    -----
    Formula: w = 1.
    Source: ``torch.nn.init.ones_``.
    """
    return _fill("ones", tensor, [1.0])


def eye_(tensor: Target) -> Target:
    """Fill with the identity matrix; a Linear layer then preserves its inputs.

    Parameters
    ----------
    tensor : Parameter or ndarray, shape (rows, cols)
        Filled in place.

    Returns
    -------
    Parameter or ndarray
        `tensor`.

    Raises
    ------
    ValueError
        For an array that is read-only or does not have 2 axes.
    TypeError
        If `tensor` is not an array of floating-point numbers.

    Notes
    -----
    Formula: w_ij = 1 where i = j, else 0.
    Source: ``torch.nn.init.eye_``.
    """
    return _fill("eye", tensor, [])


def xavier_uniform_(tensor: Target, gain: float = 1.0, *, seed: int | None = None) -> Target:
    """Draw from Glorot and Bengio's uniform distribution.

    Parameters
    ----------
    tensor : Parameter or ndarray, shape (fan_out, fan_in, ...)
        Filled in place.
    gain : float, default 1
        0 or more; see `calculate_gain`.
    seed : int, optional
        Default: a random seed from the operating system.

    Returns
    -------
    Parameter or ndarray
        `tensor`.

    Raises
    ------
    ValueError
        For a gain out of range, or an array that is read-only or has fewer than 2 axes.
    TypeError
        If `tensor` is not an array of floating-point numbers, or an option has the wrong type.

    Notes
    -----
    Formula: w ~ U(-b, b), b = gain sqrt(6 / (fan_in + fan_out)).
    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks" (2010), equation 16; ``torch.nn.init.xavier_uniform_``.
    """
    return _fill("xavier_uniform", tensor, [as_real(gain, "xavier_uniform_: gain", 0)], seed)


def xavier_normal_(tensor: Target, gain: float = 1.0, *, seed: int | None = None) -> Target:
    """Draw from Glorot and Bengio's normal distribution.

    Parameters
    ----------
    tensor : Parameter or ndarray, shape (fan_out, fan_in, ...)
        Filled in place.
    gain : float, default 1
        0 or more; see `calculate_gain`.
    seed : int, optional
        Default: a random seed from the operating system.

    Returns
    -------
    Parameter or ndarray
        `tensor`.

    Raises
    ------
    ValueError
        For a gain out of range, or an array that is read-only or has fewer than 2 axes.
    TypeError
        If `tensor` is not an array of floating-point numbers, or an option has the wrong type.

    Notes
    -----
    Formula: w ~ N(0, s^2), s = gain sqrt(2 / (fan_in + fan_out)).
    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks" (2010), equation 12; ``torch.nn.init.xavier_normal_``.
    """
    return _fill("xavier_normal", tensor, [as_real(gain, "xavier_normal_: gain", 0)], seed)


def kaiming_uniform_(
    tensor: Target,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    seed: int | None = None,
) -> Target:
    """Draw from the uniform distribution of He et al.

    Parameters
    ----------
    tensor : Parameter or ndarray, shape (fan_out, fan_in, ...)
        Filled in place.
    a : float, default 0
        The negative slope of "leaky_relu"; ignored by the others.
    mode : {"fan_in", "fan_out"}, default "fan_in"
        Whether to preserve the scale of activations ("fan_in") or of deltas ("fan_out").
    nonlinearity : str, default "leaky_relu"
        The nonlinearity after the layer, a name that `calculate_gain` takes.
    seed : int, optional
        Default: a random seed from the operating system.

    Returns
    -------
    Parameter or ndarray
        `tensor`.

    Raises
    ------
    ValueError
        For an option out of range, or an array that is read-only or has fewer than 2 axes.
    TypeError
        If `tensor` is not an array of floating-point numbers, or an option has the wrong type.

    Notes
    -----
    Formula: w ~ U(-b, b), b = gain sqrt(3 / fan), gain that of `calculate_gain`.
    Source: He et al., "Delving deep into rectifiers" (2015), equations 10 and 14;
    ``torch.nn.init.kaiming_uniform_``.
    """
    return _fill(
        "kaiming_uniform", tensor, _kaiming("kaiming_uniform_", a, mode, nonlinearity), seed
    )


def kaiming_normal_(
    tensor: Target,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    seed: int | None = None,
) -> Target:
    """Draw from the normal distribution of He et al.

    Parameters
    ----------
    tensor : Parameter or ndarray, shape (fan_out, fan_in, ...)
        Filled in place.
    a : float, default 0
        The negative slope of "leaky_relu"; ignored by the others.
    mode : {"fan_in", "fan_out"}, default "fan_in"
        Whether to preserve the scale of activations ("fan_in") or of deltas ("fan_out").
    nonlinearity : str, default "leaky_relu"
        The nonlinearity after the layer, a name that `calculate_gain` takes.
    seed : int, optional
        Default: a random seed from the operating system.

    Returns
    -------
    Parameter or ndarray
        `tensor`.

    Raises
    ------
    ValueError
        For an option out of range, or an array that is read-only or has fewer than 2 axes.
    TypeError
        If `tensor` is not an array of floating-point numbers, or an option has the wrong type.

    Notes
    -----
    Formula: w ~ N(0, s^2), s = gain / sqrt(fan), gain that of `calculate_gain`.
    Source: He et al., "Delving deep into rectifiers" (2015), equations 10 and 14;
    ``torch.nn.init.kaiming_normal_``.
    """
    return _fill("kaiming_normal", tensor, _kaiming("kaiming_normal_", a, mode, nonlinearity), seed)


def orthogonal_(tensor: Target, gain: float = 1.0, *, seed: int | None = None) -> Target:
    """Draw a matrix with orthogonal rows, or columns if those are fewer.

    Parameters
    ----------
    tensor : Parameter or ndarray, shape (fan_out, fan_in, ...)
        Filled in place.
    gain : float, default 1
        The norm of each row, or column.
    seed : int, optional
        Default: a random seed from the operating system.

    Returns
    -------
    Parameter or ndarray
        `tensor`.

    Raises
    ------
    ValueError
        For a gain that is not finite, or an array that is read-only or has fewer than 2 axes.
    TypeError
        If `tensor` is not an array of floating-point numbers, or an option has the wrong type.

    Notes
    -----
    Formula: w = gain Q with Q R = N, N of normal draws, the diagonal of R positive; axes beyond the
    second are part of the columns.
    Source: Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks" (2014); ``torch.nn.init.orthogonal_``.
    """
    return _fill("orthogonal", tensor, [as_real(gain, "orthogonal_: gain")], seed)


def _squared_gain(name: str, nonlinearity: str, slope: float) -> float:
    if as_name(nonlinearity, f"{name}: nonlinearity") == "leaky_relu":
        slope = as_real(slope, f"{name}: negative slope")
        return 2 / (1 + slope * slope)
    if nonlinearity not in _SQUARED_GAINS:
        known = ", ".join(map(repr, [*_SQUARED_GAINS, "leaky_relu"]))
        raise ValueError(f"{name}: nonlinearity: expected one of {known}, got {nonlinearity!r}")
    return _SQUARED_GAINS[nonlinearity]


def _kaiming(name: str, a: float, mode: str, nonlinearity: str) -> list[float]:
    if as_name(mode, f"{name}: mode") not in _MODES:
        raise ValueError(f"{name}: mode: expected 'fan_in' or 'fan_out', got {mode!r}")
    return [_squared_gain(name, nonlinearity, a), _MODES.index(mode)]


def _ordered(name: str, a: float, b: float) -> tuple[float, float]:
    a, b = as_real(a, f"{name}: a"), as_real(b, f"{name}: b")
    if a > b:
        raise ValueError(f"{name}: expected a <= b, got a = {a:g} and b = {b:g}")
    return a, b


def _fill(name: str, tensor: Target, options: list[float], seed: int | None = 0) -> Target:
    if isinstance(tensor, Parameter):
        with tensor._network.access("write"):
            _fill(name, tensor.value, options, seed)
        return tensor
    if not isinstance(tensor, np.ndarray):
        raise TypeError(
            f"{name}_: expected a Parameter or an array to fill, got {type(tensor).__name__}"
        )
    if tensor.dtype.kind != "f":
        raise TypeError(f"{name}_: expected floating-point numbers to fill, got {tensor.dtype}")
    if not tensor.flags.writeable:
        raise ValueError(f"{name}_: expected an array that can be written, got a read-only one")
    seed = entropy() if seed is None else as_seed(seed, f"{name}_")
    values = _core.initial_values(name, options, list(tensor.shape), seed)
    # Random numbers are drawn in the order in which weights are stored, (fan_in, fan_out).
    tensor[...] = values.reshape(tensor.shape, order="F")
    return tensor
