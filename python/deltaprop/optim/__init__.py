"""Optimizers, learning-rate schedules, and gradient descent on functions of a few variables."""

from typing import TYPE_CHECKING

from deltaprop import _lazy
from deltaprop.optim import rules
from deltaprop.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)
from deltaprop.optim.optimizer import Optimizer, ParameterGroup
from deltaprop.optim.rules import *
from deltaprop.optim.schedule import LRScheduler

if TYPE_CHECKING:
    from deltaprop.optim.descent import Descent, descend
else:
    __getattr__, __dir__ = _lazy.names(
        __name__, {"deltaprop.optim.descent": ("Descent", "descend")}
    )

__all__ = [
    *rules.__all__,
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "Descent",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "Optimizer",
    "ParameterGroup",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "descend",
]
