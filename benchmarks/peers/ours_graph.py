"""deltaprop's graphs: a product without the overhead of a network."""

from collections.abc import Callable
from typing import Any

import numpy as np

import deltaprop as dp
from benchmarks import peers
from benchmarks.works import Product
from deltaprop import graph


class Peer(peers.Peer):
    """A node of a graph, evaluated repeatedly."""

    version = dp.__version__

    def product(self, work: Product) -> Callable[[], Any]:
        """Return the forward pass of a product's node."""
        a, b = work.data()
        y = graph.variable(a) @ graph.variable(b)

        def call() -> graph.Node:
            y.forward()
            return y

        return call

    def array(self, result: Any) -> np.ndarray:
        """Return the node's value."""
        return np.array(result.value)
