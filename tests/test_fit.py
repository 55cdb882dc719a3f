"""fit: batches, sample weights, history and gradients."""

import builtins
import re
import subprocess
import sys

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from fit_cases import bits, data, fit, network


class TestDigits:
    """The main use: images as they come, float64 rows into a float32 network."""

    def test_it_learns(self):
        datasets = pytest.importorskip("sklearn.datasets")
        X, y = datasets.load_digits(return_X_y=True)
        assert X.shape == (1797, 64)
        assert X.dtype == np.float64
        net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10), seed=0)
        assert net.dtype == np.float32
        history = net.fit(
            X,
            y,
            loss=nn.CrossEntropyLoss(),
            optimizer=optim.Adam(net.parameters(), lr=1e-2),
            epochs=10,
        )
        assert history["loss"][-1] < 0.1 < 1 < history["loss"][0] * 5
        assert np.mean(net(X).argmax(1) == y) > 0.97


class TestBatches:
    """Which rows make a step."""

    @pytest.mark.parametrize(
        ("size", "updates"),
        [(1, 50), (7, 8), (8, 7), (10, 5), (49, 2), (50, 1), (51, 1), (10**12, 1), (None, 1)],
    )
    def test_counts(self, size, updates):
        history = fit(network(), batch_size=size, epochs=2)
        assert history.updates == 2 * updates
        assert history.epochs == 2

    def test_whole_sets_by_several_names(self):
        nets = [network() for _ in range(4)]
        for net, size in zip(nets, [None, 50, 51, 10**9], strict=True):
            fit(net, batch_size=size)
        assert len({bits(net) for net in nets}) == 1

    def test_32_by_default(self):
        X, y = data()
        net = network()
        opt = optim.SGD(net.parameters())
        assert net.fit(X, y, loss=nn.MSELoss(), optimizer=opt, epochs=1).updates == 2

    def test_each_epoch_takes_every_row_once_in_another_order(self):
        seen = []

        class Spy:
            def __call__(self, outputs, y):
                seen.append(y[:, 0])
                return 0.0

            def delta(self, outputs, y):
                return np.zeros_like(outputs)

        y = np.arange(100.0).reshape(50, 2)
        fit(network(), data()[0], y, loss=Spy(), epochs=2, batch_size=8)
        first, second = np.concatenate(seen[:7]), np.concatenate(seen[7:])
        assert len(seen) == 14
        assert [len(b) for b in seen[:7]] == [8] * 6 + [2]
        np.testing.assert_array_equal(np.sort(first), y[:, 0])
        np.testing.assert_array_equal(np.sort(second), y[:, 0])
        assert not np.array_equal(first, second)
        assert not np.array_equal(first, y[:, 0])
        seen.clear()
        fit(network(), data()[0], y, loss=Spy(), epochs=1, batch_size=8, shuffle=False)
        np.testing.assert_array_equal(np.concatenate(seen), y[:, 0])

    def test_rows_keep_together(self):
        X, y = data()
        y = X[:, :2] * 2
        weight = np.abs(X[:, 0]).astype(np.float32).astype(float)

        class Check:
            def __call__(self, outputs, y, sample_weight):
                np.testing.assert_array_equal(np.abs(y[:, 0]), 2 * sample_weight)
                return 0.0

            def delta(self, outputs, y, sample_weight):
                return np.zeros_like(outputs)

        X[:, 0] = np.sign(X[:, 0]) * weight
        y = X[:, :2] * 2
        fit(network(), X, y, loss=Check(), sample_weight=weight)


class TestWeights:
    """sample_weight."""

    def test_ones_change_nothing(self):
        a, b = network(), network()
        history = fit(a)
        other = fit(b, sample_weight=np.ones(50))
        assert bits(a) == bits(b)
        np.testing.assert_array_equal(history["loss"], other["loss"])

    def test_zeros_leave_the_network_as_it_is(self):
        net = network()
        before = bits(net)
        history = fit(net, sample_weight=np.zeros(50))
        assert bits(net) == before
        np.testing.assert_array_equal(history["loss"], 0)

    def test_a_whole_number_is_a_repetition(self):
        X, y = data(10)
        counts = np.array([1, 2, 0, 3, 1, 1, 0, 2, 1, 1])
        a, b = network(), network()
        fit(a, X, y, sample_weight=counts, batch_size=None)
        fit(b, X.repeat(counts, 0), y.repeat(counts, 0), batch_size=None)
        np.testing.assert_allclose(a.flat_parameters, b.flat_parameters, rtol=1e-10)

    def test_of_the_validation_data(self):
        X, y = data()
        weight = np.r_[np.ones(20), np.zeros(30)]
        a = fit(network(), validation_data=(X, y, weight))
        b = fit(network(), validation_data=(X[:20], y[:20]))
        np.testing.assert_allclose(a["val_loss"], b["val_loss"], rtol=1e-13)


