"""The works: their data, initial weights, and criteria for the agreement of results.

Everything is a function of the work, so that every process generates the same data and weights.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

Layer = tuple[np.ndarray, np.ndarray]  # weight (in, out) and bias (out,)

ACTIVATIONS: dict[str, Any] = {
    "Identity": lambda z: z,
    "ReLU": lambda z: np.maximum(z, 0),
    "Tanh": np.tanh,
    "Sigmoid": lambda z: 1 / (1 + np.exp(-z)),
}


@dataclass(frozen=True)
class Network:
    """Dense layers with one activation between them."""

    widths: tuple[int, ...]
    activation: str = "ReLU"
    dtype: str = "float32"

    def layers(self) -> list[Layer]:
        """Return the initial weights, read-only."""
        return first_layers(self)

    @property
    def parameters(self) -> int:
        """The number of parameters."""
        return sum((a + 1) * b for a, b in pairwise(self.widths))

    def outputs(self, layers: list[Layer], x: np.ndarray) -> np.ndarray:
        """Compute the reference outputs in float64."""
        a = x.astype(np.float64)
        for i, (weight, bias) in enumerate(layers):
            a = (ACTIVATIONS[self.activation](a) if i else a) @ weight.astype(np.float64) + bias
        return a

    def __str__(self) -> str:
        precision = "" if self.dtype == "float32" else f" {self.dtype}"
        activation = "" if self.activation == "Identity" else f" {self.activation.lower()}"
        return "-".join(map(str, self.widths)) + activation + precision


@lru_cache(maxsize=1)
def first_layers(network: Network) -> list[Layer]:
    """Draw weights from PyTorch's default distribution; cached."""
    random = np.random.default_rng(0)

    def draw(fan_in: int, *shape: int) -> np.ndarray:
        array = random.uniform(-1, 1, shape).astype(network.dtype) / np.sqrt(fan_in, dtype="f4")
        array.flags.writeable = False
        return array

    return [(draw(a, a, b), draw(a, b)) for a, b in pairwise(network.widths)]


@dataclass(frozen=True)
class Training:
    """Training steps: classification if the last layer has 10 outputs, else regression."""

    network: Network
    batch: int
    optimizer: str = "Adam"
    steps: int = 1
    """Steps per epoch; the unit of time is one step."""

    @property
    def rows(self) -> int:
        """Rows of the training set."""
        return self.batch * self.steps

    @property
    def rate(self) -> float:
        """The learning rate, low enough that two epochs do not converge: then errors would hide."""
        return 1e-3 if self.optimizer == "Adam" else 0.1 / self.steps

    @property
    def classes(self) -> bool:
        """Whether the loss is the cross-entropy."""
        return self.network.widths[-1] == 10

    @property
    def flops(self) -> int:
        """Operations of a step's products: outputs, gradients, deltas except those of the input."""
        sizes = [a * b for a, b in pairwise(self.network.widths)]
        return 2 * self.batch * (3 * sum(sizes) - sizes[0])

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and targets that can be learned."""
        return training_set(self)

    def loss(self, layers: list[Layer]) -> float:
        """Compute the loss over the whole set in float64."""
        X, y = self.data()
        a = self.network.outputs(layers, X)
        if not self.classes:
            return float(np.mean((a - y) ** 2))
        a -= a.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(a).sum(axis=1)) - a[np.arange(len(y)), y]))

    def __str__(self) -> str:
        return f"{self.network}, {self.batch}, {self.optimizer}"


@lru_cache(maxsize=1)
def training_set(work: Training) -> tuple[np.ndarray, np.ndarray]:
    """Generate the data of a work; cached."""
    random = np.random.default_rng(1)
    inputs, outputs = work.network.widths[0], work.network.widths[-1]
    X = random.normal(size=(work.rows, inputs)).astype(work.network.dtype)
    if work.classes:
        y = random.permutation(np.arange(work.rows) % 10)
        X += random.normal(size=(10, inputs)).astype(X.dtype)[y]
        return X, y
    teacher = random.normal(size=(inputs, outputs)) / np.sqrt(inputs)
    return X, (X @ teacher.astype(X.dtype)) + np.float32(0.5)


@dataclass(frozen=True)
class Serving:
    """Predictions of some rows; the unit of time is one call."""

    network: Network
    rows: int

    def data(self) -> np.ndarray:
        """Return the rows."""
        shape = (self.rows, self.network.widths[0])
        return np.random.default_rng(1).normal(size=shape).astype(self.network.dtype)

    def __str__(self) -> str:
        return f"{self.network}, {self.rows:,} row{'s' * (self.rows > 1)}"


@dataclass(frozen=True)
class Product:
    """One product of matrices; the unit of time is one product."""

    rows: int
    inner: int
    columns: int

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Return both factors."""
        random = np.random.default_rng(0)
        shapes = (self.rows, self.inner), (self.inner, self.columns)
        a, b = (random.normal(size=s).astype(np.float32) for s in shapes)
        return a, b

    @property
    def flops(self) -> int:
        """The number of multiplications and additions."""
        return 2 * self.rows * self.inner * self.columns

    def __str__(self) -> str:
        return f"{self.rows} x {self.inner} x {self.columns}"


