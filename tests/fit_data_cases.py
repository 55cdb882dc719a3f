"""Data and a small fit of them."""

import numpy as np
import pytest

from deltaprop import nn, optim

RNG = np.random.default_rng(0)
X, Y, C = RNG.normal(size=(30, 3)), RNG.normal(size=(30, 2)), RNG.integers(0, 2, 30)
W = RNG.random(30)


def network(seed=0):
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), dtype="float64", seed=seed)


def fit(net, x=X, y=Y, **options):
    opt = optim.SGD(net.parameters(), lr=0.1)
    options = {"loss": nn.MSELoss(), "epochs": 3, "batch_size": 8, **options}
    return net.fit(x, y, optimizer=opt, **options)


def trained(x=X, y=Y, **options):
    """Return all that a fit gives, to compare to the bit."""
    net = network()
    history = fit(net, x, y, **options)
    return net.flat_parameters.tobytes(), history.to_dict()


def refused(kind, message, x=X, y=Y, **options):
    net = network()
    before = net.flat_parameters.tobytes()
    with pytest.raises(kind, match=message):
        fit(net, x, y, **options)
    assert net.flat_parameters.tobytes() == before
