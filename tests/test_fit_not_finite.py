"""fit stops at the first loss, delta or parameter that is not finite."""

import numpy as np
import pytest

from deltaprop import nn, optim
from fit_cases import bits, data, fit, network


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
