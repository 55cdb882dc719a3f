"""fit: what it does with data, options, callbacks and errors."""

import builtins
import copy
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def network(seed=0, dtype="float64", outputs=2):
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, outputs), dtype=dtype, seed=seed)


def data(rows=50, outputs=2):
    rng = np.random.default_rng(1)
    return rng.normal(size=(rows, 3)), rng.normal(size=(rows, outputs))


def fit(net, X=None, y=None, opt=None, **options):
    if X is None:
        X, y = data(outputs=net[-1].out_features)
    opt = opt or optim.SGD(net.parameters(), lr=0.1)
    options = {"loss": nn.MSELoss(), "epochs": 3, "batch_size": 8, **options}
    return net.fit(X, y, optimizer=opt, **options)


def bits(net):
    return net.flat_parameters.tobytes()


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


class TestDoor:
    """What is refused before the first step; the network then is untouched."""

    def refused(self, kind, message, X=None, y=None, net=None, **options):
        net = net or network()
        X, y = (data()[0] if X is None else X), (data()[1] if y is None else y)
        before = bits(net)
        with pytest.raises(kind, match=message):
            fit(net, X, y, **options)
        assert bits(net) == before
        # And it can still be trained.
        fit(net)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, bad):
        for row, column in ((0, 0), (7, 2), (49, 1)):
            X, y = data()
            X[row, column] = bad
            text = f"X: expected finite numbers, got {bad} in row {row}, column {column}"
            self.refused(ValueError, f"^{text}$", X, y)
        X, y = data()
        y[3, 1] = bad
        text = f"y: expected finite numbers, got {bad} in row 3, column 1"
        self.refused(ValueError, f"^{text}$", X, y)
        text = f"validation_data y: expected finite numbers, got {bad} in row 3, column 1"
        self.refused(ValueError, f"^{text}$", X, data()[1], validation_data=(X, y))

    def test_not_finite_far_down(self):
        X = np.zeros((10_000, 3), np.float16)
        X[9_876, 1] = np.nan
        self.refused(ValueError, "got nan in row 9876, column 1$", X, np.zeros((10_000, 2)))
        X = np.asfortranarray(X[::-1])
        self.refused(ValueError, "got nan in row 123, column 1$", X, np.zeros((10_000, 2)))

    def test_too_large_for_float32(self):
        X, y = data()
        X[5, 2] = 1e39
        message = r"^X: expected finite numbers that fit float32 .* in row 5, column 2$"
        self.refused(ValueError, message, X, y, net=network(dtype="float32"))
        fit(network(dtype="float64"), X * 1e-39, y)

    @pytest.mark.parametrize("shape", [(), (50,), (50, 3, 1), (50, 2), (50, 4), (50, 0)])
    def test_shapes_of_x(self, shape):
        message = re.escape(f"got {shape}") + "(;|$)"
        self.refused(ValueError, message, np.zeros(shape))

    def test_one_feature_without_its_axis(self):
        net = nn.Sequential(nn.Linear(1, 1))
        message = (
            r"^X: expected \(N, features\), got \(5,\); for one feature use X\.reshape\(-1, 1\)$"
        )
        with pytest.raises(ValueError, match=message):
            fit(net, np.zeros(5), np.zeros(5))

    @pytest.mark.parametrize("rows", [0, 49, 51, 1, 100])
    def test_other_numbers_of_rows(self, rows):
        message = rf"^y: expected 50 rows, as X has, got shape \({rows}, 2\)$"
        self.refused(ValueError, message, y=np.zeros((rows, 2)))
        message = (
            r"^validation_data y: expected 50 rows, as validation_data X has, "
            rf"got shape \({rows}, 2\)$"
        )
        self.refused(ValueError, message, validation_data=(data()[0], np.zeros((rows, 2))))

    def test_no_rows(self):
        message = r"^X: expected one row or more, got \(0, 3\)$"
        self.refused(ValueError, message, np.zeros((0, 3)), np.zeros((0, 2)))
        message = r"^validation_data X: expected one row or more, got \(0, 3\)$"
        self.refused(ValueError, message, validation_data=(np.zeros((0, 3)), np.zeros((0, 2))))

    @pytest.mark.parametrize("shape", [(50,), (50, 1), (50, 3), (50, 2, 1)])
    def test_shapes_of_y(self, shape):
        message = re.escape(f"MSELoss: expected y (50, 2) for outputs (50, 2), got {shape}")
        self.refused(ValueError, f"^{message}$", y=np.zeros(shape))

    def test_shapes_of_y_for_one_output(self):
        X = data()[0]
        for shape in ((50, 50), (50, 2)):
            message = re.escape(f"MSELoss: expected y (50, 1) for outputs (50, 1), got {shape}")
            with pytest.raises(ValueError, match=f"^{message}$"):
                fit(network(outputs=1), X, np.zeros(shape))
        with pytest.raises(
            ValueError, match=r"^y: expected 50 rows, as X has, got shape \(1, 50\)$"
        ):
            fit(network(outputs=1), X, np.zeros((1, 50)))
        a, b = network(outputs=1), network(outputs=1)
        y = data()[1][:, 0]
        fit(a, X, y)
        fit(b, X, y[:, None])
        assert bits(a) == bits(b)

    @pytest.mark.parametrize("bad", [-1, 2, 10**9, -(2**63)])
    def test_classes_out_of_range(self, bad):
        y = np.zeros(50, int)
        y[33] = bad
        loss = nn.CrossEntropyLoss()
        message = f"^y: expected classes from 0 to 1, got {bad} in row 33$"
        self.refused(ValueError, message, y=y, loss=loss)
        message = f"^validation_data y: expected classes from 0 to 1, got {bad} in row 33$"
        self.refused(
            ValueError, message, y=np.zeros(50, int), loss=loss, validation_data=(data()[0], y)
        )

    def test_classes_of_another_kind(self):
        loss = nn.CrossEntropyLoss()
        message = r"^CrossEntropyLoss: expected y of integer classes \(50,\), got dtype float64$"
        self.refused(TypeError, message, y=np.zeros(50), loss=loss)
        message = r"^CrossEntropyLoss: expected y \(50,\) for outputs \(50, 2\), got \(50, 1\)$"
        self.refused(ValueError, message, y=np.zeros((50, 1), int), loss=loss)

    @pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
    def test_weights_out_of_range(self, bad):
        weight = np.ones(50)
        weight[17] = bad
        message = "^sample_weight: expected finite weights of 0 or more, got .* in row 17$"
        self.refused(ValueError, message, sample_weight=weight)
        self.refused(ValueError, message, validation_data=(*data(), weight))

    @pytest.mark.parametrize("shape", [(49,), (50, 1), (), (1,)])
    def test_shapes_of_weights(self, shape):
        message = "^" + re.escape(f"sample_weight: expected (50,), got {shape}") + "$"
        self.refused(ValueError, message, sample_weight=np.ones(shape))

    @pytest.mark.parametrize(
        ("options", "kind", "message"),
        [
            ({"epochs": -1}, ValueError, "^fit: epochs: expected 0 or more, got -1$"),
            ({"epochs": 1.0}, TypeError, "^fit: epochs: expected an integer, got float$"),
            ({"epochs": None}, TypeError, "^fit: epochs: expected an integer, got NoneType$"),
            ({"epochs": True}, TypeError, "^fit: epochs: expected an integer, got bool$"),
            ({"batch_size": 0}, ValueError, "^fit: batch_size: expected 1 or more, got 0$"),
            ({"batch_size": -5}, ValueError, "^fit: batch_size: expected 1 or more, got -5$"),
            ({"batch_size": 1.5}, TypeError, "^fit: batch_size: expected an integer, got float$"),
            ({"seed": -1}, ValueError, r"^fit: expected a seed from 0 to 2\*\*64 - 1, got -1$"),
            ({"seed": 0.5}, TypeError, "^fit: expected an integer seed or None, got float$"),
            ({"loss": None}, TypeError, "^fit: expected a loss with __call__ and delta, got None"),
            (
                {"loss": nn.MSELoss},
                TypeError,
                "^fit: expected a loss with .*, got the class MSELoss$",
            ),
            ({"loss": len}, TypeError, "^fit: expected a loss with __call__ and delta, got"),
            (
                {"loss": nn.MSELoss(reduction="none")},
                ValueError,
                "^fit: expected a loss with reduction 'mean' or 'sum', got 'none'$",
            ),
            ({"stop": 1e-3}, TypeError, "^fit: expected stop to be a StopOnPlateau, got float$"),
            ({"callbacks": [3]}, TypeError, "^fit: expected callables as callbacks, got int$"),
            ({"callbacks": print}, TypeError, "^fit: expected .*callbacks, got"),
            (
                {"validation_data": 3},
                TypeError,
                r"^validation_data: expected \(X, y\) or \(X, y, s",
            ),
            ({"validation_data": (1,)}, TypeError, r"^validation_data: expected \(X, y\)"),
            ({"validation_data": (1,) * 4}, TypeError, r"^validation_data: expected \(X, y\)"),
        ],
    )
    def test_options(self, options, kind, message):
        self.refused(kind, message, **options)

    @pytest.mark.parametrize("name", ["epochs", "batch_size"])
    def test_a_count_that_no_integer_holds(self, name):
        # One line that says what was expected, not a list of C++ signatures.
        self.refused(ValueError, f"^fit: {name}: expected", **{name: 2**70})

    @pytest.mark.parametrize("bad", [None, "adam", optim.SGD])
    def test_what_is_no_optimizer(self, bad):
        with pytest.raises(TypeError, match=r"^fit: expected an optimizer, got"):
            network().fit(*data(), loss=nn.MSELoss(), optimizer=bad, epochs=1)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_an_optimizer_of_another_network(self, dtype):
        message = "^fit: expected an optimizer of this network's parameters, got one of another"
        self.refused(ValueError, message, opt=optim.SGD(network(dtype=dtype).parameters()))

    def test_options_are_keywords(self):
        with pytest.raises(TypeError, match="positional"):
            network().fit(*data(), nn.MSELoss())
        with pytest.raises(TypeError, match="unexpected keyword argument 'bacth_size'"):
            fit(network(), bacth_size=3)


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


