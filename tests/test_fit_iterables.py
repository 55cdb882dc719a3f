"""fit from iterables of batches."""

import collections

import numpy as np
import pytest

from deltaprop import nn, optim
from fit_data_cases import C, W, X, Y, fit, network, refused, trained


class Loader:
    """Batches as PyTorch's DataLoader gives them: lists, anew each time."""

    def __init__(self, sizes, *arrays):
        self.sizes, self.arrays, self.begun = sizes, arrays, 0

    def __iter__(self):
        self.begun += 1
        start = 0
        for size in self.sizes:
            yield [a[start : start + size] for a in self.arrays]
            start += size


EIGHTS = (8, 8, 8, 6)


class TestIterables:
    def test_it_has_the_bits_of_arrays_in_order(self):
        expected = trained(shuffle=False)
        loader = Loader(EIGHTS, X, Y)
        assert trained(loader, None) == expected
        assert loader.begun == 3
        assert trained(list(Loader(EIGHTS, X, Y)), None) == expected
        assert trained(collections.deque(Loader(EIGHTS, X, Y)), None) == expected
        assert trained(Loader(EIGHTS, X.tolist(), Y.tolist()), None) == expected

    def test_sample_weights_and_validation_data(self):
        expected = trained(shuffle=False, sample_weight=W, validation_data=(X, Y))
        assert trained(Loader(EIGHTS, X, Y, W), None, validation_data=(X, Y)) == expected

    def test_batches_of_any_size(self):
        sizes = (1, 20, 3, 6)
        net, other = network(), network()
        history = fit(net, Loader(sizes, X, Y), None, epochs=2)
        opt, loss = optim.SGD(other.parameters(), lr=0.1), nn.MSELoss()
        values = []
        for _ in range(2):
            for x, y in Loader(sizes, X, Y):
                a = other.forward(x)
                values.append(loss(a, y))
                other.backward(loss.delta(a, y))
                opt.step()
                opt.zero_grad()
        assert net.flat_parameters.tobytes() == other.flat_parameters.tobytes()
        assert history.updates == 8
        means = [np.average(values[i : i + 4], weights=sizes) for i in (0, 4)]
        np.testing.assert_allclose(history["loss"], means, rtol=1e-14)

    def test_pytorchs_loader(self, peer):
        torch = peer("torch")
        data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
        loader = torch.utils.data.DataLoader(data, batch_size=8)
        assert trained(loader, None) == trained(shuffle=False)

    def test_several_inputs_and_heads(self):
        def bits(x, y):
            net = nn.Sequential(
                nn.Concat(nn.Linear(3, 2), nn.Linear(2, 2)),
                nn.Heads(nn.Linear(4, 2), nn.Linear(4, 2)),
                dtype="float64",
                seed=0,
            )
            fit(net, x, y, loss=(nn.MSELoss(), nn.CrossEntropyLoss()), shuffle=False)
            return net.flat_parameters.tobytes()

        parts = [np.s_[i : i + 8] for i in range(0, 30, 8)]
        batches = [((X[p], Y[p]), (Y[p], C[p])) for p in parts]
        assert bits(batches, None) == bits((X, Y), (Y, C))

    def test_losses_and_layers_written_in_python(self):
        class Mine:
            def __call__(self, outputs, y):
                return float(((outputs - y) ** 2).mean())

            def delta(self, outputs, y):
                return 2 * (outputs - y) / y.size

        a = trained(Loader(EIGHTS, X, Y), None, loss=Mine())
        assert a == trained(loss=Mine(), shuffle=False)

    def test_a_generator_is_used_up(self):
        for once in (iter_of(Loader(EIGHTS, X, Y)), zip([X], [Y], strict=True)):
            name = type(once).__name__
            refused(
                ValueError,
                f"^fit: expected an iterable that begins anew in each epoch, got a {name}, which",
                once,
                None,
            )
        once = iter_of(Loader(EIGHTS, X, Y))
        assert trained(once, None, epochs=1) == trained(shuffle=False, epochs=1)
        net = network()
        with pytest.raises(
            ValueError, match=r"^fit: expected batches in each epoch, got none in ep"
        ):
            fit(net, iter([(X, Y)]), None)
        assert np.isfinite(net.flat_parameters).all()

    @pytest.mark.parametrize("has_length", [True, False])
    def test_batches_by_their_place(self, has_length):
        class ByPlace:
            def __getitem__(self, i):
                if not has_length and i * 8 >= len(X):
                    raise IndexError
                return X[8 * i : 8 * i + 8], Y[8 * i : 8 * i + 8]

        if has_length:
            ByPlace.__len__ = lambda self: 4
        assert trained(ByPlace(), None) == trained(shuffle=False)

    def test_an_iterable_that_looks_at_the_network(self):
        net = network()

        class Looks(Loader):
            def __iter__(self):
                for batch in super().__iter__():
                    assert net(X).shape == (30, 2)
                    yield batch

        fit(net, Looks(EIGHTS, X, Y), None)
        assert net.flat_parameters.tobytes() == trained(shuffle=False)[0]

    @pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt])
    @pytest.mark.parametrize("at", [0, 2])
    def test_its_exceptions_come_through(self, at, kind):
        class Fails(Loader):
            def __iter__(self):
                for i, batch in enumerate(super().__iter__()):
                    if i == at:
                        raise kind("mine")
                    yield batch

        net = network()
        with pytest.raises(kind, match="mine"):
            fit(net, Fails(EIGHTS, X, Y), None)
        expected = trained(X[: 8 * at], Y[: 8 * at], shuffle=False, epochs=1)[0] if at else None
        assert net.flat_parameters.tobytes() == (expected or network().flat_parameters.tobytes())
        fit(net)

    @pytest.mark.parametrize(
        ("batches", "kind", "message"),
        [
            ([], ValueError, "fit: expected an iterable of batches, got an empty one"),
            ([3], TypeError, r"fit: expected batches \(x, y\) or \(x, y, sample_weight\), got int"),
            (
                [(X,)],
                TypeError,
                r"fit: expected batches \(x, y\) or \(x, y, sample_weight\), got t",
            ),
            ([(X, Y, W, W)], TypeError, "fit: expected batches"),
            (["abc"], TypeError, "fit: expected batches .*, got str"),
            ([None], TypeError, "fit: expected batches .*, got NoneType"),
            ([(X, None)], TypeError, "y: expected real numbers, got"),
            ([(X, Y[:9])], ValueError, "y: expected 30 rows, as X has, got shape"),
            ([(X[:, :2], Y)], ValueError, r"Linear\(3, 4\): expected input"),
            ([(X, Y[:, :1])], ValueError, r"MSELoss: expected y \(30, 2\)"),
            ([(X, Y, W[:9])], ValueError, r"sample_weight: expected \(30,\)"),
            ([(X, Y, -W)], ValueError, "sample_weight: expected finite weights of 0 or more"),
            ([(X * np.nan, Y)], ValueError, "X: expected finite numbers, got nan in row 0"),
            ([(X, Y * np.inf)], ValueError, "y: expected finite numbers, got -?inf in row 0"),
            ([(X[:0], Y[:0])], ValueError, "X: expected one row or more"),
        ],
    )
    def test_batches_that_are_none(self, batches, kind, message):
        refused(kind, f"^{message}", batches, None)
        if not batches:
            return
        # The same where it is not the first one.
        net = network()
        with pytest.raises(kind, match=f"^{message}"):
            fit(net, [(X, Y), *batches], None)
        assert net.flat_parameters.tobytes() == trained(X, Y, batch_size=None, epochs=1)[0]

    def test_batches_of_other_widths(self):
        net = nn.Sequential(nn.PReLU(), dtype="float64")
        for narrow, wide in ((3, 500), (500, 3)):
            a, b = np.ones((4, narrow)), np.ones((4, wide))
            message = rf"^fit: expected batches of inputs with \({narrow},\) .* got \({wide},\)$"
            with pytest.raises(ValueError, match=message):
                fit(net, [(a, a), (b, b)], None)

    def test_batches_of_other_kinds_for_a_loss_written_in_python(self):
        class Mine:
            def __call__(self, outputs, y):
                return float(((outputs - y) ** 2).mean())

            def delta(self, outputs, y):
                return 2 * (outputs - y) / y.size

        for other in (Y.astype(np.float32), Y[:, :1]):
            with pytest.raises(
                ValueError, match=r"^fit: expected y of dtype float64 and shape \(N"
            ):
                fit(network(), [(X, Y), (X, other)], None, loss=Mine())

    @pytest.mark.parametrize(
        ("name", "value"),
        [("validation_split", 0.5), ("sample_weight", W), ("class_weight", [1, 2])],
    )
    def test_options_for_arrays_only(self, name, value):
        message = f"^fit: expected no {name} with an iterable of batches, got one$"
        refused(ValueError, message, [(X, Y)], None, **{name: value})

    @pytest.mark.parametrize("x", [X, (X, X), 3, None])
    def test_no_targets(self, x):
        with pytest.raises(TypeError, match=r"iterable of batches"):
            fit(network(), x, None)


def iter_of(loader):
    """Return a generator."""
    yield from loader
