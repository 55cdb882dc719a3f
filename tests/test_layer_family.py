"""Layers that are no activations: each against differences, a peer and its edges; see the lists."""

import copy
import functools
import pickle
import re

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from members import in_torch
from nests import torch_kinds

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


@pytest.fixture
def rng():
    return np.random.default_rng(0)


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


def test_every_member_has_cases():
    assert set(MEMBERS) == set(ARGUMENTS)


@each
@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_agree_with_differences(name, options, frozen, rng):
    net = network(name, options)
    net.forward(sample(name, rng))  # running statistics that are not those of the batch
    if frozen:
        net.freeze()
    net.flat_parameters[:] += 0.3 * rng.normal(size=net.flat_parameters.size)
    state, passes = net.state_dict(), net._network.passes
    x = sample(name, rng)
    x[x == options.get("padding_idx", 0) % 6] = 1  # its gradient is left out
    report = dp.check_gradients(net, nn.MSELoss(), x, rng.normal(size=(9, 2)))
    same(net.state_dict(), state)
    assert net._network.passes == passes
    if frozen:
        # Their gradients are not found, and stay zero.
        (row,) = [r for r in report.rows if r.name == "input"] or [None]
        assert row is None or row.max_error < 1e-6, report
    else:
        assert report.ok, report
        assert report.max_error < 1e-6, report


@pytest.mark.parametrize(("name", "options"), IN_TORCH, ids=_label)
@each_dtype
def test_training_equals_pytorch(name, options, dtype, rng, peer):
    torch = peer("torch")
    ours = network(name, options, dtype)
    x, y = sample(name, rng, 30).astype(dtype), rng.normal(size=(30, 2)).astype(dtype)

    kind = torch_kind(torch, name)
    before = [] if name == "Embedding" else [torch.nn.Linear(WIDTH, WIDTH)]
    theirs = torch.nn.Sequential(
        *before, kind(**options), torch.nn.Linear(len(ours[-1].weight[0]), 2)
    )
    theirs = theirs.to(getattr(torch, dtype))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})

    history = ours.fit(
        x, y, loss=nn.MSELoss(), optimizer=sgd(ours), epochs=25, batch_size=16, shuffle=False
    )
    rule = torch.optim.SGD(theirs.parameters(), lr=0.05)
    losses = []
    for i in range(50):
        part = slice(0, 16) if i % 2 == 0 else slice(16, 30)
        rule.zero_grad()
        out = theirs(torch.tensor(x[part]))
        loss = torch.nn.functional.mse_loss(out, torch.tensor(y[part]))
        loss.backward()
        rule.step()
        losses.append(loss.item())
    wanted = np.average(np.reshape(losses, (25, 2)), axis=1, weights=[16, 14])
    tolerance = 1e3 * np.finfo(dtype).eps
    np.testing.assert_allclose(history["loss"], wanted, rtol=tolerance)
    assert history["loss"][-1] < history["loss"][0]
    found = ours.state_dict()
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(found[key], value.numpy(), rtol=tolerance, atol=tolerance)
    theirs.eval()
    outputs = theirs(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours(x), outputs, rtol=tolerance, atol=tolerance)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})


WITH_STATE = [
    ("PReLU", {}),
    ("PReLU", {"num_parameters": 4, "init": 0.5}),
    *(case for case in IN_TORCH if MEMBERS[case[0]](**case[1]).state_dict()),
]


def test_every_layer_with_a_state_has_cases():
    kinds = [kind for kind in (getattr(nn, name) for name in nn.__all__) if isinstance(kind, type)]
    kinds = [kind for kind in kinds if issubclass(kind, nn.Layer)]
    found = {kind.__name__ for kind in kinds if kind._names or kind._buffer_names}
    ours = {name for name, kind in MEMBERS.items() if not in_torch(kind)}
    assert found == {name for name, _ in WITH_STATE} | ours


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
@each_dtype
def test_a_row_alone_has_the_same_bits(name, options, dtype, rng):
    net = network(name, options, dtype)
    x = sample(name, rng, 700)
    net.forward(x)
    together = net(x)
    for i in (0, 1, 255, 256, 699):
        np.testing.assert_array_equal(net(x[i]), together[i])
    np.testing.assert_array_equal(net.predict(x, batch_size=64), together)


