"""Every loss in fit; QuantileLoss and HingeLoss against scikit-learn."""

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from loss_cases import CASES, COLS, each_case


def trained(case, loss, X, y, **options):
    net = nn.Sequential(nn.Linear(3, COLS), dtype="float64", seed=0)
    layers = {"BCELoss": nn.Sigmoid, "GaussianNLLLoss": nn.Sigmoid, "PoissonNLLLoss": nn.Sigmoid}
    if case.name in layers:
        net = nn.Sequential(nn.Linear(3, COLS), layers[case.name](), dtype="float64", seed=0)
    opt = optim.SGD(net.parameters(), lr=0.01)
    options = {"epochs": 1, "batch_size": None, "shuffle": False, **options}
    return net, opt, net.fit(X, y, loss=loss, optimizer=opt, **options)


class TestFit:
    """The same numbers in training."""

    @pytest.mark.parametrize("weighted", [False, True])
    @each_case
    def test_as_by_hand(self, case, weighted):
        X, y = np.random.default_rng(0).normal(size=(40, 3)), case.data(40)[1]
        w = np.random.default_rng(1).uniform(0, 2, 40) if weighted else None
        loss = case.loss()
        net, _, _ = trained(case, loss, X, y, epochs=0)
        before = loss(net.predict(X), y, w)
        opt = optim.SGD(net.parameters(), lr=0.01)
        for _ in range(3):
            net.backward(loss.delta(net.forward(X), y, w))
            opt.step()
            opt.zero_grad()
        other, _, history = trained(
            case, loss, X, y, epochs=3, sample_weight=w, validation_data=(X, y, w)
        )
        np.testing.assert_array_equal(net.flat_parameters, other.flat_parameters)
        assert history["loss"][0] == pytest.approx(before, rel=1e-13)
        assert history["val_loss"][-1] == pytest.approx(loss(other.predict(X), y, w), rel=1e-13)

    @each_case
    def test_in_batches_and_float32(self, case):
        X, y = np.random.default_rng(0).normal(size=(300, 3)), case.data(300)[1]
        net, _, history = trained(case, case.loss(), X, y, epochs=4, batch_size=64, shuffle=True)
        assert history["loss"][-1] < history["loss"][0]
        assert dp.check_gradients(net, case.loss(), X[:3], y[:3]).ok

    def test_targets_of_a_file(self, tmp_path):
        y = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float32, (40, COLS))
        X = np.zeros((40, 3))
        case = next(c for c in CASES if c.name == "BCELoss")
        y[17] = 3
        with pytest.raises(
            ValueError, match=r"^BCELoss: expected y from 0.0 to 1.0, got 3.0 in row 17$"
        ):
            trained(case, nn.BCELoss(), X, y, batch_size=8)

    def test_a_file_of_targets_for_several_quantiles(self, tmp_path):
        y = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float64, (300, 2))
        y[:] = np.random.default_rng(1).normal(size=(300, 2))
        X = np.random.default_rng(0).normal(size=(300, 3))
        case = next(c for c in CASES if c.name == "QuantileLoss")
        options = {"epochs": 3, "batch_size": 37, "shuffle": True}
        a, _, _ = trained(case, case.loss(), X, y, **options)
        b, _, _ = trained(case, case.loss(), X, np.array(y), **options)
        np.testing.assert_array_equal(a.flat_parameters, b.flat_parameters)


class TestQuantiles:
    """Against scikit-learn."""

    @pytest.mark.parametrize("q", [0.05, 0.5, 0.8])
    def test_mean_pinball_loss(self, q, peer):
        metrics = peer("sklearn.metrics")
        rng = np.random.default_rng(0)
        a, y, w = rng.normal(size=(30, 1)), rng.normal(size=30), rng.uniform(size=30)
        expected = metrics.mean_pinball_loss(y, a[:, 0], alpha=q, sample_weight=w)
        assert nn.QuantileLoss(quantiles=[q])(a, y, w) == pytest.approx(expected, rel=1e-13)

    def test_columns(self):
        a, y = np.arange(12.0).reshape(2, 6), np.array([[0.0, 10.0], [20.0, 7.5]])
        found = nn.QuantileLoss(reduction="none", quantiles=[0.1, 0.5, 0.9])(a, y)
        for target in range(2):
            for i, q in enumerate((0.1, 0.5, 0.9)):
                one = nn.QuantileLoss(reduction="none", quantiles=[q])
                column = a[:, [3 * target + i]]
                np.testing.assert_array_equal(
                    one(column, y[:, target])[:, 0], found[:, 3 * target + i]
                )

    def test_a_linear_network_finds_the_quantiles(self, peer):
        regressor = peer("sklearn.linear_model").QuantileRegressor
        rng = np.random.default_rng(0)
        X = rng.uniform(-1, 1, (400, 1))
        y = 2 * X[:, 0] + rng.normal(size=400) * (1 + X[:, 0] / 2)
        quantiles = (0.1, 0.5, 0.9)
        loss = nn.QuantileLoss(quantiles=quantiles)
        net = nn.Sequential(nn.Linear(1, 3), dtype="float64", seed=0)
        for lr in (0.1, 0.01, 0.001):
            opt = optim.Adam(net.parameters(), lr=lr)
            net.fit(X, y, loss=loss, optimizer=opt, epochs=500, batch_size=None)
        best = [regressor(quantile=q, alpha=0).fit(X, y).predict(X) for q in quantiles]
        least = loss(np.stack(best, 1), y)
        assert least <= loss(net(X), y) < least * 1.0005


def test_hinge_loss_is_scikit_learns(peer):
    metrics = peer("sklearn.metrics")
    rng = np.random.default_rng(0)
    a, y = rng.normal(size=(50, 1)), rng.choice([-1, 1], 50)
    assert nn.HingeLoss()(a, y) == pytest.approx(metrics.hinge_loss(y, a[:, 0]), rel=1e-14)
