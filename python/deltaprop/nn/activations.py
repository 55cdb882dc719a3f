"""Activations: functions of each element on its own."""

from typing import ClassVar

from deltaprop import _core
from deltaprop.nn.native import NativeLayer


class Activation(NativeLayer):
    """A function of each element."""

    _function: ClassVar[str]  # its name in the core's table

    def _core_layer(self) -> _core.Layer:
        return _core.Activation(self._function)


class Identity(Activation):
    """f(x) = x, f'(x) = 1, for inputs of any width."""

    _function = "Identity"


class Sigmoid(Activation):
    """f(x) = 1 / (1 + exp(-x)), f'(x) = f(x) (1 - f(x)), for inputs of any width."""

    _function = "Sigmoid"


class Tanh(Activation):
    """f(x) = tanh(x), f'(x) = 1 - f(x)^2, for inputs of any width."""

    _function = "Tanh"


class ReLU(Activation):
    """f(x) = max(0, x), f'(x) = 1 for x > 0 and 0 elsewhere, for inputs of any width."""

    _function = "ReLU"
