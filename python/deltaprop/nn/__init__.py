"""Layers, losses and networks."""

from typing import TYPE_CHECKING

from deltaprop import _lazy
from deltaprop.nn import init
from deltaprop.nn.activations import (
    CELU,
    ELU,
    GELU,
    SELU,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    Identity,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
    Tanhshrink,
)
from deltaprop.nn.containers import Concat, Heads, Residual
from deltaprop.nn.dropout import AlphaDropout, Dropout
from deltaprop.nn.embedding import Embedding
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
from deltaprop.nn.normalisation import BatchNorm1d, LayerNorm, RMSNorm
from deltaprop.nn.parameter import Parameter
from deltaprop.nn.standardize import Standardize

# `Sequential` has `fit` and so stands on `training`, above `nn`, which only names it.
if TYPE_CHECKING:
    from deltaprop.network import Sequential
    from deltaprop.nn.expressions import ExpressionLayer, ExpressionLoss
else:
    __getattr__, __dir__ = _lazy.names(
        __name__,
        {
            "deltaprop.network": ("Sequential",),
            "deltaprop.nn.expressions": ("ExpressionLayer", "ExpressionLoss"),
        },
    )

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "AlphaDropout",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "Concat",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "ExpressionLayer",
    "ExpressionLoss",
    "GaussianNLLLoss",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Heads",
    "HingeLoss",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "Mish",
    "NLLLoss",
    "PReLU",
    "Parameter",
    "PoissonNLLLoss",
    "QuantileLoss",
    "RMSNorm",
    "ReLU",
    "ReLU6",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Softsign",
    "Standardize",
    "Tanh",
    "Tanhshrink",
    "init",
]
