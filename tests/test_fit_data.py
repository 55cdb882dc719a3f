"""The data that fit takes: splits, weights, files, and iterables of batches."""

import collections
import re
import resource

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim

RNG = np.random.default_rng(0)
X, Y, C = RNG.normal(size=(30, 3)), RNG.normal(size=(30, 2)), RNG.integers(0, 2, 30)
W = RNG.random(30)


def network(seed=0):
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), dtype="float64", seed=seed)


def fit(net, x=X, y=Y, **options):
    opt = optim.SGD(net.parameters(), lr=0.1)
    options = {"loss": nn.MSELoss(), "epochs": 3, "batch_size": 8, **options}
    return net.fit(x, y, optimizer=opt, **options)


def trained(x=X, y=Y, **options):
    """Return all that a fit gives, to compare to the bit."""
    net = network()
    history = fit(net, x, y, **options)
    return net.flat_parameters.tobytes(), history.to_dict()


def refused(kind, message, x=X, y=Y, **options):
    net = network()
    before = net.flat_parameters.tobytes()
    with pytest.raises(kind, match=message):
        fit(net, x, y, **options)
    assert net.flat_parameters.tobytes() == before


class TestSplit:
    def test_the_last_rows_are_held_out(self):
        wanted = trained(X[:24], Y[:24], validation_data=(X[24:], Y[24:]))
        assert trained(validation_split=0.2) == wanted
        assert trained(X.tolist(), Y.tolist(), validation_split=0.2) == wanted

    def test_with_weights(self):
        wanted = trained(
            X[:24], Y[:24], sample_weight=W[:24], validation_data=(X[24:], Y[24:], W[24:])
        )
        assert trained(sample_weight=W, validation_split=0.2) == wanted

    def test_of_a_frame(self, peer):
        pandas = peer("pandas")
        frame = pandas.DataFrame(X, index=range(100, 130))
        assert trained(frame, pandas.DataFrame(Y), validation_split=0.2) == trained(
            validation_split=0.2
        )

    def test_of_several_inputs_and_heads(self):
        def bits(**options):
            net = nn.Sequential(
                nn.Concat(nn.Linear(3, 2), nn.Linear(2, 2)),
                nn.Heads(nn.Linear(4, 2), nn.Linear(4, 2)),
                dtype="float64",
                seed=0,
            )
            history = fit(net, loss=(nn.MSELoss(), nn.CrossEntropyLoss()), **options)
            return net.flat_parameters.tobytes(), history.to_dict()

        data = (X, Y), (Y, C)
        first, last = (
            [tuple(a[rows] for a in g) for g in data] for rows in (np.s_[:24], np.s_[24:])
        )
        wanted = bits(x=first[0], y=first[1], validation_data=(last[0], last[1]))
        assert bits(x=data[0], y=data[1], validation_split=0.2) == wanted

    @pytest.mark.parametrize(
        ("options", "kind", "message"),
        [
            ({"validation_split": 0}, ValueError, "fit: expected 0 < validation_split < 1, got 0"),
            ({"validation_split": 1}, ValueError, "fit: expected 0 < validation_split < 1, got 1"),
            (
                {"validation_split": np.nan},
                ValueError,
                "fit: validation_split: expected a finite n",
            ),
            ({"validation_split": "a"}, TypeError, "fit: validation_split: expected a number, got"),
            ({"validation_split": 0.01}, ValueError, "fit: .* rows on both sides, got 0.01 of 30"),
            ({"validation_split": 0.2, "y": Y[:24]}, ValueError, "validation_data y: expected 6 r"),
            ({"validation_split": 0.2, "y": 1.0}, ValueError, "fit: expected arrays to split, got"),
            (
                {"validation_split": 0.2, "validation_data": (X, Y)},
                ValueError,
                "fit: expected validation_data or validation_split, got both",
            ),
        ],
    )
    def test_errors(self, options, kind, message):
        refused(kind, f"^{message}", **options)


