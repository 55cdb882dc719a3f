"""Each loss with options, data it takes and a reference."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from deltaprop import nn
from deltaprop.nn.losses import Loss

# But for those whose formula is the user's.
MEMBERS = {
    name: kind
    for name in nn.__all__
    if isinstance(kind := getattr(nn, name), type)
    and issubclass(kind, Loss)
    and kind not in (Loss, nn.ExpressionLoss)
}
COLS = 6
WEIGHT = (0.5, 2.0, 1.0, 3.0, 0.0, 1.5)


def outputs(rng, rows):
    return rng.normal(size=(rows, COLS)) * 2


def log_softmax(rng, rows):
    a = outputs(rng, rows)
    return a - np.log(np.exp(a).sum(1, keepdims=True))


def normal(rng, rows):
    return rng.normal(size=(rows, COLS))


def probabilities(rng, rows):
    return rng.uniform(0.05, 0.95, (rows, COLS))


def shares(rng, rows):
    return rng.dirichlet(np.ones(COLS), rows)


def counts(rng, rows):
    return rng.poisson(3.0, (rows, COLS)).astype(float)


def signs(rng, rows):
    return rng.choice([-1.0, 1.0], (rows, COLS))


def classes(rng, rows):
    return rng.integers(0, COLS, rows)


def some_ignored(rng, rows):
    return np.where(np.arange(rows) % 3 == 1, -100, classes(rng, rows))


def half(draw):
    return lambda rng, rows: draw(rng, rows)[:, : COLS // 2]


def variances(rng, rows):
    return np.concatenate([normal(rng, rows)[:, :3], rng.uniform(0.2, 3, (rows, 3))], 1)


def pinball(a, y):
    e, q = np.repeat(y, 3, axis=1) - a, np.tile([0.1, 0.5, 0.9], 2)
    return np.maximum(q * e, (q - 1) * e), np.where(e > 0, -q, 1 - q)


def hinge(a, y):
    return np.maximum(0, 1 - y * a), np.where(y * a < 1, -y, 0)


def in_halves(torch_loss):
    return lambda a, y: torch_loss(a[:, :3], y, a[:, 3:])


@dataclass
class Case:
    """A loss with options, data that it accepts, and its oracle."""

    name: str
    a: Callable[..., Any]
    y: Callable[..., Any]
    options: dict[str, Any]
    formula: Callable[..., Any] | None = None  # value and delta by NumPy, where PyTorch has none
    adapt: Callable[..., Any] = lambda f: f  # how PyTorch's is called

    def loss(self, reduction="mean", **more):
        return MEMBERS[self.name](reduction=reduction, **self.options, **more)

    def data(self, rows=7, seed=0):
        rng = np.random.default_rng(seed)
        return self.a(rng, rows), self.y(rng, rows)

    def class_weights(self, y):
        """Return what the rows count beside their sample weights."""
        if y.dtype.kind == "f":
            return np.ones(len(y))
        weight = np.asarray(self.options.get("weight", np.ones(COLS)))
        return np.where(y < 0, 0, weight[np.maximum(y, 0)])

    def torch(self, torch, a, y, reduction):
        tensors = ("weight", "pos_weight")
        options = {
            k: torch.tensor(v, dtype=a.dtype) if k in tensors else v
            for k, v in self.options.items()
        }
        loss = getattr(torch.nn, self.name)(reduction=reduction, **options)
        return self.adapt(loss)(a, torch.as_tensor(y).to(a.dtype if y.dtype.kind == "f" else None))

    def __str__(self):
        return f"{self.name}({','.join(self.options)}){self.y.__name__}"


CASES = [
    Case("MSELoss", outputs, normal, {}),
    Case("L1Loss", outputs, normal, {}),
    Case("SmoothL1Loss", outputs, normal, {}),
    Case("SmoothL1Loss", outputs, normal, {"beta": 0.3}),
    Case("SmoothL1Loss", outputs, normal, {"beta": 0.0}),
    Case("HuberLoss", outputs, normal, {}),
    Case("HuberLoss", outputs, normal, {"delta": 0.3}),
    Case("BCELoss", probabilities, probabilities, {}),
    Case("BCEWithLogitsLoss", outputs, probabilities, {}),
    Case("BCEWithLogitsLoss", outputs, probabilities, {"pos_weight": WEIGHT}),
    Case("BCEWithLogitsLoss", outputs, probabilities, {"pos_weight": 3.0}),
    Case("PoissonNLLLoss", outputs, counts, {}),
    Case("PoissonNLLLoss", outputs, counts, {"full": True}),
    Case("PoissonNLLLoss", probabilities, counts, {"log_input": False}),
    Case("PoissonNLLLoss", probabilities, counts, {"log_input": False, "full": True, "eps": 0.1}),
    Case("GaussianNLLLoss", variances, half(normal), {}, adapt=in_halves),
    Case("GaussianNLLLoss", variances, half(normal), {"full": True, "eps": 0.1}, adapt=in_halves),
    Case("KLDivLoss", log_softmax, shares, {}),
    Case("KLDivLoss", log_softmax, log_softmax, {"log_target": True}),
    Case("NLLLoss", log_softmax, classes, {}),
    Case("NLLLoss", log_softmax, some_ignored, {"weight": WEIGHT}),
    Case("CrossEntropyLoss", outputs, classes, {}),
    Case("CrossEntropyLoss", outputs, some_ignored, {"weight": WEIGHT}),
    Case("CrossEntropyLoss", outputs, some_ignored, {"label_smoothing": 0.2}),
    Case("CrossEntropyLoss", outputs, classes, {"label_smoothing": 0.2, "weight": WEIGHT}),
    Case("CrossEntropyLoss", outputs, shares, {}),
    Case("CrossEntropyLoss", outputs, shares, {"label_smoothing": 1.0, "weight": WEIGHT}),
    Case("QuantileLoss", outputs, lambda r, n: normal(r, n)[:, :2], {}, pinball),
    Case("HingeLoss", outputs, signs, {}, hinge),
]
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_member = pytest.mark.parametrize("name", MEMBERS)
