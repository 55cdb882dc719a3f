"""Optimised NumPy: everything in place, updates on one flat array."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.works import Layer, Network, Product, Serving, Training


def activate(name: str, z: np.ndarray) -> None:
    """Apply the activation in place."""
    if name == "ReLU":
        np.maximum(z, 0, out=z)
    elif name == "Tanh":
        np.tanh(z, out=z)
    else:
        np.negative(z, out=z)
        np.exp(z, out=z)
        z += 1
        np.reciprocal(z, out=z)


def backpropagate(name: str, a: np.ndarray, delta: np.ndarray, spare: np.ndarray) -> None:
    """Multiply the delta by an activation's derivative, computed from its output."""
    if name == "ReLU":
        delta *= np.greater(a, 0, out=spare)
        return
    np.multiply(a, a, out=spare)
    np.subtract(1 if name == "Tanh" else a, spare, out=spare)
    delta *= spare


def forward(network: Network, layers: list[Layer], a: np.ndarray, outs: list[np.ndarray]) -> None:
    """Compute the outputs of all layers, activations in place."""
    last = len(layers) - 1
    for i, (weight, bias) in enumerate(layers):
        a = np.dot(a, weight, out=outs[i])
        a += bias
        if i < last:
            activate(network.activation, a)


class Trainer:
    """The delta recursion over preallocated arrays."""

    def __init__(self, work: Training) -> None:
        self.work, (self.X, self.y) = work, work.data()
        self.first = work.network.layers()
        dtype, widths = self.X.dtype, work.network.widths
        size = sum(a.size for layer in self.first for a in layer)
        self.flat, self.gradient, self.spare = (np.zeros(size, dtype) for _ in range(3))
        states = size if work.optimizer == "Adam" else 0
        self.m, self.v = np.zeros(states, dtype), np.zeros(states, dtype)
        self.parts, self.gradients = self.split(self.flat), self.split(self.gradient)
        self.outs, self.deltas, self.spares = (
            [np.empty((work.batch, width), dtype) for width in widths[1:]] for _ in range(3)
        )
        self.ones, self.rows = np.ones(work.batch, dtype), np.arange(work.batch)

    def split(self, flat: np.ndarray) -> list[Layer]:
        """Return the views of the layers into a flat array."""
        arrays, start = [], 0
        for array in (a for layer in self.first for a in layer):
            arrays.append(flat[start : start + array.size].reshape(array.shape))
            start += array.size
        return list(zip(arrays[::2], arrays[1::2], strict=True))

    def begin(self) -> None:
        """Restore the initial weights and optimizer state."""
        for views, arrays in zip(self.parts, self.first, strict=True):
            for view, array in zip(views, arrays, strict=True):
                view[:] = array
        self.t = 0
        for state in (self.m, self.v):
            state.fill(0)

    def epochs(self, count: int) -> float:
        """Train and return the last epoch's loss."""
        batch = self.work.batch
        update = self.adam if self.work.optimizer == "Adam" else self.sgd
        for _ in range(count):
            total = 0.0
            for i in range(0, self.work.rows, batch):
                x = self.X[i : i + batch]
                forward(self.work.network, self.parts, x, self.outs)
                total += self.loss(self.y[i : i + batch])
                self.backward(x)
                update()
        return total / self.work.steps

    def loss(self, y: np.ndarray) -> float:
        """Return the loss and compute its delta."""
        a, delta = self.outs[-1], self.deltas[-1]
        if not self.work.classes:
            np.subtract(a, y, out=delta)
            value = np.vdot(delta, delta) / delta.size
            delta *= 2 / delta.size
            return float(value)
        a -= a.max(axis=1, keepdims=True)
        np.exp(a, out=delta)
        sums = delta.sum(axis=1, keepdims=True)
        value = (np.log(sums).sum() - a[self.rows, y].sum()) / len(y)
        delta /= sums
        delta[self.rows, y] -= 1
        delta /= len(y)
        return float(value)

    def backward(self, x: np.ndarray) -> None:
        """Compute the gradients, from the last layer to the first."""
        for i in reversed(range(len(self.parts))):
            (weight_gradient, bias_gradient), delta = self.gradients[i], self.deltas[i]
            np.dot((self.outs[i - 1] if i else x).T, delta, out=weight_gradient)
            np.dot(self.ones, delta, out=bias_gradient)
            if i:
                np.dot(delta, self.parts[i][0].T, out=self.deltas[i - 1])
                name = self.work.network.activation
                backpropagate(name, self.outs[i - 1], self.deltas[i - 1], self.spares[i - 1])

    def adam(self) -> None:
        """Update by Adam; overwrites gradient and spare."""
        self.t += 1
        first, second = 1 - 0.9**self.t, np.sqrt(1 - 0.999**self.t)
        g, m, v, spare = self.gradient, self.m, self.v, self.spare
        m *= 0.9
        m += np.multiply(g, 0.1, out=spare)
        v *= 0.999
        g *= g
        g *= 0.001
        v += g
        np.sqrt(v, out=spare)
        spare += 1e-8 * second
        np.divide(m, spare, out=spare)
        spare *= self.work.rate * second / first
        self.flat -= spare

    def sgd(self) -> None:
        """Update along the gradient."""
        self.gradient *= self.work.rate
        self.flat -= self.gradient

    def layers(self) -> list[Layer]:
        """Return weights and biases."""
        return self.parts


class Peer(peers.Peer):
    """NumPy, with its bundled BLAS."""

    version = np.__version__

    def train(self, work: Training) -> Trainer:
        """Return the loop."""
        return Trainer(work)

    def serve(self, work: Serving) -> Callable[[], Any]:
        """Return the forward pass."""
        layers, x = work.network.layers(), work.data()
        outs = [np.empty((work.rows, width), x.dtype) for width in work.network.widths[1:]]

        def call() -> np.ndarray:
            forward(work.network, layers, x, outs)
            return outs[-1]

        return call

    def product(self, work: Product) -> Callable[[], Any]:
        """Return a call of `np.matmul` (OpenBLAS) into preallocated memory."""
        a, b = work.data()
        out = np.empty((work.rows, work.columns), np.float32)
        return lambda: np.matmul(a, b, out=out)
