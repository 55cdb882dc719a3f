"""The report of check_gradients, and what it refuses."""

import re

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn
from gradcheck_cases import Loss, Scale, check


class TestReport:
    """What it returns."""

    def test_rows(self, rng):
        report = check(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), rng)
        assert isinstance(report, dp.GradientReport)
        assert [(r.name, r.shape, r.checked) for r in report.rows] == [
            ("0.weight", (4, 3), 12),
            ("0.bias", (4,), 4),
            ("2.weight", (2, 4), 8),
            ("2.bias", (2,), 2),
            ("input", (4, 3), 12),
        ]
        assert report.tolerance == 1e-6
        assert report.max_error == max(r.max_error for r in report.rows)
        for row in report.rows:
            assert len(row.worst) == len(row.shape)
            assert row.analytic == pytest.approx(row.numeric, rel=1e-5)

    @pytest.mark.parametrize("limit", [1, 5, 10**6])
    def test_max_checks(self, limit, rng):
        net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        report = check(net, rng, max_checks=limit)
        assert report.ok
        for row in report.rows:
            assert row.checked == min(limit, int(np.prod(row.shape)))

    def test_max_checks_counts_calls(self, rng):
        class Counting(Loss):
            calls = 0

            def __call__(self, outputs, y):
                self.calls += 1
                return super().__call__(outputs, y)

        loss = Counting()
        check(nn.Sequential(nn.Linear(3, 40), nn.Tanh()), rng, loss, max_checks=2)
        assert loss.calls < 100

    def test_text(self, rng):
        text = repr(check(nn.Sequential(nn.Linear(3, 2)), rng))
        lines = text.splitlines()
        assert lines[0].split() == [
            "parameter",
            "shape",
            "checked",
            "kinks",
            "max",
            "error",
            "at",
            "analytic",
            "numeric",
        ]
        assert [line.split()[0] for line in lines[1:4]] == ["0.weight", "0.bias", "input"]
        assert re.match(r"^ok: max error \d\.\de[-+]\d\d, tolerance 1e-06$", lines[-1])
        assert "!" not in text
        text = repr(check(nn.Sequential(Scale(wrong=lambda g, b: g.__imul__(2))), rng))
        assert re.search(r"^0\.factor .* [\d.]+e-01 ! ", text, re.MULTILINE)
        assert text.splitlines()[-1].startswith("WRONG: max error ")

    def test_one_row_without_its_axis_and_none(self):
        net = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
        report = dp.check_gradients(net, nn.MSELoss(), [1, 2, 3], [1, 2])
        assert report.ok
        assert report.rows[-1].shape == (3,)
        report = dp.check_gradients(net, nn.MSELoss(), np.zeros((0, 3)), np.zeros((0, 2)))
        assert report.ok
        assert report.rows[-1].checked == 0
        assert dp.check_gradients(net, nn.CrossEntropyLoss(), [1, 2, 3], 1).ok


class TestRefused:
    """What it does not take."""

    @pytest.mark.parametrize("bad", [3, None, nn.Linear, "net"])
    def test_what_is_no_network(self, bad):
        message = f"^check_gradients: expected a network, got {type(bad).__name__}$"
        with pytest.raises(TypeError, match=message):
            dp.check_gradients(bad, nn.MSELoss(), [1.0], [1.0])

    @pytest.mark.parametrize("bad", [3, None, nn.MSELoss, len])
    def test_what_is_no_loss(self, bad):
        with pytest.raises(TypeError, match=r"^check_gradients: expected a loss"):
            dp.check_gradients(nn.Linear(1, 1), bad, [1.0], [1.0])

    def test_max_checks(self, rng):
        with pytest.raises(
            ValueError, match=r"^check_gradients: max_checks: expected 1 or more, got 0$"
        ):
            check(nn.Linear(3, 3), rng, max_checks=0)
        with pytest.raises(TypeError, match=r"max_checks: expected an integer, got float$"):
            check(nn.Linear(3, 3), rng, max_checks=1.5)

    def test_shapes(self):
        with pytest.raises(
            ValueError, match=r"^Linear\(3, 2\): expected input \(N, 3\), got \(4,\)$"
        ):
            dp.check_gradients(nn.Linear(3, 2), nn.MSELoss(), np.zeros(4), np.zeros(2))
        with pytest.raises(ValueError, match=r"^MSELoss: expected y \(5, 2\) for outputs \(5, 2\)"):
            dp.check_gradients(nn.Linear(3, 2), nn.MSELoss(), np.zeros((5, 3)), np.zeros(5))

    def test_deltas_of_another_shape(self, rng):
        net = nn.Sequential(nn.Linear(3, 2))
        with pytest.raises(ValueError, match=r"^backward: expected delta \(4, 2\), the shape"):
            check(net, rng, Loss(lambda d: d[:2]))


def test_where_nothing_was_compared_it_is_not_ok():
    zeros = np.zeros((2, 3))
    report = dp.check_gradients(nn.Sequential(nn.ReLU()), nn.MSELoss(), zeros, zeros + 1)
    assert report.rows[0].kinks == report.rows[0].checked == 6
    assert not report.ok