@each
@each_dtype
def test_by_hand_is_fit_to_the_bit(name, options, dtype, rng):
    x, y = sample(name, rng, 600), rng.normal(size=(600, 2))
    fitted, by_hand = network(name, options, dtype), network(name, options, dtype)
    fitted.fit(
        x, y, loss=nn.MSELoss(), optimizer=sgd(fitted), epochs=2, batch_size=400, shuffle=False
    )
    rule, loss = sgd(by_hand), nn.MSELoss()
    for part in [slice(0, 400), slice(400, 600)] * 2:
        by_hand.backward(loss.delta(by_hand.forward(x[part]), y[part]))
        rule.step()
        rule.zero_grad()
    same(fitted.state_dict(), by_hand.state_dict())
    assert all(np.isfinite(v).all() for v in fitted.state_dict().values())


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
    wanted = net.forward(x)
    for twin in twins:
        np.testing.assert_array_equal(twin.forward(x), wanted)
        same(twin.state_dict(), net.state_dict())
    layer = alone(name, options)[0]
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        same(twin.state_dict(), layer.state_dict())


@each
def test_repr_makes_it_again(name, options):
    layer = MEMBERS[name](**options)
    text = repr(layer)
    again = eval(f"nn.{text}", {"nn": nn})
    assert repr(again) == text
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in layer.state_dict().items()
    }


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.BatchNorm1d(4), "BatchNorm1d(4)"),
        (nn.BatchNorm1d(4, momentum=None), "BatchNorm1d(4, momentum=None)"),
        (nn.LayerNorm(4, bias=False), "LayerNorm(4, bias=False)"),
        (nn.RMSNorm(4, eps=0.5), "RMSNorm(4, eps=0.5)"),
        (nn.Dropout(), "Dropout(p=0.5)"),
        (nn.AlphaDropout(0.25), "AlphaDropout(p=0.25)"),
        (nn.Embedding(5, 2, padding_idx=-1), "Embedding(5, 2, padding_idx=4)"),
        (nn.Standardize(4), "Standardize(4)"),
    ],
    ids=str,
)
def test_repr(layer, text):
    assert repr(layer) == text
    assert layer._core_layer().describe() == text


@each
def test_arguments_stay(name, options):
    layer = MEMBERS[name](**options)
    for option, value in options.items():
        message = f"{layer!r}: expected a new layer for another {option}"
        if option == "bias" and not value:
            message = f"{layer!r} has no bias to set"
        with pytest.raises(AttributeError, match=f"^{re.escape(message)}$"):
            setattr(layer, option, value)


@each
def test_arrays_of_all_kinds(name, options, rng):
    net, x = alone(name, options, "float32"), sample(name, rng, 6).astype("float32")
    wanted = net(x)
    read_only = x.copy()
    read_only.flags.writeable = False
    for array in (
        read_only,
        np.asfortranarray(x),
        np.repeat(x, 2, 0)[::2],
        np.repeat(x, 2, 1)[:, ::2],
        x.astype(float),
        x.tolist(),
    ):
        np.testing.assert_array_equal(net(array), wanted)
        fresh = alone(name, options, "float32")
        twin = alone(name, options, "float32")
        np.testing.assert_array_equal(fresh.forward(array), twin.forward(x))
    out = wanted.shape[1]
    assert net(np.empty((0, WIDTH))).shape == (0, out)
    if name != "BatchNorm1d":
        assert net.forward(np.empty((0, WIDTH))).shape == (0, out)
        assert net.backward(np.empty((0, out))).shape == (0, WIDTH)
        assert not net.flat_gradients.any()
        one = net.forward(x[0])
        assert one.shape == (out,)
        assert net.backward(one).shape == (WIDTH,)
    with pytest.raises(TypeError, match="expected real numbers, got dtype complex128"):
        net(np.ones((2, WIDTH), complex))
    with pytest.raises(ValueError, match=re.escape("got (2, 3, 3)")):
        net(np.ones((2, 3, 3)))
    if net[0].in_features is not None:
        with pytest.raises(ValueError, match=re.escape(f"{net[0]!r}: expected input (N, 4), got")):
            net.forward(np.ones((2, 5)))
        with pytest.raises(ValueError, match=re.escape("expected 4 features, got 5")):
            nn.Sequential(nn.Linear(3, 5), net[0].__class__(**options))


