"""fit from files."""

import resource

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn
from fit_data_cases import RNG, C, X, Y, fit, network, trained


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
    def test_validation_files_with_numbers_not_finite_are_refused(self, name, stop, tmp_path):
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