class TestSeeds:
    """Shuffling, repeated."""

    def test_the_same_seed_gives_the_same_bits(self):
        a, b, c = network(), network(), network()
        fit(a, seed=5)
        fit(b, seed=5)
        fit(c, seed=6)
        assert bits(a) == bits(b) != bits(c)

    def test_the_networks_seed_decides_by_default(self):
        a, b = network(seed=3), network(seed=3)
        fit(a)
        fit(b)
        assert bits(a) == bits(b)
        c = network(seed=4)
        c.load_state_dict(network(seed=3).state_dict())
        fit(c)
        assert bits(c) != bits(a)

    def test_numpys_state_does_not(self):
        a, b = network(), network()
        np.random.seed(1)  # noqa: NPY002  (it is its influence that is tested)
        fit(a)
        np.random.seed(2)  # noqa: NPY002
        fit(b)
        assert bits(a) == bits(b)

    def test_two_fits_are_one(self):
        whole, parts = network(), network()
        wanted = fit(whole, epochs=5)
        opt = optim.SGD(parts.parameters(), lr=0.1)
        first, second = fit(parts, opt=opt, epochs=2), fit(parts, opt=opt, epochs=3)
        assert bits(parts) == bits(whole)
        np.testing.assert_array_equal(np.r_[first["loss"], second["loss"]], wanted["loss"])

    def test_two_fits_of_one_seed_shuffle_alike(self):
        orders = []

        class Spy:
            def __call__(self, outputs, y):
                orders.append(y[:, 0])
                return 0.0

            def delta(self, outputs, y):
                return np.zeros_like(outputs)

        net, (X, y) = network(), data()
        for _ in range(2):
            fit(net, X, y, loss=Spy(), epochs=1, batch_size=49, seed=9)
        np.testing.assert_array_equal(orders[0], orders[2])
        orders.clear()
        for _ in range(2):
            fit(net, X, y, loss=Spy(), epochs=1, batch_size=49)
        assert not np.array_equal(orders[0], orders[2])

    def test_a_copy_goes_on_as_the_original_does(self):
        net = network()
        fit(net)
        other = pickle.loads(pickle.dumps(net))
        fit(net)
        fit(other)
        assert bits(net) == bits(other)

    def test_frozen_order(self):
        # A change here changes everybody's seeded trainings: say so in the changelog.
        seen = []

        class Spy:
            def __call__(self, outputs, y):
                seen.extend(y.tolist())
                return 0.0

            def delta(self, outputs, y):
                return np.zeros_like(outputs)

        net = nn.Sequential(nn.Linear(1, 1), seed=0)
        y = np.arange(10)
        fit(net, y[:, None], y, loss=Spy(), epochs=2, batch_size=9, seed=0)
        assert seen == FROZEN_ORDER