@pytest.mark.parametrize(("name", "options", "error", "message"), REFUSED)
def test_refused(name, options, error, message):
    with pytest.raises(error, match=message and rf"^{name}: .*{re.escape(message)}|{message}"):
        nn.Sequential(MEMBERS[name](**options))


@each_dtype
@pytest.mark.parametrize("size", [1e-30, 1e-10, 1.0, 1e10, 1e15])
@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.LayerNorm, nn.RMSNorm])
def test_huge_and_tiny(kind, size, dtype, rng):
    net = nn.Sequential(kind(WIDTH), dtype=dtype, seed=0)
    x = (size * rng.normal(size=(8, WIDTH))).astype(dtype)
    y = net.forward(x)
    assert np.isfinite(y).all()
    assert np.isfinite(net.backward(np.ones_like(y))).all()
    assert np.abs(y).max() <= np.sqrt(8) + 1e-5  # no element is further from the mean
    assert np.isfinite(net(x)).all()


def everything(dtype="float64", seed=0):
    return nn.Sequential(
        nn.Concat(
            nn.Sequential(nn.Standardize(3), nn.Linear(3, 5), nn.BatchNorm1d(5)),
            nn.Sequential(nn.Embedding(6, 2), nn.Dropout(0.25)),
        ),
        nn.Residual(nn.LayerNorm(9), nn.SELU(), nn.AlphaDropout(0.1)),
        nn.RMSNorm(9),
        nn.Linear(9, 1),
        dtype=dtype,
        seed=seed,
    )


@each_dtype
def test_all_of_them_together(dtype, rng, capsys):
    x = (rng.normal(size=(500, 3)), rng.integers(0, 6, (500, 2)))
    y = x[0].sum(1) + x[1].sum(1)
    net, by_hand = everything(dtype), everything(dtype)
    history = net.fit(
        x, y, loss=nn.MSELoss(), optimizer=sgd(net), epochs=20, batch_size=128, shuffle=False
    )
    assert history["loss"][-1] < 0.2 * history["loss"][0]
    by_hand[0]._children()[0]._children()[0].learn(x[0])
    rule, loss = sgd(by_hand), nn.MSELoss()
    for _ in range(20):
        for i in range(0, 500, 128):
            part = tuple(a[i : i + 128] for a in x)
            out = by_hand.forward(part)
            by_hand.backward(loss.delta(out, y[i : i + 128, None]))
            rule.step()
            rule.zero_grad()
    same(net.state_dict(), by_hand.state_dict())
    np.testing.assert_array_equal(net(x)[7], net(tuple(a[7] for a in x)))
    net.summary()
    assert re.search(r"LayerNorm\(9\) +\(N, 9\)", capsys.readouterr().out)


