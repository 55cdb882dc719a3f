"""Embedding."""

import numpy as np
import pytest

from deltaprop import nn, optim
from layer_cases import each_dtype, same, sgd


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

    def test_fit_refuses_bad_indices_before_the_first_update(self):
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
        expected = [[5, 6], [4, 6], [0, 0], [0, 0]]
        np.testing.assert_array_equal(net[0].grad_weight, expected)
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
