"""Layers, losses and networks."""

from typing import TYPE_CHECKING

from deltaprop import _lazy
from deltaprop.nn import activations, init, losses
from deltaprop.nn.activations import *
from deltaprop.nn.containers import Concat, Heads, Residual
from deltaprop.nn.dropout import AlphaDropout, Dropout
from deltaprop.nn.embedding import Embedding
from deltaprop.nn.layer import Layer
from deltaprop.nn.linear import Linear
from deltaprop.nn.losses import *
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
    *activations.__all__,
    *losses.__all__,
    "AlphaDropout",
    "BatchNorm1d",
    "Concat",
    "Dropout",
    "Embedding",
    "ExpressionLayer",
    "ExpressionLoss",
    "Heads",
    "Layer",
    "LayerNorm",
    "Linear",
    "Parameter",
    "RMSNorm",
    "Residual",
    "Sequential",
    "Standardize",
    "init",
]
