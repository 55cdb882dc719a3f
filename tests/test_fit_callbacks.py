"""Callables that fit runs after each epoch, and its progress bar."""

import sys

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import optim
from fit_cases import bits, data, fit, network


class TestCallbacks:
    """Callables after each epoch."""

    def test_what_they_see(self):
        seen = []
        net = network()
        opt = optim.SGD(net.parameters(), lr=0.1)

        def callback(run):
            assert isinstance(run, dp.Run)
            assert run.network is net
            assert run.optimizer is opt
            seen.append((run.epoch, run.step, run.history["loss"].tolist(), run.history.epochs))
            assert run.history.stop_reason == ""
            assert "running" in repr(run.history)

        history = fit(net, opt=opt, callbacks=[callback])
        losses = history["loss"].tolist()
        assert seen == [(i, 7 * (i + 1), losses[: i + 1], i + 1) for i in range(3)]

    def test_they_run_in_order(self):
        seen = []
        fit(network(), epochs=2, callbacks=(lambda run, i=i: seen.append(i) for i in range(3)))
        assert seen == [0, 1, 2, 0, 1, 2]

    def test_stop(self):
        history = fit(
            network(), epochs=10, callbacks=[lambda run: run.stop() if run.epoch == 4 else None]
        )
        assert history.epochs == 5
        assert history.stop_reason == "callback"
        assert len(history["loss"]) == 5

    def test_they_may_predict_and_change_no_bit(self):
        a, b = network(), network()
        X = data()[0]
        fit(a, callbacks=[lambda run: (run.network(X), run.network.predict(X, batch_size=3))])
        fit(b)
        assert bits(a) == bits(b)

    def test_they_may_write_weights_and_options(self):
        net = network()

        def callback(run):
            run.network.flat_parameters[:] = 7
            run.optimizer.lr = 0.0

        history = fit(net, epochs=3, callbacks=[callback])
        assert (net.flat_parameters == 7).all()
        np.testing.assert_array_equal(history["lr"], [0.1, 0, 0])

    def test_they_may_not_fit_or_step(self):
        caught = []

        def callback(run):
            for method in (lambda: fit(run.network), run.optimizer.step):
                try:
                    method()
                except RuntimeError as error:
                    caught.append(str(error))

        fit(network(), epochs=1, callbacks=[callback])
        assert caught == [
            "the network is in use: expected no other call while fit runs",
            "the optimizer is in use: expected no other call while it steps, fit runs or its "
            "averages are shown",
        ]

    def test_they_may_fit_another_network(self):
        other = network(seed=1)
        fit(network(), epochs=2, callbacks=[lambda run: fit(other)])
        twin = network(seed=1)
        fit(twin)
        fit(twin)
        assert bits(other) == bits(twin)

    @pytest.mark.parametrize(
        "kind", [ZeroDivisionError, KeyboardInterrupt, SystemExit, StopIteration]
    )
    def test_their_exceptions_come_through(self, kind):
        error = kind("mine", 3)
        net = network()
        opt = optim.SGD(net.parameters(), lr=0.1)

        def callback(run):
            if run.epoch == 1:
                raise error

        with pytest.raises(kind, match="mine") as caught:
            fit(net, opt=opt, callbacks=[callback])
        assert caught.value is error
        assert error.args == ("mine", 3)
        assert any(entry.name == "callback" for entry in caught.traceback)
        assert not net.flat_gradients.any()
        twin = network()
        fit(twin, epochs=2)
        assert bits(net) == bits(twin)
        fit(net, opt=opt)


class TestProgress:
    """progress=True, with tqdm and without."""

    def test_tqdm(self, capsys):
        pytest.importorskip("tqdm")
        fit(network(), epochs=3, progress=True, validation_data=data())
        out = capsys.readouterr()
        assert "3/3" in out.err
        assert "val_loss=" in out.err
        assert out.out == ""

    def test_without_tqdm(self, capsys, monkeypatch):
        for name in [m for m in sys.modules if m.split(".")[0] == "tqdm"] + ["tqdm", "tqdm.auto"]:
            monkeypatch.setitem(sys.modules, name, None)
        history = fit(network(), epochs=3, progress=True, validation_data=data())
        lines = capsys.readouterr().err.splitlines()
        assert lines == [
            f"epoch {i + 1}/3: loss {history['loss'][i]:.4g}, val_loss {history['val_loss'][i]:.4g}"
            for i in range(3)
        ]

    def test_a_bar_shows_where_the_fit_stopped(self, capsys):
        pytest.importorskip("tqdm")
        fit(
            network(),
            epochs=50,
            progress=True,
            callbacks=[lambda run: run.stop() if run.epoch == 16 else None],
        )
        assert "17/50" in capsys.readouterr().err

    def test_none_by_default(self, capsys):
        fit(network())
        assert capsys.readouterr() == ("", "")

    def test_it_changes_no_bit(self, capsys):
        a, b = network(), network()
        fit(a, progress=True)
        fit(b)
        assert bits(a) == bits(b)
        assert capsys.readouterr().err


def test_a_pass_that_a_callback_made_is_stale_afterwards():
    net = network()
    fit(net, callbacks=[lambda run: run.network.forward(data()[0])])
    with pytest.raises(RuntimeError, match=r"call net.forward\(x\)"):
        net.backward(np.ones_like(data()[1]))
