"""Every loss of the library: differences, PyTorch or a closed form, edges, options."""

import copy
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import _core, nn, optim
from deltaprop.nn.losses import Loss

# But for those whose formula is the user's.
MEMBERS = {
    name: kind
    for name in nn.__all__
    if isinstance(kind := getattr(nn, name), type)
    and issubclass(kind, Loss)
    and kind not in (Loss, nn.ExpressionLoss)
}
COLS = 6
WEIGHT = (0.5, 2.0, 1.0, 3.0, 0.0, 1.5)


def outputs(rng, rows):
    return rng.normal(size=(rows, COLS)) * 2


def log_softmax(rng, rows):
    a = outputs(rng, rows)
    return a - np.log(np.exp(a).sum(1, keepdims=True))


def normal(rng, rows):
    return rng.normal(size=(rows, COLS))


def probabilities(rng, rows):
    return rng.uniform(0.05, 0.95, (rows, COLS))


def shares(rng, rows):
    return rng.dirichlet(np.ones(COLS), rows)


def counts(rng, rows):
    return rng.poisson(3.0, (rows, COLS)).astype(float)


def signs(rng, rows):
    return rng.choice([-1.0, 1.0], (rows, COLS))


def classes(rng, rows):
    return rng.integers(0, COLS, rows)


def some_ignored(rng, rows):
    return np.where(np.arange(rows) % 3 == 1, -100, classes(rng, rows))


