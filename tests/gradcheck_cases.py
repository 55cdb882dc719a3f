"""A layer and a loss whose gradients can be spoilt, and a check of a small network."""

import numpy as np

import deltaprop as dp
from deltaprop import nn


class Scale(nn.Layer):
    """Multiplies each feature by a parameter; `wrong` spoils a gradient."""

    def __init__(self, width=3, wrong=None):
        self.wrong = wrong
        self.parameter("factor", np.linspace(0.5, 1.5, width))

    def forward(self, x, training):
        if training:
            self.x = x
        return x * self.factor

    def backward(self, delta):
        gradient, back = (delta * self.x).sum(0), delta * self.factor
        if self.wrong is not None:
            self.wrong(gradient, back)
        self.grad_factor += gradient
        return back


class Loss:
    """Squares; `wrong` spoils the delta."""

    def __init__(self, wrong=lambda delta: delta):
        self.wrong = wrong

    def __call__(self, outputs, y):
        return np.sum((outputs - y) ** 2)

    def delta(self, outputs, y):
        return self.wrong(2 * (outputs - y))


def check(net, rng, loss=None, rows=4, **options):
    x = rng.normal(size=(rows, 3))
    y = rng.normal(size=net(x).shape)
    return dp.check_gradients(net, loss or nn.MSELoss(), x, y, **options)
