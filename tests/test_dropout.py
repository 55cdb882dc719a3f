"""Dropout and AlphaDropout."""

import numpy as np
import pytest

from deltaprop import nn
from layer_cases import each_dtype


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
            expected = m * x * slope
        else:
            alpha = 1.7580993408473766
            slope = 1 / np.sqrt((1 - p) * (1 + p * alpha**2)) if p < 1 else 0.0
            expected = slope * np.where(m, x, -alpha) + slope * p * alpha
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(back, m * slope, rtol=2 * eps)
        np.testing.assert_allclose(y, expected, rtol=4 * eps, atol=16 * eps)
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
