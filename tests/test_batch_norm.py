"""BatchNorm1d."""

import numpy as np
import pytest

from deltaprop import nn
from layer_cases import alone, each_dtype, network, same, sample, sgd


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

    def test_fit_refuses_a_last_batch_of_one_row_before_the_first_update(self, rng):
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