class TestBatchNorm:
    def test_needs_two_rows(self, rng):
        layer = nn.BatchNorm1d(4)
        for x in (np.ones((1, 4)), np.ones(4)):
            with pytest.raises(
                ValueError,
                match=r"^BatchNorm1d\(4\): expected 2 rows or more in training, got 1$",
            ):
                layer.forward(x)
        with pytest.raises(ValueError, match="expected 2 rows or more in training, got 0"):
            layer.forward(np.empty((0, 4)))
        assert layer.num_batches_tracked == 0
        assert layer(np.ones(4)).shape == (4,)
        assert layer.freeze().forward(np.ones((1, 4))).shape == (1, 4)

    def test_fit_says_so_at_the_door(self, rng):
        net = network("BatchNorm1d", {"num_features": 4})
        x, y = sample("", rng, 33), np.zeros((33, 2))
        net.backward(net.forward(x))
        net.forward(x)
        state, gradients = net.state_dict(), net.flat_gradients.copy()
        with pytest.raises(ValueError, match="got 1 in a batch; choose another batch_size"):
            net.fit(x, y, loss=nn.MSELoss(), optimizer=sgd(net), epochs=1, batch_size=32)
        same(net.state_dict(), state)
        np.testing.assert_array_equal(net.flat_gradients, gradients)
        net.backward(y)  # the pass by hand is there still
        net.fit(x, y, loss=nn.MSELoss(), optimizer=sgd(net), epochs=1, batch_size=31)

    def test_an_iterable_is_met_at_its_batch(self, rng):
        net = network("BatchNorm1d", {"num_features": 4})
        x, y = sample("", rng, 5), np.zeros((5, 2))
        batches = [(x[:4], y[:4]), (x[4:], y[4:])]
        with pytest.raises(ValueError, match="got 1 in a batch; choose another batch_size"):
            net.fit(batches, loss=nn.MSELoss(), optimizer=sgd(net), epochs=1)
        assert net[1].num_batches_tracked == 1
        with pytest.raises(ValueError, match="got 1 in a batch"):
            net.fit(batches, loss=nn.MSELoss(), optimizer=sgd(net), epochs=1, accumulate=2)
        assert net[1].num_batches_tracked == 1

    @each_dtype
    def test_running_statistics(self, dtype, rng):
        eps = np.finfo(dtype).eps
        net = alone("BatchNorm1d", {"num_features": 4, "momentum": None}, dtype)
        layer = net[0]
        batches = [sample("", rng, rows).astype(dtype) for rows in (2, 5, 700)]
        for i, x in enumerate(batches):
            net.forward(x)
            seen = batches[: i + 1]
            mean = np.mean([b.astype(float).mean(0) for b in seen], 0)
            var = np.mean([b.astype(float).var(0, ddof=1) for b in seen], 0)
            np.testing.assert_allclose(layer.running_mean, mean, rtol=99 * eps, atol=9 * eps)
            np.testing.assert_allclose(layer.running_var, var, rtol=99 * eps)
            assert layer.num_batches_tracked == i + 1

    @pytest.mark.parametrize("momentum", [0.1, None])
    @pytest.mark.parametrize(("dtype", "last"), [("float32", 2**24), ("float64", 2**24 + 1)])
    def test_as_many_batches_as_float32_counts(self, dtype, last, momentum, rng):
        net = alone("BatchNorm1d", {"num_features": 4, "momentum": momentum}, dtype)
        net[0].num_batches_tracked = 2**24 - 1
        for _ in range(2):
            net.forward(sample("", rng, 5))
        assert net[0].num_batches_tracked == last
        assert np.isfinite(net[0].running_var).all()

    def test_frozen_it_uses_and_keeps_them(self, rng):
        net = network("BatchNorm1d", {"num_features": 4})
        x = sample("", rng, 20)
        net.forward(x)
        net[1].freeze()
        state = net[1].state_dict()
        np.testing.assert_array_equal(net.forward(x[:1]), net(x[:1]))
        net.backward(np.ones((1, 2)))
        assert not net[1].grad_weight.any()
        assert net[0].grad_weight.any()
        y = np.zeros((20, 2))
        net.fit(x, y, loss=nn.MSELoss(), optimizer=sgd(net), epochs=2, batch_size=19)
        same(net[1].state_dict(), state)
        net[1].unfreeze()
        net.fit(x, y, loss=nn.MSELoss(), optimizer=sgd(net), epochs=2, batch_size=10)
        assert net[1].num_batches_tracked == state["num_batches_tracked"] + 4

    def test_a_fit_that_diverges_leaves_the_last_good_ones(self, rng):
        net = network("BatchNorm1d", {"num_features": 4}, "float32")
        x, y = sample("", rng, 20), np.zeros((20, 2))
        net[2].weight[...] = 3e38
        state = net.state_dict()
        with pytest.raises(FloatingPointError, match="epoch 0, batch 0"):
            net.fit(x, y, loss=nn.MSELoss(), optimizer=sgd(net), epochs=1)
        same(net.state_dict(), state)

    def test_accumulate_counts_batches(self, rng):
        net = network("BatchNorm1d", {"num_features": 4})
        x, y = sample("", rng, 20), rng.normal(size=(20, 2))
        history = net.fit(
            x, y, loss=nn.MSELoss(), optimizer=sgd(net), epochs=1, batch_size=5, accumulate=2
        )
        assert history.updates == 2
        assert net[1].num_batches_tracked == 4


