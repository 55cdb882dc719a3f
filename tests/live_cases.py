"""A clock, a screen and a small fit for the tests of the live view."""

import numpy as np

from deltaprop import nn, optim

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 2))


class Clock:
    """Time as the tests have it pass."""

    now = 100.0

    def monotonic(self):
        return self.now

    def passing(self, seconds):
        """Return a callback in which an epoch takes so long."""

        def wait(run):
            self.now += seconds

        return wait


CLOCK = Clock()


def network(*layers, dtype="float64"):
    return nn.Sequential(nn.Linear(3, 4), *layers, nn.Linear(4, 2), dtype=dtype, seed=0)


def fit(net, view=None, x=X, y=Y, **options):
    """Train a network; with a view each epoch takes a second of the clock."""
    options = {
        "loss": nn.MSELoss(),
        "optimizer": optim.SGD(net.parameters(), lr=0.05),
        "epochs": 6,
        "batch_size": 8,
        "callbacks": [CLOCK.passing(1), view] if view else [],
        **options,
    }
    return net.fit(x, y, **options)


class Screen:
    """Records the figures to show; drawing takes some time of the clock."""

    def __init__(self):
        self.cost = 0.0
        self.times, self.epochs, self.sizes, self.notes = [], [], [], []

    def show(self, run, deltas, note):
        self.times.append(CLOCK.now)
        self.epochs.append(run.history.epochs)
        self.sizes.append(deltas.sizes)
        self.notes.append(note)
        CLOCK.now += self.cost


def heads():
    return nn.Sequential(nn.Linear(3, 4), nn.Heads(nn.Linear(4, 2), nn.Linear(4, 1)), seed=0)


def inputs():
    return nn.Sequential(nn.Concat(nn.Linear(3, 4), nn.Linear(2, 2)), nn.Linear(6, 2), seed=0)


DATA = {
    "a vector": (network, X, Y[:, 0], nn.MSELoss()),
    "classes": (network, X, (Y[:, 0] > 0).astype(int), nn.CrossEntropyLoss()),
    "heads": (heads, X, (Y, Y[:, 0]), (nn.MSELoss(), nn.L1Loss())),
    "inputs": (inputs, (X, Y), Y, nn.MSELoss()),
    "batches": (network, [(X[:9], Y[:9]), (X[9:], Y[9:])], None, nn.MSELoss()),
    "lists": (network, X.tolist(), Y.tolist(), nn.MSELoss()),
    "one row": (network, X[:1], Y[:1], nn.MSELoss()),
}
