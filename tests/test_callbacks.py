"""Callbacks: their hooks, EarlyStopping and ModelCheckpoint."""

import copy
import math
import re
import sys

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from deltaprop.training.protocols import TrainableNetwork

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 3)), RNG.normal(size=(24, 2))
HOOKS = (
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_train_batch_end",
)


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


def test_the_type_of_a_runs_network_has_every_public_method():
    assert public(TrainableNetwork) == public(nn.Sequential)


def network(seed=0):
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), dtype="float64", seed=seed)


def fit(net, callbacks=(), **options):
    options = {
        "loss": nn.MSELoss(),
        "optimizer": optim.SGD(net.parameters(), lr=0.1),
        "epochs": 3,
        "batch_size": 8,
        "validation_data": (X[:6], Y[:6]),
        **options,
    }
    return net.fit(X, Y, callbacks=callbacks, **options)


def refused(callbacks, **options):
    """Fit, and see to it that the network stays what it was, whatever is raised."""
    net = network()
    try:
        fit(net, callbacks, **options)
    finally:
        assert net.flat_parameters.tobytes() == network().flat_parameters.tobytes()


def calling(name, function, base=dp.Callback):
    """Return a callback of one hook."""
    return type("Hooked", (base,), {name: lambda self, run: function(run)})()


def telling(seen, *names):
    """Return a callback that notes what it is told."""
    hooks = {
        name: lambda self, run, name=name: seen.append((name[3:], run.epoch, run.step))
        for name in names
    }
    return type("Telling", (dp.Callback,), hooks)()


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("held_out", [True, False])
@pytest.mark.parametrize("several", [True, False])
def test_the_keys_are_known_before_the_first_epoch(several, held_out, batched):
    last = nn.Heads(nn.Linear(4, 2), nn.Linear(4, 2)) if several else nn.Linear(4, 2)
    net = nn.Sequential(nn.Linear(3, 4), last, dtype="float64", seed=0)
    data = (X, (Y, Y)) if several else (X, Y)
    known = []
    history = net.fit(
        *(([data],) if batched else data),
        loss=(nn.MSELoss(), nn.L1Loss()) if several else nn.MSELoss(),
        optimizer=optim.SGD(net.parameters()),
        epochs=1,
        validation_data=data if held_out else None,
        metrics=(["mse"], ["mae", "r2"]) if several else ["mse"],
        record=["gradients"],
        callbacks=[calling("on_train_begin", lambda run: known.extend(run._keys))],
    )
    assert [key for key in history if key != "gradient_norm"] == known


