"""What all pictures have in common: Axes, errors, and colours that any page lets be seen."""

import sys

import numpy as np
import pytest
from matplotlib import colormaps, pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

import deltaprop as dp
from deltaprop import nn, optim, plot
from deltaprop._figure import COLOURS

RNG = np.random.default_rng(0)
X = np.linspace(-1, 1, 60).reshape(-1, 1)
POINTS = RNG.normal(size=(60, 2))
CLASSES = RNG.integers(0, 3, 60)


def trained():
    net = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1), seed=0)
    adam = optim.Adam(net.parameters(), lr=0.01)
    history = net.fit(
        X, X**2, loss=nn.MSELoss(), optimizer=adam, epochs=20, validation_data=(X, X**2)
    )
    a = net.forward(X)
    net.backward(nn.MSELoss().delta(a, X**2))
    return net, history


NET, HISTORY = trained()
REPORT = dp.check_gradients(NET, nn.MSELoss(), X[:4], X[:4])


def bowl(x, y):
    return x**2 + 2 * y**2


PATH = optim.descend(bowl, (2.0, 1.0), lr=0.1, steps=10)
# Every function with arguments that it draws, and with one that it refuses.
CALLS = {
    "activations": ((NET,), (HISTORY,)),
    "confusion": ((CLASSES, CLASSES), (CLASSES, CLASSES[:3])),
    "decision_boundary": ((lambda x: x[:, 0], POINTS, CLASSES > 0), (NET, POINTS, POINTS)),
    "deltas": ((NET,), (HISTORY,)),
    "descent_1d": ((np.cos, [2.0, 1.0, 0.5]), (np.cos, PATH)),
    "descent_contour": ((bowl, PATH), (bowl, [1.0])),
    "descent_surface": ((bowl, PATH), (bowl, [1.0])),
    "fit_1d": ((NET, X, X**2), (NET, POINTS, X)),
    "gradient_check": ((REPORT,), (HISTORY,)),
    "history": ((HISTORY,), (REPORT,)),
    "network": ((NET,), (HISTORY,)),
}


def projection(name):
    return "3d" if name == "descent_surface" else "rectilinear"


def test_every_function_is_tried():
    assert set(CALLS) == set(plot.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_given_axes_are_drawn_on_and_returned(name, canvas):
    ax = canvas(projection=projection(name))
    assert not ax.has_data()
    assert getattr(plot, name)(*CALLS[name][0], ax=ax) is ax
    assert ax.has_data()


@pytest.mark.parametrize("name", CALLS)
def test_without_axes_there_is_one_new_figure(name):
    before = pyplot.figure()
    ax = getattr(plot, name)(*CALLS[name][0])
    assert len(pyplot.get_fignums()) == 2
    assert ax.figure is not before
    pyplot.close("all")


@pytest.mark.parametrize("name", CALLS)
def test_what_is_refused_leaves_no_figure(name):
    with pytest.raises((TypeError, ValueError), match=rf"^plot\.{name}: expected .*, got ") as info:
        getattr(plot, name)(*CALLS[name][1])
    assert "\n" not in str(info.value)
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_axes_is_refused(name, canvas):
    function, arguments = getattr(plot, name), CALLS[name][0]
    with pytest.raises(TypeError, match=rf"^plot\.{name}: expected ax to be an Axes, got Figure$"):
        function(*arguments, ax=Figure())
    expected, other = projection(name), "polar" if name == "descent_surface" else "3d"
    message = rf"^plot\.{name}: expected ax of projection '{expected}', got one of '{other}'$"
    with pytest.raises(ValueError, match=message):
        function(*arguments, ax=canvas(projection=other))


@pytest.mark.parametrize("name", CALLS)
def test_without_matplotlib_it_says_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = rf'^plot\.{name} needs matplotlib: pip install "deltaprop\[plot\]"$'
    with pytest.raises(ImportError, match=message):
        getattr(plot, name)(*CALLS[name][0])


def luminance(colour):
    """Return the relative luminance of sRGB, as in the Web Content Accessibility Guidelines."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return np.dot(linear, (0.2126, 0.7152, 0.0722))


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("name", [n for n in CALLS if n != "confusion"])
def test_words_can_be_read_on_any_page(name, style, canvas):
    with pyplot.style.context(style):
        ax = getattr(plot, name)(*CALLS[name][0], ax=canvas(projection=projection(name)))
        page = ax.figure.get_facecolor()
        # Of every Axes: a colour bar, or a second axis, is one as well.
        words = [text for part in ax.figure.axes for text in part.findobj(Text) if text.get_text()]
        assert words
        for text in words:
            assert contrast(text.get_color(), page) > 3, text.get_text()


@pytest.mark.parametrize("page", ["white", "black"])
def test_the_first_colours_stand_out_on_any_page(page):
    assert all(contrast(colour, page) > 2 for colour in COLOURS[:5])


def test_words_in_a_confusion_matrix_stand_out_from_their_cells(canvas):
    ax = plot.confusion([0, 0, 0, 0, 1, 1, 2], [0, 0, 0, 0, 1, 0, 2], ax=canvas())
    (image,) = ax.images
    assert len(ax.texts) == 9
    for text in ax.texts:
        column, row = text.get_position()
        cell = image.cmap(image.norm(image.get_array()[row, column]))
        assert contrast(text.get_color(), cell) > 4


def seen_without_red_or_green(colour):
    """Return about what deuteranopes see: Vienot, Brettel and Mollon (1999), in linear light."""
    linear = np.array([luminance((c, c, c)) for c in to_rgb(colour)])
    lms = np.array([[17.8824, 43.5161, 4.1194], [3.4557, 27.1554, 3.8671], [0.03, 0.1843, 1.4671]])
    blind = np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]])
    return np.linalg.inv(lms) @ blind @ lms @ linear


def test_colours_can_be_told_apart_by_the_colour_blind():
    first = [seen_without_red_or_green(colour) for colour in COLOURS[:4]]
    for i in range(len(first)):
        for j in range(i):
            assert np.abs(first[i] - first[j]).max() > 0.1
    # As they would not be in the colours that come to mind first.
    red, green = map(seen_without_red_or_green, ("#c00000", "#5f7f00"))
    assert np.abs(red - green).max() < 0.1


def test_the_maps_are_what_they_are_for(canvas):
    image = plot.activations(NET, ax=canvas()).images[0]
    assert image.cmap == colormaps["viridis"]
    image = plot.deltas(NET, ax=canvas()).images[0]
    assert image.cmap == colormaps["RdBu_r"]
    assert image.norm.vmin == -image.norm.vmax


def test_a_figure_can_be_written(tmp_path):
    ax = plot.history(HISTORY)
    FigureCanvasAgg(ax.figure).print_png(tmp_path / "history.png")
    assert (tmp_path / "history.png").stat().st_size > 5000
    pyplot.close(ax.figure)
