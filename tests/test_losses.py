"""Losses: values, deltas, reductions, weights and errors."""

import copy
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deltaprop import nn

REDUCTIONS = ["mean", "sum", "none"]
LOSSES = [nn.MSELoss, nn.CrossEntropyLoss]


def squares(a, y):
    """Return the unreduced loss and its derivative."""
    return (a - y) ** 2, 2 * (a - y)


def entropies(a, y):
    shifted = a - a.max(1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    delta = np.exp(log_softmax)
    delta[np.arange(len(a)), y] -= 1
    return -log_softmax[np.arange(len(a)), y], delta


def reference(kind, a, y, reduction, weight=None, factor=1.0):
    """Return value and delta by NumPy."""
    elements, delta = (squares if kind is nn.MSELoss else entropies)(a, y)
    w = np.ones(len(a)) if weight is None else np.asarray(weight, float)
    rows = w[:, None] if elements.ndim == 2 else w
    elements, delta = elements * rows * factor, delta * w[:, None] * factor
    if reduction == "none":
        return elements, delta
    if reduction == "sum":
        return elements.sum(), delta
    divisor = np.broadcast_to(rows, elements.shape).sum()
    return (elements.sum() / divisor, delta / divisor) if divisor else (0.0, delta * 0)


def case(kind, rng, rows=6, cols=5):
    a = rng.normal(size=(rows, cols)) * 3
    y = rng.normal(size=(rows, cols)) if kind is nn.MSELoss else rng.integers(0, cols, rows)
    return a, y


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_value_and_delta(kind, reduction, weighted, dtype, rng):
    a, y = case(kind, rng)
    weight = rng.uniform(0, 3, len(a)) if weighted else None
    a = a.astype(dtype)
    loss = kind(reduction=reduction)
    value, delta = reference(kind, a.astype(float), y, reduction, weight)
    rtol = 1e-5 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(loss(a, y, weight), value, rtol=rtol)
    np.testing.assert_allclose(loss.delta(a, y, weight), delta, rtol=rtol, atol=rtol / 10)
    assert loss.delta(a, y, weight).dtype == dtype
    if reduction == "none":
        assert loss(a, y, weight).dtype == dtype
    else:
        assert type(loss(a, y, weight)) is float


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", LOSSES)
def test_weights_of_one_change_nothing(kind, reduction, rng):
    a, y = case(kind, rng)
    loss = kind(reduction=reduction)
    for ones in (np.ones(6), [1] * 6, np.ones(6, bool)):
        np.testing.assert_array_equal(loss(a, y, ones), loss(a, y))
        np.testing.assert_array_equal(loss.delta(a, y, sample_weight=ones), loss.delta(a, y))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", LOSSES)
def test_a_zero_sum_of_weights_gives_0(kind, reduction, rng):
    a, y = case(kind, rng)
    np.testing.assert_array_equal(kind(reduction=reduction)(a, y, np.zeros(6)), 0)
    np.testing.assert_array_equal(kind(reduction=reduction).delta(a, y, np.zeros(6)), 0)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_weight_of_0_removes_a_row(kind, rng):
    a, y = case(kind, rng)
    weight = np.array([1, 1, 0, 1, 1, 1])
    kept = weight > 0
    assert kind()(a, y, weight) == pytest.approx(kind()(a[kept], y[kept]), rel=1e-14)
    assert not kind().delta(a, y, weight)[2].any()


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("bad", [-1, np.nan, np.inf, -0.001])
def test_weights_that_are_refused(kind, bad, rng):
    a, y = case(kind, rng)
    weight = np.ones(6)
    weight[3] = bad
    message = r"^sample_weight: expected finite weights of 0 or more, got .* in row 3$"
    with pytest.raises(ValueError, match=message):
        kind()(a, y, weight)
    with pytest.raises(ValueError, match=message):
        kind().delta(a, y, weight)


@pytest.mark.parametrize("shape", [(5,), (7,), (6, 1), (1,), ()])
def test_weights_of_another_shape(shape, rng):
    a, y = case(nn.MSELoss, rng)
    message = re.escape(f"sample_weight: expected (6,), got {shape}")
    with pytest.raises(ValueError, match=message):
        nn.MSELoss()(a, y, np.ones(shape))


def test_weights_that_are_no_numbers(rng):
    a, y = case(nn.MSELoss, rng)
    with pytest.raises(TypeError, match=r"^sample_weight: expected real numbers"):
        nn.MSELoss()(a, y, ["a"] * 6)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("factor", [0.5, 3, 0.0, -1.0])
def test_factor(reduction, factor, rng):
    a, y = case(nn.MSELoss, rng)
    value, delta = reference(nn.MSELoss, a, y, reduction, factor=factor)
    loss = nn.MSELoss(reduction=reduction, factor=factor)
    np.testing.assert_allclose(loss(a, y), value, rtol=1e-13)
    np.testing.assert_allclose(loss.delta(a, y), delta, rtol=1e-13)


def test_the_textbook_half():
    loss = nn.MSELoss(reduction="sum", factor=0.5)
    assert loss([[3.0, 1.0]], [[1.0, 1.0]]) == 2.0
    np.testing.assert_array_equal(loss.delta([[3.0, 1.0]], [[1.0, 1.0]]), [[2, 0]])


def test_what_a_loss_was_made_with_stays_true():
    # An attribute that can be set must count, and one that does not count must not be settable.
    loss = nn.MSELoss()
    try:
        loss.factor = 0.5
    except AttributeError:
        return
    assert loss([3.0], [1.0]) == 2.0


class TestShapes:
    """What y goes with what outputs."""

    def test_y_without_its_axis_goes_with_one_output(self):
        a, y = np.arange(4.0)[:, None], np.array([1, 1, 1, 1])
        assert nn.MSELoss()(a, y) == nn.MSELoss()(a, y[:, None])
        np.testing.assert_array_equal(nn.MSELoss().delta(a, y), nn.MSELoss().delta(a, y[:, None]))
        assert nn.MSELoss(reduction="none")(a, y).shape == (4, 1)

    @pytest.mark.parametrize(
        ("outputs", "y"),
        [
            ((4, 3), (4,)),
            ((4, 3), (3,)),
            ((4, 3), (4, 1)),
            ((4, 1), (1, 4)),
            ((4, 1), (4, 4)),
            ((4, 1), (1,)),
            ((4, 1), ()),
            ((4,), (4, 1)),
            ((4,), (1, 4)),
            ((1, 4), (4,)),
            ((1, 1), ()),
            ((0, 3), (0,)),
        ],
    )
    def test_never_a_broadcast(self, outputs, y):
        text = re.escape(f"MSELoss: expected y {outputs} for outputs {outputs}, got {y}")
        with pytest.raises(ValueError, match=f"^{text}$"):
            nn.MSELoss()(np.zeros(outputs), np.zeros(y))
        with pytest.raises(ValueError, match=f"^{text}$"):
            nn.MSELoss().delta(np.zeros(outputs), np.zeros(y))

    @pytest.mark.parametrize("y", [(4, 1), (3,), (), (4, 3), (5,)])
    def test_classes(self, y):
        text = re.escape(f"CrossEntropyLoss: expected y (4,) for outputs (4, 3), got {y}")
        with pytest.raises(ValueError, match=f"^{text}$"):
            nn.CrossEntropyLoss()(np.zeros((4, 3)), np.zeros(y, int))

    @pytest.mark.parametrize("kind", LOSSES)
    def test_outputs_are_rows(self, kind):
        with pytest.raises(ValueError, match=r"expected outputs \(N, features\), got \(2, 2, 2\)$"):
            kind()(np.zeros((2, 2, 2)), np.zeros((2, 2, 2)))
        with pytest.raises(ValueError, match=r"expected outputs \(N, features\), got \(\)$"):
            kind()(0.0, 0)

    def test_one_row_without_its_axis(self):
        a = np.array([1.0, 2.0, 4.0])
        assert nn.CrossEntropyLoss()(a, 2) == nn.CrossEntropyLoss()(a[None], [2])
        assert nn.CrossEntropyLoss().delta(a, 2).shape == (3,)
        assert nn.MSELoss()(a, a + 1) == 1.0
        assert nn.MSELoss(reduction="none")(a, a).shape == (3,)
        assert np.shape(nn.CrossEntropyLoss(reduction="none")(a, 2)) == ()

    @pytest.mark.parametrize("reduction", ["mean", "sum"])
    def test_zero_rows(self, reduction):
        assert nn.MSELoss(reduction=reduction)(np.empty((0, 3)), np.empty((0, 3))) == 0.0
        loss = nn.CrossEntropyLoss(reduction=reduction)
        assert loss(np.empty((0, 3)), np.empty(0, int)) == 0.0
        assert loss.delta(np.empty((0, 3)), np.empty(0, int)).shape == (0, 3)


class TestKinds:
    """What dtypes are targets."""

    @pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4"])
    def test_integers_are_classes(self, dtype):
        a = np.array([[0.0, 1.0, 2.0], [2.0, 0.0, 0.0]])
        loss = nn.CrossEntropyLoss()
        assert loss(a, np.array([2, 0], dtype)) == loss(a, [2, 0])

    @pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "longdouble"])
    def test_floats_are_not(self, dtype):
        message = r"^CrossEntropyLoss: expected y of integer classes \(2,\), got dtype float"
        with pytest.raises(TypeError, match=message):
            nn.CrossEntropyLoss()(np.zeros((2, 3)), np.zeros(2, dtype))

    @pytest.mark.parametrize("bad", [3, -1, 100, -(2**63), 2**63 - 1])
    def test_classes_out_of_range(self, bad):
        message = f"^y: expected classes from 0 to 2, got {bad} in row 1$"
        for method in (nn.CrossEntropyLoss(), nn.CrossEntropyLoss().delta):
            with pytest.raises(ValueError, match=message):
                method(np.zeros((3, 3)), [0, bad, 1])

    def test_unsigned_classes_beyond_int64(self):
        with pytest.raises(ValueError, match="expected classes from 0 to 2"):
            nn.CrossEntropyLoss()(np.zeros((1, 3)), np.array([2**64 - 1], np.uint64))

    @pytest.mark.parametrize("kind", LOSSES)
    @pytest.mark.parametrize(
        "bad", [[["a", "b"]], [[1j, 2]], [[None, 1]], np.zeros((1, 2), "M8[s]")]
    )
    def test_what_are_no_numbers(self, kind, bad):
        with pytest.raises(TypeError, match=r"^outputs: expected real numbers, got dtype"):
            kind()(bad, [0])
        with pytest.raises(TypeError, match=r"^y: expected real numbers, got dtype"):
            kind()(np.zeros((1, 2)), bad)

    def test_strided_and_foreign_arrays(self, rng):
        a, y = case(nn.MSELoss, rng)
        for twist in (np.asfortranarray, lambda v: v.astype(">f8"), np.ndarray.tolist):
            assert nn.MSELoss()(twist(a), twist(y)) == nn.MSELoss()(a, y)
        assert nn.MSELoss()(a[::-2, ::2], y[::-2, ::2]) == nn.MSELoss()(
            a[::-2, ::2].copy(), y[::-2, ::2].copy()
        )