@pytest.mark.parametrize("kind", [nn.Dropout, nn.AlphaDropout])
class TestDropout:
    @staticmethod
    def mask(net, rows, cols):
        """Return which elements of a pass stayed."""
        y = net.forward(np.ones((rows, cols)))
        return net.backward(np.ones_like(y)) != 0

    @pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
    def test_how_many_are_dropped(self, kind, p):
        kept = self.mask(nn.Sequential(kind(p), seed=1), 1000, 200)
        deviation = np.sqrt(p * (1 - p) / kept.size)
        assert abs(1 - p - kept.mean()) <= 4 * deviation
        # By row and by column as well: nothing repeats.
        assert abs(kept.mean(0) - (1 - p)).max() <= 5 * deviation * np.sqrt(200)
        assert abs(kept.mean(1) - (1 - p)).max() <= 5 * deviation * np.sqrt(1000)

    @each_dtype
    @pytest.mark.parametrize("p", [0.0, 0.25, 0.9, 1.0])
    def test_values_by_the_formula(self, kind, p, dtype, rng):
        net = nn.Sequential(kind(p), dtype=dtype, seed=2)
        x = rng.normal(size=(50, 7)).astype(dtype)
        y = net.forward(x)
        back = net.backward(np.ones_like(y))
        m = back != 0
        if kind is nn.Dropout:
            slope = 1 / (1 - p) if p < 1 else 0.0
            wanted = m * x * slope
        else:
            alpha = 1.7580993408473766
            slope = 1 / np.sqrt((1 - p) * (1 + p * alpha**2)) if p < 1 else 0.0
            wanted = slope * np.where(m, x, -alpha) + slope * p * alpha
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(back, m * slope, rtol=2 * eps)
        np.testing.assert_allclose(y, wanted, rtol=4 * eps, atol=16 * eps)
        if p == 0:
            np.testing.assert_array_equal(y, x)
        np.testing.assert_array_equal(net(x), x)
        loss = nn.MSELoss()
        np.testing.assert_array_equal(net.input_gradient(x, 0 * x, loss=loss), loss.delta(x, 0 * x))

    def test_mean_and_variance(self, kind, rng):
        net = nn.Sequential(kind(0.3), dtype="float64", seed=3)
        x = rng.normal(size=(400, 500))
        y = net.forward(x)
        assert abs(y.mean() - x.mean()) < 0.01
        if kind is nn.AlphaDropout:
            assert abs(y.var() - 1) < 0.02

    def test_a_mask_has_no_tiles(self, kind):
        # A pass over more rows than a tile holds begins as one over a few.
        wide, narrow = (nn.Sequential(kind(0.4), seed=5) for _ in range(2))
        np.testing.assert_array_equal(self.mask(wide, 3000, 130)[:11], self.mask(narrow, 11, 130))
        assert wide.forward(np.ones((2, 1))).shape == (2, 1)

    def test_another_mask_each_pass_and_layer_and_seed(self, kind):
        net = nn.Sequential(kind(0.5), seed=6)
        first, second = self.mask(net, 20, 20), self.mask(net, 20, 20)
        assert 100 < (first != second).sum() < 300
        other = self.mask(nn.Sequential(kind(0.5), seed=7), 20, 20)
        assert 100 < (first != other).sum() < 300
        deeper = self.mask(nn.Sequential(nn.Identity(), kind(0.5), seed=6), 20, 20)
        assert 100 < (first != deeper).sum() < 300
        again = self.mask(nn.Sequential(kind(0.5), seed=6), 20, 20)
        np.testing.assert_array_equal(first, again)

    def test_freeze_does_not_touch_it(self, kind):
        net = nn.Sequential(kind(0.5), seed=8).freeze()
        assert not self.mask(net, 20, 20).all()


