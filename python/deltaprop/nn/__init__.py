"""Layers, losses and networks."""

from deltaprop.nn.activations import Identity, ReLU, Sigmoid, Tanh
from deltaprop.nn.layer import Layer
from deltaprop.nn.linear import Linear
from deltaprop.nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    GaussianNLLLoss,
    HingeLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    PoissonNLLLoss,
    QuantileLoss,
    SmoothL1Loss,
)
from deltaprop.nn.parameter import Parameter
from deltaprop.nn.sequential import Sequential

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HingeLoss",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "Layer",
    "Linear",
    "MSELoss",
    "NLLLoss",
    "Parameter",
    "PoissonNLLLoss",
    "QuantileLoss",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "SmoothL1Loss",
    "Tanh",
]
