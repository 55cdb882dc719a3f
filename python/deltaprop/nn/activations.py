"""Activations: functions of each element, or of each row, and their derivatives."""

from typing import ClassVar

from deltaprop import _core
from deltaprop._arrays import Array, as_count, as_name, as_real
from deltaprop.nn.core_module import ConfiguredLayer, CoreLayer

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "Tanhshrink",
]


class Activation(ConfiguredLayer):
    """A function of each element, or of each row, for inputs of any width."""

    _function: str  # its name in the core's table, which describes its options

    def __init__(self) -> None:
        pass

    def _take(self, **given: float) -> None:
        """Check the options and keep them as attributes."""
        for option in _core.options(self._function):
            name = option.name
            value = as_real(given[name], f"{self._function}: {name}")
            if not option.holds(value):
                article = "an" if name[0] in "aeiou" else "a"
                raise ValueError(
                    f"{self._function}: expected {article} {name} {option.domain}, got {value}"
                )
            setattr(self, name, value)

    def _core_layer(self) -> _core.Layer:
        values = [getattr(self, option.name) for option in _core.options(self._function)]
        return _core.Activation(self._function, values, repr(self))


class Identity(Activation):
    """The identity.

    Notes
    -----
    Formula: f(x) = x
    Derivative: f'(x) = 1
    Source: torch.nn.Identity
    """

    _function = "Identity"


class Sigmoid(Activation):
    """The logistic function, from 0 to 1.

    Notes
    -----
    Formula: f(x) = 1 / (1 + exp(-x))
    Derivative: f'(x) = f(x) (1 - f(x))
    Source: torch.nn.Sigmoid; Rumelhart, Hinton and Williams, "Learning representations by
    back-propagating errors" (1986), equation 2
    """

    _function = "Sigmoid"


class LogSigmoid(Activation):
    """The logarithm of the logistic function.

    Notes
    -----
    Formula: f(x) = log(1 / (1 + exp(-x))), taken as min(x, 0) - log(1 + exp(-|x|))
    Derivative: f'(x) = 1 / (1 + exp(x))
    Source: torch.nn.LogSigmoid
    """

    _function = "LogSigmoid"


class Hardsigmoid(Activation):
    """The logistic function in three straight pieces.

    Notes
    -----
    Formula: f(x) = min(max(x + 3, 0), 6) / 6
    Derivative: f'(x) = 1/6 for -3 < x < 3, 0 elsewhere
    Source: torch.nn.Hardsigmoid; Howard et al., "Searching for MobileNetV3" (2019), section 5.2
    """

    _function = "Hardsigmoid"


class Tanh(Activation):
    """The hyperbolic tangent, from -1 to 1.

    Notes
    -----
    Formula: f(x) = tanh(x)
    Derivative: f'(x) = 1 - f(x)^2
    Source: torch.nn.Tanh; LeCun et al., "Efficient BackProp" (1998), section 4.4
    """

    _function = "Tanh"


class Tanhshrink(Activation):
    """x less its hyperbolic tangent.

    Notes
    -----
    Formula: f(x) = x - tanh(x)
    Derivative: f'(x) = tanh(x)^2
    Source: torch.nn.Tanhshrink
    """

    _function = "Tanhshrink"


class Hardtanh(Activation):
    """x within two bounds.

    Parameters
    ----------
    min_val, max_val : float, default -1 and 1
        The bounds; `max_val` is above `min_val`.

    Raises
    ------
    TypeError, ValueError
        For values that are not finite numbers, or bounds out of order.

    Notes
    -----
    Formula: f(x) = min(max(x, min_val), max_val)
    Derivative: f'(x) = 1 for min_val < x < max_val, 0 elsewhere
    Source: torch.nn.Hardtanh; Collobert, "Large scale machine learning" (2004)
    """

    _function = "Hardtanh"

    min_val: float
    max_val: float

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        self._take(min_val=min_val, max_val=max_val)
        if self.max_val <= self.min_val:
            raise ValueError(
                f"Hardtanh: expected max_val above min_val, got {self.max_val} and {self.min_val}"
            )


class Softsign(Activation):
    """A bend from -1 to 1 that is slower than the hyperbolic tangent's.

    Notes
    -----
    Formula: f(x) = x / (1 + |x|)
    Derivative: f'(x) = 1 / (1 + |x|)^2
    Source: torch.nn.Softsign; Glorot and Bengio, "Understanding the difficulty of training deep
    feedforward neural networks" (2010), section 3.3
    """

    _function = "Softsign"


