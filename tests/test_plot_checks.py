"""Pictures that tell whether something is right: gradients, classes, and where which class is."""

import math
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

import deltaprop as dp
from deltaprop import nn, optim, plot
from deltaprop._figure import BLUE, COLOURS, RED
from deltaprop.gradcheck import GradientReport, GradientRow

ROW = GradientRow("0.weight", (2, 3), 6, 0, 1e-9, (0, 1), 0.5, 0.5)


def report(*errors, tolerance=1e-6, **changes):
    rows = (replace(ROW, name=f"{i}.weight", max_error=e, **changes) for i, e in enumerate(errors))
    return GradientReport(tuple(rows), tolerance)


def bars_of(ax):
    """Return the right ends and the colours of the bars."""
    return [(b.get_x() + b.get_width(), to_hex(b.get_facecolor()).upper()) for b in ax.patches]


def words_of(ax):
    return [text.get_text() for text in ax.texts]


def test_errors_and_their_tolerance(canvas):
    ax = plot.gradient_check(report(1e-9, 1e-3, 1e-7), ax=canvas())
    ends, colours = zip(*bars_of(ax), strict=True)
    np.testing.assert_allclose(ends, [1e-9, 1e-3, 1e-7], rtol=1e-12)
    assert colours == (BLUE, RED, BLUE)
    assert words_of(ax) == ["1e-09", "0.001", "1e-07"]
    assert [text.get_fontweight() == "bold" for text in ax.texts] == [False, True, False]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0.weight", "1.weight", "2.weight"]
    assert ax.get_xscale() == "log"
    assert ax.get_lines()[0].get_xdata() == [1e-6, 1e-6]
    assert ax.get_title() == "gradients WRONG"
    low, high = ax.get_xlim()
    assert low < 1e-9
    assert high > 1e-3
    assert ax.yaxis_inverted()  # the first parameter stands above


def test_a_real_report(canvas):
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1), seed=0)
    found = dp.check_gradients(net, nn.MSELoss(), [[1.0, 2.0]], [[3.0]])
    ax = plot.gradient_check(found, ax=canvas())
    assert ax.get_title() == "gradients ok"
    names = [*(p.name for p in net.parameters()), "input"]
    assert [t.get_text() for t in ax.get_yticklabels()] == names


def test_errors_without_a_place_on_the_axis(canvas):
    ax = plot.gradient_check(report(0.0, math.inf, math.nan), ax=canvas())
    ends, colours = zip(*bars_of(ax), strict=True)
    low, high = ax.get_xlim()
    assert ends[0] == low  # no bar
    assert ends[1] == high  # all the width
    assert colours[1:] == (RED, RED)
    assert words_of(ax) == ["0", "inf", "nan"]


def test_kinks_are_told(canvas):
    ax = plot.gradient_check(report(1e-9, kinks=2), ax=canvas())
    assert words_of(ax) == ["1e-09 (2 on kinks)"]
    ax = plot.gradient_check(report(0.0, kinks=6), ax=canvas())
    assert words_of(ax) == ["none compared (6 on kinks)"]
    assert ax.get_title() == "gradients WRONG"


def test_the_worst_of_many(canvas):
    errors = np.geomspace(1e-12, 1e-7, 100)
    errors[3] = math.nan
    ax = plot.gradient_check(report(*errors), ax=canvas())
    np.testing.assert_allclose([end for end, _ in bars_of(ax)][1:], errors[61:], rtol=1e-12)
    assert [t.get_text() for t in ax.get_yticklabels()][:2] == ["3.weight", "61.weight"]
    assert ax.get_title() == "gradients WRONG, the 40 worst of 100 parameters"


