"""A network, a fit with callbacks, and callbacks that record what they are called with."""

import numpy as np

import deltaprop as dp
from deltaprop import nn, optim

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 3)), RNG.normal(size=(24, 2))


def network(seed=0):
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), dtype="float64", seed=seed)


def fit(net, callbacks=(), **options):
    options = {
        "loss": nn.MSELoss(),
        "optimizer": optim.SGD(net.parameters(), lr=0.1),
        "epochs": 3,
        "batch_size": 8,
        "validation_data": (X[:6], Y[:6]),
        **options,
    }
    return net.fit(X, Y, callbacks=callbacks, **options)


def refused(callbacks, **options):
    """Fit, and see to it that the network stays what it was, whatever is raised."""
    net = network()
    try:
        fit(net, callbacks, **options)
    finally:
        assert net.flat_parameters.tobytes() == network().flat_parameters.tobytes()


def calling(name, function, base=dp.Callback):
    """Return a callback of one hook."""
    return type("Hooked", (base,), {name: lambda self, run: function(run)})()


def values(*numbers, key="val_loss"):
    """Return a callback that writes numbers into the history instead of those measured."""
    return lambda run: run.history[key].__setitem__(-1, numbers[run.epoch])