Work = Training | Serving | Product


def agree(work: Work, ours: Any, theirs: Any) -> bool:
    """Return whether two results of the work agree up to rounding.

    The result of training is the decrease of the loss, which must agree within 2 %.
    """
    if isinstance(work, Training):
        return bool(abs(theirs - ours) <= 0.02 * abs(ours))
    return bool(np.allclose(theirs, ours, rtol=0, atol=1e-4 * np.abs(ours).max()))


SIX = [
    Training(Network((1, 1), "Identity"), 1, "SGD", 10_000),
    Training(Network((2, 50, 1), "Sigmoid"), 100),
    Training(Network((4, 32, 16, 4), "Tanh"), 10_000),
    Training(Network((64, 128, 64, 10)), 32, steps=100),
    Training(Network((784, 256, 128, 10)), 128, steps=10),
    Training(Network((1024, 1024, 1024, 10)), 256, steps=2),
]

SERVING = [
    Serving(Network(widths, activation), rows)
    for rows in (1, 10_000)
    for widths, activation in (
        ((2, 50, 1), "Sigmoid"),
        ((64, 128, 64, 10), "ReLU"),
        ((784, 256, 128, 10), "ReLU"),
    )
]

PRODUCTS = [
    *(Product(n, n, n) for n in (16, 32, 64, 128, 256, 512, 1024, 2048)),
    *(Product(*shape) for shape in ((32, 64, 128), (128, 784, 256), (256, 1024, 1024))),
    *(Product(*shape) for shape in ((16, 2048, 16), (2048, 16, 2048), (16, 2048, 2048))),
    *(Product(*shape) for shape in ((2048, 2048, 16), (2048, 16, 16), (250, 330, 170))),
]


def square(
    width: int,
    batch: int,
    dtype: str = "float32",
    optimizer: str = "Adam",
    activation: str = "ReLU",
) -> Training:
    """Return the training of two hidden layers of equal width, with epochs of similar cost."""
    steps = 3_000_000_000 // (10 * max(batch, 32) * width * (width + 10))
    network = Network((width, width, width, 10), activation, dtype)
    minimum = max(2, -(-10 // batch))  # enough rows for every class
    return Training(network, batch, optimizer, max(minimum, min(steps, 10_000 // batch, 500)))


def grid() -> list[Training]:
    """Return works between and around the six; width 2048 with 4096 rows would take minutes."""
    corners = [(w, b) for w in (8, 32, 128, 512, 2048) for b in (1, 32, 256, 4096)]
    return [
        *(square(w, b) for w, b in corners if w * b < 2048 * 4096),
        *(square(w, b, dtype="float64") for w in (8, 32, 128, 512) for b in (32, 256)),
        *(square(w, b, optimizer="SGD") for w in (8, 128, 512) for b in (1, 256)),
        *(square(w, 256, activation=a) for w in (32, 512) for a in ("Tanh", "Sigmoid")),
        Training(Network((13, 57, 3), "Tanh"), 7, steps=300),
        Training(Network((100, 1), "Identity"), 64, steps=100),
        Training(Network((1, 1000, 1), "Tanh"), 256, steps=10),
        Training(Network((32,) * 9, "Tanh"), 64, steps=50),
    ]
