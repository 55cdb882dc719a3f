"""The libraries compared, each a module with a class `Peer` that implements works."""

import os
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from benchmarks.works import Layer, Product, Serving, Training

OURS = "deltaprop"

# Name in the tables: the module here, and the packages that count as the installed size.
PEERS: dict[str, tuple[str, tuple[str, ...]]] = {
    OURS: ("ours", ("deltaprop",)),
    "deltaprop.graph": ("ours_graph", ("deltaprop",)),
    "PyTorch": ("pytorch", ("torch",)),
    "JAX": ("jax_scan", ("jax", "jaxlib")),
    "scikit-learn": ("scikit", ("sklearn",)),
    "NumPy": ("by_hand", ("numpy",)),
    "ONNX Runtime": ("onnx_runtime", ("onnxruntime",)),
}


class Unsupported(Exception):  # noqa: N818 - it is an answer, not an error
    """Raised for a work that a peer does not support, with the reason."""


class Trainer(Protocol):
    """A network in training."""

    def begin(self) -> None:
        """Restore the work's initial weights and a new optimizer.

        Memory should be allocated only once, since allocation is not part of a step.
        """

    def epochs(self, count: int) -> float:
        """Train, rows in order, and return the last epoch's mean loss."""

    def layers(self) -> list[Layer]:
        """Return the current weights and biases."""


class Peer:
    """A library with a number of threads. Methods raise `Unsupported` by default."""

    version: str

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def train(self, work: Training) -> Trainer:
        """Return a trainer for the work's network, data and optimizer."""
        raise Unsupported("does not train")

    def serve(self, work: Serving) -> Callable[[], Any]:
        """Return a function that predicts the rows of the work."""
        raise Unsupported("does not serve")

    def product(self, work: Product) -> Callable[[], Any]:
        """Return a function that computes the product."""
        raise Unsupported("has no product of its own")

    def array(self, result: Any) -> np.ndarray:
        """Convert the result of a call to an array."""
        return np.array(result)


def environment(threads: int) -> dict[str, str]:
    """Return environment variables that limit libraries to a number of threads."""
    names = ("OMP", "OPENBLAS", "MKL", "DELTAPROP")
    env = os.environ | {f"{name}_NUM_THREADS": str(threads) for name in names}
    if threads == 1:
        env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return env
