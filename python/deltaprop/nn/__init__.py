"""Layers, losses and networks."""

from deltaprop.nn import init
from deltaprop.nn.activations import Identity, ReLU, Sigmoid, Tanh
from deltaprop.nn.layer import Layer
from deltaprop.nn.linear import Linear
from deltaprop.nn.losses import CrossEntropyLoss, MSELoss
from deltaprop.nn.parameter import Parameter
from deltaprop.nn.sequential import Sequential

__all__ = [
    "CrossEntropyLoss",
    "Identity",
    "Layer",
    "Linear",
    "MSELoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "init",
]
