"""History: its keys, its forms, and the norms it records."""

import json

import numpy as np
import pytest

from deltaprop import nn, optim
from nests import Nest

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 2))


def network():
    return nn.Sequential(
        nn.Tanh(), nn.Linear(3, 4), nn.ELU(), nn.Linear(4, 2), dtype="float64", seed=0
    )


def residual():
    inner = nn.Residual(nn.Linear(4, 4), nn.Tanh())
    return nn.Sequential(nn.Linear(3, 4), inner, nn.Linear(4, 2), dtype="float64", seed=0)


def fit(net, **options):
    opt = optim.SGD(net.parameters(), lr=0.1)
    options = {"loss": nn.MSELoss(), "epochs": 3, "batch_size": 8, "optimizer": opt, **options}
    return net.fit(X, options.pop("y", Y), **options)


def test_keys():
    assert list(fit(network())) == ["loss", "lr"]
    held_out = {"validation_data": (X, Y)}
    assert list(fit(network(), **held_out)) == ["loss", "val_loss", "lr"]
    history = fit(network(), metrics=("mae",), record=("gradients", "deltas"), **held_out)
    assert sorted(history) == [
        "delta_norm", "gradient_norm", "loss", "lr", "mae", "val_loss", "val_mae",
    ]  # fmt: skip


def test_keys_of_heads():
    net = nn.Sequential(nn.Heads(nn.Linear(3, 2), nn.Linear(3, 1)), dtype="float64", seed=0)
    history = fit(
        net,
        y=(Y, Y[:, 0]),
        loss=(nn.MSELoss(), nn.L1Loss()),
        loss_weights=(1.0, 0.5),
        validation_data=(X, (Y, Y[:, 0])),
        metrics=(("mae",), ()),
    )
    assert sorted(history) == [
        "loss", "loss_0", "loss_1", "lr", "mae_0", "val_loss", "val_loss_0", "val_loss_1",
        "val_mae_0",
    ]  # fmt: skip
    for k in ("", "val_"):
        total = history[f"{k}loss_0"] + 0.5 * history[f"{k}loss_1"]
        np.testing.assert_allclose(history[f"{k}loss"], total, rtol=1e-14)


@pytest.mark.parametrize("with_callback", [True, False])
def test_its_forms(with_callback):
    history = fit(network(), record=("deltas",), callbacks=[repr] if with_callback else [])
    for key, values in history.items():
        assert values.dtype == np.float64
        assert values.shape == ((3, 4) if key == "delta_norm" else (3,))
    found = json.loads(json.dumps(history.to_dict()))
    assert found == {key: values.tolist() for key, values in history.items()}
    assert (history.epochs, history.updates, history.stop_reason) == (3, 9, "epochs")


def test_a_callback_changes_no_recorded_value():
    options = {"record": ("activations",), "validation_data": (X, Y)}
    a, b = fit(network(), **options), fit(network(), callbacks=[repr], **options)
    assert a.to_dict() == b.to_dict()


def test_table():
    history = fit(network(), epochs=50, validation_data=(X, Y), record="gradients")
    lines = [line.split() for line in history.table(rows=5).splitlines()]
    assert lines[0] == ["epoch", "loss", "val_loss", "lr"]
    assert [line[0] for line in lines[1:]] == ["1", "13", "25", "37", "50"]
    for line in lines[1:]:
        expected = [history[key][int(line[0]) - 1] for key in lines[0][1:]]
        np.testing.assert_allclose([float(v) for v in line[1:]], expected, rtol=1e-4)
    assert len(history.table().splitlines()) == 21
    assert len(history.table(1000).splitlines()) == 51
    assert fit(network(), epochs=0).table().split() == ["epoch", "loss", "lr"]
    with pytest.raises(ValueError, match=r"^History\.table: rows: expected 1 or more, got 0$"):
        history.table(0)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("make", [network, residual])
def test_norms_are_those_of_a_loop_by_hand(make, accumulate):
    net, other = make(), make()
    history = fit(
        net, shuffle=False, record=("activations", "deltas", "gradients"), accumulate=accumulate
    )
    opt, loss = optim.SGD(other.parameters(), lr=0.1), nn.MSELoss()
    leaves = other._leaves()
    expected = {"activation_norm": [], "delta_norm": [], "gradient_norm": []}
    for _ in range(3):
        norms = {key: [] for key in expected}
        batches = [slice(i, i + 8) for i in (0, 8, 16)]
        for group in (batches[i : i + accumulate] for i in range(0, 3, accumulate)):
            rows = sum(len(X[b]) for b in group)
            for b in group:
                a = other.forward(X[b])
                other.backward(loss.delta(a, Y[b]) * len(X[b]) / rows)
            norms["activation_norm"].append(along(other, "activations"))
            norms["delta_norm"].append(along(other, "deltas"))
            norms["gradient_norm"].append(
                [np.sqrt(sum((p.grad**2).sum() for p in leaf.parameters())) for leaf in leaves]
            )
            opt.step()
            opt.zero_grad()
        for key, values in norms.items():
            expected[key].append(np.mean(values, axis=0))
    for key, values in expected.items():
        np.testing.assert_allclose(history[key], values, rtol=1e-12, err_msg=key)
    np.testing.assert_allclose(net.flat_parameters, other.flat_parameters, rtol=1e-12)


def along(net, what):
    """Return the norm of each layer's output, or of its delta."""
    blocks = getattr(net._network, what)()
    return [np.linalg.norm(blocks[leaf._stored.block]) for leaf in net._leaves()]


def test_recording_changes_no_bit():
    a, b = network(), network()
    fit(a, record=("activations", "deltas", "gradients"))
    fit(b)
    assert a.flat_parameters.tobytes() == b.flat_parameters.tobytes()


@pytest.mark.parametrize("seed", range(20))
def test_nor_does_it_in_any_network(seed):
    # Without records, activations and deltas take each other's places.
    nets = []
    for record in ((), ("activations",), ("deltas",)):
        nest = Nest(np.random.default_rng(seed), 3, 4, smooth=False)
        net = nn.Sequential(nest.ours(), nn.Linear(nest.out, 2), nn.LeakyReLU(), seed=seed)
        fit(net, record=record, optimizer=optim.Adam(net.parameters()))
        nets.append(net)
    assert len({net.flat_parameters.tobytes() for net in nets}) == 1


def test_norms_of_a_frozen_layer():
    net = network()
    net[1].freeze()
    history = fit(net, record=("deltas", "gradients"))
    assert (history["gradient_norm"][:, 1] == 0).all()
    assert (history["gradient_norm"][:, 3] > 0).all()
    assert (history["delta_norm"] > 0).all()


def test_what_cannot_be_recorded():
    message = (
        r"^fit: expected record to be of \['activations', 'deltas', 'gradients'\], got 'loss'$"
    )
    with pytest.raises(ValueError, match=message):
        fit(network(), record=("loss",))
    with pytest.raises(TypeError, match=r"^fit: record: expected a name, got int$"):
        fit(network(), record=(3,))


def test_a_key_that_is_not_there():
    with pytest.raises(KeyError):
        fit(network())["val_loss"]
