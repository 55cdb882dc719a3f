"""PReLU: the slope it learns."""

import numpy as np
import pytest

from activation_cases import each_dtype, network, pass_through
from deltaprop import nn, optim


@each_dtype
@pytest.mark.parametrize("batch", [64, 300, None])
@pytest.mark.parametrize("count", [1, 7])
def test_a_learned_slope_trained_by_hand_has_the_bits_of_fit(count, batch, dtype, rng):
    x, y = rng.normal(size=(600, 4)).astype(dtype), rng.normal(size=(600, 2)).astype(dtype)

    def make():
        return nn.Sequential(nn.Linear(4, 7), nn.PReLU(count), nn.Linear(7, 2), dtype=dtype, seed=2)

    fitted, by_hand = make(), make()
    loss = nn.MSELoss()
    fitted.fit(
        x,
        y,
        loss=loss,
        optimizer=optim.Adam(fitted.parameters(), lr=0.01),
        epochs=3,
        batch_size=batch,
        shuffle=False,
    )
    rule = optim.Adam(by_hand.parameters(), lr=0.01)
    for _ in range(3):
        for first in range(0, 600, batch or 600):
            rows = slice(first, first + (batch or 600))
            a = by_hand.forward(x[rows])
            by_hand.backward(loss.delta(a, y[rows]))
            rule.step()
            rule.zero_grad()
    np.testing.assert_array_equal(fitted.flat_parameters, by_hand.flat_parameters)
    assert (fitted[1].weight != 0.25).all()


@each_dtype
def test_a_learned_slope_adds_to_its_gradient(dtype, rng):
    x, delta = rng.normal(size=(300, 5)), rng.normal(size=(300, 5))
    reference = (delta * np.minimum(x, 0)).sum(0)
    for count in (1, 5):
        net = network("PReLU", {"num_parameters": count}, dtype)
        for times in (1, 2):
            pass_through(net, x, delta)
            expected = times * (reference if count == 5 else reference.sum(keepdims=True))
            tolerance = 300 * np.finfo(dtype).eps
            np.testing.assert_allclose(net[0].grad_weight, expected, rtol=tolerance, atol=tolerance)


def test_a_learned_slope_starts_where_it_is_told():
    net = nn.Sequential(nn.PReLU(3, init=0.125), seed=0)
    np.testing.assert_array_equal(net[0].weight, [0.125] * 3)
    net[0].weight = [1, 2, 3]
    np.testing.assert_array_equal(net([[-1.0, -1, 1]]), [[-1, -2, 1]])
