"""Each activation with the options it is tested with, networks of one and passes through them."""

import pytest

from deltaprop import _core, nn

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
    "Hardtanh": [{"min_val": -0.25, "max_val": 2.5}],
    "LeakyReLU": [{"negative_slope": 0.3}, {"negative_slope": -2.0}],
    "LogSoftmax": [{"dim": 1}],
    "PReLU": [{"init": 0.7}, {"num_parameters": 3}, {"num_parameters": 3, "init": -0.5}],
    "Softmax": [{"dim": 1}],
    "Softplus": [{"beta": 3.0, "threshold": 2.0}, {"beta": 0.5}],
}
# Other options are a step from the defaults.
for _name in MEMBERS.keys() & set(_core.activation_names()) - OPTIONS.keys():
    _moved = {option.name: option.fallback + 0.25 for option in _core.options(_name)}
    OPTIONS[_name] = [_moved] if _moved else []
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
