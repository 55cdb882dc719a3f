"""deltaprop; one call of `fit` runs all epochs of a slice."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

import deltaprop as dp
from benchmarks import peers
from benchmarks.works import Layer, Network, Product, Serving, Training
from deltaprop import nn, optim


def sequential(network: Network) -> nn.Sequential:
    """Return the network with the first weights."""
    layers: list[nn.Layer] = []
    for i, (a, b) in enumerate(pairwise(network.widths)):
        layers += [getattr(nn, network.activation)()] if i else []
        layers.append(nn.Linear(a, b))
    net = nn.Sequential(*layers, dtype=network.dtype, seed=0)
    load(net, network.layers())
    return net


def linears(net: nn.Sequential) -> list[Any]:
    """Return the layers that have weights."""
    return list(net)[::2]


def load(net: nn.Sequential, layers: list[Layer]) -> None:
    """Copy the weights into the network."""
    for linear, (weight, bias) in zip(linears(net), layers, strict=True):
        linear.weight[:], linear.bias[:] = weight.T, bias


class Trainer:
    """A network in `fit`."""

    def __init__(self, work: Training) -> None:
        self.work, (self.X, self.y) = work, work.data()
        self.first = work.network.layers()
        self.net = sequential(work.network)
        self.loss = nn.CrossEntropyLoss() if work.classes else nn.MSELoss()
        self.optimizer = getattr(optim, work.optimizer)(self.net.parameters(), lr=work.rate)
        self.new = self.optimizer.state_dict()

    def begin(self) -> None:
        """Restore the initial weights and optimizer state."""
        load(self.net, self.first)
        self.optimizer.load_state_dict(self.new)

    def epochs(self, count: int) -> float:
        """Train and return the last epoch's loss."""
        history = self.net.fit(
            self.X,
            self.y,
            loss=self.loss,
            optimizer=self.optimizer,
            epochs=count,
            batch_size=self.work.batch,
            shuffle=False,
        )
        return float(history["loss"][-1])

    def layers(self) -> list[Layer]:
        """Return weights and biases."""
        return [(np.array(k.weight.T), np.array(k.bias)) for k in linears(self.net)]


class Peer(peers.Peer):
    """deltaprop; a product is a layer without bias."""

    @property
    def version(self) -> str:
        """The version; read on access, since deltaprop looks it up lazily."""
        return dp.__version__

    def train(self, work: Training) -> Trainer:
        """Return the network."""
        return Trainer(work)

    def serve(self, work: Serving) -> Callable[[], Any]:
        """Return a call of the network's predictor."""
        predict, x = sequential(work.network).predictor(), work.data()
        return lambda: predict(x)

    def product(self, work: Product) -> Callable[[], Any]:
        """Return a call of a network with a single layer."""
        a, b = work.data()
        net = nn.Sequential(nn.Linear(work.inner, work.columns, bias=False))
        net[0].weight[:] = b.T
        return lambda: net(a)
