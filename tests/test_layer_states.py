"""States of layers: to PyTorch and back, copies and files."""

import copy
import functools
import pickle

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn
from layer_cases import (
    IN_TORCH,
    MEMBERS,
    WIDTH,
    _label,
    alone,
    each,
    each_dtype,
    network,
    same,
    sample,
    torch_kind,
)
from nests import torch_kinds

WITH_STATE = [
    ("PReLU", {}),
    ("PReLU", {"num_parameters": 4, "init": 0.5}),
    *(case for case in IN_TORCH if MEMBERS[case[0]](**case[1]).state_dict()),
]


def test_every_layer_with_a_state_has_cases():
    kinds = [kind for kind in (getattr(nn, name) for name in nn.__all__) if isinstance(kind, type)]
    kinds = [kind for kind in kinds if issubclass(kind, nn.Layer)]
    found = {kind.__name__ for kind in kinds if kind._names or kind._buffer_names}
    assert found == {name for name, _ in WITH_STATE} | {"Standardize"}  # which PyTorch has not


@pytest.mark.parametrize(("name", "options"), WITH_STATE, ids=_label)
@each_dtype
def test_states_go_to_pytorch_and_back_from_any_place(name, options, dtype, rng, peer):
    torch = peer("torch")

    def nest(layer, linear, kinds):
        return kinds["sequential"](
            kinds["heads"](
                kinds["concat"](layer(**options), kinds["sequential"](layer(**options))),
                kinds["residual"](layer(**options), linear(out, WIDTH)),
            )
        )

    kind = getattr(nn, name)
    out = nn.Sequential(kind(**options))(sample(name, rng)).shape[1]
    kinds = {k.__name__.lower(): k for k in (nn.Residual, nn.Concat, nn.Heads)}
    sequential = functools.partial(nn.Sequential, dtype=dtype)
    ours = nest(kind, nn.Linear, {"sequential": sequential, **kinds})
    theirs = nest(torch_kind(torch, name), torch.nn.Linear, torch_kinds(torch))
    theirs = theirs.to(getattr(torch, dtype))

    def outputs_agree(x):
        theirs.eval()
        for a, b in zip(ours(x), theirs(torch.tensor(x)), strict=True):
            np.testing.assert_allclose(a, b.detach(), rtol=0, atol=99 * np.finfo(dtype).eps)

    x = sample(name, rng).astype(dtype)
    ours.flat_parameters[:] += rng.normal(size=ours.flat_parameters.size)
    ours.forward(x)  # running statistics
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()}, strict=True)
    outputs_agree(x)
    with torch.no_grad():
        for p in theirs.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(0), dtype=p.dtype))
    theirs.train()(torch.tensor(2 * x if name != "Embedding" else x))
    before = ours.state_dict()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    same(ours.state_dict(), {k: v.numpy() for k, v in theirs.state_dict().items()})
    assert not any(np.array_equal(v, before[k]) for k, v in ours.state_dict().items())
    outputs_agree(x)


@each
def test_copies_and_files(name, options, rng, tmp_path):
    net, x = network(name, options), sample(name, rng)
    net.forward(x)
    net.save(tmp_path / "net")
    twins = [copy.deepcopy(net), pickle.loads(pickle.dumps(net)), dp.load(tmp_path / "net")]
    for twin in twins:
        same(twin.state_dict(), net.state_dict())
        np.testing.assert_array_equal(twin(x), net(x))
        assert [repr(layer) for layer in twin] == [repr(layer) for layer in net]
    # The next pass draws the same mask and takes the same statistics.
    expected = net.forward(x)
    for twin in twins:
        np.testing.assert_array_equal(twin.forward(x), expected)
        same(twin.state_dict(), net.state_dict())
    layer = alone(name, options)[0]
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        same(twin.state_dict(), layer.state_dict())
