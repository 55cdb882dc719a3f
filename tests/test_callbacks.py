"""The hooks of dp.Callback."""

import copy
import re
import sys

import numpy as np
import pytest

import deltaprop as dp
from callback_cases import X, Y, calling, fit, network
from deltaprop import nn, optim
from deltaprop.training.protocols import TrainableNetwork

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


def telling(seen, *names):
    """Return a callback that records its calls."""
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

    def test_batch_hooks_run_only_where_a_callback_defines_them(self, monkeypatch):
        dispatched = []
        monkeypatch.setattr(
            dp.Callback, "on_train_batch_end", lambda self, run: dispatched.append(run)
        )
        fit(network(), [calling("on_epoch_end", repr)])
        assert dispatched == []

    def test_a_hook_of_one_object(self):
        seen = []
        callback = dp.Callback()
        callback.on_train_batch_end = lambda run: seen.append(run.step)
        fit(network(), [callback], epochs=1)
        assert seen == [1, 2, 3]

    @pytest.mark.parametrize("name", ["on_batch_end", "on_train_batch_begin", "on_epoch_ends"])
    def test_unknown_hook_names_are_refused(self, name):
        message = f"^Hooked: expected hooks of {re.escape(str(list(HOOKS)))}, got {name}$"
        of_one = calling("on_epoch_end", repr)
        vars(of_one)[name] = repr
        for callback in (calling(name, repr), of_one):
            net = network()
            before = net.flat_parameters.tobytes()
            with pytest.raises(TypeError, match=message):
                fit(net, [callback])
            assert net.flat_parameters.tobytes() == before
        # Attributes that are not methods are the user's.
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