class TestHistory:
    """What fit returns."""

    def test_the_loss_is_the_row_weighted_mean_before_each_update(self):
        X, y = data()
        net = network()
        frozen = optim.SGD(net.parameters(), lr=0)
        history = fit(net, X, y, opt=frozen, batch_size=7)
        np.testing.assert_allclose(history["loss"], nn.MSELoss()(net(X), y), rtol=1e-13)
        before = nn.MSELoss()(net(X), y)
        history = fit(net, X, y, batch_size=None, epochs=1)
        assert history["loss"][0] == pytest.approx(before, rel=1e-13)
        assert nn.MSELoss()(net(X), y) < before

    def test_its_kind(self):
        history = fit(network(), validation_data=data())
        assert isinstance(history, dp.History)
        assert list(history) == ["loss", "val_loss", "lr"]
        assert len(history) == 3
        for values in history.values():
            assert values.shape == (3,)
            assert values.dtype == np.float64
        np.testing.assert_array_equal(history["lr"], 0.1)
        assert history.epochs == 3
        assert history.updates == 21
        assert history.stop_reason == "epochs"
        assert history.stop_losses.shape == (0,)
        assert "val_loss" not in fit(network())
        with pytest.raises(KeyError, match="accuracy"):
            history["accuracy"]
        text = r"^History\(3 epochs, 21 updates, loss .* -> .*, val_loss .*, stopped by epochs\)$"
        assert re.match(text, repr(history))

    def test_no_epochs(self):
        net = network()
        before = bits(net)
        history = fit(net, epochs=0, validation_data=data())
        assert bits(net) == before
        assert history.epochs == history.updates == 0
        assert history.stop_reason == "epochs"
        for key in ("loss", "val_loss", "lr"):
            assert history[key].shape == (0,)
        assert repr(history) == "History(0 epochs, 0 updates, stopped by epochs)"

    @pytest.mark.parametrize("kind", [nn.MSELoss, nn.CrossEntropyLoss])
    @pytest.mark.parametrize("reduction", ["mean", "sum"])
    def test_val_loss_is_the_loss_after_the_epoch(self, kind, reduction, rng):
        X, y = data()
        held = rng.normal(size=(9000, 3))
        target = rng.normal(size=(9000, 2))
        if kind is nn.CrossEntropyLoss:
            y, target = rng.integers(0, 2, 50), rng.integers(0, 2, 9000)
        loss, net = kind(reduction=reduction), network()
        found = []
        history = fit(
            net,
            X,
            y,
            optim.SGD(net.parameters(), lr=1e-3),
            loss=loss,
            validation_data=(held, target),
            callbacks=[lambda run: found.append(loss(run.network(held), target))],
        )
        np.testing.assert_allclose(history["val_loss"], found, rtol=1e-12)

    def test_validation_changes_nothing(self):
        a, b = network(), network()
        fit(a, validation_data=(data()[0] * 3, data()[1]))
        fit(b)
        assert bits(a) == bits(b)


class TestGradients:
    """fit and the gradients of passes by hand."""

    def test_what_is_left_is_ignored_and_then_zero(self):
        a, b = network(), network()
        X, y = data()
        out = a.forward(X)
        a.backward(nn.MSELoss().delta(out, y))
        assert a.flat_gradients.any()
        fit(a)
        fit(b)
        assert bits(a) == bits(b)
        assert not a.flat_gradients.any()

    def test_parameters_without_an_optimizer_stay(self):
        net = network()
        kept = net[0].weight.copy()
        fit(net, opt=optim.SGD(net[2].parameters(), lr=0.1))
        np.testing.assert_array_equal(net[0].weight, kept)
        assert not net.flat_gradients.any()


def test_importing_it_imports_no_extras():
    code = (
        "import sys, deltaprop\n"
        "print([m for m in ('tqdm', 'sklearn', 'pandas', 'torch', 'matplotlib', 'scipy')"
        " if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"
    assert builtins.print is print
