"""Each layer that is no activation with the arguments it is tested with, and networks of it."""

import numpy as np
import pytest

from deltaprop import nn, optim
from members import in_torch

MEMBERS = {
    name: getattr(nn, name)
    for name in nn.__all__
    if isinstance(getattr(nn, name), type)
    and issubclass(getattr(nn, name), nn.Layer)
    and getattr(nn, name) not in (nn.Layer, nn.ExpressionLayer)
    and getattr(nn, name).__module__ != "deltaprop.nn.activations"
}
# The arguments that each is tried with, for inputs of WIDTH features: PyTorch takes the same.
WIDTH = 4
P = [{}, {"p": 0.2}, {"p": 0.0}, {"p": 1.0}]
ARGUMENTS = {
    "AlphaDropout": P,
    "BatchNorm1d": [
        {"num_features": 4},
        {"num_features": 4, "eps": 0.1, "momentum": 0.3},
        {"num_features": 4, "momentum": None},
        {"num_features": 4, "affine": False},
    ],
    "Dropout": P,
    "Embedding": [
        {"num_embeddings": 6, "embedding_dim": 3},
        {"num_embeddings": 6, "embedding_dim": 1, "padding_idx": -2},
    ],
    "LayerNorm": [
        {"normalized_shape": 4},
        {"normalized_shape": 4, "eps": 0.1},
        {"normalized_shape": (4,), "bias": False},
        {"normalized_shape": 4, "elementwise_affine": False},
    ],
    "Linear": [
        {"in_features": 4, "out_features": 3},
        {"in_features": 4, "out_features": 3, "bias": False},
    ],
    "RMSNorm": [
        {"normalized_shape": 4},
        {"normalized_shape": [4], "eps": 0.1},
        {"normalized_shape": 4, "elementwise_affine": False},
    ],
    "Standardize": [{"in_features": 4}],
}


# What they refuse: arguments, error and message.
REFUSED = [
    ("BatchNorm1d", {"num_features": 0}, ValueError, "num_features: expected 1 or more, got 0"),
    ("BatchNorm1d", {"num_features": 2.0}, TypeError, "num_features: expected an integer"),
    ("BatchNorm1d", {"num_features": 2**62}, MemoryError, None),
    ("BatchNorm1d", {"num_features": 2, "eps": -1}, ValueError, "eps: expected 0 or more, got -1"),
    ("BatchNorm1d", {"num_features": 2, "eps": np.nan}, ValueError, "expected a finite number"),
    ("BatchNorm1d", {"num_features": 2, "momentum": 1.5}, ValueError, "expected 1 or less"),
    ("BatchNorm1d", {"num_features": 2, "momentum": "a"}, TypeError, "expected a number, got 'a'"),
    ("BatchNorm1d", {"num_features": 2, "affine": 1}, TypeError, "expected True or False, got 1"),
    ("LayerNorm", {"normalized_shape": 0}, ValueError, "expected 1 or more, got 0"),
    (
        "LayerNorm",
        {"normalized_shape": (2, 4)},
        ValueError,
        "one width, as inputs are (N, features)",
    ),
    ("LayerNorm", {"normalized_shape": []}, ValueError, "expected one width, as"),
    ("LayerNorm", {"normalized_shape": [4.0]}, TypeError, "expected an integer, got float"),
    ("LayerNorm", {"normalized_shape": 2, "eps": None}, TypeError, "expected a number, got None"),
    ("LayerNorm", {"normalized_shape": 2, "bias": None}, TypeError, "expected True or False"),
    ("RMSNorm", {"normalized_shape": -1}, ValueError, "expected 1 or more, got -1"),
    ("RMSNorm", {"normalized_shape": 2, "eps": -0.1}, ValueError, "expected 0 or more, got -0.1"),
    ("Dropout", {"p": 1.1}, ValueError, "Dropout: p: expected 1 or less, got 1.1"),
    ("Dropout", {"p": np.nan}, ValueError, "Dropout: p: expected a finite number, got nan"),
    ("AlphaDropout", {"p": -0.1}, ValueError, "AlphaDropout: p: expected 0 or more, got -0.1"),
    ("AlphaDropout", {"p": True}, TypeError, "AlphaDropout: p: expected a number, got True"),
    ("Embedding", {"num_embeddings": 0, "embedding_dim": 1}, ValueError, "expected 1 or more"),
    ("Embedding", {"num_embeddings": 1, "embedding_dim": 0}, ValueError, "expected 1 or more"),
    ("Embedding", {"num_embeddings": 2**40, "embedding_dim": 2**40}, MemoryError, None),
    (
        "Embedding",
        {"num_embeddings": 3, "embedding_dim": 1, "padding_idx": 3},
        ValueError,
        "padding_idx: expected less than 3, got 3",
    ),
    (
        "Embedding",
        {"num_embeddings": 3, "embedding_dim": 1, "padding_idx": -4},
        ValueError,
        "padding_idx: expected -3 or more, got -4",
    ),
    ("Linear", {"in_features": 0, "out_features": 1}, ValueError, "expected 1 or more, got 0"),
    ("Standardize", {"in_features": 0}, ValueError, "in_features: expected 1 or more, got 0"),
]
# Of those in a PyTorch network that draw nothing, or nothing that matters.
IN_TORCH = [
    (name, options)
    for name, cases in ARGUMENTS.items()
    for options in cases
    if in_torch(MEMBERS[name]) and options.get("p", 0 if "Dropout" not in name else 1) == 0
]
CASES = [(name, options) for name, cases in ARGUMENTS.items() for options in cases]
DTYPES = ["float32", "float64"]


def _label(value):
    return value if isinstance(value, str) else ",".join(f"{v}" for v in value.values())


each = pytest.mark.parametrize(("name", "options"), CASES, ids=_label)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def sample(name, rng, rows=9):
    """Return inputs that the layer takes."""
    if name == "Embedding":
        return rng.integers(0, 6, (rows, WIDTH))
    return 2 * rng.normal(size=(rows, WIDTH)) + 1


def alone(name, options, dtype="float64"):
    """Return a network of the layer, which has learned what it needs."""
    net = nn.Sequential(MEMBERS[name](**options), dtype=dtype, seed=0)
    if name == "Standardize":
        net[0].learn(sample(name, np.random.default_rng(1)))
    return net


def network(name, options, dtype="float64"):
    """Return a network with the layer in it, where it may stand."""
    layer = MEMBERS[name](**options)
    out = WIDTH * options.get("embedding_dim", 1) if name != "Linear" else 3
    before = [] if name in ("Embedding", "Standardize") else [nn.Linear(WIDTH, WIDTH)]
    net = nn.Sequential(*before, layer, nn.Linear(out, 2), dtype=dtype, seed=3)
    if name == "Standardize":
        layer.learn(sample(name, np.random.default_rng(1)))
    return net


def torch_kind(torch, name):
    """Return PyTorch's layer of the name, for inputs of rows."""

    class Rows(torch.nn.Embedding):
        def forward(self, indices):
            return super().forward(indices.long()).flatten(1)

    return Rows if name == "Embedding" else getattr(torch.nn, name)


def same(a, b):
    """Assert that two state_dicts are the same to the bit."""
    assert list(a) == list(b)
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)


def sgd(net, lr=0.05):
    return optim.SGD(net.parameters(), lr=lr)
