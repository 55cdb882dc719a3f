"""What members of the catalogue take: PyTorch's arguments, and no others without saying so."""

import inspect
import itertools
import re
from inspect import Parameter

import numpy as np
import pytest

from deltaprop import nn, optim
from deltaprop._checked_init import CheckedInit
from members import in_torch

MEMBERS = {
    name: kind
    for module in (nn, optim)
    for name, kind in ((name, getattr(module, name)) for name in module.__all__)
    if inspect.isclass(kind)
    and issubclass(kind, CheckedInit)
    and kind not in (optim.Optimizer, optim.LRScheduler)
}
INITIALISERS = {name: getattr(nn.init, name) for name in nn.init.__all__}
OURS_ALONE = {name for name, kind in MEMBERS.items() if not in_torch(kind)}

# What PyTorch's take and ours do not: of every member, and of some.
NOT_TAKEN = {
    *("size_average", "reduce"),  # old names of `reduction`
    *("device", "dtype", "inplace"),  # a network decides where its numbers are
    *("foreach", "fused", "capturable", "differentiable"),  # how PyTorch runs an update
    "last_epoch",  # a schedule attaches itself, and has a state_dict
    "generator",  # `seed` stands for it
}
NOT_TAKEN_BY = {
    "BCELoss": {"weight"},  # a call takes sample_weight
    "BCEWithLogitsLoss": {"weight"},
    "BatchNorm1d": {"track_running_stats", "bias"},
    "Embedding": {"max_norm", "norm_type", "scale_grad_by_freq", "sparse", "_weight", "_freeze"},
    "Hardtanh": {"min_value", "max_value"},
}
# Where PyTorch's default is deprecated, and means the features of a row.
DEFAULTS = {("Softmax", "dim"): -1, ("LogSoftmax", "dim"): -1}


def parameters(function):
    """Return the names in a signature."""
    anything = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    given = inspect.signature(function).parameters
    return {name: p for name, p in given.items() if p.kind not in anything}


def in_order(given):
    return [name for name, p in given.items() if p.kind is not Parameter.KEYWORD_ONLY]


def theirs(torch, name):
    modules = (torch.nn, torch.optim, torch.optim.lr_scheduler, torch.nn.init)
    found = [getattr(m, name) for m in modules if hasattr(m, name)]
    assert found, f"PyTorch has no {name}, which its docstring names"
    return parameters(found[0])


def test_there_are_members():
    assert len(MEMBERS) > 60
    assert {"Concat", "ExpressionLayer", "ExpressionLoss", "Heads", "HingeLoss"} <= OURS_ALONE
    assert {"Lion", "QuantileLoss", "Residual", "Standardize"} <= OURS_ALONE
    assert len(OURS_ALONE) < len(MEMBERS) / 4


@pytest.mark.parametrize("name", [*(n for n in MEMBERS if n not in OURS_ALONE), *INITIALISERS])
def test_arguments_are_pytorchs(name, peer):
    expected = theirs(peer("torch"), name)
    member = {**MEMBERS, **INITIALISERS}[name]
    ours = parameters(member)
    # The options of every optimizer, which the rules have as **kwargs.
    common = parameters(optim.Optimizer) if "kwargs" in inspect.signature(member).parameters else {}
    known = {**common, **ours}
    assert expected.keys() - known.keys() - NOT_TAKEN == NOT_TAKEN_BY.get(name, set())
    for key in known.keys() & expected.keys():
        assert known[key].default == DEFAULTS.get((name, key), expected[key].default), key
    # An argument without a name means what it means there; all are taken so up to one that is not.
    assert in_order(ours) == list(itertools.takewhile(ours.__contains__, in_order(expected)))


@pytest.mark.parametrize("name", MEMBERS)
def test_an_option_that_is_not_taken_is_refused_in_its_name(name):
    message = rf"^{name}: expected arguments \(.*\); got an unexpected keyword argument 'inplace'$"
    given = [None] * sum(p.default is p.empty for p in parameters(MEMBERS[name]).values())
    with pytest.raises(TypeError, match=message):
        MEMBERS[name](*given, inplace=True)


def test_what_is_expected_is_told():
    for make, message in {
        lambda: nn.ReLU(True): "ReLU: expected arguments (); too many positional arguments",
        lambda: nn.Dropout(p=0.1, rate=2): "Dropout: expected arguments (p); got an unexpected",
        lambda: nn.L1Loss("sum"): "L1Loss: expected arguments (*, reduction, factor); too many",
        lambda: nn.Linear(3): "Linear: expected arguments (in_features, out_features, bias, *, ini",
        lambda: optim.Adagrad([], fused=True): "eps, *, maximize, l1, l2, max_norm, nonnegative",
    }.items():
        with pytest.raises(TypeError, match=re.escape(message)):
            make()


def test_schedules_are_where_pytorch_has_them(peer):
    there = peer("torch.optim.lr_scheduler")
    ours = [kind for kind in MEMBERS.values() if issubclass(kind, optim.LRScheduler)]
    for kind in (*ours, optim.LRScheduler):
        assert getattr(optim.lr_scheduler, kind.__name__) is kind
        assert hasattr(there, kind.__name__)


def test_a_subclass_has_arguments_of_its_own():
    class Narrow(nn.Linear):
        def __init__(self, width):
            super().__init__(width, 1)

    assert Narrow(3)(np.ones(3)).shape == (1,)
    with pytest.raises(TypeError, match=r"^Narrow: expected arguments \(width\); too many"):
        Narrow(3, 4)
