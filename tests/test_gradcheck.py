"""check_gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import deltaprop as dp
from deltaprop import nn
from gradcheck_cases import Loss, Scale, check

ACTIVATIONS = [nn.Identity, nn.Sigmoid, nn.Tanh, nn.ReLU]
REDUCTIONS = ["mean", "sum", "none"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_passes_the_built_in_ones(activation, reduction, dtype, rng):
    net = nn.Sequential(
        nn.Linear(3, 6), activation(), nn.Linear(6, 4), activation(), dtype=dtype, seed=1
    )
    x = rng.normal(size=(5, 3))
    report = dp.check_gradients(
        net, nn.MSELoss(reduction=reduction, factor=0.5), x, rng.normal(size=(5, 4))
    )
    assert report.ok, report
    assert report.max_error < 1e-6
    y = rng.integers(0, 4, 5)
    assert dp.check_gradients(net, nn.CrossEntropyLoss(reduction=reduction), x, y).ok


@settings(max_examples=30, deadline=None)
@given(
    widths=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    kinds=st.lists(st.sampled_from(ACTIVATIONS), min_size=4, max_size=4),
    rows=st.integers(1, 5),
    size=st.sampled_from([1e-3, 1, 10]),
    seed=st.integers(0, 2**16),
)
def test_it_passes_any_network(widths, kinds, rows, size, seed):
    rng = np.random.default_rng(seed)
    layers = []
    for a, b, kind in zip(widths, widths[1:], kinds, strict=False):
        layers += [nn.Linear(a, b), kind()]
    net = nn.Sequential(*layers, seed=seed)
    x = rng.normal(size=(rows, widths[0])) * size
    report = dp.check_gradients(net, nn.MSELoss(), x, rng.normal(size=(rows, widths[-1])))
    assert report.ok, report


class TestKinks:
    """ReLU's corner."""

    def test_exactly_at_0(self):
        net = nn.Sequential(nn.ReLU())
        x = np.array([[0.0, 1.0, -1.0], [-0.0, 0.5, 0.0]])
        report = dp.check_gradients(net, nn.MSELoss(), x, np.full((2, 3), 2.0))
        assert report.ok, report
        (row,) = report.rows
        assert (row.name, row.checked, row.kinks) == ("input", 6, 3)

    def test_dead_and_touching_units(self, rng):
        net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), seed=0)
        net[0].bias = 0
        # All units of the row of zeros stand on their corners.
        x = np.vstack([np.zeros(3), rng.normal(size=(3, 3))])
        report = dp.check_gradients(net, nn.MSELoss(), x, rng.normal(size=(4, 2)))
        assert report.ok, report
        assert sum(row.kinks for row in report.rows) > 0

    @pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-7])
    def test_beside_0(self, distance):
        x = np.array([[distance, -distance, 1.0]])
        report = dp.check_gradients(nn.Sequential(nn.ReLU()), nn.MSELoss(), x, np.ones((1, 3)))
        assert report.ok, report
        # So near that no usable step lies on one side, it may count as a kink.
        assert report.rows[-1].kinks <= (2 if distance < 1e-6 else 0)

    def test_a_smooth_network_has_none(self, rng):
        net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        assert sum(row.kinks for row in check(net, rng).rows) == 0

    def test_they_hide_no_wrong_gradient(self, rng):
        def wrong(gradient, back):
            gradient *= 1.01

        net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), Scale(wrong=wrong), nn.ReLU())
        assert not check(net, rng).ok


class TestWrong:
    """Gradients that are wrong, and must be found."""

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda g, b: g.__imul__(1 + 1e-4),
            lambda g, b: g.__imul__(-1),
            lambda g, b: g.__imul__(0),
            lambda g, b: g.__setitem__(1, g[1] * (1 + 1e-4)),
            lambda g, b: g.__setitem__(slice(None), g[::-1].copy()),
            lambda g, b: g.__iadd__(1e-3),
            lambda g, b: g.__setitem__(0, np.nan),
            lambda g, b: g.__setitem__(1, np.nan),
            lambda g, b: g.__setitem__(2, np.nan),
            lambda g, b: g.__setitem__(0, np.inf),
        ],
        ids=[
            "scaled",
            "negated",
            "zero",
            "one",
            "swapped",
            "shifted",
            "nan0",
            "nan1",
            "nan2",
            "inf",
        ],
    )
    def test_a_parameters_gradient(self, wrong, rng):
        report = check(nn.Sequential(nn.Linear(3, 3), Scale(wrong=wrong), nn.Tanh()), rng)
        assert not report.ok, report
        rows = {row.name: row for row in report.rows}
        assert not rows["1.factor"].max_error <= report.tolerance
        assert not report.max_error <= report.tolerance
        assert all(rows[n].max_error <= report.tolerance for n in ("0.weight", "0.bias", "input"))
        assert "WRONG" in repr(report)

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda g, b: b.__imul__(1 + 1e-4),
            lambda g, b: b.__imul__(0),
            lambda g, b: b.__setitem__((0, 0), b[0, 0] * 1.001),
            lambda g, b: b.__setitem__((0, 0), np.nan),
        ],
        ids=["scaled", "zero", "one", "nan"],
    )
    def test_a_layers_delta(self, wrong, rng):
        report = check(nn.Sequential(nn.Linear(3, 3), Scale(wrong=wrong)), rng)
        assert not report.ok, report
        rows = {row.name: row for row in report.rows}
        assert rows["1.factor"].max_error <= report.tolerance
        assert not rows["0.weight"].max_error <= report.tolerance
        assert not rows["input"].max_error <= report.tolerance

    def test_that_overwrites_instead_of_adding(self, rng):
        class Two(nn.Layer):
            def __init__(self):
                self.parameter("a", np.ones(3))

            def forward(self, x, training):
                self.x = x
                return x * self.a * self.a

            def backward(self, delta):
                self.grad_a = (delta * self.x * self.a).sum(0)  # forgets the factor 2
                return delta * self.a**2

        assert not check(nn.Sequential(Two()), rng).ok

    @pytest.mark.parametrize(
        "wrong",
        [lambda d: d * (1 + 1e-4), lambda d: -d, lambda d: d * 0, lambda d: d / 2, lambda d: d + 1],
    )
    def test_a_losss_delta(self, wrong, rng):
        net = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
        assert check(net, rng, Loss()).ok
        report = check(net, rng, Loss(wrong))
        assert not report.ok, report
        assert all(row.max_error > report.tolerance for row in report.rows)

    def test_one_element_of_a_losss_delta(self, rng):
        def wrong(delta):
            delta[2, 1] *= 1.001
            return delta

        report = check(nn.Sequential(nn.Identity()), rng, Loss(wrong))
        assert not report.ok
        assert report.rows[-1].worst == (2, 1)

    @pytest.mark.parametrize("size", [1e-6, 1e6])
    def test_at_any_scale_of_the_loss(self, size, rng):
        class Scaled(Loss):
            def __call__(self, outputs, y):
                return size * super().__call__(outputs, y)

            def delta(self, outputs, y):
                return size * super().delta(outputs, y)

        net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), seed=0)
        assert check(net, rng, Scaled()).ok
        assert not check(net, rng, Scaled(lambda d: d * 1.001)).ok

    def test_tolerance_decides(self, rng):
        net = nn.Sequential(Scale(wrong=lambda g, b: g.__imul__(1.001)))
        assert not check(net, rng, tolerance=1e-4).ok
        assert check(net, rng, tolerance=1e-2).ok

    @pytest.mark.parametrize("tolerance", [0, -1, np.nan])
    def test_a_tolerance_that_is_none(self, tolerance, rng):
        with pytest.raises(ValueError, match=r"^check_gradients: expected tolerance > 0"):
            check(nn.Sequential(nn.Linear(3, 3)), rng, tolerance=tolerance)


