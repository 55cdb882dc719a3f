"""What Jupyter shows of networks, histories, gradient reports and nodes."""

import base64
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import graph, nn, optim
from deltaprop._figure import Line, svg

X = np.linspace(-1, 1, 40).reshape(-1, 1)


class Odd(nn.Layer):
    """Has a name that HTML would take for its own."""

    def __init__(self, name="<script>alert('&')</script>"):
        self.name = name

    def forward(self, x, training):
        return x

    def backward(self, delta):
        return delta

    def __repr__(self):
        return self.name


class Page(HTMLParser):
    """What a browser makes of HTML: its elements, its texts and the cells of its tables."""

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.words, self.rows = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []  # each was closed

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag != "img":  # which is never closed
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def page(thing):
    """Return what it shows, once it was found to be right for any notebook, trusted or not."""
    html = thing._repr_html_()
    found = Page(html)
    # What Jupyter leaves in the outputs of a notebook that it does not trust.
    assert {tag for tag, _ in found.elements} <= {
        *("div", "b", "span", "table", "tr", "th", "td", "img")
    }
    for _, attributes in found.elements:
        assert not any(name.startswith("on") or name == "href" for name in attributes)
    # In the colours of the page, but for the lines.
    assert not re.search(r"(?<![-\w])(color|background): ?(?!inherit|none)", html)
    return found


def pictures(found):
    """Return the SVG of its pictures, each found to be well-formed and to need nothing else."""
    sources = [attributes["src"] for tag, attributes in found.elements if tag == "img"]
    drawn = [base64.b64decode(s.removeprefix("data:image/svg+xml;base64,")) for s in sources]
    for drawing in drawn:
        for element in ET.fromstring(drawing).iter():
            assert element.tag.split("}")[1] in {"svg", "path", "circle", "text"}
    return [drawing.decode() for drawing in drawn]


def network(*layers):
    return nn.Sequential(nn.Linear(1, 5), *layers, nn.Linear(5, 1), seed=0)


def fitted(epochs=12, **options):
    net = network(nn.Tanh())
    sgd = optim.SGD(net.parameters(), lr=0.1)
    return net.fit(X, X**2, loss=nn.MSELoss(), optimizer=sgd, epochs=epochs, **options)