def test_confusion(canvas):
    ax = plot.confusion([0, 0, 1, 1, 1, 5], [0, 1, 1, 1, 0, 0], ax=canvas())
    counts = ax.images[0].get_array()
    np.testing.assert_array_equal(counts, [[1, 1, 0], [1, 2, 0], [1, 0, 0]])
    assert words_of(ax) == [str(n) for n in counts.ravel()]
    for axis in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [label.get_text() for label in axis] == ["0", "1", "5"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")
    assert ax.get_title() == "accuracy 50.0% of 6"


def test_labels_name_all_classes(canvas):
    ax = plot.confusion([0, 1], [[1.0], [1.0]], labels=("cat", "dog", "fish"), ax=canvas())
    np.testing.assert_array_equal(ax.images[0].get_array(), [[0, 1, 0], [0, 1, 0], [0, 0, 0]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog", "fish"]


def test_one_class(canvas):
    ax = plot.confusion([3, 3], [3, 3], ax=canvas())
    np.testing.assert_array_equal(ax.images[0].get_array(), [[2]])
    assert ax.get_title() == "accuracy 100.0% of 2"


def test_many_classes_and_rows(canvas):
    rng = np.random.default_rng(0)
    true, seen = rng.integers(0, 50, (2, 10**6))
    ax = plot.confusion(true, seen, ax=canvas())
    counts = ax.images[0].get_array()
    assert counts.sum() == 10**6
    assert counts[3, 7] == ((true == 3) & (seen == 7)).sum()
    assert words_of(ax) == []  # too small to be read


@pytest.mark.parametrize(
    ("true", "seen", "labels", "message"),
    [
        ([0, 1], [0], None, "expected as many rows of each, and one or more, got 2 and 1"),
        ([], [], None, "expected as many rows of each, and one or more, got 0 and 0"),
        ([0], [[0.2, 0.8]], None, r"expected y_pred of shape \(N,\), got \(1, 2\); argmax"),
        ([0.5], [0], None, "expected integer classes in y_true, got other numbers"),
        ([np.nan], [0], None, "expected integer classes in y_true, got other numbers"),
        ([0, 2], [0, 1], "ab", "expected classes from 0 to 1, as there are labels, got 0 to 2"),
        ([-1], [0], "ab", "expected classes from 0 to 1, as there are labels, got -1 to 0"),
        (["cat"], ["dog"], None, "y_true: expected real numbers, got dtype <U3"),
        (3, 3, None, r"expected y_true of shape \(N,\), got \(\)"),
    ],
)
def test_what_a_confusion_refuses(true, seen, labels, message):
    with pytest.raises((TypeError, ValueError), match=rf"^plot\.confusion: {message}"):
        plot.confusion(true, seen, labels=labels)


RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 2))


def regions_of(ax):
    """Return the index of the class at each place, and the places along the two features."""
    (image,) = ax.images
    left, right, bottom, top = image.get_extent()
    pixels = np.asarray(image.get_array())
    colours, index = np.unique(pixels[..., :3].reshape(-1, 3), axis=0, return_inverse=True)
    own = {tuple(np.round(to_rgb(c), 6)): k for k, c in enumerate(COLOURS)}
    found = [own[tuple(np.round(c, 6))] for c in colours]
    rows, columns = pixels.shape[:2]
    shape = (rows, columns)
    classes = np.array(found)[index].reshape(shape)
    return classes, np.linspace(left, right, columns), np.linspace(bottom, top, rows)


def points_of(ax):
    return {c.get_label(): np.asarray(c.get_offsets()) for c in ax.collections}


def test_two_classes(canvas):
    y = (X[:, 0] > 0.3).astype(int)
    ax = plot.decision_boundary(lambda x: (x[:, 0] > 0.3).astype(int), X, y, ax=canvas())
    classes, first, _ = regions_of(ax)
    np.testing.assert_array_equal(classes, np.broadcast_to(first > 0.3, classes.shape))
    points = points_of(ax)
    for k in (0, 1):
        np.testing.assert_array_equal(points[str(k)], X[y == k])
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert left < X[:, 0].min() < X[:, 0].max() < right
    assert bottom < X[:, 1].min() < X[:, 1].max() < top
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("feature 0", "feature 1")
    assert ax.get_legend().get_title().get_text() == "class"
    # Distinct in form as well as in colour.
    forms = [c.get_paths()[0].vertices.shape for c in ax.collections]
    assert forms[0] != forms[1]


@pytest.mark.parametrize(
    ("labels", "middle"), [((0, 1), 0.5), ((-1, 1), 0.0), ((3, 7), 5.0), ((0,), 0.5), ((1,), 0.5)]
)
def test_one_column_of_outputs(labels, middle, canvas):
    y = np.where(X[:, 1] > 0, labels[-1], labels[0])
    model = lambda x: (5 * x[:, 1:]).astype(float)  # noqa: E731
    classes, _, second = regions_of(plot.decision_boundary(model, X, y, ax=canvas()))
    np.testing.assert_array_equal(classes[:, 0], 5 * second > middle)


@pytest.mark.parametrize("loss", [nn.BCEWithLogitsLoss(), nn.MSELoss()])
def test_logits_and_values_have_middles_of_their_own(loss, canvas):
    net = nn.Sequential(nn.Linear(2, 1), seed=0)
    y = (X[:, 0] > 0).astype(float)
    sgd = optim.SGD(net.parameters(), lr=0.1)
    net.fit(X, y, loss=loss, optimizer=sgd, epochs=3)
    classes, first, second = regions_of(plot.decision_boundary(net, X, y, ax=canvas()))
    places = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)
    middle = 0 if isinstance(loss, nn.BCEWithLogitsLoss) else 0.5
    expected = net(places)[:, 0] > middle
    assert (classes.ravel() == expected).mean() > 0.999  # but for rounding at the boundary


