"""Optimizers, learning-rate schedules, and gradient descent on functions of a few variables."""

from typing import TYPE_CHECKING

from deltaprop import _lazy
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
from deltaprop.optim.rules import (
    ASGD,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
)
from deltaprop.optim.schedule import LRScheduler

if TYPE_CHECKING:
    from deltaprop.optim.descent import Descent, descend
else:
    __getattr__, __dir__ = _lazy.names(
        __name__, {"deltaprop.optim.descent": ("Descent", "descend")}
    )

__all__ = [
    "ASGD",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "Descent",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "Lion",
    "MultiStepLR",
    "NAdam",
    "OneCycleLR",
    "Optimizer",
    "ParameterGroup",
    "PolynomialLR",
    "RAdam",
    "RMSprop",
    "ReduceLROnPlateau",
    "Rprop",
    "SequentialLR",
    "StepLR",
    "descend",
]
