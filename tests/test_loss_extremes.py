"""Every loss: large, small, NaN and threshold values."""

import numpy as np
import pytest

from deltaprop import nn
from loss_cases import CASES, each_case


def ulps(found, expected):
    return np.abs(found - expected) / np.spacing(np.abs(expected).astype(found.dtype))


class TestExtremes:
    """Exact where exponentials overflow and differences cancel."""

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_logits(self, dtype):
        """Of values and deltas against extended precision, where the double has 11 bits fewer."""
        tiny = np.finfo(dtype).smallest_normal
        a = np.array([1e4, 700, 88, 40, 20, 1, 1e-3, 1e-20, 0], dtype)
        a = np.concatenate([a, -a])
        large = np.abs(a).astype(np.longdouble)
        small = np.log1p(np.exp(-large))
        for y in (0.0, 1.0):
            z = a.astype(np.longdouble) * (1 - 2 * y)
            value = np.where(z > 0, z, 0) + small
            delta = (1 - 2 * y) * np.where(z > 0, 1, np.exp(-large)) / (1 + np.exp(-large))
            kept = np.abs(delta) > tiny  # below, e^x has fewer digits itself
            targets = np.full(len(a), y)
            pairs, hot = np.stack([a * 0, a], 1), np.stack([1 - targets, targets], 1)
            entropy = nn.CrossEntropyLoss(reduction="none")
            for loss, outs, ys in (
                (nn.BCEWithLogitsLoss(reduction="none"), a[:, None], targets[:, None]),
                (entropy, pairs, targets.astype(int)),
                (entropy, pairs, hot),
            ):
                found, slope = loss(outs, ys).ravel(), loss.delta(outs, ys)[:, -1]
                assert np.isfinite(found).all()
                assert np.isfinite(slope).all()
                assert ulps(found[kept], value[kept]).max() < 5
                assert ulps(slope[kept], delta[kept]).max() < 5
                assert np.abs(slope[~kept]).max(initial=0) <= 2 * tiny

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_probabilities_at_their_ends(self, dtype, peer):
        torch = peer("torch")
        a = np.array([0, 0, 1, 1, 0, 1, 1e-30, 0.5], dtype)
        y = np.array([0, 1, 0, 1, 0.5, 0.5, 1, 0.25], dtype)
        tensor = torch.tensor(a, requires_grad=True)
        value = torch.nn.BCELoss(reduction="none")(tensor, torch.tensor(y))
        value.sum().backward()
        np.testing.assert_allclose(nn.BCELoss(reduction="none")(a, y), value.detach(), rtol=1e-6)
        np.testing.assert_allclose(nn.BCELoss(reduction="none").delta(a, y), tensor.grad, rtol=1e-6)

    def test_a_variance_below_eps(self, peer):
        torch = peer("torch")
        a = np.array([[0.5, 0.0], [0.5, 0.01], [0.5, 0.05], [0.5, 0.2]])
        tensor = torch.tensor(a, requires_grad=True)
        y = np.zeros((4, 1))
        value = torch.nn.GaussianNLLLoss(eps=0.05)(tensor[:, :1], torch.tensor(y), tensor[:, 1:])
        value.backward()
        loss = nn.GaussianNLLLoss(eps=0.05)
        assert loss(a, y) == pytest.approx(value.item(), rel=1e-14)
        np.testing.assert_allclose(loss.delta(a, y), tensor.grad, rtol=1e-14)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("case", CASES, ids=str)
    @pytest.mark.parametrize("size", [1e-30, 1e4])
    def test_small_and_large(self, case, size, dtype):
        if case.name == "PoissonNLLLoss":
            size = min(size, 10)  # e^a is infinite else
        a, y = case.data()
        a = np.clip(a * size, 0, 1) if case.name == "BCELoss" else a * size
        assert np.isfinite(case.loss()(a.astype(dtype), y))
        assert np.isfinite(case.loss().delta(a.astype(dtype), y)).all()

    @each_case
    def test_nan_stays_nan(self, case):
        a, y = case.data(3)
        a[0] = np.nan
        assert np.isnan(case.loss()(a, y))

    def test_at_a_kink(self):
        one = np.ones((1, 3))
        for loss in (nn.L1Loss(), nn.SmoothL1Loss(beta=0), nn.QuantileLoss(), nn.HingeLoss()):
            assert loss(one, one[:, :1] if isinstance(loss, nn.QuantileLoss) else one) == 0
        np.testing.assert_array_equal(nn.L1Loss().delta(one, one), 0 * one)
        np.testing.assert_array_equal(nn.QuantileLoss().delta(one, [1]), 0 * one)
        np.testing.assert_array_equal(nn.HingeLoss().delta(one, one), 0 * one)
