"""A network with every container in it, and its data."""

import numpy as np

from deltaprop import nn, optim

MSE = nn.MSELoss()


def several(value):
    """Return a tuple of what may be one."""
    return value if isinstance(value, tuple) else (value,)


def each(f, value):
    """Return f of each array of one or of several."""
    return tuple(map(f, value)) if isinstance(value, tuple) else f(value)


def tree(dtype="float32", seed=0):
    """Return a network with every container in it: two inputs, two heads."""
    return nn.Sequential(
        nn.Concat(nn.Sequential(nn.Linear(4, 3), nn.Tanh()), nn.Linear(2, 3)),
        nn.Residual(nn.Linear(6, 6), nn.Sequential(nn.Sigmoid(), nn.Linear(6, 6))),
        nn.Heads(nn.Linear(6, 1), nn.Sequential(nn.Linear(6, 2), nn.Tanh())),
        dtype=dtype,
        seed=seed,
    )


def tree_data(rows=7, seed=0):
    """Return two inputs and two targets of that network."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 4)), random.normal(size=(rows, 2))
    return x, (random.normal(size=(rows, 1)), random.normal(size=(rows, 2)))


def mse_fit(net, x, y, loss=(MSE, MSE), **options):
    opt = optim.SGD(net.parameters(), lr=0.1)
    return net.fit(x, y, loss=loss, optimizer=opt, epochs=1, **options)