def half(draw):
    return lambda rng, rows: draw(rng, rows)[:, : COLS // 2]


def variances(rng, rows):
    return np.concatenate([normal(rng, rows)[:, :3], rng.uniform(0.2, 3, (rows, 3))], 1)


def pinball(a, y):
    e, q = np.repeat(y, 3, axis=1) - a, np.tile([0.1, 0.5, 0.9], 2)
    return np.maximum(q * e, (q - 1) * e), np.where(e > 0, -q, 1 - q)


def hinge(a, y):
    return np.maximum(0, 1 - y * a), np.where(y * a < 1, -y, 0)


def in_halves(torch_loss):
    return lambda a, y: torch_loss(a[:, :3], y, a[:, 3:])


@dataclass
class Case:
    """A loss with options, data it takes, and what says what is right."""

    name: str
    a: Callable[..., Any]
    y: Callable[..., Any]
    options: dict[str, Any]
    formula: Callable[..., Any] | None = None  # value and delta by NumPy, where PyTorch has none
    adapt: Callable[..., Any] = lambda f: f  # how PyTorch's is called

    def loss(self, reduction="mean", **more):
        return MEMBERS[self.name](reduction=reduction, **self.options, **more)

    def data(self, rows=7, seed=0):
        rng = np.random.default_rng(seed)
        return self.a(rng, rows), self.y(rng, rows)

    def class_weights(self, y):
        """Return what the rows count beside their sample weights."""
        if y.dtype.kind == "f":
            return np.ones(len(y))
        weight = np.asarray(self.options.get("weight", np.ones(COLS)))
        return np.where(y < 0, 0, weight[np.maximum(y, 0)])

    def torch(self, torch, a, y, reduction):
        tensors = ("weight", "pos_weight")
        options = {
            k: torch.tensor(v, dtype=a.dtype) if k in tensors else v
            for k, v in self.options.items()
        }
        loss = getattr(torch.nn, self.name)(reduction=reduction, **options)
        return self.adapt(loss)(a, torch.as_tensor(y).to(a.dtype if y.dtype.kind == "f" else None))

    def __str__(self):
        return f"{self.name}({','.join(self.options)}){self.y.__name__}"


CASES = [
    Case("MSELoss", outputs, normal, {}),
    Case("L1Loss", outputs, normal, {}),
    Case("SmoothL1Loss", outputs, normal, {}),
    Case("SmoothL1Loss", outputs, normal, {"beta": 0.3}),
    Case("SmoothL1Loss", outputs, normal, {"beta": 0.0}),
    Case("HuberLoss", outputs, normal, {}),
    Case("HuberLoss", outputs, normal, {"delta": 0.3}),
    Case("BCELoss", probabilities, probabilities, {}),
    Case("BCEWithLogitsLoss", outputs, probabilities, {}),
    Case("BCEWithLogitsLoss", outputs, probabilities, {"pos_weight": WEIGHT}),
    Case("BCEWithLogitsLoss", outputs, probabilities, {"pos_weight": 3.0}),
    Case("PoissonNLLLoss", outputs, counts, {}),
    Case("PoissonNLLLoss", outputs, counts, {"full": True}),
    Case("PoissonNLLLoss", probabilities, counts, {"log_input": False}),
    Case("PoissonNLLLoss", probabilities, counts, {"log_input": False, "full": True, "eps": 0.1}),
    Case("GaussianNLLLoss", variances, half(normal), {}, adapt=in_halves),
    Case("GaussianNLLLoss", variances, half(normal), {"full": True, "eps": 0.1}, adapt=in_halves),
    Case("KLDivLoss", log_softmax, shares, {}),
    Case("KLDivLoss", log_softmax, log_softmax, {"log_target": True}),
    Case("NLLLoss", log_softmax, classes, {}),
    Case("NLLLoss", log_softmax, some_ignored, {"weight": WEIGHT}),
    Case("CrossEntropyLoss", outputs, classes, {}),
    Case("CrossEntropyLoss", outputs, some_ignored, {"weight": WEIGHT}),
    Case("CrossEntropyLoss", outputs, some_ignored, {"label_smoothing": 0.2}),
    Case("CrossEntropyLoss", outputs, classes, {"label_smoothing": 0.2, "weight": WEIGHT}),
    Case("CrossEntropyLoss", outputs, shares, {}),
    Case("CrossEntropyLoss", outputs, shares, {"label_smoothing": 1.0, "weight": WEIGHT}),
    Case("QuantileLoss", outputs, lambda r, n: normal(r, n)[:, :2], {}, pinball),
    Case("HingeLoss", outputs, signs, {}, hinge),
]
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_member = pytest.mark.parametrize("name", MEMBERS)


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


def trained(case, loss, X, y, **options):
    net = nn.Sequential(nn.Linear(3, COLS), dtype="float64", seed=0)
    layers = {"BCELoss": nn.Sigmoid, "GaussianNLLLoss": nn.Sigmoid, "PoissonNLLLoss": nn.Sigmoid}
    if case.name in layers:
        net = nn.Sequential(nn.Linear(3, COLS), layers[case.name](), dtype="float64", seed=0)
    opt = optim.SGD(net.parameters(), lr=0.01)
    options = {"epochs": 1, "batch_size": None, "shuffle": False, **options}
    return net, opt, net.fit(X, y, loss=loss, optimizer=opt, **options)


class TestFit:
    """The same numbers in training."""

    @pytest.mark.parametrize("weighted", [False, True])
    @each_case
    def test_as_by_hand(self, case, weighted):
        X, y = np.random.default_rng(0).normal(size=(40, 3)), case.data(40)[1]
        w = np.random.default_rng(1).uniform(0, 2, 40) if weighted else None
        loss = case.loss()
        net, _, _ = trained(case, loss, X, y, epochs=0)
        before = loss(net.predict(X), y, w)
        opt = optim.SGD(net.parameters(), lr=0.01)
        for _ in range(3):
            net.backward(loss.delta(net.forward(X), y, w))
            opt.step()
            opt.zero_grad()
        other, _, history = trained(
            case, loss, X, y, epochs=3, sample_weight=w, validation_data=(X, y, w)
        )
        np.testing.assert_array_equal(net.flat_parameters, other.flat_parameters)
        assert history["loss"][0] == pytest.approx(before, rel=1e-13)
        assert history["val_loss"][-1] == pytest.approx(loss(other.predict(X), y, w), rel=1e-13)

    @each_case
    def test_in_batches_and_float32(self, case):
        X, y = np.random.default_rng(0).normal(size=(300, 3)), case.data(300)[1]
        net, _, history = trained(case, case.loss(), X, y, epochs=4, batch_size=64, shuffle=True)
        assert history["loss"][-1] < history["loss"][0]
        assert dp.check_gradients(net, case.loss(), X[:3], y[:3]).ok

    def test_targets_of_a_file(self, tmp_path):
        y = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float32, (40, COLS))
        X = np.zeros((40, 3))
        case = next(c for c in CASES if c.name == "BCELoss")
        y[17] = 3
        with pytest.raises(
            ValueError, match=r"^BCELoss: expected y from 0.0 to 1.0, got 3.0 in row 17$"
        ):
            trained(case, nn.BCELoss(), X, y, batch_size=8)

    def test_a_file_of_targets_for_several_quantiles(self, tmp_path):
        y = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float64, (300, 2))
        y[:] = np.random.default_rng(1).normal(size=(300, 2))
        X = np.random.default_rng(0).normal(size=(300, 3))
        case = next(c for c in CASES if c.name == "QuantileLoss")
        options = {"epochs": 3, "batch_size": 37, "shuffle": True}
        a, _, _ = trained(case, case.loss(), X, y, **options)
        b, _, _ = trained(case, case.loss(), X, np.array(y), **options)
        np.testing.assert_array_equal(a.flat_parameters, b.flat_parameters)


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


