"""A small network."""

from deltaprop import nn


def network(**options):
    options = {"seed": 0, **options}
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), **options)