class TestExtremes:
    """Logits that would overflow an exponential."""

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_large_logits(self, dtype):
        big = np.finfo(dtype).max / 4
        a = np.array([[big, 0, -big], [0, 1000, -1000]], dtype)
        loss = nn.CrossEntropyLoss(reduction="none")
        np.testing.assert_array_equal(loss(a, [0, 1]), [0, 0])
        np.testing.assert_allclose(loss(a, [2, 2]), [2 * big, 2000], rtol=1e-6)
        np.testing.assert_array_equal(loss.delta(a, [1, 1]), [[1, -1, 0], [0, 0, 0]])

    def test_equal_logits(self):
        for level in (-1e30, 0.0, 1e30):
            value = nn.CrossEntropyLoss()(np.full((1, 7), level), [3])
            assert value == pytest.approx(np.log(7), rel=1e-15)

    def test_a_logit_of_minus_infinity_is_a_class_ruled_out(self):
        a = np.array([[0.0, -np.inf, 0.0]])
        assert nn.CrossEntropyLoss()(a, [0]) == pytest.approx(np.log(2))
        assert nn.CrossEntropyLoss()(a, [1]) == np.inf
        np.testing.assert_allclose(nn.CrossEntropyLoss().delta(a, [0]), [[-0.5, 0, 0.5]])

    def test_nan_stays_nan(self):
        assert np.isnan(nn.CrossEntropyLoss()([[np.nan, 0.0]], [1]))
        assert np.isnan(nn.MSELoss()([[np.nan, 0.0]], [[0, 0]]))

    @settings(max_examples=100, deadline=None)
    @given(
        hnp.arrays(
            np.float64,
            st.tuples(st.integers(1, 12), st.integers(2, 12)),
            elements=st.floats(-1e4, 1e4),
        ),
        st.integers(0, 2**32),
    )
    def test_deltas_of_a_row_add_to_0(self, a, seed):
        y = np.random.default_rng(seed).integers(0, a.shape[1], len(a))
        value, delta = reference(nn.CrossEntropyLoss, a, y, "sum")
        loss = nn.CrossEntropyLoss(reduction="sum")
        assert loss(a, y) == pytest.approx(value, rel=1e-12, abs=1e-12)
        np.testing.assert_allclose(loss.delta(a, y), delta, atol=1e-12)
        np.testing.assert_allclose(loss.delta(a, y).sum(1), 0, atol=1e-12)


