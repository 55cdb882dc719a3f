"""Paths of descents."""

import numpy as np
import pytest

from deltaprop import graph, optim, plot


def bowl(x, y):
    return x**2 + np.sin(y) ** 2


PATH = optim.descend(bowl, (3.0, 1.0), lr=0.1, steps=40)
LINE = optim.descend(lambda x: x**2, 1.2, lr=0.3, steps=6)


def path_of(ax):
    """Return the path, its start and its end, by label."""
    return {line.get_label().split(",")[0]: line for line in ax.get_lines()}


def test_on_a_curve(canvas):
    ax = plot.descent_1d(lambda x: x**2, LINE, ax=canvas())
    lines = path_of(ax)
    np.testing.assert_array_equal(lines["path"].get_xdata(), LINE.points[:, 0])
    np.testing.assert_allclose(lines["path"].get_ydata(), LINE.values, rtol=1e-15)
    x, y = lines["f"].get_data()
    np.testing.assert_array_equal(y, x**2)
    assert x[0] < LINE.points.min()
    assert x[-1] > LINE.points.max()
    assert lines["path"].get_label() == "path, 6 steps"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "f(x)")
    assert lines["start"].get_xdata() == [1.2]
    assert lines["end"].get_xdata() == LINE.points[-1]


def test_on_contours(canvas):
    ax = plot.descent_contour(bowl, PATH, ax=canvas())
    lines = path_of(ax)
    np.testing.assert_array_equal(lines["path"].get_xydata(), PATH.points)
    np.testing.assert_array_equal(lines["start"].get_xydata(), PATH.points[:1])
    np.testing.assert_array_equal(lines["end"].get_xydata(), PATH.points[-1:])
    (low, high), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert low < PATH.points[:, 0].min() < PATH.points[:, 0].max() < high
    assert bottom < PATH.points[:, 1].min() < PATH.points[:, 1].max() < top
    filled = ax.collections[0]
    gaps = np.diff(np.sqrt(filled.levels - filled.levels[0]))
    np.testing.assert_allclose(gaps, gaps[0])  # equal around the bottom of a bowl
    assert len(ax.figure.axes) == 2  # the colour bar
    assert ax.figure.axes[1].get_ylabel() == "f(x, y)"


def test_on_a_surface(canvas):
    ax = plot.descent_surface(bowl, PATH, ax=canvas(projection="3d"))
    line = path_of(ax)["path"]
    np.testing.assert_array_equal(np.column_stack(line.get_data_3d())[:, :2], PATH.points)
    np.testing.assert_allclose(line.get_data_3d()[2], PATH.values, rtol=1e-12)
    (surface,) = ax.collections
    assert line.get_zorder() > surface.get_zorder()
    assert not ax.computed_zorder
    assert ax.get_zlabel() == "f(x, y)"


@pytest.mark.parametrize("path", [[1.0], [[1.0]], np.float32([1, 2]), [1.0, np.inf, 2.0]])
def test_short_paths(path, canvas):
    ax = plot.descent_1d(np.cos, path, ax=canvas())
    x = path_of(ax)["path"].get_xdata()
    assert np.isfinite(x).all()
    assert x[0] == 1


def test_one_point_of_two_variables(canvas):
    ax = plot.descent_contour(bowl, [(0.0, 0.0)], ax=canvas())
    assert ax.get_xlim()[0] < 0 < ax.get_xlim()[1]


def test_a_constant_function(canvas):
    ax = plot.descent_contour(lambda x, y: 3.0, PATH, ax=canvas())
    assert ax.has_data()
    ax = plot.descent_surface(lambda x, y: 3.0, PATH, ax=canvas(projection="3d"))
    assert set(path_of(ax)["path"].get_data_3d()[2]) == {3.0}


def test_a_function_of_the_graph(canvas):
    path = optim.descend(lambda x: graph.exp(x) - x, 1.0, lr=0.1, steps=5)
    ax = plot.descent_1d(lambda x: graph.exp(x) - x, path, ax=canvas())
    np.testing.assert_allclose(path_of(ax)["path"].get_ydata(), path.values, rtol=1e-12)


def test_a_long_path_is_thinned(canvas):
    points = np.column_stack([np.cos(np.arange(10**5) / 1e4), np.sin(np.arange(10**5) / 1e4)])
    line = path_of(plot.descent_contour(bowl, points, ax=canvas()))["path"]
    assert len(line.get_xdata()) == 2000
    np.testing.assert_array_equal(line.get_xydata()[[0, -1]], points[[0, -1]])
    assert line.get_marker() == "None"
    assert line.get_label() == "path, 99,999 steps"


def test_a_descent_that_diverged(canvas):
    path = optim.descend(lambda x: x**2, 1.0, lr=1.5, steps=50)
    assert path.stop_reason == "diverged"
    ax = plot.descent_1d(lambda x: x**2, path, ax=canvas())
    assert len(path_of(ax)["path"].get_xdata()) == len(path.values)


@pytest.mark.parametrize(
    ("name", "f", "path", "message"),
    [
        ("descent_1d", np.cos, PATH, r"expected a path of shape \(N,\) or \(N, 1\), got \(41, 2\)"),
        ("descent_contour", bowl, LINE, r"expected a path of shape \(N, 2\), got \(7, 1\)"),
        ("descent_surface", bowl, [1.0], r"expected a path of shape \(N, 2\), got \(1,\)"),
        ("descent_1d", np.cos, [], "expected a path with a finite point, got none"),
        ("descent_contour", bowl, [(np.nan, 1.0)], "expected a path with a finite point, got none"),
        ("descent_1d", 3, [1.0], "expected a function of arrays, got int"),
        ("descent_1d", np.sum, LINE.points[:0], "expected a path with a finite point, got none"),
        ("descent_1d", lambda x: x[:3], [1.0], r"expected f to give \(500,\), got \(3,\)"),
        ("descent_1d", np.cos, "abc", "path: expected real numbers, got dtype <U3"),
    ],
)
def test_what_is_refused(name, f, path, message):
    with pytest.raises((TypeError, ValueError), match=rf"^plot\.{name}: {message}"):
        getattr(plot, name)(f, path)