class TestUntouched:
    """The network stays as it was, to the bit."""

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_parameters_gradients_and_passes(self, dtype, rng):
        net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), Scale(4), nn.Linear(4, 2), dtype=dtype)
        x = rng.normal(size=(5, 3))
        net.forward(x)
        net.backward(np.ones((5, 2)))
        net.forward(x)
        arrays = [net.flat_parameters, net.flat_gradients, *net.activations, net[2].x]
        kept = [a.tobytes() for a in arrays]
        layer_x = net[2].x
        assert check(net, rng).ok
        assert [a.tobytes() for a in arrays] == kept
        assert net[2].x is layer_x
        net.backward(np.ones((5, 2)))

    def test_a_layer_alone(self, rng):
        layer = nn.Linear(3, 2)
        kept = layer.weight.copy()
        report = check(layer, rng)
        assert report.ok
        np.testing.assert_array_equal(layer.weight, kept)
        nn.Sequential(layer)

    def test_what_it_is_given(self, rng):
        x, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
        for array in (x, y):
            array.flags.writeable = False
        assert dp.check_gradients(nn.Linear(3, 2), nn.MSELoss(), x, y).ok

    def test_its_random_choice_is_always_the_same(self, rng):
        net = nn.Sequential(nn.Linear(3, 4), seed=0)
        x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 4))
        a = dp.check_gradients(net, nn.MSELoss(), x, y, max_checks=3)
        np.random.seed(1)  # noqa: NPY002  (it is its influence that is tested)
        assert dp.check_gradients(net, nn.MSELoss(), x, y, max_checks=3) == a


@pytest.mark.parametrize("scale", [1e-6, 1, 1e3, 1e5, 1e6])
@pytest.mark.parametrize("seed", range(5))
def test_no_scale_of_the_targets_hides_a_wrong_delta(scale, seed):
    class Wrong(nn.Tanh):
        pass

    class Off(nn.Layer):
        def forward(self, x, training):
            return x

        def backward(self, delta):
            return delta * 1.01

    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(6, 3)), scale * rng.normal(size=(6, 2))

    def net(middle):
        return nn.Sequential(nn.Linear(3, 5), Wrong(), middle, nn.Linear(5, 2), seed=seed)

    right = dp.check_gradients(net(nn.Identity()), nn.MSELoss(), x, y)
    assert right.ok, right
    wrong = dp.check_gradients(net(Off()), nn.MSELoss(), x, y)
    assert not wrong.ok, wrong
    assert sum(row.kinks for row in (*right.rows, *wrong.rows)) == 0


def test_random_layers_are_refused():
    class Random(nn.Layer):
        def __init__(self):
            self.rng = np.random.default_rng(0)

        def forward(self, x, training):
            self.mask = self.rng.random(x.shape) < 0.5
            return x * self.mask

        def backward(self, delta):
            return delta * self.mask

    net = nn.Sequential(nn.Linear(2, 6), Random(), nn.Linear(6, 1), seed=0)
    with pytest.raises(ValueError, match=r"^check_gradients: expected the same loss each time"):
        dp.check_gradients(net, nn.MSELoss(), np.ones((5, 2)), np.ones((5, 1)))


def test_kinks_beside_a_value_are_stepped_round():
    # Inputs so near to ReLU's kink that the first step reaches over it.
    x = np.array([[1e-5, -1e-5, 0.3], [2e-6, 1e-4, -0.5]])
    report = dp.check_gradients(nn.Sequential(nn.ReLU()), nn.MSELoss(), x, np.ones((2, 3)))
    assert report.ok, report
