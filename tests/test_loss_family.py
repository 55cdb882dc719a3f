"""Every loss: differences, PyTorch or a closed form, weights."""

import re

import numpy as np
import pytest

from deltaprop import _core, nn
from loss_cases import CASES, MEMBERS, each_case, each_member


def test_no_member_is_left_out():
    assert {c.name for c in CASES} == set(MEMBERS)
    native = set(_core.loss_names())
    assert native == {*MEMBERS, "CrossEntropyLoss of probabilities"}
    assert set(MEMBERS) <= set(nn.__all__)


@each_member
def test_the_docstring_says_where_it_comes_from(name):
    notes = MEMBERS[name].__doc__.split("Notes\n")[1]
    for label in ("Formula", "Derivative", "Source"):
        assert re.search(rf"^    {label}: \S", notes, re.MULTILINE), label


def differences(f, a, h=1e-3):
    """Return df/da by central differences, their error in h^6."""
    gradient = np.empty_like(a)
    for i in np.ndindex(a.shape):
        at = []
        for k in (-3, -2, -1, 1, 2, 3):
            moved = a.copy()
            moved[i] += k * h
            at.append(f(moved))
        gradient[i] = np.dot(at, [-1, 9, -45, 45, -9, 1]) / (60 * h)
    return gradient


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@each_case
def test_deltas_are_differences(case, reduction, weighted):
    # No kink of |a - y| = 0 or another threshold lies within 3 h of these numbers.
    a, y = case.data(4, seed=1)
    w = np.array([0.5, 0.0, 2.0, 1.0]) if weighted else None
    loss = case.loss(reduction, factor=1.5)
    delta = loss.delta(a, y, w)
    expected = differences(lambda moved: loss(moved, y, w), a, 2e-3)
    assert np.abs(delta).max() > 0
    np.testing.assert_allclose(delta, expected, rtol=1e-8, atol=1e-9 * np.abs(expected).max())


def reduced(elements, delta, row_weights, sample_weight, reduction):
    """Reduce an unreduced loss and its delta as the contract says."""
    rows = elements.reshape(len(elements), -1)
    s = np.ones(len(rows)) if sample_weight is None else sample_weight
    delta = delta * s[:, None]
    if reduction == "none":
        return elements * s.reshape(-1, *[1] * (elements.ndim - 1)), delta
    total = (rows * s[:, None]).sum()
    if reduction == "sum":
        return total, delta
    divisor = (s * row_weights).sum() * rows.shape[1]
    return total / divisor, delta / divisor


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@each_case
def test_values_and_deltas(case, reduction, weighted, dtype, peer):
    """PyTorch's, or by NumPy where it has none."""
    a, y = case.data(20)
    a = a.astype(dtype)
    if y.dtype.kind == "f":
        y = y.astype(dtype)
    w = np.random.default_rng(2).uniform(0, 2, len(a)) if weighted else None
    if case.formula is not None:
        elements, delta = case.formula(a.astype(float), y.astype(float))
    else:
        torch = peer("torch")
        tensor = torch.tensor(a, dtype=torch.float64, requires_grad=True)
        found = case.torch(torch, tensor, y, "none")
        found.sum().backward()
        elements, delta = found.detach().numpy(), tensor.grad.numpy()
    value, delta = reduced(elements, delta, case.class_weights(y), w, reduction)
    rtol = 2e-6 if dtype == np.float32 else 1e-13
    loss = case.loss(reduction)
    ours = loss(a, y, w)
    assert np.shape(ours) == np.shape(value)
    np.testing.assert_allclose(ours, value, rtol=rtol, atol=rtol * np.abs(elements).max())
    atol = rtol / 5 * np.abs(delta).max()
    np.testing.assert_allclose(loss.delta(a, y, w), delta, rtol=rtol, atol=atol)
    assert loss.delta(a, y, w).dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("case", [c for c in CASES if c.formula is None], ids=str)
def test_pytorch_reduces_alike(case, reduction, dtype, peer):
    torch = peer("torch")
    a, y = case.data(20, seed=3)
    if case.name == "KLDivLoss" and reduction == "mean":
        reduction = "batchmean"  # the one that PyTorch does not warn of
    tensor = torch.tensor(a, dtype=getattr(torch, dtype), requires_grad=True)
    found = case.torch(torch, tensor, y, reduction)
    found.sum().backward()
    loss = case.loss(reduction)
    rtol = 1e-5 if dtype == "float32" else 1e-13
    value, delta = loss(a.astype(dtype), y), loss.delta(a.astype(dtype), y)
    scale = np.abs(found.detach().numpy()).max()
    np.testing.assert_allclose(value, found.detach().numpy(), rtol=rtol, atol=rtol * scale)
    scale = np.abs(tensor.grad.numpy()).max()
    np.testing.assert_allclose(delta, tensor.grad.numpy(), rtol=rtol, atol=rtol * scale)


class TestWeights:
    """Sample weights, whatever the loss."""

    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    @each_case
    def test_ones_change_nothing(self, case, reduction):
        a, y = case.data()
        loss = case.loss(reduction)
        np.testing.assert_array_equal(loss(a, y, np.ones(7)), loss(a, y))
        np.testing.assert_array_equal(loss.delta(a, y, np.ones(7)), loss.delta(a, y))

    @each_case
    def test_a_zero_sum_gives_0(self, case):
        a, y = case.data()
        assert case.loss()(a, y, np.zeros(7)) == 0
        assert not case.loss().delta(a, y, np.zeros(7)).any()

    @each_case
    def test_a_negative_weight(self, case):
        a, y = case.data(2)
        with pytest.raises(ValueError, match=r"^sample_weight: expected .* 0 or more, got -1"):
            case.loss()(a, y, [1, -1])

    @each_case
    def test_a_whole_number_repeats_a_row(self, case):
        a, y = case.data(4)
        times = np.array([2, 0, 1, 3])
        loss = case.loss()
        repeated = loss(np.repeat(a, times, 0), np.repeat(y, times, 0))
        assert loss(a, y, times) == pytest.approx(repeated, rel=1e-13)

    @each_case
    def test_factor(self, case):
        a, y = case.data()
        for reduction in ("mean", "sum", "none"):
            plain, threefold = case.loss(reduction), case.loss(reduction, factor=3)
            np.testing.assert_allclose(threefold(a, y), 3 * plain(a, y), rtol=1e-14)
            np.testing.assert_allclose(threefold.delta(a, y), 3 * plain.delta(a, y), rtol=1e-14)