class TestClassWeight:
    LOSS = nn.CrossEntropyLoss()

    def same(self, class_weight, wanted, y=C, **options):
        options["loss"] = options.get("loss", self.LOSS)
        given = options.pop("sample_weight", None)
        own = wanted if given is None else wanted * given
        assert trained(y=y, class_weight=class_weight, sample_weight=given, **options) == trained(
            y=y, sample_weight=own, **options
        )

    @pytest.mark.parametrize("weights", [{}, {"sample_weight": W}])
    def test_it_is_a_sample_weight(self, weights):
        wanted = np.where(C == 0, 3.0, 0.5)
        for given in ({0: 3, 1: 0.5}, {np.int64(1): 0.5, 0: 3.0}, [3, 0.5], np.array([3, 0.5])):
            self.same(given, wanted, **weights)

    def test_balanced(self, peer):
        utils = peer("sklearn.utils.class_weight")
        labels = np.where(C + RNG.integers(0, 2, 30) > 1, 1, 0)
        wanted = utils.compute_sample_weight("balanced", labels)
        self.same("balanced", wanted, labels)
        self.same("balanced", wanted, labels, validation_data=(X, C))

    def test_classes_of_one_output(self):
        net, other = (nn.Sequential(nn.Linear(3, 1), dtype="float64", seed=0) for _ in range(2))
        y = C[:, np.newaxis].astype(float)
        fit(net, y=y, loss=nn.BCEWithLogitsLoss(), class_weight={0: 2, 1: 5})
        fit(other, y=y, loss=nn.BCEWithLogitsLoss(), sample_weight=np.where(C == 0, 2, 5))
        assert net.flat_parameters.tobytes() == other.flat_parameters.tobytes()

    def test_rows_that_are_ignored_are_of_no_class(self):
        y = np.where(np.arange(30) < 5, -100, C)
        counts = np.bincount(y[5:])
        wanted = np.where(y < 0, 1, 25 / (2 * counts[np.maximum(y, 0)]))
        self.same("balanced", wanted, y)
        self.same([1.0, 4.0], np.where(y == 1, 4.0, 1.0), y)
        self.same({0: 1.0, 1: 4.0}, np.where(y == 1, 4.0, 1.0), y)

    @pytest.mark.parametrize(
        ("weight", "kind", "message"),
        [
            ("heavy", ValueError, "fit: expected class_weight 'balanced', got 'heavy'"),
            (
                {0: 1},
                ValueError,
                r"fit: expected a class_weight for each class, got none for \[1\]",
            ),
            ([1.0], ValueError, r"fit: expected class_weight for 2 classes, got shape \(1,\)"),
            ([1, 1, 9], ValueError, r"fit: expected class_weight for 2 classes, got shape \(3,\)"),
            (2.0, ValueError, r"fit: expected class_weight for 2 classes, got shape \(\)"),
            (
                {0: 1, 1: 1, 7: 2, "a": 1},
                ValueError,
                r"fit: expected class_weight for 2 classes, got \[7, 'a'\]",
            ),
            ({0: 1, 1: -1}, ValueError, "fit: expected finite class_weight of 0 or more, got"),
            ([1, np.nan], ValueError, "fit: expected finite class_weight of 0 or more, got"),
            ({0: 1, 1: "a"}, TypeError, "class_weight: expected a number, got 'a'"),
            (["a", "b"], TypeError, "class_weight: expected real numbers"),
        ],
    )
    def test_errors(self, weight, kind, message):
        refused(kind, f"^{message}", y=C, loss=self.LOSS, class_weight=weight)

    def test_classes_that_no_row_has(self):
        """The network's outputs are the classes, not what happens to be in y."""
        for y in (np.zeros(30, int), np.ones(30, int)):
            self.same({0: 3, 1: 0.5}, np.where(y == 0, 3, 0.5), y)
            self.same([3, 0.5], np.where(y == 0, 3, 0.5), y)
        refused(
            ValueError,
            r"^fit: expected y to be classes from 0 to 1 for a list of class_weight, got \[0, 5\]$",
            y=np.where(C == 0, 0, 5),
            loss=self.LOSS,
            class_weight=[1, 2],
        )

    @pytest.mark.parametrize("low", [0, -1])
    def test_the_two_classes_of_one_output(self, low):
        loss = nn.BCEWithLogitsLoss() if low == 0 else nn.HingeLoss()

        def trained_on(y, **options):
            net = nn.Sequential(nn.Linear(3, 1), dtype="float64", seed=0)
            fit(net, y=y, loss=loss, **options)
            return net.flat_parameters.tobytes()

        for y in (np.where(C == 0, low, 1), np.ones(30, int)):
            wanted = trained_on(y, sample_weight=np.where(y == 1, 5.0, 2.0))
            assert trained_on(y, class_weight={low: 2, 1: 5}) == wanted
        with pytest.raises(
            ValueError, match=r"^fit: expected class_weight for 2 classes, got \[2\]"
        ):
            trained_on(y, class_weight={low: 2, 1: 5, 2: 1})
        with pytest.raises(
            ValueError, match=r"^fit: expected class_weight for 2 classes, got shap"
        ):
            trained_on(y, class_weight=[1, 2, 3])

    def test_targets_that_are_no_classes(self):
        for y in (Y, Y[:, 0]):
            refused(
                ValueError, "^fit: class_weight expected y to be classes", y=y, class_weight=[1]
            )
        for shape in ((), (1,), (30, 1)):
            message = "^" + re.escape(f"sample_weight: expected (30,), got {shape}")
            options = {"class_weight": [1, 2], "sample_weight": np.ones(shape)}
            refused(ValueError, message, y=C, loss=self.LOSS, **options)


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
        wanted = trained(shuffle=False)
        loader = Loader(EIGHTS, X, Y)
        assert trained(loader, None) == wanted
        assert loader.begun == 3
        assert trained(list(Loader(EIGHTS, X, Y)), None) == wanted
        assert trained(collections.deque(Loader(EIGHTS, X, Y)), None) == wanted
        assert trained(Loader(EIGHTS, X.tolist(), Y.tolist()), None) == wanted

    def test_weights_and_data_held_out(self):
        wanted = trained(shuffle=False, sample_weight=W, validation_data=(X, Y))
        assert trained(Loader(EIGHTS, X, Y, W), None, validation_data=(X, Y)) == wanted

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
        wanted = trained(X[: 8 * at], Y[: 8 * at], shuffle=False, epochs=1)[0] if at else None
        assert net.flat_parameters.tobytes() == (wanted or network().flat_parameters.tobytes())
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


