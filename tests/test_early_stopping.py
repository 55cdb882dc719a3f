"""EarlyStopping."""

import math
import re

import pytest

import deltaprop as dp
from callback_cases import calling, fit, network, refused, values
from deltaprop import optim


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