class TestEmbedding:
    @pytest.mark.parametrize("bad", [-1, 6, 0.5, np.nan, np.inf, -np.inf, 1e30, -1e30, 2**24 + 1])
    @each_dtype
    def test_an_index_that_is_none(self, bad, dtype):
        net = nn.Sequential(nn.Embedding(6, 2), nn.Linear(4, 1), dtype=dtype, seed=0)
        x = np.zeros((5000, 2))
        x[4321, 1] = bad
        message = r"^Embedding\(6, 2\): expected whole numbers from 0 to 5, got .* in row 4321 of"
        for call in (net, net.forward, net.jacobian):
            with pytest.raises(ValueError, match=message):
                call(x)
        with pytest.raises(ValueError, match=r"in row 0 of its input"):
            net(x[4321])
        state = net.state_dict()
        if np.isfinite(bad):
            with pytest.raises(ValueError, match=message):
                net.fit(
                    x, x[:, :1], loss=nn.MSELoss(), optimizer=sgd(net), epochs=1, batch_size=None
                )
        same(net.state_dict(), state)
        net.backward(net.forward(x[:9]))  # and goes on

    def test_fit_refuses_it_at_the_door(self):
        net = nn.Sequential(nn.Concat(nn.Embedding(6, 2), nn.Identity()), nn.Linear(6, 1), seed=0)
        opt = optim.Adam(net.parameters())
        x, y = np.zeros((50, 2)), np.zeros(50)
        bad = x.copy()
        bad[49, 1] = 6
        before = net.flat_parameters.copy()
        options = {"loss": nn.MSELoss(), "optimizer": opt, "epochs": 1, "batch_size": 10}
        with pytest.raises(ValueError, match=r"expected whole numbers .*, got 6.0 in row 49 of X"):
            net.fit(bad, y, **options)
        with pytest.raises(ValueError, match=r"got 6.0 in row 49 of validation_data X"):
            net.fit(x, y, validation_data=(bad, y), **options)
        np.testing.assert_array_equal(net.flat_parameters, before)
        assert opt.state_dict()["state"] == {}

    def test_float32_cannot_count_further(self):
        layer = nn.Embedding(2**24 + 1, 1)
        with pytest.raises(
            ValueError, match=r'expected 16777216 embeddings or fewer.*dtype="float64" takes more'
        ):
            layer([[0]])

    def test_gradients_add_up(self):
        net = nn.Sequential(nn.Embedding(4, 2, padding_idx=3), dtype="float64", seed=0)
        assert not net[0].weight[3].any()
        net.forward([[1, 1], [0, 3]])
        back = net.backward([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
        assert not back.any()
        wanted = [[5, 6], [4, 6], [0, 0], [0, 0]]
        np.testing.assert_array_equal(net[0].grad_weight, wanted)
        net.forward([[1, 1], [0, 3]])
        net.backward(np.ones((2, 4)))
        np.testing.assert_array_equal(net[0].grad_weight, [[6, 7], [6, 8], [0, 0], [0, 0]])

    def test_starts_normal(self):
        weight = nn.Sequential(nn.Embedding(1000, 50), dtype="float64", seed=0)[0].weight
        assert abs(weight.mean()) < 0.02
        assert abs(weight.std() - 1) < 0.02
        assert abs((np.abs(weight) < 1).mean() - 0.6827) < 0.01

    def test_any_number_of_columns(self):
        net = nn.Sequential(nn.Embedding(6, 3), nn.ReLU(), seed=0)
        for k in (1, 2, 5):
            assert net(np.zeros((2, k))).shape == (2, 3 * k)
        assert net(np.zeros((2, 0))).shape == (2, 0)

    def test_what_comes_out_must_fit(self):
        net = nn.Sequential(nn.Embedding(6, 3), nn.Linear(6, 2), seed=0)
        assert net([[1, 2]]).shape == (1, 2)
        x = np.zeros((5, 3))
        for call in (net, net.forward, net.forward, net.jacobian):
            with pytest.raises(ValueError, match=r"^Linear\(6, 2\): expected 6 features, got 9$"):
                call(x)
        with pytest.raises(ValueError, match="expected 6 features, got 9"):
            net.fit(x, x[:, :2], loss=nn.MSELoss(), optimizer=sgd(net), epochs=1)
        assert net.forward([[1, 2]]).shape == (1, 2)
        joined = nn.Sequential(nn.Concat(nn.Embedding(6, 3), nn.Linear(2, 4)), nn.Linear(10, 1))
        assert joined((np.zeros((4, 2)), np.zeros((4, 2)))).shape == (4, 1)
        with pytest.raises(ValueError, match=r"^Linear\(10, 1\): expected 10 features, got 7$"):
            joined((np.zeros((4, 1)), np.zeros((4, 2))))


class TestStandardize:
    @each_dtype
    def test_equals_scikit_learn(self, dtype, rng, peer):
        scaler = peer("sklearn.preprocessing").StandardScaler()
        x = rng.normal(size=(10_000, 5)) * [1, 1e-3, 1e4, 0, 5] + [0, 1, 1e3, 0.1, -7]
        wanted = scaler.fit_transform(x)
        net = nn.Sequential(nn.Standardize(5), dtype=dtype, seed=0)
        assert net[0].learn(x) is net[0]
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(net[0].mean, scaler.mean_, rtol=4 * eps, atol=1e-14)
        np.testing.assert_allclose(net[0].scale, scaler.scale_, rtol=4 * eps)
        assert net[0].scale[3] == 1
        np.testing.assert_allclose(net(x), wanted, rtol=4 * eps, atol=1e-11)

    @pytest.mark.parametrize("offset", [0, 1e6, 1.7e9])
    def test_a_large_offset_loses_no_digits_in_float32(self, offset, rng):
        x = rng.normal(size=(300, 3)) + np.array([offset, -offset, 0])
        y = np.tanh(x - x.mean(0)) @ [[1.0], [2.0], [3.0]]

        def trained(dtype, x, **options):
            branches = [nn.Sequential(nn.Standardize(3), nn.Linear(3, 4)) for _ in range(2)]
            net = nn.Sequential(
                nn.Concat(*branches), nn.Tanh(), nn.Linear(8, 1), dtype=dtype, seed=1
            )
            history = net.fit(
                x, y, loss=nn.MSELoss(), optimizer=sgd(net), epochs=2, batch_size=32, **options
            )
            return net, history

        net, history = trained("float32", x, validation_data=(x, y))
        exact, wanted = trained("float64", x, validation_data=(x, y))
        for key in ("loss", "val_loss"):
            np.testing.assert_allclose(history[key], wanted[key], rtol=1e-5)
        np.testing.assert_allclose(net(x), exact(x), atol=1e-5)
        standard = net[0][0][0](x)
        np.testing.assert_allclose(standard, (x - x.mean(0)) / x.std(0), atol=1e-5)
        np.testing.assert_array_equal(net.forward(x), net(x))
        np.testing.assert_allclose(net.jacobian(x[:9]), exact.jacobian(x[:9]), atol=1e-5)
        # Of the same rows the bits are the same, however they come.
        assert net(x[7]).tobytes() == net(x)[7].tobytes()
        np.testing.assert_array_equal(net(np.asfortranarray(x)), net(x))
        copied = pickle.loads(pickle.dumps(net))
        np.testing.assert_array_equal(copied(x), net(x))

    def test_a_mean_written_by_hand(self):
        layer = nn.Standardize(1).learn([[1e7 + 0.25], [1e7 + 0.75]])
        np.testing.assert_allclose(layer([1e7 + 0.75]), [1.0], rtol=1e-6)
        layer.mean = 1e7 + 1
        assert layer([1e7 + 1.0]) == 0
        layer.mean = 0
        assert layer([0.0]) == 0
        layer.learn([[1e7 + 0.25], [1e7 + 0.75]]).mean = 1e7
        assert layer([1e7]) == layer.mean_rest == 0

    def test_any_source(self, rng, tmp_path):
        x = rng.integers(-99, 99, (5000, 3)).astype("int16")
        file = np.memmap(tmp_path / "x", "int16", "w+", shape=x.shape)
        file[:] = x
        learned = [
            nn.Standardize(3).learn(a).state_dict()
            for a in (x, file, np.asfortranarray(x), x.astype(float), x.tolist())
        ]
        for state in learned[1:]:
            same(state, learned[0])

    def test_learns_once_in_fit_and_anew_when_told(self, rng):
        x, y = sample("", rng, 50), np.zeros((50, 2))
        net = nn.Sequential(nn.Standardize(4), nn.Linear(4, 2), seed=0)
        for data in (x, 10 * x):
            net.fit(data, y, loss=nn.MSELoss(), optimizer=sgd(net), epochs=1)
            np.testing.assert_allclose(net[0].mean, x.mean(0), rtol=1e-6)
        net[0].learn(10 * x)
        np.testing.assert_allclose(net[0].mean, 10 * x.mean(0), rtol=1e-6)
        assert net[0].learned == 1

    @pytest.mark.parametrize("behind", ["a batch too small", "squares that overflow"])
    def test_a_refused_fit_has_taught_it_nothing(self, behind, rng):
        x = rng.normal(size=(9, 2))
        if behind == "a batch too small":
            layers = [nn.Standardize(2), nn.BatchNorm1d(2)]
            message = r"^BatchNorm1d\(2\): expected 2 rows or more in training, got 1 in a batch"
        else:
            layers = [nn.Concat(nn.Standardize(2), nn.Standardize(2))]
            x = (x, 1e200 * x)
            message = "expected numbers whose squares are finite"
        net = nn.Sequential(*layers, nn.Linear(2 * len(layers[1:] or x), 1), dtype="float64")
        before = net.state_dict()
        y = np.zeros((9, 1))
        with pytest.raises(ValueError, match=message):
            net.fit(x, y, loss=nn.MSELoss(), optimizer=sgd(net), epochs=1, batch_size=4)
        same(net.state_dict(), before)

    def test_before_it_has_learned(self):
        net = nn.Sequential(nn.Standardize(2), nn.Linear(2, 1), seed=0)
        message = (
            r"^Standardize\(2\): expected to have learned from data; call its learn\(X\), or fit"
        )
        x = np.ones((3, 2))
        for call in (net, net.forward):
            with pytest.raises(RuntimeError, match=message):
                call(x)
        with pytest.raises(RuntimeError, match=message):  # an iterable is not seen whole
            net.fit([(x, x[:, :1])], loss=nn.MSELoss(), optimizer=sgd(net), epochs=1)
        net[0].freeze()
        with pytest.raises(RuntimeError, match=message):
            net.fit(x, x[:, :1], loss=nn.MSELoss(), optimizer=sgd(net), epochs=1)
        with pytest.raises(RuntimeError, match="expected it to be unfrozen to learn"):
            net[0].learn(x)
        net[0].unfreeze().learn(x)
        assert net(x).shape == (3, 1)

    def test_stands_first(self, rng):
        x = sample("", rng)
        for layers in (
            [nn.Linear(4, 4), nn.Standardize(4)],
            [nn.Identity(), nn.Concat(nn.Standardize(4), nn.Linear(4, 2))],
        ):
            net = nn.Sequential(*layers, seed=0)
            y = np.zeros((9, net._network.out_features()[0][0]))
            with pytest.raises(
                ValueError, match=r"^Standardize\(4\): expected to stand first in a network or a"
            ):
                net.fit(x, y, loss=nn.MSELoss(), optimizer=sgd(net), epochs=1)
        branch = nn.Standardize(4)
        net = nn.Sequential(nn.Concat(nn.Sequential(branch, nn.Linear(4, 2)), nn.Linear(4, 1)))
        net.fit(x, np.zeros((9, 3)), loss=nn.MSELoss(), optimizer=sgd(net), epochs=1)
        np.testing.assert_allclose(branch.mean, x.mean(0), rtol=1e-6)

    @pytest.mark.parametrize(
        ("x", "error", "message"),
        [
            ([[1.0, np.nan]], ValueError, "X: expected finite numbers, got nan in row 0, column 1"),
            ([[1.0, 1e300]], ValueError, "that fit float32"),
            (np.ones((2, 3)), ValueError, r"expected input \(N, 2\), got \(2, 3\)"),
            (np.ones(2), ValueError, r"expected X \(N, 2\) of one row or more, got \(2,\)"),
            (np.ones((0, 2)), ValueError, r"expected X \(N, 2\) of one row or more, got \(0, 2\)"),
            ([["a", "b"]], TypeError, "X: expected real numbers"),
        ],
    )
    def test_data_that_it_refuses(self, x, error, message):
        layer = nn.Standardize(2)
        state = layer.state_dict()
        with pytest.raises(error, match=message):
            layer.learn(x)
        same(layer.state_dict(), state)

    def test_squares_that_overflow(self):
        net = nn.Sequential(nn.Standardize(1), dtype="float64", seed=0)
        with pytest.raises(ValueError, match="expected numbers whose squares are finite"):
            net[0].learn([[1e200], [-1e200]])

    def test_deviations_that_float32_cannot_hold(self):
        layer = nn.Standardize(1).learn([[0.0], [1e-50]])
        assert layer.scale == 1
        assert np.isfinite(layer([1e-50])).all()


def test_batches_of_another_width_are_refused():
    net = nn.Sequential(nn.PReLU(), dtype="float64", seed=0)
    batches = [(np.ones((2, 4)), np.ones((2, 4))), (np.ones((2, 3)), np.ones((2, 3)))]
    with pytest.raises(
        ValueError, match=r"expected batches of inputs with \(4,\) features, as the"
    ):
        net.fit(batches, loss=nn.MSELoss(), optimizer=sgd(net), epochs=1)


def test_a_concat_inside_decides_the_width_behind_it():
    net = nn.Sequential(
        nn.Sequential(nn.ReLU(), nn.Concat(nn.ReLU(), nn.Tanh())), nn.Linear(4, 1), seed=0
    )
    assert net(np.ones((3, 2))).shape == (3, 1)
    with pytest.raises(ValueError, match=r"^Linear\(4, 1\): expected 4 features, got 8$"):
        net(np.ones((3, 4)))
