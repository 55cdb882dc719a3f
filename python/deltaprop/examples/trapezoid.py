"""Regression of the area of a trapezoid on its two parallel sides."""

from dataclasses import dataclass

import numpy as np

from deltaprop import nn, optim
from deltaprop._arrays import Array
from deltaprop.training import History


@dataclass(frozen=True)
class Trapezoid:
    """A trained network and its training data.

    Attributes
    ----------
    network : Sequential
    history : History
    X : ndarray, shape (50, 2)
        The sides x1 and x2; the height equals x1.
    y : ndarray, shape (50, 1)
        The area, (x1 + x2) x1 / 2.
    """

    network: nn.Sequential
    history: History
    X: Array
    y: Array


def train_trapezoid(seed: int = 0, progress: bool = False) -> Trapezoid:
    """Fit the areas of 50 trapezoids with Linear(2, 50), Sigmoid, Linear(50, 1).

    Parameters
    ----------
    seed : int, default 0
        Seed of the samples and of the network.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    Trapezoid
    """
    random = np.random.RandomState(seed)
    x1 = random.randint(5, 10, [50, 1]) / 10
    x2 = random.randint(10, 16, [50, 1]) / 10
    X, y = np.hstack([x1, x2]), (x1 + x2) * x1 / 2
    network = nn.Sequential(nn.Linear(2, 50), nn.Sigmoid(), nn.Linear(50, 1), seed=seed)
    history = network.fit(
        X,
        y,
        loss=nn.MSELoss(),
        optimizer=optim.Adam(network.parameters(), lr=3e-3),
        epochs=1000,
        batch_size=None,
        progress=progress,
    )
    return Trapezoid(network, history, X, y)
