"""Every loss: shapes, strides and dtypes of outputs and targets."""

import numpy as np
import pytest

from deltaprop import nn, optim
from loss_cases import COLS, MEMBERS, each_case


class TestRows:
    """Shapes, strides, dtypes; a row's numbers are its own."""

    @each_case
    def test_no_rows(self, case):
        a, y = case.data(3)
        assert case.loss()(a[:0], y[:0]) == 0
        assert case.loss("none")(a[:0], y[:0]).shape == (0, *case.loss("none")(a, y).shape[1:])
        assert case.loss().delta(a[:0], y[:0]).shape == (0, COLS)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @each_case
    def test_rows_alone(self, case, dtype):
        a, y = case.data(9)
        a = a.astype(dtype)
        loss = case.loss("none")
        elements, delta = loss(a, y), loss.delta(a, y)
        for i in range(9):
            np.testing.assert_array_equal(loss(a[i : i + 1], y[i : i + 1])[0], elements[i])
            np.testing.assert_array_equal(loss(a[i], y[i]), elements[i])
            np.testing.assert_array_equal(loss.delta(a[i], y[i]), delta[i])

    @each_case
    def test_strided_and_read_only(self, case):
        a, y = case.data(8)
        loss = case.loss()
        expected, delta = loss(a[::2], y[::2]), loss.delta(a[::2], y[::2])
        for twist in (np.asfortranarray, np.ndarray.tolist, lambda v: v.astype(v.dtype.str[1:])):
            assert loss(twist(a[::2]), twist(y[::2])) == expected
        a.flags.writeable = y.flags.writeable = False
        np.testing.assert_array_equal(loss.delta(a[::2], y[::2]), delta)

    @each_case
    def test_targets_of_another_shape(self, case):
        a, y = case.data(4)
        for wrong in (y[:3], np.stack([y, y]), y[None]):
            with pytest.raises((ValueError, TypeError), match=f"^{case.name}.*: expected y "):
                case.loss()(a, wrong)
        with pytest.raises(ValueError, match=r"^\w+: expected outputs \(N, features\), got \(4,"):
            case.loss()(a[..., None], y)

    @pytest.mark.parametrize("rows", [1, 3, 4, 5, 8, 9, 255, 256, 257, 300])
    @pytest.mark.parametrize("name", ["MSELoss", "BCEWithLogitsLoss"])
    def test_one_column_and_many_rows(self, name, rows):
        rng = np.random.default_rng(rows)
        a, y = rng.normal(size=(rows, 1)), rng.uniform(size=rows)
        loss = MEMBERS[name]()
        alone = [loss(a[i : i + 1], y[i : i + 1]) for i in range(rows)]
        assert loss(a, y) == pytest.approx(np.mean(alone), rel=1e-13)
        wide = MEMBERS[name](reduction="sum")
        np.testing.assert_allclose(wide(a.T, y[None]), wide(a, y), rtol=1e-13)
        np.testing.assert_array_equal(wide.delta(a.T, y[None]).T, wide.delta(a, y))

    @pytest.mark.parametrize("y", [[0, 1], [[0.0], [1.0]]])
    def test_one_output_is_no_two_classes(self, y):
        net = nn.Sequential(nn.Linear(2, 1), seed=0)
        loss, rule = nn.CrossEntropyLoss(), optim.SGD(net.parameters())
        message = (
            r"^CrossEntropyLoss.*: expected 2 outputs or more, one for each class, got 1; "
            r"BCEWithLogitsLoss takes 1$"
        )
        for call in (
            lambda: loss(np.zeros((2, 1)), y),
            lambda: loss.delta(np.zeros((2, 1)), y),
            lambda: net.fit(np.eye(2), y, loss=loss, optimizer=rule, epochs=1),
            lambda: net.fit([(np.eye(2), np.array(y))], loss=loss, optimizer=rule, epochs=1),
        ):
            with pytest.raises(ValueError, match=message):
                call()

    def test_y_without_its_axis(self):
        a = np.array([[0.3], [0.7]])
        for name in ("L1Loss", "BCELoss", "KLDivLoss"):
            assert MEMBERS[name]()(a, [0, 1]) == MEMBERS[name]()(a, [[0], [1]])
        quantiles, gaussian = (
            nn.QuantileLoss(reduction="none"),
            nn.GaussianNLLLoss(reduction="none"),
        )
        assert quantiles(np.zeros((2, 3)), [1, 2]).shape == (2, 3)
        assert gaussian(np.ones((2, 2)), [1, 2]).shape == (2, 1)

    def test_outputs_that_no_targets_go_with(self):
        with pytest.raises(ValueError, match=r"^QuantileLoss: .* multiple of 3 columns, got 4$"):
            nn.QuantileLoss()(np.zeros((2, 4)), np.zeros((2, 1)))
        with pytest.raises(ValueError, match=r"^GaussianNLLLoss: .* multiple of 2 columns, got 3$"):
            nn.GaussianNLLLoss()(np.zeros((2, 3)), np.zeros((2, 1)))
        with pytest.raises(ValueError, match=r"^NLLLoss: expected 2 outputs, .* weights, got 3$"):
            nn.NLLLoss(weight=[1, 2])(np.zeros((2, 3)), [0, 1])
        with pytest.raises(ValueError, match=r"^CrossEntropyLoss: expected 1 outputs, .* got 3$"):
            nn.CrossEntropyLoss(weight=[1])(np.zeros((2, 3)), [0, 1])
        with pytest.raises(ValueError, match=r"^BCEWithLogitsLoss: expected 2 outputs, .* got 3$"):
            nn.BCEWithLogitsLoss(pos_weight=[1, 2])(np.zeros((2, 3)), np.zeros((2, 3)))
        with pytest.raises(
            ValueError, match=r"probabilities: expected y \(2, 3\) for .* \(2, 2\)$"
        ):
            nn.CrossEntropyLoss()(np.zeros((2, 3)), np.zeros((2, 2)))

    def test_no_columns_at_all(self):
        nothing = np.zeros((2, 0))
        assert nn.CrossEntropyLoss(reduction="sum")(nothing, nothing) == 0
        assert nn.CrossEntropyLoss(reduction="sum")(nothing, [-100, -100]) == 0
        assert nn.GaussianNLLLoss(reduction="sum")(nothing, nothing) == 0
        with pytest.raises(ValueError, match="expected classes from 0 to -1, got 0"):
            nn.CrossEntropyLoss(reduction="sum")(nothing, [0, 0])
