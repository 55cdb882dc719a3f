"""StopOnPlateau."""

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn
from fit_cases import data, fit, network


class TestStopOnPlateau:
    """Stop rules."""

    def losses_of(self, net, stop, X, y, **options):
        history = fit(net, X, y, stop=stop, epochs=500, **options)
        assert history.stop_reason == "plateau"
        return history

    @pytest.mark.parametrize("eps", [1e-2, 1e-4])
    def test_every_epoch(self, eps):
        X, y = data()
        history = self.losses_of(network(), dp.StopOnPlateau(eps), X, y)
        looks = history.stop_losses
        assert len(looks) == history.epochs == len(history["loss"])
        assert abs(looks[-1] - looks[-2]) < eps
        assert (np.abs(np.diff(looks))[:-1] >= eps).all()
        net = network()
        again = fit(net, X, y, epochs=history.epochs)
        np.testing.assert_array_equal(again["loss"], history["loss"])
        assert nn.MSELoss()(net(X), y) == pytest.approx(looks[-1], rel=1e-13)

    def test_every_update(self):
        X, y = data()
        eps = 1e-4
        net = network()
        history = self.losses_of(net, dp.StopOnPlateau(eps, every="update"), X, y)
        looks = history.stop_losses
        assert len(looks) == history.updates
        assert abs(looks[-1] - looks[-2]) < eps
        assert (np.abs(np.diff(looks))[:-1] >= eps).all()
        assert nn.MSELoss()(net(X), y) == pytest.approx(looks[-1], rel=1e-13)
        assert history.epochs == -(-history.updates // 7) == len(history["loss"])

    def test_the_first_check_stops_nothing(self):
        assert fit(network(), stop=dp.StopOnPlateau(1e9), epochs=9).epochs == 2
        history = fit(network(), stop=dp.StopOnPlateau(1e9, every="update"), epochs=9)
        assert (history.updates, history.epochs) == (2, 1)

    def test_another_loss(self):
        X, y = data()
        net = network()
        stop = dp.StopOnPlateau(1e-3, loss=nn.MSELoss(reduction="sum", factor=0.5))
        history = self.losses_of(net, stop, X, y)
        expected = nn.MSELoss(reduction="sum", factor=0.5)(net(X), y)
        assert history.stop_losses[-1] == pytest.approx(expected, rel=1e-13)

    def test_a_loss_that_does_not_fit_the_targets(self):
        message = r"^CrossEntropyLoss of probabilities: expected y of 0.0 or more, got -"
        with pytest.raises(ValueError, match=message):
            fit(network(), stop=dp.StopOnPlateau(1, loss=nn.CrossEntropyLoss()))
        with pytest.raises(ValueError, match="reduction 'mean' or 'sum', got 'none'"):
            fit(network(), stop=dp.StopOnPlateau(1, loss=nn.MSELoss(reduction="none")))

    def test_it_weighs_rows(self):
        X, y = data()
        weight = np.r_[np.ones(20), np.zeros(30)]
        net = network()
        history = self.losses_of(net, dp.StopOnPlateau(1e-3), X, y, sample_weight=weight)
        expected = nn.MSELoss()(net(X[:20]), y[:20])
        assert history.stop_losses[-1] == pytest.approx(expected, rel=1e-13)

    def test_it_can_be_used_again(self):
        stop = dp.StopOnPlateau(1e-3)
        first = self.losses_of(network(), stop, *data())
        second = self.losses_of(network(), stop, *data())
        np.testing.assert_array_equal(first.stop_losses, second.stop_losses)

    def test_making_one(self):
        text = "StopOnPlateau(eps=0.001, every='epoch', loss=None)"
        assert repr(dp.StopOnPlateau(1e-3)) == text
        message = "^StopOnPlateau: expected every 'epoch' or 'update', got 'batch'$"
        with pytest.raises(ValueError, match=message):
            dp.StopOnPlateau(1, every="batch")
        for eps in (0, -1, np.nan, np.inf):
            with pytest.raises(ValueError, match=f"^StopOnPlateau: expected eps > 0, got {eps}$"):
                dp.StopOnPlateau(eps)
        with pytest.raises(TypeError, match=r"^StopOnPlateau: expected .*eps"):
            dp.StopOnPlateau("a")