BAD_OPTIONS = [
    ("SmoothL1Loss", {"beta": -1}, ValueError, "expected a finite beta of 0 or more, got -1"),
    ("SmoothL1Loss", {"beta": "a"}, TypeError, "expected a number as beta, got 'a'"),
    ("HuberLoss", {"delta": 0}, ValueError, "expected a finite delta above 0, got 0"),
    ("HuberLoss", {"delta": np.nan}, ValueError, "expected a finite delta above 0, got nan"),
    ("HuberLoss", {"delta": 10**400}, ValueError, "expected a finite delta above 0, got 1000"),
    ("HuberLoss", {"delta": None}, TypeError, "expected a number as delta, got None"),
    (
        "CrossEntropyLoss",
        {"label_smoothing": 1.1},
        ValueError,
        "label_smoothing from 0 to 1, got 1",
    ),
    ("CrossEntropyLoss", {"weight": [1, -1]}, ValueError, "numbers of 0 or more, got -1.0 at 1"),
    ("CrossEntropyLoss", {"weight": [1, np.inf]}, ValueError, "numbers of 0 or more, got inf"),
    ("CrossEntropyLoss", {"weight": [[1]]}, ValueError, r"expected one number or more in a row"),
    ("CrossEntropyLoss", {"weight": "a"}, TypeError, "weight: expected real numbers"),
    ("CrossEntropyLoss", {"ignore_index": 1.0}, TypeError, "an integer as ignore_index, got 1.0"),
    ("NLLLoss", {"ignore_index": 2**63}, ValueError, "an ignore_index that fits 64 bits"),
    ("NLLLoss", {"weight": []}, ValueError, "expected one number or more in a row"),
    ("BCEWithLogitsLoss", {"pos_weight": -1}, ValueError, "pos_weight of 0 or more, got -1"),
    ("BCEWithLogitsLoss", {"pos_weight": [np.nan]}, ValueError, "pos_weight: expected finite"),
    ("BCEWithLogitsLoss", {"pos_weight": "a"}, TypeError, "expected a number as pos_weight"),
    (
        "PoissonNLLLoss",
        {"log_input": 1},
        TypeError,
        "expected log_input to be True or False, got 1",
    ),
    ("PoissonNLLLoss", {"full": None}, TypeError, "expected full to be True or False, got None"),
    ("PoissonNLLLoss", {"eps": -1}, ValueError, "expected a finite eps of 0 or more, got -1"),
    ("GaussianNLLLoss", {"eps": 0}, ValueError, "expected a finite eps above 0, got 0"),
    ("GaussianNLLLoss", {"full": "no"}, TypeError, "expected full to be True or False, got 'no'"),
    ("KLDivLoss", {"log_target": 0}, TypeError, "expected log_target to be True or False, got 0"),
    ("QuantileLoss", {"quantiles": [0.5, 1]}, ValueError, "above 0 and below 1, got 1.0 at 1"),
    ("QuantileLoss", {"quantiles": []}, ValueError, "expected one number or more in a row"),
    ("QuantileLoss", {"quantiles": 0.5}, ValueError, "expected one number or more in a row"),
]


