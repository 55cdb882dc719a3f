"""The core describes each option once; what Python writes of it for people agrees with that."""

import inspect
import math

import pytest

from deltaprop import _core, nn, optim
from deltaprop.nn import activations, losses
from deltaprop.optim import optimizer, rules

KINDS = {
    **{name: getattr(nn, name) for name in (*activations.__all__, *losses.__all__)},
    **{name: getattr(optim, name) for name in rules.__all__},
}
DESCRIBED = {
    name: _core.options(name)
    for names in (_core.activation_names(), _core.loss_names(), _core.rule_names())
    for name in names
    if name in KINDS
}
# Arguments that choose a function or an axis, or belong to every loss or optimizer.
OTHERS = {"approximate", "dim", "factor", "kwargs", "params", "reduction"}
# Options that a class sets itself.
FIXED = {"AdamW": {"decoupled_weight_decay"}}
# The default of several numbers is Python's: the core has none to repeat it for.
SEVERAL = {"columns": None, "classes": None, "outputs": (0.1, 0.5, 0.9)}


def defaults(name):
    """Return the defaults that the core knows, as users write them."""
    options = {}
    for option in DESCRIBED[name]:
        options.setdefault(option.tuple or option.name, []).append(option)
    return {
        key: SEVERAL[members[0].kind]
        if members[0].kind in SEVERAL
        else optimizer.default_of(members)
        for key, members in options.items()
    }


def test_every_function_of_the_core_has_a_class():
    named = {*_core.activation_names(), *_core.loss_names(), *_core.rule_names()}
    assert named - KINDS.keys() == {"GELUTanh", "CrossEntropyLoss of probabilities"}
    assert KINDS.keys() - named == {"PReLU"}  # a layer, as it has parameters


@pytest.mark.parametrize("name", DESCRIBED)
def test_signatures_are_the_cores(name):
    written = inspect.signature(KINDS[name]).parameters
    expected = defaults(name)
    common = inspect.signature(optim.Optimizer).parameters if name in rules.__all__ else {}
    assert {k: p.default for k, p in written.items() if k not in OTHERS} == {
        k: v for k, v in expected.items() if k not in common.keys() | FIXED.get(name, set())
    }
    assert {k: common[k].default for k in common.keys() & expected.keys()} == {
        k: expected[k] for k in common.keys() & expected.keys()
    }


@pytest.mark.parametrize("name", DESCRIBED)
def test_defaults_are_in_their_domains(name):
    for option in DESCRIBED[name]:
        if option.kind not in SEVERAL:
            assert option.holds(option.fallback), option.name
        assert not option.holds(math.nan)