class TestHooks:
    def test_the_order_is_keras(self):
        seen = []
        fit(network(), [telling(seen, *HOOKS)], epochs=2)
        assert seen == [
            ("train_begin", -1, 0),
            ("epoch_begin", 0, 0),
            ("train_batch_end", 0, 1),
            ("train_batch_end", 0, 2),
            ("train_batch_end", 0, 3),
            ("epoch_end", 0, 3),
            ("epoch_begin", 1, 3),
            ("train_batch_end", 1, 4),
            ("train_batch_end", 1, 5),
            ("train_batch_end", 1, 6),
            ("epoch_end", 1, 6),
            ("train_end", 1, 6),
        ]

    def test_no_epochs(self):
        seen = []
        fit(network(), [telling(seen, *HOOKS)], epochs=0)
        assert [name for name, *_ in seen] == ["train_begin", "train_end"]

    def test_several_and_functions_take_turns(self):
        seen = []
        fit(
            network(),
            [telling(seen, "on_epoch_end"), lambda run: seen.append("function")],
            epochs=2,
        )
        assert seen == [("epoch_end", 0, 3), "function", ("epoch_end", 1, 6), "function"]

    def test_batches_are_told_only_where_someone_listens(self, monkeypatch):
        told = []
        monkeypatch.setattr(dp.Callback, "on_train_batch_end", lambda self, run: told.append(run))
        fit(network(), [calling("on_epoch_end", repr)])
        assert told == []

    def test_a_hook_of_one_object(self):
        seen = []
        callback = dp.Callback()
        callback.on_train_batch_end = lambda run: seen.append(run.step)
        fit(network(), [callback], epochs=1)
        assert seen == [1, 2, 3]

    @pytest.mark.parametrize("name", ["on_batch_end", "on_train_batch_begin", "on_epoch_ends"])
    def test_hooks_that_nobody_calls(self, name):
        message = f"^Hooked: expected hooks of {re.escape(str(list(HOOKS)))}, got {name}$"
        of_one = calling("on_epoch_end", repr)
        vars(of_one)[name] = repr
        for callback in (calling(name, repr), of_one):
            net = network()
            before = net.flat_parameters.tobytes()
            with pytest.raises(TypeError, match=message):
                fit(net, [callback])
            assert net.flat_parameters.tobytes() == before
        # What is no method is the user's own business.
        fit(network(), [type("Hooked", (dp.Callback,), {"on_paper": True})()])

    def test_the_loss_of_a_batch(self):
        losses = []
        hook = calling("on_train_batch_end", lambda run: losses.append(run.loss))
        history = fit(network(), [hook], epochs=2)
        # Batches of one size: the epoch's loss is their mean.
        np.testing.assert_allclose(np.reshape(losses, (2, 3)).mean(1), history["loss"], rtol=1e-14)

    @pytest.mark.parametrize("name", HOOKS)
    def test_they_may_predict_and_change_no_bit(self, name):
        a, b = network(), network()
        hook = calling(name, lambda run: (run.network(X), run.network.state_dict()))
        ha, hb = fit(a, [hook]), fit(b)
        assert a.flat_parameters.tobytes() == b.flat_parameters.tobytes()
        assert ha.to_dict() == hb.to_dict()

    @pytest.mark.parametrize(
        ("name", "epochs", "updates"),
        [
            ("on_train_begin", 0, 0),
            ("on_epoch_begin", 0, 0),
            ("on_train_batch_end", 1, 1),
            ("on_epoch_end", 1, 3),
        ],
    )
    def test_stop_from_each_hook(self, name, epochs, updates):
        seen = []
        hook = calling(name, lambda run: run.stop())
        history = fit(network(), [hook, telling(seen, "on_train_end")])
        assert (history.epochs, history.updates) == (epochs, updates)
        assert len(history["loss"]) == len(history["val_loss"]) == epochs
        assert history.stop_reason == "callback"
        assert len(seen) == 1

    def test_stop_at_the_begin_of_a_later_epoch(self):
        hook = calling("on_epoch_begin", lambda run: run.epoch == 2 and run.stop())
        assert fit(network(), [hook], epochs=9).updates == 6

    def test_stop_at_the_end_of_the_train_is_too_late(self):
        hook = calling("on_train_end", lambda run: run.stop())
        assert fit(network(), [hook]).stop_reason == "epochs"

    @pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt])
    @pytest.mark.parametrize("name", HOOKS)
    def test_exceptions_come_through_and_leave_a_usable_network(self, name, kind):
        def fail(run):
            if run.step > 0 or name == "on_train_begin":
                raise kind("mine")

        net = network()
        opt = optim.SGD(net.parameters(), lr=0.1)
        with pytest.raises(kind, match="mine"):
            fit(net, [calling(name, fail)], optimizer=opt)
        assert not net.flat_gradients.any()
        assert fit(net, optimizer=opt).epochs == 3

    @pytest.mark.parametrize("around", [nn.Sequential, nn.Residual])
    @pytest.mark.parametrize("name", [name for name in HOOKS if name != "on_train_end"])
    def test_the_network_stays_where_it_is(self, name, around):
        tried = []

        def take(run):
            nn.Residual(copy.deepcopy(run.network))(X)
            message = r"^Sequential: expected layers that may move, got a network that fit runs on$"
            with pytest.raises(RuntimeError, match=message):
                nn.Sequential(around(run.network), nn.Linear(3, 1))
            tried.append(run.step)

        net = nn.Sequential(nn.Linear(3, 3), dtype="float64", seed=0)
        net.fit(
            X,
            X,
            loss=nn.MSELoss(),
            optimizer=optim.SGD(net.parameters()),
            epochs=1,
            callbacks=[calling(name, take)],
        )
        assert tried
        nn.Sequential(net, nn.Linear(3, 1))

    def test_a_bar_is_closed_when_the_first_hook_raises(self, monkeypatch):
        closed = []
        bar = type("Bar", (), {"close": lambda self: closed.append(True)})
        module = sys.modules["deltaprop.training.fit"]
        monkeypatch.setattr(module, "progress_of", lambda epochs: bar())
        hook = calling("on_train_begin", lambda run: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(network(), [hook], progress=True)
        assert closed == [True]

    def test_what_are_no_callbacks(self):
        with pytest.raises(
            TypeError, match=r"^fit: expected callables as callbacks, got Callback$"
        ):
            fit(network(), [dp.Callback])
        with pytest.raises(TypeError, match=r"^fit: expected an iterable of callables .*, got Ear"):
            fit(network(), dp.EarlyStopping())


def values(*numbers, key="val_loss"):
    """Return a callback that writes numbers into the history instead of those measured."""
    return lambda run: run.history[key].__setitem__(-1, numbers[run.epoch])


class TestEarlyStopping:
    @pytest.mark.parametrize(("patience", "epochs"), [(0, 3), (1, 3), (2, 6), (3, 10)])
    def test_patience_is_keras(self, patience, epochs):
        early = dp.EarlyStopping(patience=patience)
        losses = (5, 4, 4.5, 3, 3.5, 3.25, 2.5, 2.75, 2.5, 2.25)
        history = fit(network(), [values(*losses), early], epochs=10)
        # One bad epoch at 2, two at 4 and 5, and at 7 and 8 two more: equal is not better.
        assert history.epochs == epochs
        assert early.stopped_epoch == (epochs - 1 if epochs < 10 else -1)
        assert history.stop_reason == ("callback" if epochs < 10 else "epochs")

    def test_min_delta(self):
        early = dp.EarlyStopping(min_delta=0.5)
        assert fit(network(), [values(5, 4.4, 4, 3), early], epochs=4).epochs == 3
        assert early.best_epoch == 1

    def test_nan_is_no_improvement(self):
        early = dp.EarlyStopping(patience=2)
        assert fit(network(), [values(*[math.nan] * 5), early], epochs=5).epochs == 2
        assert early.best_epoch == -1

    @pytest.mark.parametrize(
        ("monitor", "better"),
        [
            ("loss", -1),
            ("val_loss", -1),
            ("val_loss_0", -1),
            ("val_mse", -1),
            ("rmse", -1),
            ("mae_1", -1),
            ("val_log_loss", -1),
            ("median_absolute_error", -1),
            ("val_neg_log_loss", 1),
            ("val_accuracy", 1),
            ("f1_0", 1),
            ("r2", 1),
            ("auc", 1),
            ("val_balanced_accuracy", 1),
        ],
    )
    def test_what_is_better(self, monitor, better):
        def stops(mode):
            net = network()
            run = dp.Run(net, optim.SGD(net.parameters()))
            early = dp.EarlyStopping(monitor, mode=mode)
            for value in (1.0, 1.0 + better):
                run.history._extend({"loss": [0.0], monitor: [value]})
                early.on_epoch_end(run)
            return run._stopping

        assert not stops("auto")
        assert not stops("max" if better > 0 else "min")
        assert stops("min" if better > 0 else "max")

    @pytest.mark.parametrize("restore", [True, False])
    def test_the_best_weights_come_back(self, restore):
        net, kept = network(), []
        early = dp.EarlyStopping(patience=2, restore_best_weights=restore)
        keep = calling("on_epoch_end", lambda run: kept.append(net.flat_parameters.tobytes()))
        history = fit(net, [values(3, 1, 2, 2, 2), early, keep], epochs=5)
        assert early.best_epoch == 1
        assert history.epochs == 4
        assert net.flat_parameters.tobytes() == kept[1 if restore else 3]

    def test_the_best_weights_come_back_where_all_epochs_were_done(self):
        net, kept = network(), []
        keep = calling("on_epoch_end", lambda run: kept.append(net.flat_parameters.tobytes()))
        fit(net, [values(3, 1, 2), dp.EarlyStopping(patience=5), keep])
        assert net.flat_parameters.tobytes() == kept[1]

    @pytest.mark.parametrize("restore", [True, False])
    def test_the_averages_are_those_of_the_best_weights(self, restore):
        net, kept = network(), []
        opt = optim.SGD(net.parameters(), lr=0.1, ema_decay=0.9)

        def keep(run):
            kept.append({k: v.tobytes() for k, v in opt.state_dict()["ema"].items()})

        early = dp.EarlyStopping(patience=2, restore_best_weights=restore)
        fit(net, [values(3, 1, 2, 2, 2), early, keep], epochs=5, optimizer=opt)
        keep(None)
        assert len(kept[-1]) == 4
        assert kept[-1] == kept[1 if restore else 3]
        assert kept[1] != kept[3]

    def test_a_second_fit_begins_anew(self):
        early = dp.EarlyStopping()
        assert fit(network(), [values(1, 2, 3), early]).epochs == 2
        assert (early.best_epoch, early.stopped_epoch) == (0, 1)
        assert fit(network(), [values(9, 8, 7), early]).epochs == 3
        assert (early.best_epoch, early.stopped_epoch) == (2, -1)

    @pytest.mark.parametrize(
        ("options", "kind", "message"),
        [
            ({"patience": -1}, ValueError, "EarlyStopping: patience: expected 0 or more, got -1"),
            ({"patience": 1.5}, TypeError, "EarlyStopping: patience: expected an integer"),
            ({"min_delta": -1}, ValueError, "EarlyStopping: min_delta: expected 0 or more, got -1"),
            ({"min_delta": math.nan}, ValueError, "EarlyStopping: min_delta: expected a finite"),
            ({"min_delta": "a"}, TypeError, "EarlyStopping: min_delta: expected a number, got 'a'"),
            ({"mode": "least"}, ValueError, "EarlyStopping: expected mode 'auto', 'min' or 'max'"),
            ({"monitor": 3}, TypeError, "EarlyStopping: monitor: expected a name, got int"),
        ],
    )
    def test_options(self, options, kind, message):
        with pytest.raises(kind, match=f"^{re.escape(message)}"):
            dp.EarlyStopping(**options)

    def test_a_key_that_is_not_there(self):
        message = r"^EarlyStopping: expected monitor to be of \['loss', 'lr'\], got 'val_loss'$"
        for record in ((), ("deltas",)):
            with pytest.raises(ValueError, match=message):
                refused([dp.EarlyStopping()], validation_data=None, record=record)
        with pytest.raises(ValueError, match=r"got 'delta_norm'$"):
            refused([dp.EarlyStopping("delta_norm")], record=("deltas",))


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

    def test_the_best_of_those_looked_at(self, tmp_path):
        path = tmp_path / "{epoch}"
        best = dp.ModelCheckpoint(path, monitor="val_loss", every=2)
        # The best of all, epoch 1, is not looked at.
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