class TestFiles:
    def files(self, tmp_path, x=X, y=Y):
        found = []
        for name, a in (("x", x), ("y", y)):
            file = np.memmap(tmp_path / name, a.dtype, "w+", shape=a.shape)
            file[:] = a
            file.flush()
            found.append(np.memmap(tmp_path / name, a.dtype, "r", shape=a.shape))
        return found

    @pytest.mark.parametrize("split", [{}, {"validation_split": 0.2}])
    @pytest.mark.parametrize(("y", "loss"), [(Y, nn.MSELoss()), (C, nn.CrossEntropyLoss())])
    def test_they_train_as_arrays_do(self, y, loss, split, tmp_path):
        files = self.files(tmp_path, y=y)
        assert trained(*files, loss=loss, **split) == trained(X, y, loss=loss, **split)

    def test_several_inputs_of_which_one_is_a_file(self, tmp_path):
        file, _ = self.files(tmp_path)

        def bits(x):
            net = nn.Sequential(
                nn.Concat(nn.Linear(3, 2), nn.Linear(3, 2)),
                nn.Linear(4, 2),
                dtype="float64",
                seed=0,
            )
            fit(net, x)
            return net.flat_parameters.tobytes()

        assert bits((X, file)) == bits((file, X)) == bits((X, X))

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    @pytest.mark.parametrize("name", ["X", "y"])
    def test_what_is_not_finite_is_found_at_its_batch(self, name, bad, tmp_path):
        x, y = X.copy(), Y.copy()
        (x if name == "X" else y)[13, 1] = bad
        net = network()
        message = f"^{name}: expected finite numbers, got {bad} in row 13$"
        with pytest.raises(ValueError, match=message):
            fit(net, *self.files(tmp_path, x, y), shuffle=False)
        assert net.flat_parameters.tobytes() == trained(X[:8], Y[:8], epochs=1)[0]

    @pytest.mark.parametrize("stop", [None, dp.StopOnPlateau(1e-9)])
    @pytest.mark.parametrize("name", ["X", "y"])
    def test_what_is_not_finite_in_held_out_files(self, name, stop, tmp_path):
        rows = 20_000  # judged in several parts
        x, y = RNG.normal(size=(rows, 3)), RNG.normal(size=(rows, 2))
        (x if name == "X" else y)[-7, 1] = np.nan
        held_out = self.files(tmp_path, x, y)
        message = f"^validation_data {name}: expected finite numbers, got nan in row {rows - 7}"
        with pytest.raises(ValueError, match=message):
            fit(network(), validation_data=held_out, stop=stop)

    @pytest.mark.parametrize("held_out", [False, True])
    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_targets_of_a_loss_in_python(self, bad, held_out, tmp_path):
        y = Y.copy().reshape(30, 1, 2)
        y[13, 0, 1] = bad
        files = self.files(tmp_path, X, y)

        class Flat:
            def __call__(self, outputs, y):
                return float(((outputs - y[:, 0]) ** 2).mean())

            def delta(self, outputs, y):
                return 2 * (outputs - y[:, 0]) / outputs.size

        whose = "validation_data " if held_out else ""
        message = f"^{whose}y: expected finite numbers, got {bad} in row 13$"
        options = {"loss": Flat(), "shuffle": False}
        judged = {"validation_data": tuple(files)} if held_out else {}
        data = (X, Y.reshape(30, 1, 2)) if held_out else files
        with pytest.raises(ValueError, match=message):
            fit(network(), *data, **options, **judged)
        files = self.files(tmp_path, X, Y.reshape(30, 1, 2))
        fit(network(), *files, validation_data=tuple(files), **options)

    def test_a_class_out_of_range_is_found_at_its_batch(self, tmp_path):
        y = C.copy()
        y[13] = 2
        files = self.files(tmp_path, y=y)
        message = r"^y: expected classes from 0 to 1, got 2 in row 13$"
        net = network()
        with pytest.raises(ValueError, match=message):
            fit(net, *files, loss=nn.CrossEntropyLoss(), shuffle=False)

    def test_they_are_not_read_whole(self, tmp_path):
        # Files of holes, 8 GB and more. A batch that is not finite ends the fit long before theirs.
        rows = 2**27
        shapes = {"x": (rows, 8), "y": (rows, 2), "c": (rows,)}
        kinds = {"x": np.float64, "y": np.float32, "c": np.int8}
        files = {k: np.memmap(tmp_path / k, kinds[k], "w+", shape=s) for k, s in shapes.items()}
        files["x"][40] = np.nan
        net = nn.Sequential(nn.Linear(8, 2), seed=0)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for y, loss in ((files["y"], nn.MSELoss()), (files["c"], nn.CrossEntropyLoss())):
            with pytest.raises(
                ValueError, match=r"^X: expected finite numbers, got nan in row 40$"
            ):
                fit(net, files["x"], y, loss=loss, shuffle=False, validation_split=1e-8)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 2**17  # kB