FROZEN_ORDER = [7, 0, 4, 3, 1, 9, 6, 5, 8, 2, 8, 9, 4, 1, 6, 5, 0, 3, 2, 7]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [1, 7, 300, 1000])
@pytest.mark.parametrize("kind", [nn.MSELoss, nn.CrossEntropyLoss])
def test_a_loop_by_hand_gives_the_bits_of_fit(kind, size, weighted, dtype, rng):
    rows = 1000
    X = rng.normal(size=(rows, 3))
    y = rng.normal(size=(rows, 2)) if kind is nn.MSELoss else rng.integers(0, 2, rows)
    weight = rng.uniform(0, 2, rows) if weighted else None
    loss = kind()
    a, b = network(dtype=dtype), network(dtype=dtype)
    history = fit(
        a,
        X,
        y,
        optim.Adam(a.parameters(), lr=0.01),
        loss=loss,
        epochs=2,
        batch_size=size,
        shuffle=False,
        sample_weight=weight,
    )
    opt = optim.Adam(b.parameters(), lr=0.01)
    epochs = []
    for _ in range(2):
        losses, sizes = [], []
        for i in range(0, rows, size):
            batch = slice(i, i + size)
            w = None if weight is None else weight[batch]
            out = b.forward(X[batch])
            losses.append(loss(out, y[batch], w))
            sizes.append(len(out))
            b.backward(loss.delta(out, y[batch], w))
            opt.step()
            opt.zero_grad()
        epochs.append(losses[0] if len(losses) == 1 else np.average(losses, weights=sizes))
    np.testing.assert_array_equal(a.flat_parameters, b.flat_parameters)
    # How the mean over batches rounds is not promised, the loss of one batch is.
    np.testing.assert_allclose(history["loss"], epochs, rtol=0 if size == rows else 1e-13)


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