class Softplus(Activation):
    """A smooth ReLU.

    Parameters
    ----------
    beta : float, default 1
        How sharp the bend is; above 0.
    threshold : float, default 20
        Where beta x is above it, f(x) = x.

    Raises
    ------
    TypeError, ValueError
        For values that are not finite numbers, or a beta of 0 or less.

    Notes
    -----
    Formula: f(x) = log(1 + exp(beta x)) / beta; x for beta x > threshold
    Derivative: f'(x) = 1 / (1 + exp(-beta x)); 1 for beta x > threshold
    Source: torch.nn.Softplus; Dugas et al., "Incorporating second-order functional knowledge for
    better option pricing" (2001)
    """

    _function = "Softplus"

    beta: float
    threshold: float

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self._take(beta=beta, threshold=threshold)


class ReLU(Activation):
    """The rectified linear unit.

    Notes
    -----
    Formula: f(x) = max(0, x)
    Derivative: f'(x) = 1 for x > 0, 0 elsewhere
    Source: torch.nn.ReLU; Nair and Hinton, "Rectified linear units improve restricted Boltzmann
    machines" (2010)
    """

    _function = "ReLU"


class ReLU6(Activation):
    """The rectified linear unit, cut off at 6.

    Notes
    -----
    Formula: f(x) = min(max(0, x), 6)
    Derivative: f'(x) = 1 for 0 < x < 6, 0 elsewhere
    Source: torch.nn.ReLU6; Krizhevsky, "Convolutional deep belief networks on CIFAR-10" (2010)
    """

    _function = "ReLU6"


class LeakyReLU(Activation):
    """The rectified linear unit with a slope below 0.

    Parameters
    ----------
    negative_slope : float, default 0.01

    Raises
    ------
    TypeError, ValueError
        For values that are not finite numbers.

    Notes
    -----
    Formula: f(x) = x for x > 0, negative_slope x elsewhere
    Derivative: f'(x) = 1 for x > 0, negative_slope elsewhere
    Source: torch.nn.LeakyReLU; Maas, Hannun and Ng, "Rectifier nonlinearities improve neural
    network acoustic models" (2013), equation 2
    """

    _function = "LeakyReLU"

    negative_slope: float

    def __init__(self, negative_slope: float = 0.01) -> None:
        self._take(negative_slope=negative_slope)


class PReLU(CoreLayer):
    """The rectified linear unit with a slope below 0 that is learned.

    Parameters
    ----------
    num_parameters : int, default 1
        1: one slope for all features; else one for each of the input's features.
    init : float, default 0.25
        The slope to begin with.

    Attributes
    ----------
    weight, grad_weight : ndarray, shape (num_parameters,)
        Writable views into the flat buffers.

    Raises
    ------
    TypeError, ValueError
        For a `num_parameters` that is no integer of 1 or more, or an `init` that is no finite
        number; when used, for an input of another number of features.

    Notes
    -----
    Formula: f(x) = x for x > 0, weight x elsewhere
    Derivative: f'(x) = 1 for x > 0, weight elsewhere; dJ/dweight is the sum of dJ/df min(x, 0)
    Source: torch.nn.PReLU; He et al., "Delving deep into rectifiers" (2015), equations 1 and 3
    """

    _names: ClassVar[tuple[str, ...]] = ("weight",)

    weight: Array
    grad_weight: Array

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        self.num_parameters = as_count(num_parameters, "PReLU: num_parameters", 1)
        self.init = as_real(init, "PReLU: init")
        self.in_features = self.out_features = self.num_parameters if num_parameters > 1 else None
        self._core_layer()

    def _core_layer(self) -> _core.Layer:
        return _core.PReLU(self.num_parameters, self.init)


class ELU(Activation):
    """The exponential linear unit.

    Parameters
    ----------
    alpha : float, default 1
        f goes to -alpha far below 0.

    Raises
    ------
    TypeError, ValueError
        For values that are not finite numbers.

    Notes
    -----
    Formula: f(x) = x for x > 0, alpha (exp(x) - 1) elsewhere
    Derivative: f'(x) = 1 for x > 0, alpha exp(x) elsewhere
    Source: torch.nn.ELU; Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network
    learning by exponential linear units" (2016), equation 15
    """

    _function = "ELU"

    alpha: float

    def __init__(self, alpha: float = 1.0) -> None:
        self._take(alpha=alpha)


class CELU(Activation):
    """The exponential linear unit whose derivative has no jump for any alpha.

    Parameters
    ----------
    alpha : float, default 1
        f goes to -alpha far below 0; not 0.

    Raises
    ------
    TypeError, ValueError
        For values that are not finite numbers, or 0.

    Notes
    -----
    Formula: f(x) = x for x > 0, alpha (exp(x / alpha) - 1) elsewhere
    Derivative: f'(x) = 1 for x > 0, exp(x / alpha) elsewhere
    Source: torch.nn.CELU; Barron, "Continuously differentiable exponential linear units" (2017)
    """

    _function = "CELU"

    alpha: float

    def __init__(self, alpha: float = 1.0) -> None:
        self._take(alpha=alpha)


