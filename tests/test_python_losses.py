"""Losses written in Python."""

import threading

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from python_modules import Scale, Squares, data, fit, network


class TestLosses:
    """Losses written in Python."""

    def test_the_same_as_a_built_in_one(self):
        a, b = network(), network()
        weight = np.linspace(0, 2, 30)
        for options in ({}, {"sample_weight": weight}, {"validation_data": data(10)}):
            h = fit(a, Squares(), **options)
            g = fit(b, nn.MSELoss(), **options)
            np.testing.assert_allclose(a.flat_parameters, b.flat_parameters, rtol=1e-12)
            assert list(h) == list(g)
            for key in h:
                np.testing.assert_allclose(h[key], g[key], rtol=1e-12)

    def test_plateaus(self):
        stop = dp.StopOnPlateau(1e-4, loss=Squares())
        h = fit(network(), epochs=1000, stop=stop)
        g = fit(network(), epochs=1000, stop=dp.StopOnPlateau(1e-4))
        np.testing.assert_allclose(h.stop_losses, g.stop_losses, rtol=1e-12)
        assert h.epochs < 1000

    @pytest.mark.parametrize(
        "y",
        [
            np.arange(30),
            np.arange(30.0),
            np.arange(60.0).reshape(30, 2),
            np.arange(90).reshape(30, 3),
            np.arange(30.0).reshape(30, 1),
        ],
        ids=lambda y: f"{y.dtype}{y.shape}",
    )
    @pytest.mark.parametrize("where", ["training", "validation", "stop"])
    def test_y_comes_as_it_was_given(self, y, where):
        seen = []

        class Loss:
            def __call__(self, outputs, y):
                seen.append(y)
                return 0.0

            def delta(self, outputs, y):
                return np.zeros_like(outputs)

        class Quiet(Loss):
            def __call__(self, outputs, y):
                return 0.0

        net = network()
        X, targets = data()
        opt = optim.SGD(net.parameters())
        options = {"loss": Loss(), "optimizer": opt, "epochs": 1, "batch_size": None}
        if where == "training":
            net.fit(X, y, **options)
        elif where == "validation":
            for other in (np.arange(30), np.arange(30.0), targets):
                # The first call is the training batch, the last the validation data.
                net.fit(X, other, **options, validation_data=(X, y))
        else:
            options["loss"] = Quiet()
            net.fit(X, y, **options, stop=dp.StopOnPlateau(1, loss=Loss()))
        assert seen[-1].shape == y.shape
        assert seen[-1].dtype == y.dtype
        np.testing.assert_array_equal(seen[-1], y)

    def test_y_comes_as_it_was_given_whatever_the_training_targets_are(self):
        seen = []

        class Loss:
            def __call__(self, outputs, y):
                seen.append(y)
                return 0.0

            def delta(self, outputs, y):
                return np.zeros_like(outputs)

        net, X = network(), data()[0]
        kinds = [np.arange(30), np.arange(30.0) + 0.5, np.arange(60.0).reshape(30, 2)[::-1]]
        for y in kinds:
            for held in kinds:
                net.fit(
                    X,
                    y,
                    loss=Loss(),
                    optimizer=optim.SGD(net.parameters()),
                    epochs=1,
                    batch_size=None,
                    validation_data=(X, held),
                )
                np.testing.assert_array_equal(seen[-1], held)

    def test_what_it_gets_is_its_own(self):
        kept = []

        class Loss(Squares):
            def __call__(self, outputs, y):
                kept.append((outputs, outputs.copy(), y, y.copy()))
                return super().__call__(outputs, y)

        fit(network(), Loss())
        for outputs, outputs_then, y, y_then in kept:
            np.testing.assert_array_equal(outputs, outputs_then)
            np.testing.assert_array_equal(y, y_then)

    def test_one_that_writes_into_its_arguments(self):
        class Loss(Squares):
            def delta(self, outputs, y):
                delta = super().delta(outputs, y)
                outputs[:], y[:] = np.nan, np.nan
                return delta

        X, y = data()
        kept = y.copy()
        net, plain = network(), network()
        for n, loss in ((net, Loss()), (plain, Squares())):
            opt = optim.SGD(n.parameters(), lr=0.1)
            n.fit(X, y, loss=loss, optimizer=opt, epochs=2, batch_size=8)
        np.testing.assert_array_equal(y, kept)
        np.testing.assert_array_equal(net.flat_parameters, plain.flat_parameters)

    def test_weights_that_it_does_not_take(self):
        class Loss:
            def __call__(self, outputs, y):
                return 0.0

            def delta(self, outputs, y):
                return outputs * 0

        with pytest.raises(TypeError, match="unexpected keyword argument 'sample_weight'"):
            fit(network(), Loss(), sample_weight=np.ones(30))

    def test_several_threads_at_once(self):
        nets = [network(Scale()) for _ in range(6)]
        errors = []

        def work(net):
            try:
                fit(net, Squares(), epochs=20)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(net,)) for net in nets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        for net in nets[1:]:
            np.testing.assert_array_equal(net.flat_parameters, nets[0].flat_parameters)


@pytest.mark.parametrize("where", ["y", "validation_data y"])
@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_targets_that_are_not_finite_are_refused_before_the_first_update(where, bad):
    X, y = data()
    spoilt = y.copy()
    spoilt[3, 1] = bad
    net = network()
    before = net.flat_parameters.copy()
    train, held_out = (spoilt, y) if where == "y" else (y, spoilt)
    with pytest.raises(ValueError, match=rf"^{where}: expected finite numbers, got .* in row 3$"):
        net.fit(
            X,
            train,
            loss=Squares(),
            optimizer=optim.SGD(net.parameters()),
            epochs=1,
            validation_data=(X, held_out),
        )
    np.testing.assert_array_equal(net.flat_parameters, before)
