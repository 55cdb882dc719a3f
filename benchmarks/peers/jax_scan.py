"""JAX: an epoch as one jitted scan with donated buffers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import peers
from benchmarks.works import Layer, Network, Product, Serving, Training

jax.config.update("jax_enable_x64", True)

ACTIVATIONS = {"ReLU": jax.nn.relu, "Tanh": jnp.tanh, "Sigmoid": jax.nn.sigmoid}


def outputs(network: Network, layers: list[Any], a: Any) -> Any:
    """Compute the network."""
    for i, (weight, bias) in enumerate(layers):
        a = (ACTIVATIONS[network.activation](a) if i else a) @ weight + bias
    return a


def adam(layers: Any, gradients: Any, state: Any, rate: float) -> tuple[Any, Any]:
    """Update by Adam, as Optax does."""
    m, v, t = state
    t += 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
    first, second = 1 - 0.9 ** t.astype("f4"), 1 - 0.999 ** t.astype("f4")

    def update(p: Any, m: Any, v: Any) -> Any:
        one, two = first.astype(p.dtype), second.astype(p.dtype)
        return p - rate * (m / one) / (jnp.sqrt(v / two) + 1e-8)

    return jax.tree.map(update, layers, m, v), (m, v, t)


def sgd(layers: Any, gradients: Any, state: Any, rate: float) -> tuple[Any, Any]:
    """Update along the gradient."""
    return jax.tree.map(lambda p, g: p - rate * g, layers, gradients), state


class Trainer:
    """An epoch as one function of parameters, optimizer state and batches."""

    def __init__(self, work: Training) -> None:
        self.work, (X, y) = work, work.data()
        self.X = jnp.asarray(X.reshape(work.steps, work.batch, -1))
        self.y = jnp.asarray(y.reshape(work.steps, work.batch, *y.shape[1:]))
        self.first = work.network.layers()
        update = {"Adam": adam, "SGD": sgd}[work.optimizer]

        def loss(layers: Any, x: Any, y: Any) -> Any:
            a = outputs(work.network, layers, x)
            if work.classes:
                scores = jax.nn.log_softmax(a)
                return -jnp.mean(jnp.take_along_axis(scores, y[:, None], axis=1))
            return jnp.mean((a - y) ** 2)

        def step(carry: Any, batch: Any) -> Any:
            layers, state = carry
            value, gradients = jax.value_and_grad(loss)(layers, *batch)
            return update(layers, gradients, state, work.rate), value

        @partial(jax.jit, donate_argnums=0)
        def epoch(carry: Any, X: Any, y: Any) -> Any:
            carry, values = jax.lax.scan(step, carry, (X, y))
            return carry, jnp.mean(values)

        self.epoch = epoch

    def begin(self) -> None:
        """Restore the initial weights and a new optimizer state."""

        def zeros() -> Any:
            return jax.tree.map(jnp.zeros_like, self.first)

        adam = self.work.optimizer == "Adam"
        state = (zeros(), zeros(), jnp.zeros((), "i4")) if adam else ()
        # A copy: NumPy's memory must not be donated.
        layers = jax.tree.map(lambda a: jnp.array(a, copy=True), self.first)
        self.carry = jax.block_until_ready((layers, state))

    def epochs(self, count: int) -> float:
        """Train and return the last epoch's loss."""
        for _ in range(count):
            self.carry, value = self.epoch(self.carry, self.X, self.y)
        return float(value)

    def layers(self) -> list[Layer]:
        """Return weights and biases."""
        return [(np.asarray(weight), np.asarray(bias)) for weight, bias in self.carry[0]]


class Peer(peers.Peer):
    """JAX."""

    version = jax.__version__

    def train(self, work: Training) -> Trainer:
        """Return the network."""
        return Trainer(work)

    def serve(self, work: Serving) -> Callable[[], Any]:
        """Return a call of the jitted network, its weights constants."""
        layers = jax.tree.map(jnp.asarray, work.network.layers())
        call, x = jax.jit(partial(outputs, work.network, layers)), jnp.asarray(work.data())
        return lambda: call(x).block_until_ready()

    def product(self, work: Product) -> Callable[[], Any]:
        """Return a call of the jitted product."""
        call, (a, b) = jax.jit(jnp.matmul), map(jnp.asarray, work.data())
        return lambda: call(a, b).block_until_ready()
