"""Class targets, and targets and outputs that a loss refuses."""

import re

import numpy as np
import pytest

from deltaprop import nn, optim
from loss_cases import COLS, MEMBERS, classes, log_softmax, outputs


class TestClasses:
    """Class weights, ignored rows, probabilities."""

    @pytest.mark.parametrize("name", ["NLLLoss", "CrossEntropyLoss"])
    @pytest.mark.parametrize("ignored", [-100, -1, 0, 3, 77])
    def test_ignored_rows_count_for_nothing(self, name, ignored):
        rng = np.random.default_rng(0)
        a, y = log_softmax(rng, 12), classes(rng, 12)
        y[[2, 5]] = ignored
        a[2] = np.nan
        kept = y != ignored
        options = {"ignore_index": ignored, "weight": np.arange(1, 7)}
        for reduction in ("mean", "sum"):
            loss = MEMBERS[name](reduction=reduction, **options)
            assert loss(a, y) == pytest.approx(loss(a[kept], y[kept]), rel=1e-14)
            np.testing.assert_allclose(loss.delta(a, y)[kept], loss.delta(a[kept], y[kept]))
            assert not loss.delta(a, y)[~kept].any()
        assert not MEMBERS[name](reduction="none", **options)(a, y)[~kept].any()

    def test_all_ignored(self):
        assert nn.CrossEntropyLoss()(np.ones((3, 2)), [-100] * 3) == 0
        assert not nn.CrossEntropyLoss().delta(np.ones((3, 2)), [-100] * 3).any()

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_one_hot_probabilities_are_classes(self, dtype):
        rng = np.random.default_rng(0)
        a, y = outputs(rng, 30).astype(dtype), classes(rng, 30)
        for loss in (
            nn.CrossEntropyLoss(),
            nn.CrossEntropyLoss(reduction="sum", label_smoothing=0.1),
        ):
            hot = np.eye(COLS, dtype=dtype)[y]
            np.testing.assert_allclose(loss(a, hot), loss(a, y), rtol=1e-6)
            np.testing.assert_allclose(loss.delta(a, hot), loss.delta(a, y), rtol=1e-5, atol=1e-8)

    def test_integers_of_that_shape_are_no_probabilities(self):
        with pytest.raises(ValueError, match=r"^CrossEntropyLoss: expected y \(2,\) .* \(2, 2\)$"):
            nn.CrossEntropyLoss()(np.zeros((2, 2)), np.eye(2, dtype=int))

    def test_probabilities_beside_an_ignored_class(self):
        with pytest.raises(ValueError, match=r"beside ignore_index=1, got probabilities$"):
            nn.CrossEntropyLoss(ignore_index=1)(np.zeros((2, 2)), np.eye(2))

    @pytest.mark.parametrize("bad", [6, -1, -101])
    def test_other_classes_are_refused(self, bad):
        message = f"^y: expected classes from 0 to 5, got {bad} in row 1$"
        for loss in (nn.NLLLoss(), nn.CrossEntropyLoss(label_smoothing=0.1)):
            with pytest.raises(ValueError, match=message):
                loss(np.zeros((3, 6)), [0, bad, -100])


class TestRefusedNumbers:
    """Targets and outputs that a formula does not take."""

    @pytest.mark.parametrize(
        ("loss", "bad", "text"),
        [
            (nn.BCELoss(), 2, "from 0.0 to 1.0, got 2.0"),
            (nn.BCELoss(), -0.5, "from 0.0 to 1.0, got -0.5"),
            (nn.BCEWithLogitsLoss(), 1.5, "from 0.0 to 1.0, got 1.5"),
            (nn.HingeLoss(), 0, "-1.0 or 1.0, got 0.0"),
            (nn.HingeLoss(), 2, "-1.0 or 1.0, got 2.0"),
            (nn.KLDivLoss(), -0.1, "of 0.0 or more, got -0.1"),
        ],
    )
    def test_targets(self, loss, bad, text):
        y = np.ones((5, 2))
        y[3, 1] = bad
        a = np.full((5, 2), 0.5)
        message = f"^{type(loss).__name__}: expected y {re.escape(text)} in row 3$"
        for method in (loss, loss.delta):
            with pytest.raises(ValueError, match=message):
                method(a, y)
        net = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), dtype="float64")
        before = net.flat_parameters.copy()
        options = {"loss": loss, "epochs": 1, "batch_size": 1, "shuffle": False}
        opt = optim.SGD(net.parameters())
        with pytest.raises(ValueError, match=message):
            net.fit(a, y, optimizer=opt, **options)
        np.testing.assert_array_equal(net.flat_parameters, before)
        message = message.replace("expected y", "expected validation_data y")
        with pytest.raises(ValueError, match=message):
            net.fit(a, a * 0 + 1, optimizer=opt, validation_data=(a, y), **options)

    def test_targets_without_limits(self):
        assert np.isfinite(nn.KLDivLoss(log_target=True)([[-1.0]], [[-2.0]]))
        assert np.isfinite(nn.BCEWithLogitsLoss()([[-1.0]], [[1]]))

    @pytest.mark.parametrize(
        ("loss", "bad", "text"),
        [
            (nn.BCELoss(), 1.5, "from 0.0 to 1.0, got 1.5"),
            (nn.BCELoss(), -0.5, "from 0.0 to 1.0, got -0.5"),
            (nn.PoissonNLLLoss(log_input=False), -1, "of 0.0 or more, got -1.0"),
            (nn.GaussianNLLLoss(), -1, "of 0.0 or more, got -1.0"),
        ],
    )
    def test_outputs(self, loss, bad, text):
        a = np.full((5, 2), 0.5)
        a[3, 1] = bad
        y = np.ones((5, 1 if isinstance(loss, nn.GaussianNLLLoss) else 2))
        message = f"^{type(loss).__name__}: expected outputs {re.escape(text)} in row 3$"
        for method in (loss, loss.delta):
            with pytest.raises(ValueError, match=message):
                method(a, y)
        net = nn.Sequential(nn.Linear(2, 2), dtype="float64")
        net[0].weight[:], net[0].bias[:] = np.eye(2), 0
        opt = optim.SGD(net.parameters(), lr=0.0)
        with pytest.raises(ValueError, match=message):
            net.fit(a, y, loss=loss, optimizer=opt, epochs=1, batch_size=2, shuffle=False)
        np.testing.assert_array_equal(net[0].weight, np.eye(2))

    def test_means_may_be_negative(self):
        assert np.isfinite(nn.GaussianNLLLoss()([[-5.0, 1.0]], [0]))
