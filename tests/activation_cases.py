"""Each activation with the options it is tested with, networks of one and passes through them."""

import pytest

from deltaprop import nn

MEMBERS = {
    name: getattr(nn, name)
    for name in nn.__all__
    if getattr(getattr(nn, name), "__module__", "") == "deltaprop.nn.activations"
}


# The options of each that are tried besides the defaults: PyTorch takes the same.
OPTIONS = {
    # PyTorch's 1/alpha is float32's, so one that this does not round.
    "CELU": [{"alpha": 0.25}, {"alpha": -2.0}],
    "ELU": [{"alpha": 1.7}, {"alpha": -0.5}],
    "GELU": [{"approximate": "tanh"}],
    "Hardsigmoid": [],
    "Hardswish": [],
    "Hardtanh": [{"min_val": -0.25, "max_val": 2.5}],
    "Identity": [],
    "LeakyReLU": [{"negative_slope": 0.3}, {"negative_slope": -2.0}],
    "LogSigmoid": [],
    "LogSoftmax": [{"dim": 1}],
    "Mish": [],
    "PReLU": [{"init": 0.7}, {"num_parameters": 3}, {"num_parameters": 3, "init": -0.5}],
    "ReLU": [],
    "ReLU6": [],
    "SELU": [],
    "SiLU": [],
    "Sigmoid": [],
    "Softmax": [{"dim": 1}],
    "Softplus": [{"beta": 3.0, "threshold": 2.0}, {"beta": 0.5}],
    "Softsign": [],
    "Tanh": [],
    "Tanhshrink": [],
}
CASES = [(name, options) for name in MEMBERS for options in [{}, *OPTIONS.get(name, [])]]
each = pytest.mark.parametrize(
    ("name", "options"), CASES, ids=lambda v: v if isinstance(v, str) else str(v or "")
)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def network(name, options, dtype="float64"):
    return nn.Sequential(MEMBERS[name](**options), dtype=dtype, seed=0)


def pass_through(net, x, delta):
    """Return output and dJ/d(input) of a training pass."""
    return net.forward(x), net.backward(delta)
