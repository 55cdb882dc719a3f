"""The course of a fit, and a fitted function of one variable."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from deltaprop import History, nn, optim, plot
from deltaprop._figure import BLUE, COLOURS, ORANGE, outline

X = np.linspace(-1, 1, 50).reshape(-1, 1)


def history_of(**columns):
    history = History()
    history._extend({"loss": [], "lr": [], **columns})
    history.epochs = len(history["loss"])
    return history


def fitted(epochs=30, **options):
    net = nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1), seed=0)
    adam = optim.Adam(net.parameters(), lr=0.02)
    optim.StepLR(adam, 10, 0.5)
    return net.fit(X, X**2, loss=nn.MSELoss(), optimizer=adam, epochs=epochs, **options)


def lines_of(ax):
    return {
        line.get_label(): line
        for part in ax.figure.axes
        for line in part.get_lines()
        if len(line.get_xdata()) > 0 and not line.get_label().startswith("_")
    }


def right_of(ax):
    (right,) = (part for part in ax.figure.axes if part is not ax)
    return right


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_history(canvas):
    history = fitted(validation_data=(X, X**2))
    ax = plot.history(history, ax=canvas())
    lines = lines_of(ax)
    for label, key in (("loss", "loss"), ("validation", "val_loss"), ("learning rate", "lr")):
        np.testing.assert_array_equal(lines[label].get_xdata(), np.arange(1, 31))
        np.testing.assert_array_equal(lines[label].get_ydata(), history[key])
    assert legend_of(ax) == ["loss", "validation", "learning rate"]
    styles = [line.get_linestyle() for line in lines.values()]
    assert len(set(styles)) == 3
    assert (lines["loss"].get_color(), lines["validation"].get_color()) == (BLUE, ORANGE)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")
    right = right_of(ax)
    assert right.get_ylabel() == "learning rate"
    assert right.get_ylim()[0] == 0
    assert lines["learning rate"].axes is right


@pytest.mark.parametrize("size", [(6.4, 4.8), (4, 3), (12, 9)])
def test_its_legend_hides_nothing(size, canvas):
    ax = plot.history(fitted(validation_data=(X, X**2)), ax=canvas())
    ax.set_title("A title")
    ax.figure.set_size_inches(size)
    renderer = FigureCanvasAgg(ax.figure).get_renderer()
    ax.figure.draw(renderer)
    legend = ax.get_legend().get_window_extent(renderer)
    for other in (ax, ax.title, ax.xaxis.label, *ax.get_xticklabels()):
        assert not legend.overlaps(other.get_window_extent(renderer)), other
    assert legend.y0 >= 0


def test_its_own_method_draws_the_same(canvas):
    history = fitted()
    ax = canvas()
    assert history.plot(ax=ax) is ax
    np.testing.assert_array_equal(lines_of(ax)["loss"].get_ydata(), history["loss"])
    assert legend_of(ax) == ["loss", "learning rate"]


def test_several_histories_have_a_colour_each(canvas):
    histories = {"short": fitted(5), "long": fitted(20, validation_data=(X, X**2))}
    ax = plot.history(histories, ax=canvas())
    lines = lines_of(ax)
    assert list(lines) == ["short", "long"]
    for i, name in enumerate(histories):
        np.testing.assert_array_equal(lines[name].get_ydata(), histories[name]["loss"])
        assert lines[name].get_color() == COLOURS[i]
    assert legend_of(ax) == ["short", "long", "validation", "learning rate"]
    dashed = [line for line in ax.get_lines() if line.get_linestyle() == "--"]
    np.testing.assert_array_equal(dashed[0].get_ydata(), histories["long"]["val_loss"])
    assert to_hex(dashed[0].get_color()) == COLOURS[1].lower()
    rates = [line for line in right_of(ax).get_lines() if len(line.get_xdata()) > 0]
    assert [line.get_color() for line in rates] == list(COLOURS[:2])


@pytest.mark.parametrize(
    ("loss", "scale"),
    [([1.0, 0.5, 0.02], "linear"), ([1.0, 0.5, 0.001], "log"), ([1000.0, 0.0], "linear"),
     ([1000.0, -1.0], "linear"), ([1.0, np.nan, 1e-6], "log"), ([np.inf, 1.0], "linear")],
)  # fmt: skip
def test_the_scale_follows_the_losses(loss, scale, canvas):
    assert plot.history(history_of(loss=loss), ax=canvas()).get_yscale() == scale


@pytest.mark.parametrize(
    ("rates", "scale"),
    [
        (0.1 * 0.8 ** np.arange(50), "log"),
        (0.05 * (1 + np.cos(np.linspace(0, 3.14, 50))), "linear"),
        (np.linspace(0.1, 0.05, 50), "linear"),
    ],
    ids=["exponential", "cosine", "linear"],
)
def test_the_scale_follows_the_learning_rates(rates, scale, canvas):
    ax = plot.history(history_of(loss=np.ones(50), lr=rates), ax=canvas())
    assert right_of(ax).get_yscale() == scale


def test_a_learning_rate_that_stays_is_a_word(canvas):
    steady = history_of(loss=[1.0, 0.5], lr=[0.003, 0.003])
    ax = plot.history(steady, ax=canvas())
    assert legend_of(ax) == ["loss", "learning rate 0.003"]
    assert len(ax.figure.axes) == 1
    ax = plot.history({"a": steady, "b": history_of(loss=[2.0, 1.0], lr=[0.1, 0.1])}, ax=canvas())
    assert legend_of(ax) == ["a", "b"]
    ax = plot.history({"a": steady, "b": history_of(loss=[2.0, 1.0], lr=[0.1, 0.2])}, ax=canvas())
    assert legend_of(ax) == ["a", "b", "learning rate"]
    assert len(right_of(ax).get_lines()) == 3


def test_a_history_without_epochs(canvas):
    ax = plot.history(fitted(0), ax=canvas())
    assert legend_of(ax) == ["loss"]
    assert len(ax.get_lines()[0].get_xdata()) == 0
    assert len(ax.figure.axes) == 1


def test_a_single_epoch_can_be_seen(canvas):
    line = lines_of(plot.history(fitted(1), ax=canvas()))["loss"]
    assert line.get_xdata().tolist() == [1]
    assert line.get_marker() == "o"


def test_what_is_not_a_number_is_a_gap(canvas):
    line = lines_of(plot.history(history_of(loss=[3.0, np.nan, 2.0, 1.0]), ax=canvas()))["loss"]
    assert np.isnan(line.get_ydata()).tolist() == [False, True, False, False]


def test_epochs_are_whole_numbers(canvas):
    ax = plot.history(fitted(2), ax=canvas())
    ticks = ax.get_xticks()
    np.testing.assert_array_equal(ticks, np.round(ticks))


def test_a_long_history_is_thinned_and_keeps_its_peaks(canvas):
    loss = np.ones(300_000)
    loss[[123_456, 200_001]] = 50.0, 0.5
    line = lines_of(plot.history(history_of(loss=loss), ax=canvas()))["loss"]
    x, y = line.get_xdata(), line.get_ydata()
    assert len(x) <= 2001
    assert {123_457, 200_002, 300_000} <= set(x.tolist())
    np.testing.assert_array_equal(y, loss[x - 1])


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 99, 100, 101, 1234])
def test_an_outline(count):
    values = np.random.default_rng(count).normal(size=count)
    shown = outline(values, 10)
    assert len(shown) == count if count <= 10 else len(shown) <= 11
    assert (np.diff(shown) > 0).all()
    if count > 0:
        assert values[shown].min() == values.min()
        assert values[shown].max() == values.max()
        assert shown[-1] == count - 1


def test_an_outline_of_what_is_mostly_missing():
    values = np.full(1000, np.nan)
    values[555] = 1.0
    shown = outline(values, 20)
    assert 555 in shown
    assert len(shown) <= 21


@pytest.mark.parametrize("wrong", [{"a": 1}, {"a": {"loss": [1.0]}}, [1.0, 2.0], {}, None])
def test_what_is_no_history(wrong):
    with pytest.raises((TypeError, ValueError), match=r"^plot\.history: expected"):
        plot.history(wrong)


def test_samples_and_line(canvas):
    ax = plot.fit_1d(np.sin, X, np.cos(X), ax=canvas())
    samples, line = ax.get_lines()
    np.testing.assert_array_equal(samples.get_xdata(), X[:, 0])
    np.testing.assert_array_equal(samples.get_ydata(), np.cos(X[:, 0]))
    assert samples.get_linestyle() == "None"
    x, y = line.get_data()
    np.testing.assert_array_equal(y, np.sin(x))
    assert x[0] <= -1
    assert x[-1] >= 1
    assert len(x) >= 200
    assert legend_of(ax) == ["samples", "network"]
    assert samples.get_zorder() < line.get_zorder()


def test_a_network_and_vectors(canvas):
    net = nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1), seed=0)
    line = plot.fit_1d(net, X[:, 0], X[:, 0], ax=canvas()).get_lines()[1]
    x, y = line.get_data()
    np.testing.assert_array_equal(y, net(x[:, None])[:, 0])


def test_several_outputs_are_a_line_each(canvas):
    net = nn.Sequential(nn.Linear(1, 3), seed=0)
    ax = plot.fit_1d(net, X, X, ax=canvas())
    labels = ["samples", "network, output 0", "network, output 1", "network, output 2"]
    assert legend_of(ax) == labels
    assert len({line.get_color() for line in ax.get_lines()}) == 4


def test_several_targets_are_samples_each(canvas):
    ax = plot.fit_1d(lambda x: np.hstack([x, -x]), X, np.hstack([X, -X]), ax=canvas())
    samples, lines = ax.get_lines()[:2], ax.get_lines()[2:]
    np.testing.assert_array_equal(samples[1].get_ydata(), -X[:, 0])
    assert [s.get_color() for s in samples] == [line.get_color() for line in lines]


def test_a_million_samples_are_thinned_and_it_says_so(canvas):
    x = np.linspace(0, 1, 10**6)
    ax = plot.fit_1d(np.sin, x, x, ax=canvas())
    samples, line = ax.get_lines()
    assert len(samples.get_xdata()) == 2000
    assert legend_of(ax)[0] == "samples (2,000 of 1,000,000)"
    # The line goes over all of them.
    assert line.get_xdata()[0] <= 0
    assert line.get_xdata()[-1] >= 1
    # Not every 500th.
    assert len(set(np.diff(samples.get_xdata()).round(9))) > 100


def test_one_sample(canvas):
    ax = plot.fit_1d(np.sin, [3.0], [1.0], ax=canvas())
    x = ax.get_lines()[1].get_xdata()
    assert x[0] < 3 < x[-1]


@pytest.mark.parametrize(
    ("model", "x", "y", "message"),
    [
        (
            np.sin,
            np.ones((3, 2)),
            np.ones(3),
            r"expected x of shape \(N, 1\) or \(N,\), got \(3, 2",
        ),
        (np.sin, np.ones(3), np.ones(2), r"expected y of 3 rows, got \(2,\)"),
        (np.sin, [], [], "expected at least one finite point, got none"),
        (np.sin, [np.nan], [1.0], "expected at least one finite point, got none"),
        (3, [1.0], [1.0], "expected a network or another callable, got int"),
        (lambda x: x[:5], [1.0], [1.0], r"expected the model to give \(500, k\), got \(5, 1\)"),
        (lambda x: (x, x), [1.0], [1.0], "expected one output, got a tuple of 2"),
        (np.sin, ["a"], [1.0], "x: expected real numbers, got dtype <U1"),
    ],
)
def test_what_a_fit_refuses(model, x, y, message):
    with pytest.raises((TypeError, ValueError), match=rf"^plot\.fit_1d: {message}"):
        plot.fit_1d(model, x, y)
