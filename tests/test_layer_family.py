"""Layers that are no activations: each against differences, a peer and its edges."""

import re

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn
from layer_cases import (
    ARGUMENTS,
    IN_TORCH,
    MEMBERS,
    REFUSED,
    WIDTH,
    _label,
    alone,
    each,
    each_dtype,
    network,
    same,
    sample,
    sgd,
    torch_kind,
)


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
    expected = np.average(np.reshape(losses, (25, 2)), axis=1, weights=[16, 14])
    tolerance = 1e3 * np.finfo(dtype).eps
    np.testing.assert_allclose(history["loss"], expected, rtol=tolerance)
    assert history["loss"][-1] < history["loss"][0]
    found = ours.state_dict()
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(found[key], value.numpy(), rtol=tolerance, atol=tolerance)
    theirs.eval()
    outputs = theirs(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours(x), outputs, rtol=tolerance, atol=tolerance)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})


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
    expected = net(x)
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
        np.testing.assert_array_equal(net(array), expected)
        fresh = alone(name, options, "float32")
        twin = alone(name, options, "float32")
        np.testing.assert_array_equal(fresh.forward(array), twin.forward(x))
    out = expected.shape[1]
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