class TestMaking:
    """Options, copies."""

    @pytest.mark.parametrize(("name", "options", "error", "text"), BAD_OPTIONS)
    def test_options_that_are_refused(self, name, options, error, text):
        with pytest.raises(error, match=rf"^{name}: .*{re.escape(text)}"):
            MEMBERS[name](**options)

    def test_every_option_is_refused_in_some_case(self):
        known = {(c.name, option) for c in CASES for option in c.options}
        assert known <= {(n, o) for n, options, _, _ in BAD_OPTIONS for o in options}

    @each_member
    def test_reductions(self, name):
        for bad in ("average", "batchmean"):
            if (name, bad) != ("KLDivLoss", "batchmean"):
                with pytest.raises(
                    ValueError, match=f"^reduction: expected 'mean', .* got '{bad}'$"
                ):
                    MEMBERS[name](reduction=bad)
        with pytest.raises(TypeError, match=f"^{name}: reduction: expected a name, got int$"):
            MEMBERS[name](reduction=3)
        for bad in (np.nan, "a"):
            with pytest.raises((ValueError, TypeError), match=f"^{name}: .* factor, got"):
                MEMBERS[name](factor=bad)

    @each_case
    def test_copies(self, case):
        a, y = case.data()
        loss = case.loss("none", factor=2)
        copies = [pickle.loads(pickle.dumps(loss, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)]
        rebuilt = eval(repr(loss), vars(nn))
        for other in (*copies, copy.copy(loss), copy.deepcopy(loss), rebuilt):
            assert other == loss
            assert hash(other) == hash(loss)
            assert repr(other) == repr(loss)
            np.testing.assert_array_equal(other(a, y), loss(a, y))

    def test_options_cannot_change_behind_its_back(self):
        weight = np.array([1.0, 2.0])
        loss = nn.CrossEntropyLoss(weight=weight)
        weight[:] = np.nan
        assert loss.weight == (1.0, 2.0)
        with pytest.raises(AttributeError):
            loss.weight = weight

    def test_the_core_knows_no_other_name(self):
        with pytest.raises(ValueError, match=r"^Loss: expected a known name, got 'L0Loss'$"):
            _core.NamedLoss("L0Loss", "mean", 1.0)

    def test_the_core_takes_the_options_that_it_describes(self):
        with pytest.raises(ValueError, match=r"^QuantileLoss: expected a number for each output"):
            _core.NamedLoss("QuantileLoss", "mean", 1.0)
        with pytest.raises(ValueError, match=r"^HuberLoss: expected 1 options, got 2$"):
            _core.NamedLoss("HuberLoss", "mean", 1.0, [1.0, 2.0])


class TestQuantiles:
    """Against scikit-learn."""

    @pytest.mark.parametrize("q", [0.05, 0.5, 0.8])
    def test_mean_pinball_loss(self, q, peer):
        metrics = peer("sklearn.metrics")
        rng = np.random.default_rng(0)
        a, y, w = rng.normal(size=(30, 1)), rng.normal(size=30), rng.uniform(size=30)
        wanted = metrics.mean_pinball_loss(y, a[:, 0], alpha=q, sample_weight=w)
        assert nn.QuantileLoss(quantiles=[q])(a, y, w) == pytest.approx(wanted, rel=1e-13)

    def test_columns(self):
        a, y = np.arange(12.0).reshape(2, 6), np.array([[0.0, 10.0], [20.0, 7.5]])
        found = nn.QuantileLoss(reduction="none", quantiles=[0.1, 0.5, 0.9])(a, y)
        for target in range(2):
            for i, q in enumerate((0.1, 0.5, 0.9)):
                one = nn.QuantileLoss(reduction="none", quantiles=[q])
                column = a[:, [3 * target + i]]
                np.testing.assert_array_equal(
                    one(column, y[:, target])[:, 0], found[:, 3 * target + i]
                )

    def test_a_linear_network_finds_the_quantiles(self, peer):
        regressor = peer("sklearn.linear_model").QuantileRegressor
        rng = np.random.default_rng(0)
        X = rng.uniform(-1, 1, (400, 1))
        y = 2 * X[:, 0] + rng.normal(size=400) * (1 + X[:, 0] / 2)
        quantiles = (0.1, 0.5, 0.9)
        loss = nn.QuantileLoss(quantiles=quantiles)
        net = nn.Sequential(nn.Linear(1, 3), dtype="float64", seed=0)
        for lr in (0.1, 0.01, 0.001):
            opt = optim.Adam(net.parameters(), lr=lr)
            net.fit(X, y, loss=loss, optimizer=opt, epochs=500, batch_size=None)
        best = [regressor(quantile=q, alpha=0).fit(X, y).predict(X) for q in quantiles]
        least = loss(np.stack(best, 1), y)
        assert least <= loss(net(X), y) < least * 1.0005


def test_hinge_loss_is_scikit_learns(peer):
    metrics = peer("sklearn.metrics")
    rng = np.random.default_rng(0)
    a, y = rng.normal(size=(50, 1)), rng.choice([-1, 1], 50)
    assert nn.HingeLoss()(a, y) == pytest.approx(metrics.hinge_loss(y, a[:, 0]), rel=1e-14)