def test_several_classes(canvas):
    net = nn.Sequential(nn.Linear(2, 4), seed=0)
    y = RNG.integers(0, 4, 200)
    classes, first, second = regions_of(plot.decision_boundary(net, X, y, ax=canvas()))
    places = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)
    assert (classes.ravel() == net(places).argmax(axis=1)).mean() > 0.999


def test_classes_that_no_sample_has_are_in_the_legend(canvas):
    ax = plot.decision_boundary(lambda x: x @ np.eye(2, 3), X, np.zeros(200), ax=canvas())
    assert set(points_of(ax)) == {"0", "1", "2"}


def test_more_classes_than_colours(canvas):
    y = RNG.integers(0, 12, 200)
    ax = plot.decision_boundary(lambda x: np.arange(len(x)) % 12, X, y, ax=canvas())
    colours = {tuple(c.get_facecolor()[0]) for c in ax.collections}
    assert len(points_of(ax)) == len(colours) == 12


def test_a_million_samples_are_thinned(canvas):
    many = RNG.normal(size=(10**6, 2))
    ax = plot.decision_boundary(lambda x: x[:, 0], many, many[:, 0] > 0, ax=canvas())
    points = points_of(ax)
    assert sum(map(len, points.values())) == 2000
    assert min(map(len, points.values())) > 800
    assert ax.get_legend().get_title().get_text() == "class (2,000 of 1,000,000)"


def test_one_sample_of_one_class(canvas):
    ax = plot.decision_boundary(lambda x: x[:, 0], [[1.0, 2.0]], [1], ax=canvas())
    assert ax.get_xlim()[0] < 1 < ax.get_xlim()[1]
    assert set(points_of(ax)) >= {"1"}


@pytest.mark.parametrize(
    ("model", "X", "y", "message"),
    [
        (len, X[:, :1], np.zeros(200), r"expected X of shape \(N, 2\), got \(200, 1\)"),
        (len, X, np.zeros(3), r"expected y of shape \(200,\), got \(3,\)"),
        (len, X, X[:, 0], "expected integer classes in y, got other numbers"),
        (None, X, np.zeros(200), "expected a network or another callable, got NoneType"),
        (lambda x: x[:, 0], X, np.arange(200) % 3, "expected a column of outputs for each of 3 cl"),
        (len, X[:0], [], "expected at least one finite point, got none"),
        (lambda x: x.T, X, np.zeros(200), r"expected the model to give \(90000, k\), got \(2, 900"),
    ],
)
def test_what_a_boundary_refuses(model, X, y, message):
    with pytest.raises((TypeError, ValueError), match=rf"^plot\.decision_boundary: {message}"):
        plot.decision_boundary(model, X, y)
