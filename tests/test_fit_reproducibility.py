"""Equal seeds give equal bits, and fit those of the same loop by hand."""

import pickle

import numpy as np
import pytest

from deltaprop import nn, optim
from fit_cases import bits, data, fit, network


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
        expected = fit(whole, epochs=5)
        opt = optim.SGD(parts.parameters(), lr=0.1)
        first, second = fit(parts, opt=opt, epochs=2), fit(parts, opt=opt, epochs=3)
        assert bits(parts) == bits(whole)
        np.testing.assert_array_equal(np.r_[first["loss"], second["loss"]], expected["loss"])

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
