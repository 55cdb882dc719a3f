"""PyTorch, eager, with fused updates."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from benchmarks import peers
from benchmarks.works import Layer, Network, Product, Serving, Training


def sequential(network: Network) -> torch.nn.Sequential:
    """Return the network with the first weights."""
    layers: list[torch.nn.Module] = []
    for i, (a, b) in enumerate(pairwise(network.widths)):
        layers += [getattr(torch.nn, network.activation)()] if i else []
        layers.append(torch.nn.Linear(a, b, dtype=getattr(torch, network.dtype)))
    net = torch.nn.Sequential(*layers)
    load(net, network.layers())
    return net


@torch.no_grad()
def load(net: torch.nn.Sequential, layers: list[Layer]) -> None:
    """Copy the weights into the network."""
    for linear, (weight, bias) in zip(net[::2], layers, strict=True):
        linear.weight.copy_(torch.tensor(weight.T))
        linear.bias.copy_(torch.tensor(bias))


class Trainer:
    """A network in the usual training loop."""

    def __init__(self, work: Training) -> None:
        self.work, (X, y) = work, work.data()
        self.X, self.y = torch.from_numpy(X), torch.from_numpy(y)
        self.first = work.network.layers()
        self.net = sequential(work.network)
        self.loss = torch.nn.CrossEntropyLoss() if work.classes else torch.nn.MSELoss()
        rule = getattr(torch.optim, work.optimizer)
        self.optimizer = rule(self.net.parameters(), lr=work.rate, fused=True)

    def begin(self) -> None:
        """Restore the initial weights and set optimizer states and step counts to 0."""
        load(self.net, self.first)
        for states in self.optimizer.state.values():
            for state in states.values():
                if state is not None:  # SGD without momentum
                    state.zero_()

    def epochs(self, count: int) -> float:
        """Train and return the last epoch's loss."""
        batch = self.work.batch
        for _ in range(count):
            total = torch.zeros(())
            for i in range(0, self.work.rows, batch):
                value = self.loss(self.net(self.X[i : i + batch]), self.y[i : i + batch])
                self.optimizer.zero_grad()
                value.backward()
                self.optimizer.step()
                total += value.detach()
        return float(total) / self.work.steps

    def layers(self) -> list[Layer]:
        """Return weights and biases."""
        linears = self.net[::2]
        return [(k.weight.detach().numpy().T, k.bias.detach().numpy()) for k in linears]


class Peer(peers.Peer):
    """PyTorch."""

    version = torch.__version__

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        torch.set_num_threads(threads)

    def train(self, work: Training) -> Trainer:
        """Return the network."""
        return Trainer(work)

    def serve(self, work: Serving) -> Callable[[], Any]:
        """Return a call of the network, from tensor to tensor."""
        net, x = sequential(work.network), torch.from_numpy(work.data())

        @torch.inference_mode()
        def call() -> torch.Tensor:
            return net(x)

        return call

    def product(self, work: Product) -> Callable[[], Any]:
        """Return a call of `torch.mm` (MKL or oneDNN) into preallocated memory."""
        a, b = map(torch.from_numpy, work.data())
        out = torch.empty(work.rows, work.columns)
        return lambda: torch.mm(a, b, out=out)
