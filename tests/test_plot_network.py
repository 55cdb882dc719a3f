"""A network as neurons and lines, and what flows through it as heat maps."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb

from deltaprop import nn, plot
from deltaprop._figure import BLUE, RED
from nests import Nest

RNG = np.random.default_rng(0)


def dense(*widths, seed=0):
    layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
    return nn.Sequential(*layers, seed=seed)


def columns_of(ax):
    return [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]


def lines_of(ax):
    (lines,) = (c for c in ax.collections if isinstance(c, LineCollection))
    return lines


def words_of(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]


def test_neurons_and_weights(canvas):
    net = dense(3, 4, 2)
    ax = plot.network(net, ax=canvas())
    columns = columns_of(ax)
    assert [len(column) for column in columns] == [3, 4, 2]
    assert [set(column[:, 0]) for column in columns] == [{0}, {1}, {2}]
    assert all(abs(column[:, 1].mean()) < 1e-12 for column in columns)
    lines = lines_of(ax)
    weights = np.concatenate([net[0].weight.ravel(), net[1].weight.ravel()])
    assert len(lines.get_segments()) == len(weights) == 20
    most = np.abs(weights).max()
    widths = np.array(lines.get_linewidths())
    np.testing.assert_array_equal(np.argsort(widths), np.argsort(np.abs(weights)))
    for weight, colour in zip(weights, lines.get_colors(), strict=True):
        assert tuple(colour[:3]) == to_rgb(RED if weight > 0 else BLUE)
        assert colour[3] == pytest.approx(0.05 + 0.85 * abs(weight) / most, rel=1e-5)
    assert ax.get_legend().get_title().get_text() == f"largest |weight| {most:.3g}"
    # Each line from its input to its output.
    ends = [segment.tolist() for segment in lines.get_segments()[:12]]
    assert ends == [[i.tolist(), o.tolist()] for o in columns[1] for i in columns[0]]


def test_words(canvas):
    net = nn.Sequential(
        nn.Linear(3, 5), nn.LayerNorm(5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 1)
    )
    words = words_of(plot.network(net, ax=canvas()))
    assert words == ["3", "input", "5", "Linear\nLayerNorm\nReLU\nDropout", "1", "Linear"]


def test_wide_layers_are_thinned(canvas):
    net = dense(784, 20, 12, 10)
    ax = plot.network(net, ax=canvas())
    assert [len(column) for column in columns_of(ax)] == [12, 12, 12, 10]
    assert [w for w in words_of(ax) if w.isdigit()] == ["784", "20", "12", "10"]
    assert words_of(ax).count("⋮") == 2
    ends = [*range(6), *range(778, 784)], [*range(6), *range(14, 20)]
    shown = net[0].weight[np.ix_(ends[1], ends[0])].ravel()
    widths = np.array(lines_of(ax).get_linewidths())[:144]
    np.testing.assert_array_equal(np.argsort(widths), np.argsort(np.abs(shown)))


def test_a_residual_is_an_arc(canvas):
    net = nn.Sequential(nn.Linear(2, 4), nn.Residual(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 4)))
    ax = plot.network(net, ax=canvas())
    assert [len(column) for column in columns_of(ax)] == [2, 4, 3, 4]
    (arc,) = ax.get_lines()
    x, y = arc.get_data()
    assert (x[0], x[-1]) == (1, 3)
    assert y.min() > max(column[:, 1].max() for column in columns_of(ax))
    assert y.max() < ax.get_ylim()[1]  # nothing of it is cut off


def test_branches_with_inputs_of_their_own(canvas):
    net = nn.Sequential(nn.Concat(nn.Linear(4, 3), nn.Linear(2, 5)), nn.Linear(8, 1), seed=0)
    ax = plot.network(net, ax=canvas())
    columns = columns_of(ax)
    assert [len(column) for column in columns] == [4, 3, 2, 5, 1]
    assert [column[0, 0] for column in columns] == [0, 1, 0, 1, 2]
    assert columns[1][:, 1].min() > columns[3][:, 1].max()  # the first branch stands above
    weights = np.concatenate([p.value.ravel() for p in net.parameters() if p.name.endswith("ght")])
    widths = np.array(lines_of(ax).get_linewidths())
    np.testing.assert_array_equal(np.argsort(widths), np.argsort(np.abs(weights)))


def test_branches_that_share_their_input(canvas):
    net = nn.Sequential(nn.Linear(3, 4), nn.Heads(nn.Linear(4, 1), nn.Linear(4, 2)))
    columns = columns_of(plot.network(net, ax=canvas()))
    assert [len(column) for column in columns] == [3, 4, 1, 2]
    columns = columns_of(plot.network(nn.Heads(nn.Linear(3, 1), nn.Linear(3, 2)), ax=canvas()))
    assert [len(column) for column in columns] == [3, 1, 2]


@pytest.mark.parametrize(
    ("net", "widths"),
    [
        (nn.Linear(2, 1), [2, 1]),
        (nn.Sequential(nn.Tanh()), [1]),
        (nn.Sequential(nn.Tanh(), nn.Linear(3, 2)), [3, 2]),
        (nn.Sequential(nn.Embedding(5, 3), nn.Linear(6, 1)), [2, 6, 1]),
        (nn.Sequential(nn.Embedding(5, 3)), [1, 3]),
        (
            nn.Sequential(nn.Concat(nn.Embedding(5, 1), nn.Linear(9, 3)), nn.Linear(4, 1)),
            [1, 9, 3, 1],
        ),
        # The number of columns of the Embedding's input is unknown.
        (
            nn.Sequential(nn.Concat(nn.Embedding(5, 2), nn.Linear(9, 3)), nn.Linear(7, 1)),
            [1, 2, 9, 3, 1],
        ),
        (nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 1))), [2, 2, 1]),
    ],
)
def test_other_networks(net, widths, canvas):
    found = columns_of(plot.network(net, ax=canvas()))
    assert [len(column) for column in found] == widths


def test_weights_that_are_all_zero(canvas):
    net = dense(2, 2)
    net.flat_parameters[:] = 0
    ax = plot.network(net, ax=canvas())
    assert set(np.ravel(lines_of(ax).get_linewidths())) == {0.3}


def test_drawing_leaves_a_network_as_it_is(canvas):
    net, twin = dense(3, 4, 2, seed=5), dense(3, 4, 2, seed=5)
    plot.network(net, ax=canvas())
    np.testing.assert_array_equal(net.flat_parameters, twin.flat_parameters)


@pytest.mark.parametrize("seed", range(6))
def test_nested_networks_of_all_kinds(seed, canvas):
    nest = Nest(np.random.default_rng(seed), 3, 3)
    net = nn.Sequential(nest.ours(), nn.Linear(nest.out, 2), seed=0)
    columns = columns_of(plot.network(net, ax=canvas()))
    assert len(columns[0]) == 3
    assert len(columns[-1]) == 2
    linear = [leaf for leaf in net._leaves() if isinstance(leaf, nn.Linear)]
    assert len(columns) == 1 + len(linear)
    # Each neuron has a place of its own.
    places = np.concatenate(columns).round(6)
    assert len(np.unique(places, axis=0)) == len(places)


def passed(*widths, rows=7):
    layers = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.Tanh()]
    net = nn.Sequential(*layers, dtype="float64", seed=0)
    a = net.forward(RNG.normal(size=(rows, widths[0])))
    net.backward(nn.MSELoss().delta(a, a + RNG.normal(size=a.shape)))
    return net


def images_of(ax):
    return [image.get_array() for image in ax.images]


@pytest.mark.parametrize("what", ["activations", "deltas"])
def test_heat_maps(what, canvas):
    net = passed(3, 4, 2)
    ax = getattr(plot, what)(net, ax=canvas())
    values = getattr(net, what)
    assert len(ax.images) == 4
    for i, (image, value) in enumerate(zip(ax.images, values, strict=True)):
        np.testing.assert_array_equal(image.get_array(), value)
        left, right, bottom, top = image.get_extent()
        assert i < left < right < i + 1
        assert (bottom, top) == (6.5, -0.5)  # the first row above
        assert image.norm.vmin == ax.images[0].norm.vmin  # one scale for all
    names = [label.get_text().split("\n") for label in ax.get_xticklabels()]
    assert [name[0] for name in names] == ["0: Linear", "1: Tanh", "2: Linear", "3: Tanh"]
    for name, value in zip(names, values, strict=True):
        assert name[1] == f"rms {np.sqrt(np.mean(value**2)):.2g}"
    assert ax.get_ylabel() == "row"


def test_scales(canvas):
    net = passed(3, 4, 2)
    norm = plot.activations(net, ax=canvas()).images[0].norm
    assert norm.vmin == min(a.min() for a in net.activations)
    assert norm.vmax == max(a.max() for a in net.activations)
    norm = plot.deltas(net, ax=canvas()).images[0].norm
    assert norm.vmax == -norm.vmin == max(np.abs(d).max() for d in net.deltas)


@pytest.mark.parametrize(("layer", "place"), [(0, 0), (2, 2), (-1, 3), (np.int64(1), 1)])
def test_one_layer(layer, place, canvas):
    net = passed(3, 4, 2)
    ax = plot.deltas(net, layer=layer, ax=canvas())
    (image,) = images_of(ax)
    np.testing.assert_array_equal(image, net.deltas[place])
    assert ax.get_xticklabels()[0].get_text().startswith(f"{place}: ")
    assert ax.images[0].norm.vmax == np.abs(net.deltas[place]).max()


def test_wide_and_long_passes_are_thinned(canvas):
    net = passed(784, 256, 3, rows=1000)
    ax = plot.activations(net, ax=canvas())
    assert [image.shape for image in images_of(ax)] == [(100, 100), (100, 100), (100, 3), (100, 3)]
    first = images_of(ax)[0]
    np.testing.assert_array_equal(
        first[[0, -1]][:, [0, -1]], net.activations[0][[0, -1]][:, [0, -1]]
    )
    assert "100 of 256" in ax.get_xticklabels()[0].get_text()
    assert ax.get_ylabel() == "row (100 of 1,000)"
    assert [label.get_text() for label in ax.get_yticklabels()][-1] == "999"


def test_names_of_many_layers_do_not_run_into_each_other(canvas):
    net = passed(*[3] * 9)
    ax = plot.activations(net, ax=canvas())
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {45}


def test_a_single_row(canvas):
    net = nn.Sequential(nn.Linear(3, 2), seed=0)
    net.backward(net.forward([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(images_of(plot.deltas(net, ax=canvas()))[0], net.deltas[0])


def test_heads_stand_side_by_side(canvas):
    net = nn.Sequential(nn.Linear(3, 4), nn.Heads(nn.Linear(4, 1), nn.Linear(4, 2)), seed=0)
    net.forward(np.ones((5, 3)))
    images = images_of(plot.activations(net, ax=canvas()))
    np.testing.assert_array_equal(images[1], np.hstack(net.activations[1]))


def test_a_part_of_a_network(canvas):
    net = nn.Sequential(nn.Linear(3, 4), nn.Residual(nn.Linear(4, 4), nn.Tanh()), seed=0)
    net.forward(np.ones((5, 3)))
    images = images_of(plot.activations(net[1], ax=canvas()))
    np.testing.assert_array_equal(images[1], net[1].activations[1])


def test_deltas_that_are_all_zero(canvas):
    net = nn.Sequential(nn.Linear(3, 2), seed=0)
    net.backward(0 * net.forward(np.ones((2, 3))))
    norm = plot.deltas(net, ax=canvas()).images[0].norm
    assert (norm.vmin, norm.vmax) == (-1, 1)


def test_what_heat_maps_refuse():
    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), seed=0)
    with pytest.raises(RuntimeError, match="forward"):
        plot.activations(net)
    net.forward(np.ones((2, 3)))
    with pytest.raises(RuntimeError, match="backward"):
        plot.deltas(net)
    for layer, message in {
        2: "expected 1 or less, got 2",
        -3: "expected -2 or more, got -3",
        1.0: "expected an integer, got float",
    }.items():
        with pytest.raises((TypeError, ValueError), match=rf"^plot\.activations: layer: {message}"):
            plot.activations(net, layer=layer)
    net.forward(np.ones((0, 3)))
    with pytest.raises(ValueError, match=r"^plot\.activations: expected a pass of one row or more"):
        plot.activations(net)
    with pytest.raises(TypeError, match=r"^plot\.deltas: expected a network, got Linear$"):
        plot.deltas(nn.Linear(2, 2))
