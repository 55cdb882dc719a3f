"""Classification of the 1,797 handwritten digits that scikit-learn includes."""

import math
from dataclasses import dataclass

from deltaprop import nn, optim
from deltaprop._arrays import Array
from deltaprop.training import History, Run

EPOCHS = 40
LEARNING_RATE = 5e-3


@dataclass(frozen=True)
class Digits:
    """A trained classifier and its data, split into training and test sets.

    Attributes
    ----------
    network : Sequential
    history : History
    X_train, X_test : ndarray, shape (1347, 64) and (450, 64)
        Grey values of 8 x 8 pixels, from 0 to 1. A quarter of the digits is the test set.
    y_train, y_test : ndarray, shape (1347,) and (450,)
        The digits, from 0 to 9.
    """

    network: nn.Sequential
    history: History
    X_train: Array
    X_test: Array
    y_train: Array
    y_test: Array

    @property
    def accuracy(self) -> float:
        """The fraction of test digits that are classified correctly."""
        return float((self.network(self.X_test).argmax(axis=1) == self.y_test).mean())


def train_digits(random_state: int = 0, seed: int = 0, progress: bool = False) -> Digits:
    """Train a 64-512-10 network on three quarters of the digits.

    Parameters
    ----------
    random_state : int, default 0
        Seed of the split, passed to scikit-learn's `train_test_split`.
    seed : int, default 0
        Seed of the network.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    Digits

    Raises
    ------
    ImportError
        If scikit-learn, which includes the data, is not installed.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X / 16, y, test_size=0.25, random_state=random_state
    )
    network = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10), seed=seed)
    optimizer = optim.Adam(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-4)

    def anneal(run: Run) -> None:
        # Cosine annealing to 0: Loshchilov and Hutter, "SGDR" (2017), equation 5.
        optimizer.lr = LEARNING_RATE * (1 + math.cos(math.pi * (run.epoch + 1) / EPOCHS)) / 2

    history = network.fit(
        X_train,
        y_train,
        loss=nn.CrossEntropyLoss(),
        optimizer=optimizer,
        epochs=EPOCHS,
        batch_size=64,
        validation_data=(X_test, y_test),
        callbacks=[anneal],
        progress=progress,
    )
    return Digits(network, history, X_train, X_test, y_train, y_test)
