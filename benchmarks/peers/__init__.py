"""The peers, each a file with a class `Peer` that does of the works what its library can do."""

import os
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from benchmarks.works import Layer, Product, Serving, Training

OURS = "deltaprop"

# Name in the tables: the module here, and the packages that make up what is installed.
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
    """What a peer cannot do, and why."""


class Trainer(Protocol):
    """A network in training."""

    def begin(self) -> None:
        """Take the work's first weights, and an optimizer that has made no step.

        Its memory is there from the first slice on: to ask for it is no part of a step.
        """

    def epochs(self, count: int) -> float:
        """Train, rows in order, and return the last epoch's mean loss."""

    def layers(self) -> list[Layer]:
        """Give weights and biases as they are now."""


class Peer:
    """A library with a number of threads. Its functions refuse what it has not."""

    version: str

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def train(self, work: Training) -> Trainer:
        """Give the network of the work with its data and optimizer."""
        raise Unsupported("does not train")

    def serve(self, work: Serving) -> Callable[[], Any]:
        """Give the call that predicts the rows of the work."""
        raise Unsupported("does not serve")

    def product(self, work: Product) -> Callable[[], Any]:
        """Give the call that computes the product."""
        raise Unsupported("has no product of its own")

    def array(self, result: Any) -> np.ndarray:
        """Read what a call has returned."""
        return np.array(result)


def environment(threads: int) -> dict[str, str]:
    """Give the environment in which libraries start that many threads."""
    names = ("OMP", "OPENBLAS", "MKL", "DELTAPROP")
    env = os.environ | {f"{name}_NUM_THREADS": str(threads) for name in names}
    if threads == 1:
        env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return env
