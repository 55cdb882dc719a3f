"""Optimizers."""

from deltaprop.optim.optimizer import Optimizer, ParameterGroup
from deltaprop.optim.rules import SGD, Adam

__all__ = ["SGD", "Adam", "Optimizer", "ParameterGroup"]
