"""Standardize."""

import pickle

import numpy as np
import pytest

from deltaprop import nn
from layer_cases import each_dtype, same, sample, sgd


class TestStandardize:
    @each_dtype
    def test_equals_scikit_learn(self, dtype, rng, peer):
        scaler = peer("sklearn.preprocessing").StandardScaler()
        x = rng.normal(size=(10_000, 5)) * [1, 1e-3, 1e4, 0, 5] + [0, 1, 1e3, 0.1, -7]
        expected = scaler.fit_transform(x)
        net = nn.Sequential(nn.Standardize(5), dtype=dtype, seed=0)
        assert net[0].learn(x) is net[0]
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(net[0].mean, scaler.mean_, rtol=4 * eps, atol=1e-14)
        np.testing.assert_allclose(net[0].scale, scaler.scale_, rtol=4 * eps)
        assert net[0].scale[3] == 1
        np.testing.assert_allclose(net(x), expected, rtol=4 * eps, atol=1e-11)

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
        exact, expected = trained("float64", x, validation_data=(x, y))
        for key in ("loss", "val_loss"):
            np.testing.assert_allclose(history[key], expected[key], rtol=1e-5)
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