class SELU(Activation):
    """The exponential linear unit scaled so that layers keep mean 0 and variance 1.

    Notes
    -----
    Formula: f(x) = s x for x > 0, s a (exp(x) - 1) elsewhere, with a = 1.6732632423543772 and
    s = 1.0507009873554805
    Derivative: f'(x) = s for x > 0, s a exp(x) elsewhere
    Source: torch.nn.SELU; Klambauer et al., "Self-normalizing neural networks" (2017), equation 2
    """

    _function = "SELU"


class GELU(Activation):
    """The Gaussian error linear unit.

    Parameters
    ----------
    approximate : str, default "none"
        "none": by the normal distribution itself; "tanh": by a formula close to it.

    Raises
    ------
    TypeError, ValueError
        For another `approximate`.

    Notes
    -----
    Formula: f(x) = x P(x), P the standard normal distribution function, (1 + erf(x / sqrt(2))) / 2;
    "tanh": f(x) = x (1 + tanh(u)) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3)
    Derivative: f'(x) = P(x) + x exp(-x^2 / 2) / sqrt(2 pi);
    "tanh": f'(x) = s (1 + 2 x (1 - s) u'), s = (1 + tanh(u)) / 2
    Source: torch.nn.GELU; Hendrycks and Gimpel, "Gaussian error linear units" (2016), section 2
    """

    _function = "GELU"

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = as_name(approximate, "GELU: approximate")
        if approximate not in {"none", "tanh"}:
            raise ValueError(f"GELU: expected approximate 'none' or 'tanh', got {approximate!r}")
        if approximate == "tanh":
            self._function = "GELUTanh"


class SiLU(Activation):
    """The sigmoid linear unit, also called swish.

    Notes
    -----
    Formula: f(x) = x s(x), s(x) = 1 / (1 + exp(-x))
    Derivative: f'(x) = s(x) (1 + x (1 - s(x)))
    Source: torch.nn.SiLU; Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural
    network function approximation in reinforcement learning" (2018)
    """

    _function = "SiLU"


class Mish(Activation):
    """A smooth unit that dips below 0.

    Notes
    -----
    Formula: f(x) = x t(x), t(x) = tanh(log(1 + exp(x)))
    Derivative: f'(x) = t(x) + x (1 - t(x)^2) / (1 + exp(-x))
    Source: torch.nn.Mish; Misra, "Mish: a self regularized non-monotonic activation function"
    (2020)
    """

    _function = "Mish"


class Hardswish(Activation):
    """SiLU with the logistic function in three straight pieces.

    Notes
    -----
    Formula: f(x) = x min(max(x + 3, 0), 6) / 6
    Derivative: f'(x) = 0 for x <= -3, x / 3 + 1/2 for -3 < x < 3, 1 elsewhere
    Source: torch.nn.Hardswish; Howard et al., "Searching for MobileNetV3" (2019), section 5.2
    """

    _function = "Hardswish"


class RowActivation(Activation):
    """A function of the features of each row together."""

    def __init__(self, dim: int = -1) -> None:
        name = type(self).__name__
        if not isinstance(dim, int) or isinstance(dim, bool):
            raise TypeError(f"{name}: expected dim -1 or 1, the features, got {dim!r}")
        if dim not in {-1, 1}:
            raise ValueError(f"{name}: expected dim -1 or 1, the features, got {dim}")
        self.dim = dim


class Softmax(RowActivation):
    """Probabilities of classes: positive, with the sum 1 in each row.

    Parameters
    ----------
    dim : int, default -1
        -1 or 1, which are the same: over the features of each row.

    Raises
    ------
    TypeError, ValueError
        For another `dim`.

    Notes
    -----
    Formula: f(x)_j = exp(x_j - m) / sum_k exp(x_k - m), m = max_k x_k
    Derivative: df_j/dx_k = f_j ([j = k] - f_k), so dJ/dx_j = f_j (d_j - sum_k d_k f_k), d = dJ/df
    Source: torch.nn.Softmax; Bridle, "Probabilistic interpretation of feedforward classification
    network outputs" (1990)
    """

    _function = "Softmax"


class LogSoftmax(RowActivation):
    """Logarithms of the probabilities of classes.

    Parameters
    ----------
    dim : int, default -1
        -1 or 1, which are the same: over the features of each row.

    Raises
    ------
    TypeError, ValueError
        For another `dim`.

    Notes
    -----
    Formula: f(x)_j = x_j - m - log(sum_k exp(x_k - m)), m = max_k x_k
    Derivative: df_j/dx_k = [j = k] - exp(f_k), so dJ/dx_j = d_j - exp(f_j) sum_k d_k, d = dJ/df
    Source: torch.nn.LogSoftmax
    """

    _function = "LogSoftmax"
