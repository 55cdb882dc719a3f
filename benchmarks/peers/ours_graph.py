"""deltaprop's graphs: a product without the path of a network around it."""

from collections.abc import Callable
from typing import Any

import numpy as np

import deltaprop as dp
from benchmarks import peers
from benchmarks.works import Product
from deltaprop import graph


class Peer(peers.Peer):
    """A node of a graph, evaluated again and again."""

    version = dp.__version__

    def product(self, work: Product) -> Callable[[], Any]:
        """Give the forward pass of a product's node."""
        a, b = work.data()
        y = graph.variable(a) @ graph.variable(b)

        def call() -> graph.Node:
            y.forward()
            return y

        return call

    def array(self, result: Any) -> np.ndarray:
        """Read the node."""
        return np.array(result.value)