class TestMaking:
    """Arguments, repr, copies."""

    @pytest.mark.parametrize("kind", LOSSES)
    def test_an_unknown_reduction(self, kind):
        message = "^reduction: expected 'mean', 'sum' or 'none', got 'median'$"
        with pytest.raises(ValueError, match=message):
            kind(reduction="median")

    @pytest.mark.parametrize("kind", LOSSES)
    def test_a_reduction_that_is_no_name(self, kind):
        with pytest.raises(TypeError, match=r"^\w+: .*reduction.*got NoneType$"):
            kind(reduction=None)

    @pytest.mark.parametrize("factor", [np.nan, np.inf])
    def test_a_factor_that_is_not_finite(self, factor):
        with pytest.raises(ValueError, match=r"^MSELoss: .*factor"):
            nn.MSELoss(factor=factor)

    @pytest.mark.parametrize(
        "loss", [nn.MSELoss(reduction="sum", factor=0.5), nn.CrossEntropyLoss(reduction="none")]
    )
    def test_copies(self, loss, rng):
        a, y = case(type(loss), rng)
        copies = [pickle.loads(pickle.dumps(loss, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)]
        for other in (*copies, copy.copy(loss), copy.deepcopy(loss)):
            assert type(other) is type(loss)
            assert repr(other) == repr(loss)
            np.testing.assert_array_equal(other(a, y), loss(a, y))

    def test_repr(self):
        assert repr(nn.MSELoss()) == "MSELoss(reduction='mean', factor=1.0)"
        assert repr(nn.L1Loss(reduction="sum", factor=2)) == "L1Loss(reduction='sum', factor=2.0)"
        assert repr(nn.HuberLoss(delta=3)) == "HuberLoss(reduction='mean', delta=3.0, factor=1.0)"
        assert repr(nn.CrossEntropyLoss(reduction="sum", weight=np.arange(1, 3))) == (
            "CrossEntropyLoss(reduction='sum', factor=1.0, weight=(1.0, 2.0), ignore_index=-100, "
            "label_smoothing=0.0)"
        )


def test_weights_are_checked_in_the_precision_they_are_used_in():
    a, y = np.ones((2, 1), np.float32), np.zeros((2, 1))
    with pytest.raises(ValueError, match=r"^sample_weight: expected finite weights .* in row 1$"):
        nn.MSELoss()(a, y, sample_weight=[1, 1e39])
    assert nn.MSELoss()(a.astype(float), y, sample_weight=[1, 1e39]) == 1
