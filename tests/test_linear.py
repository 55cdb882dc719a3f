"""Linear without its bias; with one it is tested among the layers."""

import copy

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim

TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
each_dtype = pytest.mark.parametrize("dtype", list(TOLERANCE))


@each_dtype
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(0, 2, 3), (1, 1, 1), (300, 17, 33)])
def test_it_equals_numpy(rows, inputs, outputs, dtype, rng):
    net = nn.Sequential(nn.Linear(inputs, outputs, bias=False), dtype=dtype, seed=0)
    layer = net[0]
    assert net.flat_parameters.size == inputs * outputs
    x, delta = rng.normal(size=(rows, inputs)), rng.normal(size=(rows, outputs))
    x, delta = x.astype(dtype), delta.astype(dtype)
    w = layer.weight.astype(float)

    def close(got, expected):
        assert got.dtype == dtype
        atol = TOLERANCE[dtype] * max(1, np.abs(expected).max(initial=0))
        np.testing.assert_allclose(got, expected, rtol=0, atol=atol)

    close(net(x), x @ w.T)
    close(net.forward(x), x @ w.T)
    close(net.backward(delta), delta @ w)
    close(layer.grad_weight, delta.astype(float).T @ x)


def test_what_is_left():
    layer = nn.Linear(3, 2, False)
    assert layer.bias is None
    assert layer.grad_bias is None
    assert repr(layer) == "Linear(3, 2, bias=False)"
    assert list(layer.state_dict()) == ["weight"]
    for name in ("bias", "grad_bias"):
        with pytest.raises(
            AttributeError, match=r"^Linear\(3, 2, bias=False\) has no bias to set$"
        ):
            setattr(layer, name, np.zeros(2))


def test_a_copy_has_none_either():
    layer = nn.Linear(3, 2, bias=False)
    layer.weight[...] = np.arange(6).reshape(2, 3)
    copied = copy.deepcopy(layer)
    assert copied.bias is None
    assert len(copied.parameters()) == 1
    np.testing.assert_array_equal(copied.weight, layer.weight)


def test_the_weight_starts_as_with_one():
    networks = [nn.Sequential(nn.Linear(3, 2, bias), seed=4) for bias in (True, np.False_)]
    np.testing.assert_array_equal(networks[0][0].weight, networks[1][0].weight)


def test_finite_differences(rng):
    layers = [nn.Linear(4, 5, bias=False), nn.Tanh(), nn.Linear(5, 2, bias=False)]
    net = nn.Sequential(*layers, dtype="float64", seed=0)
    report = dp.check_gradients(net, nn.MSELoss(), rng.normal(size=(6, 4)), rng.normal(size=(6, 2)))
    assert report.ok, report
    assert report.max_error < 1e-6


@each_dtype
def test_it_trains_as_pytorchs(dtype, rng, peer):
    torch = peer("torch")
    net = nn.Sequential(nn.Linear(4, 5, bias=False), nn.Linear(5, 2), dtype=dtype, seed=0)
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 5, bias=False), torch.nn.Linear(5, 2))
    theirs.to(getattr(torch, dtype))
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in net.state_dict().items()})
    x, y = rng.normal(size=(20, 4)).astype(dtype), rng.normal(size=(20, 2)).astype(dtype)
    their_optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    for _ in range(100):
        their_optimizer.zero_grad()
        torch.nn.MSELoss()(theirs(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        their_optimizer.step()
    ours = optim.SGD(net.parameters(), lr=0.1)
    net.fit(x, y, loss=nn.MSELoss(), optimizer=ours, epochs=100, batch_size=None)
    expected = theirs.state_dict()
    assert list(expected) == list(net.state_dict())
    for name, value in net.state_dict().items():
        np.testing.assert_allclose(value, expected[name].numpy(), rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("bad", [None, 1, "False"])
def test_neither_true_nor_false(bad):
    with pytest.raises(TypeError, match=r"^Linear: bias: expected True or False, got "):
        nn.Linear(3, 2, bad)
