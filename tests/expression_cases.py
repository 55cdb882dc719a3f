"""Built-in losses, each with the same formula as an expression, and networks to fit with them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from deltaprop import nn, optim

ROWS = 25  # no multiple of the batches


def normal(rng, rows, out):
    return rng.normal(size=(rows, out))


@dataclass
class Case:
    """A built-in loss, the same as an expression, and the targets that they take."""

    built_in: type
    function: Any
    targets: Any
    options: Any = None
    out: int = 4
    columns: int = 4  # of the targets
    last: Any = nn.Identity

    def losses(self, reduction="mean"):
        return (
            self.built_in(reduction=reduction, **(self.options or {})),
            nn.ExpressionLoss(self.function, reduction=reduction),
        )

    def data(self, rows=ROWS, seed=0):
        rng = np.random.default_rng(seed)
        return rng.normal(size=(rows, 3)), self.targets(rng, rows, self.columns)

    def network(self, dtype="float64", seed=1):
        layers = nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, self.out), self.last()
        return nn.Sequential(*layers, dtype=dtype, seed=seed)

    def __str__(self):
        return self.built_in.__name__


MSE = Case(nn.MSELoss, lambda a, y: (a - y) ** 2, normal)


each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def near(found, expected, dtype, loose=1.0):
    small = loose * (1e-5 if dtype == "float32" else 1e-12)
    np.testing.assert_allclose(found, expected, rtol=small, atol=small)


def fitted(case, loss, dtype, X, y, **options):
    net = case.network(dtype)
    options = {"epochs": 6, "batch_size": 7, **options}
    opt = optim.Adam(net.parameters(), lr=0.01)
    return net, net.fit(X, y, loss=loss, optimizer=opt, **options)


def doubled(x):
    """The same for a layer."""
    return 2 * x