class TestStopOnPlateau:
    """Stop rules."""

    def losses_of(self, net, stop, X, y, **options):
        history = fit(net, X, y, stop=stop, epochs=500, **options)
        assert history.stop_reason == "plateau"
        return history

    @pytest.mark.parametrize("eps", [1e-2, 1e-4])
    def test_every_epoch(self, eps):
        X, y = data()
        history = self.losses_of(network(), dp.StopOnPlateau(eps), X, y)
        looks = history.stop_losses
        assert len(looks) == history.epochs == len(history["loss"])
        assert abs(looks[-1] - looks[-2]) < eps
        assert (np.abs(np.diff(looks))[:-1] >= eps).all()
        net = network()
        again = fit(net, X, y, epochs=history.epochs)
        np.testing.assert_array_equal(again["loss"], history["loss"])
        assert nn.MSELoss()(net(X), y) == pytest.approx(looks[-1], rel=1e-13)

    def test_every_update(self):
        X, y = data()
        eps = 1e-4
        net = network()
        history = self.losses_of(net, dp.StopOnPlateau(eps, every="update"), X, y)
        looks = history.stop_losses
        assert len(looks) == history.updates
        assert abs(looks[-1] - looks[-2]) < eps
        assert (np.abs(np.diff(looks))[:-1] >= eps).all()
        assert nn.MSELoss()(net(X), y) == pytest.approx(looks[-1], rel=1e-13)
        assert history.epochs == -(-history.updates // 7) == len(history["loss"])

    def test_the_first_look_stops_nothing(self):
        assert fit(network(), stop=dp.StopOnPlateau(1e9), epochs=9).epochs == 2
        history = fit(network(), stop=dp.StopOnPlateau(1e9, every="update"), epochs=9)
        assert (history.updates, history.epochs) == (2, 1)

    def test_another_loss(self):
        X, y = data()
        net = network()
        stop = dp.StopOnPlateau(1e-3, loss=nn.MSELoss(reduction="sum", factor=0.5))
        history = self.losses_of(net, stop, X, y)
        wanted = nn.MSELoss(reduction="sum", factor=0.5)(net(X), y)
        assert history.stop_losses[-1] == pytest.approx(wanted, rel=1e-13)

    def test_a_loss_that_does_not_fit_the_targets(self):
        message = r"^CrossEntropyLoss of probabilities: expected y of 0.0 or more, got -"
        with pytest.raises(ValueError, match=message):
            fit(network(), stop=dp.StopOnPlateau(1, loss=nn.CrossEntropyLoss()))
        with pytest.raises(ValueError, match="reduction 'mean' or 'sum', got 'none'"):
            fit(network(), stop=dp.StopOnPlateau(1, loss=nn.MSELoss(reduction="none")))

    def test_it_weighs_rows(self):
        X, y = data()
        weight = np.r_[np.ones(20), np.zeros(30)]
        net = network()
        history = self.losses_of(net, dp.StopOnPlateau(1e-3), X, y, sample_weight=weight)
        wanted = nn.MSELoss()(net(X[:20]), y[:20])
        assert history.stop_losses[-1] == pytest.approx(wanted, rel=1e-13)

    def test_it_can_be_used_again(self):
        stop = dp.StopOnPlateau(1e-3)
        first = self.losses_of(network(), stop, *data())
        second = self.losses_of(network(), stop, *data())
        np.testing.assert_array_equal(first.stop_losses, second.stop_losses)

    def test_making_one(self):
        text = "StopOnPlateau(eps=0.001, every='epoch', loss=None)"
        assert repr(dp.StopOnPlateau(1e-3)) == text
        message = "^StopOnPlateau: expected every 'epoch' or 'update', got 'batch'$"
        with pytest.raises(ValueError, match=message):
            dp.StopOnPlateau(1, every="batch")
        for eps in (0, -1, np.nan, np.inf):
            with pytest.raises(ValueError, match=f"^StopOnPlateau: expected eps > 0, got {eps}$"):
                dp.StopOnPlateau(eps)
        with pytest.raises(TypeError, match=r"^StopOnPlateau: expected .*eps"):
            dp.StopOnPlateau("a")


class TestCallbacks:
    """Callables after each epoch."""

    def test_what_they_see(self):
        seen = []
        net = network()
        opt = optim.SGD(net.parameters(), lr=0.1)

        def callback(run):
            assert isinstance(run, dp.Run)
            assert run.network is net
            assert run.optimizer is opt
            seen.append((run.epoch, run.step, run.history["loss"].tolist(), run.history.epochs))
            assert run.history.stop_reason == ""
            assert "running" in repr(run.history)

        history = fit(net, opt=opt, callbacks=[callback])
        losses = history["loss"].tolist()
        assert seen == [(i, 7 * (i + 1), losses[: i + 1], i + 1) for i in range(3)]

    def test_they_run_in_order(self):
        seen = []
        fit(network(), epochs=2, callbacks=(lambda run, i=i: seen.append(i) for i in range(3)))
        assert seen == [0, 1, 2, 0, 1, 2]

    def test_stop(self):
        history = fit(
            network(), epochs=10, callbacks=[lambda run: run.stop() if run.epoch == 4 else None]
        )
        assert history.epochs == 5
        assert history.stop_reason == "callback"
        assert len(history["loss"]) == 5

    def test_they_may_predict_and_change_no_bit(self):
        a, b = network(), network()
        X = data()[0]
        fit(a, callbacks=[lambda run: (run.network(X), run.network.predict(X, batch_size=3))])
        fit(b)
        assert bits(a) == bits(b)

    def test_they_may_write_weights_and_options(self):
        net = network()

        def callback(run):
            run.network.flat_parameters[:] = 7
            run.optimizer.lr = 0.0

        history = fit(net, epochs=3, callbacks=[callback])
        assert (net.flat_parameters == 7).all()
        np.testing.assert_array_equal(history["lr"], [0.1, 0, 0])

    def test_they_may_not_fit_or_step(self):
        caught = []

        def callback(run):
            for method in (lambda: fit(run.network), run.optimizer.step):
                try:
                    method()
                except RuntimeError as error:
                    caught.append(str(error))

        fit(network(), epochs=1, callbacks=[callback])
        assert caught == [
            "the network is in use: expected no other call while fit runs",
            "the optimizer is in use: expected no other call while it steps, fit runs or its "
            "averages are shown",
        ]

    def test_they_may_fit_another_network(self):
        other = network(seed=1)
        fit(network(), epochs=2, callbacks=[lambda run: fit(other)])
        twin = network(seed=1)
        fit(twin)
        fit(twin)
        assert bits(other) == bits(twin)

    @pytest.mark.parametrize(
        "kind", [ZeroDivisionError, KeyboardInterrupt, SystemExit, StopIteration]
    )
    def test_their_exceptions_come_through(self, kind):
        error = kind("mine", 3)
        net = network()
        opt = optim.SGD(net.parameters(), lr=0.1)

        def callback(run):
            if run.epoch == 1:
                raise error

        with pytest.raises(kind, match="mine") as caught:
            fit(net, opt=opt, callbacks=[callback])
        assert caught.value is error
        assert error.args == ("mine", 3)
        assert any(entry.name == "callback" for entry in caught.traceback)
        assert not net.flat_gradients.any()
        twin = network()
        fit(twin, epochs=2)
        assert bits(net) == bits(twin)
        fit(net, opt=opt)


class TestProgress:
    """progress=True, with tqdm and without."""

    def test_tqdm(self, capsys):
        pytest.importorskip("tqdm")
        fit(network(), epochs=3, progress=True, validation_data=data())
        out = capsys.readouterr()
        assert "3/3" in out.err
        assert "val_loss=" in out.err
        assert out.out == ""

    def test_without_tqdm(self, capsys, monkeypatch):
        for name in [m for m in sys.modules if m.split(".")[0] == "tqdm"] + ["tqdm", "tqdm.auto"]:
            monkeypatch.setitem(sys.modules, name, None)
        history = fit(network(), epochs=3, progress=True, validation_data=data())
        lines = capsys.readouterr().err.splitlines()
        assert lines == [
            f"epoch {i + 1}/3: loss {history['loss'][i]:.4g}, val_loss {history['val_loss'][i]:.4g}"
            for i in range(3)
        ]

    def test_a_bar_shows_where_the_fit_stopped(self, capsys):
        pytest.importorskip("tqdm")
        fit(
            network(),
            epochs=50,
            progress=True,
            callbacks=[lambda run: run.stop() if run.epoch == 16 else None],
        )
        assert "17/50" in capsys.readouterr().err

    def test_none_by_default(self, capsys):
        fit(network())
        assert capsys.readouterr() == ("", "")

    def test_it_changes_no_bit(self, capsys):
        a, b = network(), network()
        fit(a, progress=True)
        fit(b)
        assert bits(a) == bits(b)
        assert capsys.readouterr().err


class TestNotFinite:
    """FloatingPointError."""

    def test_it_names_epoch_and_batch(self):
        net = network()
        opt = optim.SGD(net.parameters(), lr=0.1)

        def callback(run):
            if run.epoch == 4:
                net[2].bias[:] = np.inf

        message = (
            r"^fit: the loss is inf in epoch 5, batch 0; the network is as the last update left it"
            r" \(a smaller lr may help\)$"
        )
        with pytest.raises(FloatingPointError, match=message):
            fit(net, opt=opt, epochs=10, callbacks=[callback])

    def test_the_network_is_as_the_last_update_left_it(self):
        X, y = data()
        y[30:] = 1e200
        net, twin = network(), network()
        with pytest.raises(FloatingPointError, match="the loss is inf in epoch 0, batch 3"):
            fit(net, X, y, batch_size=10, shuffle=False)
        fit(twin, X[:30], y[:30], batch_size=10, shuffle=False, epochs=1)
        assert bits(net) == bits(twin)
        assert not net.flat_gradients.any()
        fit(net)

    def test_a_delta_that_is_not_finite(self):
        class Bad:
            def __call__(self, outputs, y):
                return 1.0

            def delta(self, outputs, y):
                return np.full_like(outputs, np.nan if len(outputs) == 2 else 0)

        net = network()
        before = bits(net)
        with pytest.raises(FloatingPointError, match="a delta is not finite in epoch 0, batch 6"):
            fit(net, loss=Bad(), batch_size=8)
        assert bits(net) == before

    def test_a_rate_too_large(self):
        net = network(dtype="float32")
        with pytest.raises(FloatingPointError, match="a smaller lr may help"):
            fit(net, opt=optim.SGD(net.parameters(), lr=1e30), epochs=100)

    def test_weights_that_are_not_finite_to_begin_with(self):
        net = network()
        net[0].weight[0, 0] = np.nan
        with pytest.raises(FloatingPointError, match="the loss is nan in epoch 0, batch 0"):
            fit(net)


INTERRUPTED = """
import os, signal, threading, time
# A shell that starts tests in the background has them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np
from deltaprop import nn, optim
rows, width, batch, delay = {rows}, {width}, {batch}, {delay}
X = np.zeros((rows, width), np.float32)
net = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width), seed=0)
opt = optim.SGD(net.parameters(), lr=0.1)
sent = []
def send():
    time.sleep(delay)
    sent.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=send).start()
try:
    net.fit(X, X, loss=nn.MSELoss(), optimizer=opt, epochs=10**9, batch_size=batch {more})
except KeyboardInterrupt:
    took = time.process_time() - sent[0]
else:
    raise SystemExit("not interrupted")
assert took < 1, took  # of the processor: others may be at work on the machine
assert not net.flat_gradients.any()
assert np.isfinite(net.flat_parameters).all()
assert net(X[:3]).shape == (3, width)
net.fit(X[:5], X[:5], loss=nn.MSELoss(), optimizer=opt, epochs=1)
net.forward(X[:2])
net.backward(X[:2])
opt.step()
print("usable")
"""


@pytest.mark.parametrize(
    "options",
    [
        {"rows": 100, "width": 8, "batch": 32},
        {"rows": 20_000, "width": 256, "batch": None},
        {"rows": 100, "width": 8, "batch": 32, "more": ", callbacks=[lambda run: None]"},
        {"rows": 100, "width": 8, "batch": 1, "more": ", validation_data=(X, X)"},
    ],
    ids=["small", "one large batch", "callbacks", "validation"],
)
def test_ctrl_c(options):
    code = INTERRUPTED.format(**{"delay": 0.3, "more": "", **options})
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "usable\n"


def test_ctrl_c_from_outside():
    code = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np
from deltaprop import nn, optim
net = nn.Sequential(nn.Linear(2, 2))
print("ready", flush=True)
X = np.zeros((10, 2))
net.fit(X, X, loss=nn.MSELoss(), optimizer=optim.SGD(net.parameters()), epochs=10**9)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert err.rstrip().endswith("KeyboardInterrupt")
    # The interpreter's own end is in this time too.
    assert time.monotonic() - begin < 2


class TestInUse:
    """A network that fit has taken."""

    @pytest.fixture
    def fitting(self):
        """Give a network on which fit runs in another thread."""
        net = network(dtype="float32")
        opt = optim.SGD(net.parameters(), lr=0.1)
        running, over, errors = threading.Event(), threading.Event(), []

        def callback(run):
            running.set()
            if over.is_set():
                run.stop()

        def work():
            try:
                fit(net, opt=opt, epochs=10**9, callbacks=[callback])
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        assert running.wait(10)
        yield net, opt
        over.set()
        thread.join(10)
        assert not thread.is_alive()
        assert not errors
        fit(net, opt=opt)
        net(np.zeros(3))

    CALLS = (
        ("net(X)", lambda net, opt, X: net(X)),
        ("predict", lambda net, opt, X: net.predict(X, batch_size=2)),
        ("forward", lambda net, opt, X: net.forward(X)),
        ("layer", lambda net, opt, X: net[0](X)),
        ("fit", lambda net, opt, X: fit(net)),
        ("step", lambda net, opt, X: opt.step()),
        ("another step", lambda net, opt, X: optim.SGD(net.parameters()).step()),
        ("lr", lambda net, opt, X: setattr(opt, "lr", 0.5)),
        ("zero_grad", lambda net, opt, X: opt.zero_grad()),
        ("net.zero_grad", lambda net, opt, X: net.zero_grad()),
        ("load_state_dict", lambda net, opt, X: net.load_state_dict(net.state_dict())),
    )

    @pytest.mark.parametrize("call", [c for _, c in CALLS], ids=[n for n, _ in CALLS])
    def test_another_thread_may_not_call_it(self, fitting, call):
        net, opt = fitting
        message = "^the (network|optimizer) is in use: expected no other call while"
        with pytest.raises(RuntimeError, match=message):
            call(net, opt, np.zeros((5, 3)))

    def test_backward_and_activations(self, fitting):
        net, _ = fitting
        with pytest.raises(RuntimeError, match="expected"):
            net.backward(np.zeros((5, 2)))
        with pytest.raises(RuntimeError, match="expected"):
            net.activations

    def test_another_network_is_free(self, fitting):
        fit(network())
        network()(np.zeros(3))


def test_importing_it_imports_no_extras():
    code = (
        "import sys, deltaprop\n"
        "print([m for m in ('tqdm', 'sklearn', 'pandas', 'torch', 'matplotlib', 'scipy')"
        " if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"
    assert builtins.print is print


@pytest.mark.parametrize("rule", ["SGD", "Adam"])
def test_parameters_that_overflow_in_the_last_update(rule):
    net = nn.Sequential(nn.Linear(3, 1), seed=0)
    X = 1e10 * np.random.default_rng(0).normal(size=(20, 3))
    optimizer = getattr(optim, rule)(net.parameters(), lr=1e20 if rule == "SGD" else 1e-3)
    y = X.sum(axis=1) * (1 if rule == "SGD" else 1e18)
    with pytest.raises(FloatingPointError, match=r"^fit: the last updates made parameters inf"):
        net.fit(
            X, y, loss=nn.MSELoss(reduction="sum"), optimizer=optimizer, epochs=1, batch_size=None
        )


def test_a_pass_that_a_callback_made_is_stale_afterwards():
    net = network()
    fit(net, callbacks=[lambda run: run.network.forward(data()[0])])
    with pytest.raises(RuntimeError, match=r"call net.forward\(x\)"):
        net.backward(np.ones_like(data()[1]))


def test_snapshots_are_not_taken_while_another_thread_fits():
    net = network(dtype="float32")
    running, over = threading.Event(), threading.Event()

    def callback(run):
        running.set()
        if over.is_set():
            run.stop()

    thread = threading.Thread(target=lambda: fit(net, epochs=10**9, callbacks=[callback]))
    thread.start()
    try:
        assert running.wait(10)
        for call in (
            net.state_dict,
            lambda: copy.deepcopy(net),
            lambda: pickle.dumps(net),
            lambda: dp.check_gradients(net, nn.MSELoss(), *data()),
            lambda: setattr(net[0], "bias", 0),
            lambda: setattr(net.parameters()[0], "value", 0),
        ):
            with pytest.raises(RuntimeError, match=r"^the network is in use"):
                call()
    finally:
        over.set()
        thread.join(10)
