"""ModelCheckpoint."""

import numpy as np
import pytest

import deltaprop as dp
from callback_cases import fit, network, refused, values
from deltaprop import nn


class TestModelCheckpoint:
    def test_one_file_of_the_last_epoch(self, tmp_path):
        net = network()
        fit(net, [dp.ModelCheckpoint(tmp_path / "net.dp")])
        assert [p.name for p in tmp_path.iterdir()] == ["net.dp"]
        np.testing.assert_array_equal(
            dp.load(tmp_path / "net.dp").flat_parameters, net.flat_parameters
        )

    def test_names(self, tmp_path):
        history = fit(network(), [dp.ModelCheckpoint(tmp_path / "{epoch:02d}-{val_loss:.3f}.dp")])
        names = [f"{i + 1:02d}-{v:.3f}.dp" for i, v in enumerate(history["val_loss"])]
        assert sorted(p.name for p in tmp_path.iterdir()) == names

    def test_every(self, tmp_path):
        fit(network(), [dp.ModelCheckpoint(f"{tmp_path}/{{epoch}}", every=2)], epochs=5)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["2", "4"]

    def test_the_best(self, tmp_path):
        losses = values(3, 4, 2, 2, 1)
        fit(
            network(),
            [losses, dp.ModelCheckpoint(tmp_path / "{epoch}", monitor="val_loss")],
            epochs=5,
        )
        assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "3", "5"]

    def test_the_best_of_the_checked_epochs(self, tmp_path):
        path = tmp_path / "{epoch}"
        best = dp.ModelCheckpoint(path, monitor="val_loss", every=2)
        # Epoch 1, the best of all, is not considered.
        fit(network(), [values(1, 4, 2, 3, 9, 5), best], epochs=6)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["2", "4"]

    def test_a_write_that_fails_leaves_the_old_file(self, tmp_path, monkeypatch):
        path = tmp_path / "net.dp"
        fit(network(), [dp.ModelCheckpoint(path)])
        before = path.read_bytes()

        def full(*args, **options):
            raise OSError("no space left")

        for broken in ("os.fsync", "numpy.lib.format.write_array", "pathlib.Path.replace"):
            with monkeypatch.context() as patch:
                patch.setattr(broken, full)
                with pytest.raises(OSError, match="no space left"):
                    fit(network(seed=1), [dp.ModelCheckpoint(path)])
            assert path.read_bytes() == before
            assert [p.name for p in tmp_path.iterdir()] == ["net.dp"]

    def test_a_folder_that_is_not_there(self, tmp_path):
        path = tmp_path / "no" / "net.dp"
        message = f"^ModelCheckpoint: expected path in a folder that is there, got '{path}'$"
        with pytest.raises(FileNotFoundError, match=message):
            refused([dp.ModelCheckpoint(path)])

    def test_a_folder_made_for_each_epoch(self, tmp_path):
        made = [lambda run: (tmp_path / str(run.epoch + 1)).mkdir()]
        fit(network(), [*made, dp.ModelCheckpoint(tmp_path / "{epoch}" / "net.dp")], epochs=2)
        assert sorted(p.parent.name for p in tmp_path.glob("*/net.dp")) == ["1", "2"]

    @pytest.mark.parametrize("name", ["{}", "{nothing}", "{epoch:s}", "{"])
    def test_names_that_are_not_there(self, tmp_path, name):
        with pytest.raises(ValueError, match=r"^ModelCheckpoint: expected path to name epoch or "):
            refused([dp.ModelCheckpoint(tmp_path / name)])

    def test_options(self):
        with pytest.raises(
            ValueError, match=r"^ModelCheckpoint: every: expected 1 or more, got 0$"
        ):
            dp.ModelCheckpoint("a", every=0)
        with pytest.raises(ValueError, match=r"^ModelCheckpoint: expected mode"):
            dp.ModelCheckpoint("a", mode="best")
        with pytest.raises(
            TypeError, match=r"^expected str, bytes or os.PathLike object, not int$"
        ):
            dp.ModelCheckpoint(3)
        with pytest.raises(ValueError, match=r"^ModelCheckpoint: expected monitor to be of \["):
            refused([dp.ModelCheckpoint("a", monitor="accuracy")])

    def test_layers_written_in_python(self, tmp_path):
        class Same(nn.Layer):
            def forward(self, x, training=True):
                return x

            def backward(self, delta):
                return delta

        net = nn.Sequential(nn.Linear(3, 2), Same(), dtype="float64")
        with pytest.raises(TypeError, match=r"^save: expected built-in layers, got Same\(\); keep"):
            fit(net, [dp.ModelCheckpoint(tmp_path / "net.dp")])
        assert list(tmp_path.iterdir()) == []