def test_a_network(capsys):
    net = network(nn.Residual(nn.Linear(5, 5), nn.Tanh()))
    found = page(net)
    assert found.words[0] == "Sequential: 46 parameters, float32, 184 bytes"
    assert found.rows == [
        ["", "layer", "output", "parameters"],
        ["0", "Linear(1, 5)", "(N, 5)", "10"],
        ["1", "Residual", "(N, 5)", "30"],
        ["1.0", "Linear(5, 5)", "(N, 5)", "30"],
        ["1.1", "Tanh()", "(N, 5)", "0"],
        ["2", "Linear(5, 1)", "(N, 1)", "6"],
    ]
    # As `summary` has it.
    net.summary()
    lines = [re.split(r" {2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if len(line) == 4] == found.rows[1:]
    assert lines[-1] == ["46 parameters, float32, 184 bytes"]


def test_widths_that_are_open_and_several_outputs():
    net = nn.Sequential(nn.Tanh(), dtype="float64")
    assert page(net).rows[1] == ["0", "Tanh()", "(N, any)", "0"]
    net = nn.Sequential(nn.Linear(4, 5), nn.Heads(nn.Linear(5, 2), nn.Linear(5, 3)))
    assert page(net).rows[2] == ["1", "Heads", "(N, 2), (N, 3)", "30"]


def test_to_look_at_a_network_is_not_to_use_it():
    inner = nn.Sequential(nn.Linear(2, 2))
    page(inner)
    other = nn.Sequential(nn.Linear(2, 2))
    # Unused layers are drawn again from the seed of the whole network.
    whole, twin = nn.Sequential(inner, seed=3), nn.Sequential(other, seed=3)
    np.testing.assert_array_equal(whole.flat_parameters, twin.flat_parameters)
    assert page(inner).words[0] == "Sequential: 6 parameters, float32, 24 bytes"


def test_names_are_escaped_and_long_ones_cut():
    found = page(network(Odd(), Odd("x" * 5000)))
    assert found.rows[2][1] == "<script>alert('&')</script>"
    assert found.rows[3][1] == "x" * 100 + "... (4,900 more letters)"


def test_a_deep_network_is_cut_and_says_so():
    net = nn.Sequential(*(nn.Tanh() for _ in range(500)))
    rows = page(net).rows
    assert len(rows) == 62
    assert [rows[1][0], rows[-2][0], rows[-1]] == ["0", "499", ["60 of 500 rows"]]


def test_a_history():
    history = fitted(validation_data=(X, X**2), metrics=("mae",), record=("deltas",))
    found = page(history)
    assert found.words[0] == "History: 12 epochs, 24 updates, stopped by epochs"
    assert [row[0] for row in found.rows] == ["", "loss", "val_loss", "lr", "mae", "val_mae"]
    for row in found.rows[1:]:
        assert float(row[1]) == pytest.approx(history[row[0]][0], rel=1e-4)
        assert float(row[2]) == pytest.approx(history[row[0]][-1], rel=1e-4)
    (drawing,) = pictures(found)
    assert [path.count("L") for path in paths(drawing)] == [11, 11]


def test_histories_of_no_epoch_and_of_one():
    found = page(fitted(0))
    assert found.words == ["History: 0 epochs, 0 updates, stopped by epochs"]
    found = page(fitted(1))
    assert len(pictures(found)) == 1


def test_a_history_under_way():
    shown = []
    fitted(2, callbacks=[lambda run: shown.append(page(run.history).words[0])])
    assert shown == ["History: 1 epochs, 2 updates", "History: 2 epochs, 4 updates"]


def test_a_gradient_report():
    net = network(nn.Tanh())
    report = dp.check_gradients(net, nn.MSELoss(), X[:5], X[:5])
    found = page(report)
    assert found.words[0] == "ok: max error 0.0e+00, tolerance 1e-06"
    lines = [re.split(r" {2,}", line.strip()) for line in repr(report).splitlines()]
    assert found.rows == lines[:-1]
    assert [" ".join(lines[-1])] == found.words[:1]
    wrong = replace(report, rows=(replace(report.rows[0], max_error=0.5),))
    found = page(wrong)
    assert found.words[0] == "WRONG: max error 5.0e-01, tolerance 1e-06"
    assert found.rows[1][4] == "5.0e-01 !"


def test_a_node_shows_its_picture():
    x = graph.variable(2.0, name="<x>")
    y = x**2 + 1
    y.backward()
    assert y._repr_svg_() == str(y.draw())
    assert "&lt;x&gt;" in y._repr_svg_()


def paths(drawing):
    """Return the lines drawn, without those of the axes."""
    return re.findall(r'<path d="([^"]*)" fill="none"', drawing)


def numbers(path):
    return np.array(
        [[float(n) for n in point.split()] for point in re.findall(r"[ML]([-\d. ]+)", path)]
    )


def line_of(y, **options):
    drawing = svg([Line(np.arange(1, len(y) + 1), np.array(y), "#000", **options)], "loss")
    (path,) = paths(drawing)
    return drawing, path


def test_a_line_is_to_scale():
    _, path = line_of([0.0, 10.0, 5.0])
    (x0, y0), (x1, y1), (x2, y2) = numbers(path)
    assert x1 - x0 == pytest.approx(x2 - x1)
    assert y1 < y2 < y0  # SVG counts from above
    assert y0 - y1 == pytest.approx(2 * (y2 - y1), abs=0.11)


def test_a_line_over_decades_is_logarithmic():
    drawing, path = line_of([1.0, 0.1, 0.001])
    y = numbers(path)[:, 1]
    assert (y[2] - y[1]) == pytest.approx(2 * (y[1] - y[0]), abs=0.11)
    ticks = re.findall(r'text-anchor="end">([^<]*)<', drawing)
    assert ticks == ["0.001", "0.01", "0.1", "1"]


def test_gaps_and_points_that_stand_alone():
    drawing, path = line_of([1.0, np.nan, 2.0, 3.0, np.inf])
    assert re.sub(r"[\d.]+ [\d.]+", "p", path) == "MpLp"
    assert drawing.count("<circle") == 1
    for alone in ([5.0], [np.nan, 5.0, np.inf]):
        drawing, path = line_of(alone)
        assert path == ""
        (x, y) = re.search(
            r'<circle cx="([\d.]+)" cy="([\d.]+)" r="3" fill="#000"/>', drawing
        ).groups()
        assert 50 < float(x) < 390
        assert 20 < float(y) < 170
    drawing, path = line_of([np.nan])
    assert path == ""
    assert "<circle" not in drawing


@pytest.mark.parametrize("y", [[1e-300, 1e300], [-1e30, 1e30], [7.0] * 3, [0.0, 0.0], [1e-9, 0.5]])
def test_ticks_are_few_and_inside(y):
    drawing, path = line_of(y)
    places = [float(p) for p in re.findall(r'y="([\d.]+)" text-anchor="end"', drawing)]
    assert 1 <= len(places) <= 6
    assert all(15 < place < 180 for place in places)
    assert np.isfinite(numbers(path)).all()


def test_a_long_line_is_thinned_and_keeps_its_peak():
    y = np.zeros(10**6)
    y[123_456] = 1.0
    drawing, path = line_of(y)
    assert len(drawing) < 20_000
    assert numbers(path)[:, 1].min() == pytest.approx(22)


def test_epochs_are_whole_numbers():
    drawing, _ = line_of([1.0, 2.0])
    assert re.findall(r'text-anchor="middle">([^<]*)<', drawing) == ["1", "2", "epoch"]
