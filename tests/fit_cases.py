"""A small network and a fit of it, as the tests of `fit` share them."""

import numpy as np

from deltaprop import nn, optim


def network(seed=0, dtype="float64", outputs=2):
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, outputs), dtype=dtype, seed=seed)


def data(rows=50, outputs=2):
    rng = np.random.default_rng(1)
    return rng.normal(size=(rows, 3)), rng.normal(size=(rows, outputs))


def fit(net, X=None, y=None, opt=None, **options):
    if X is None:
        X, y = data(outputs=net[-1].out_features)
    opt = opt or optim.SGD(net.parameters(), lr=0.1)
    options = {"loss": nn.MSELoss(), "epochs": 3, "batch_size": 8, **options}
    return net.fit(X, y, optimizer=opt, **options)


def bits(net):
    return net.flat_parameters.tobytes()
