"""Drawings of graphs: their texts, and that no two elements overlap."""

import base64
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from deltaprop import _core, graph, nn
from deltaprop.graph.layout import layout

SVG = "{http://www.w3.org/2000/svg}"


def seed_graph():
    w, b = graph.variable(3.0, name="w"), graph.variable(4.0, name="b")
    x, y = 2 * w + 3 * b, 2 * b + 1
    z = x * y
    x.name, y.name, z.name = "x", "y", "z"
    return z


def random_graph(seed, count=40):
    """Return a node of about `count` nodes, some used often, of arrays and numbers."""
    rng = np.random.default_rng(seed)
    nodes = [graph.variable(rng.normal(size=s), name=f"v{i}") for i, s in enumerate([(), (3,), ()])]
    nodes.append(graph.variable(rng.normal(size=(3, 3))))
    while len(nodes) < count:
        a, b = (nodes[i] for i in rng.integers(max(0, len(nodes) - 9), len(nodes), 2))
        nodes.append(
            [
                lambda a=a, b=b: a * b,
                lambda a=a, b=b: a - b,
                lambda a=a: graph.tanh(a) * 2.5,
                lambda a=a, b=b: graph.maximum(a, b),
                lambda a=a, b=b: graph.where(a < b, a, 3 * b),
                lambda a=a: a.mean(),
            ][rng.integers(6)]()
        )
    total = nodes[-1]
    for node in nodes[-6:-1]:
        total = total + node
    total = total.sum()
    total.name = "a longer name than a box should hold"
    return total


def texts(drawing):
    return [t.text for t in ET.fromstring(str(drawing)).iter(f"{SVG}text")]


def groups(drawing):
    """Return the texts of each box or line, without those of none."""
    root = ET.fromstring(str(drawing))
    found = [[t.text for t in g.findall(f"{SVG}text")] for g in root.iter(f"{SVG}g")]
    return [g for g in found if g]


def test_the_graph_of_the_seed_forward():
    shown = groups(seed_graph().draw())
    assert ["w = 3"] in shown
    assert shown.count(["b = 4"]) == 2
    for line in (["6"], ["12"], ["8"], ["x = 18"], ["y = 9"], ["z = 162"]):
        assert shown.count(line) == 1
    for box in (["w"], ["b"], ["x", "+"], ["y", "+"], ["z", "×"], ["3"], ["1"]):
        assert shown.count(box) == 1
    assert shown.count(["2"]) == 2
    assert shown.count(["×"]) == 3


def test_the_graph_of_the_seed_backward():
    z = seed_graph()
    z.backward()
    shown = groups(z.draw())
    for line in (
        ["z = 162", "δ 1"],
        ["x = 18", "δ 9"],
        ["y = 9", "δ 18"],
        ["6", "δ 9"],
        ["12", "δ 9"],
        ["8", "δ 18"],
        ["w = 3", "δ 18"],
        ["b = 4", "δ 27"],
        ["b = 4", "δ 36"],
    ):
        assert shown.count(line) == 1
    assert ["b", "δ 63"] in shown
    assert ["w", "δ 18"] in shown
    assert ["2"] in shown  # no delta comes to a constant


def test_a_node_used_twice_by_one_operation():
    x = graph.variable(3.0, name="x")
    y = x * x
    y.backward()
    shown = groups(y.draw())
    assert shown.count(["x = 3", "δ 3"]) == 2
    assert ["x", "δ 6"] in shown


def test_an_input_that_is_made_of_the_other():
    # The share of this path alone, though x reaches the product through the sum as well.
    x = graph.variable(3.0, name="x")
    y = x * (x + 1)
    y.backward()
    shown = groups(y.draw())
    assert ["x = 3", "δ 4"] in shown
    assert ["x = 3", "δ 3"] in shown
    assert ["x", "δ 7"] in shown


def operations():
    rng = np.random.default_rng(5)
    a, b = (graph.variable(rng.normal(size=(2, 3)), name=n) for n in "ab")
    row = graph.variable(rng.normal(size=3), name="row")
    small = graph.variable(rng.normal(size=(2, 1)).astype(np.float32), name="small")
    h = graph.tanh(a @ b.T + small)
    picked = graph.where(a < b, a * row, b / (row * row + 1))[:, 1:]
    return (h.max(axis=1) * picked.mean(axis=1) + (row @ row) - h.reshape(4)[::2]).sum()


@pytest.mark.parametrize("y", [operations(), *map(random_graph, range(5))])
def test_shares_add_up_to_the_deltas(y):
    y.backward()
    sums, found = {}, [y]
    seen = {y}
    while found:
        node = found.pop()
        if node.grad is None or not node.inputs:
            continue
        for x, share in zip(node.inputs, _core.graph_shares(node), strict=True):
            if share is not None:
                assert np.shape(share) == x.shape
                sums[x] = sums.get(x, 0) + share
            if x not in seen:
                seen.add(x)
                found.append(x)
    assert len(sums) > 5
    for x, total in sums.items():
        np.testing.assert_allclose(total, x.grad, rtol=1e-5, atol=1e-7)


def test_a_network_is_one_node():
    # Its delta is known as numbers alone, not as an expression.
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1), dtype="float64", seed=0)
    x = graph.variable([0.5, -1.0], name="x")
    y = (net.node(x) ** 2).sum()
    y.backward()
    shown = groups(y.draw())
    assert ["network"] in shown
    line = next(g for g in shown if g[0] == "x = [0.5, -1]")
    assert line[1] == "δ [{:.4g}, {:.4g}]".format(*x.grad)


def boxes(drawing):
    """Return left, top, right and bottom of all that takes room, each with what it belongs to."""
    root = ET.fromstring(str(drawing))
    for i, group in enumerate(root.iter(f"{SVG}g")):
        for rect in group.findall(f"{SVG}rect"):
            x, y, w, h = (float(rect.get(k)) for k in ("x", "y", "width", "height"))
            yield i, (x, y, x + w, y + h)
        for k, text in enumerate(group.findall(f"{SVG}text")):
            x, y, w = float(text.get("x")), float(text.get("y")), 7.8 * len(text.text)
            bordered = group.find(f"{SVG}rect") is not None
            yield i if bordered else (i, k), (x - w / 2, y - 10, x + w / 2, y + 3)


@pytest.mark.parametrize("seed", range(12))
def test_nothing_covers_anything(seed):
    y = random_graph(seed)
    y.backward()
    drawing = y.draw()
    width, height = (float(ET.fromstring(str(drawing)).get(k)) for k in ("width", "height"))
    found = list(boxes(drawing))
    assert len(found) > 60
    for i, (owner, a) in enumerate(found):
        assert -14 <= a[0] < a[2] <= width - 14
        assert -14 <= a[1] < a[3] <= height - 14
        for other, b in found[:i]:
            apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
            assert apart or owner == other, (a, b)


@pytest.mark.parametrize("seed", range(12))
def test_lines_run_through_no_box(seed):
    y = random_graph(seed)
    y.backward()
    drawing = y.draw()
    rects = [
        tuple(float(r.get(k)) for k in ("x", "y", "width", "height"))
        for g in ET.fromstring(str(drawing)).iter(f"{SVG}g")
        for r in g.findall(f"{SVG}rect")
    ]
    lines = re.findall(r'd="M([\d.-]+) ([\d.-]+)H([\d.-]+)C.* ([\d.-]+)H([\d.-]+)"', str(drawing))
    assert len(lines) > 60
    # Curves lie between the columns; a horizontal part touches a box only at its ends.
    for start, y0, turn, y1, end in (map(float, line) for line in lines):
        for x, y, w, h in rects:
            for left, right, level in ((start, turn, y0), (turn, end, y1)):
                if y < level < y + h:
                    inside = min(right, x + w) - max(left, x)
                    assert inside <= 0.2 + 17 * (left > x), (x, y, level)


def test_jupyter_shows_the_picture():
    z = seed_graph()
    assert z._repr_svg_() == str(z.draw()) == z.draw()._repr_svg_()
    assert repr(z.draw()).startswith("<Drawing")


def test_jupyter_shows_it_as_a_picture_where_it_takes_svg_out():
    z = seed_graph()
    html = z._repr_html_()
    assert html == z.draw()._repr_html_()
    data = re.fullmatch(r'<img src="data:image/svg\+xml;base64,([^"]+)" .*>', html)[1]
    assert base64.b64decode(data).decode() == str(z.draw())


def test_it_is_saved(tmp_path):
    drawing = graph.variable(2.0, name="α").draw()
    drawing.save(tmp_path / "leaf.svg")
    assert (tmp_path / "leaf.svg").read_bytes() == str(drawing).encode()
    assert isinstance(drawing, graph.Drawing)
    assert texts(drawing) == ["α", "α = 2"]


def test_the_same_graph_gives_the_same_picture():
    assert str(random_graph(3).draw()) == str(random_graph(3).draw())


def test_names_are_escaped():
    x = graph.variable(2.0, name='<a & "b">')
    y = graph.exp(x)
    y.name = "]]>\x00\x1b[31m\n"
    shown = texts(y.draw())
    assert '<a & "b"> = 2' in shown
    assert "]]>  [31m " in shown


def test_long_names_are_cut():
    shown = texts(graph.variable(2.0, name="n" * 100).draw())
    assert shown == ["n" * 19 + "…", "n" * 19 + "… = 2"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1 / 3, "0.333333"),
        (-0.0, "0"),
        (np.nan, "nan"),
        (-1e-12, "-1e-12"),
        ([1.0, 2.5], "[1, 2.5]"),
        ([[1.0, 2.0], [3.0, 4.0]], "[[1, 2], [3, 4]]"),
        ([1.23456, 2.34567, 3.45678, 4.56789], "(4,)"),
        (np.zeros((2, 3, 4)), "(2, 3, 4)"),
        (np.zeros((0, 2)), "[]"),
        (np.float32(0.1), "0.1"),
    ],
)
def test_values_are_short(value, text):
    assert texts(graph.variable(value, name="v").draw())[1] == f"v = {text}"


def test_leaves_without_a_name_show_their_value():
    x = graph.variable(2.5) + graph.constant([1.0, 2.0])
    assert groups(x.draw())[1:] != []
    assert ["2.5"] in groups(x.draw())
    assert ["[1, 2]"] in groups(x.draw())


def test_a_constant_used_twice_has_its_value_at_each_line():
    two, x = graph.constant(2.0), graph.variable(3.0, name="x")
    assert groups(((x - two) / two).draw()).count(["2"]) == 3  # its box, and two lines


def test_lines_have_numbers_where_their_order_is_not_that_of_the_inputs():
    x, y = graph.variable(1.0, name="x"), graph.variable(2.0, name="y")
    crossed = (x - y) * (y - x) * (x / y) * (y / x)
    shown = texts(crossed.draw())
    numbered = sorted(t for t in shown if t[0] in "①②")
    assert numbered
    assert len(numbered) % 2 == 0
    assert not [t for t in texts(((x - 1) / y).draw()) if t[0] in "①②"]
    assert not [t for t in texts((x * y + y * x).draw()) if t[0] in "①②"]


def test_depth_leaves_out_what_is_far():
    z = seed_graph()
    shown = z.draw(depth=1)
    assert sorted(texts(shown)) == sorted(
        ["x", "+", "y", "+", "x = 18", "y = 9", "z", "×", "z = 162"]
    )
    assert str(shown).count("stroke-dasharray") == 2
    assert str(z.draw(depth=3)) == str(z.draw())
    assert "stroke-dasharray" not in str(z.draw())


def test_too_many_nodes():
    x = graph.variable(0.5)
    for _ in range(199):
        x = graph.sin(x)
    assert texts(x.draw()).count("sin") == 199
    x = graph.sin(x)
    with pytest.raises(
        ValueError, match=r"draw: expected 200 nodes or fewer, got more; draw\(depth="
    ):
        x.draw()
    assert x._repr_svg_() is None
    assert x._repr_html_() is None
    assert texts(x.draw(depth=4)).count("sin") == 5


@pytest.mark.parametrize("depth", [0, -1])
def test_a_depth_below_1(depth):
    with pytest.raises(ValueError, match="draw: depth: expected 1 or more, got"):
        seed_graph().draw(depth)


@pytest.mark.parametrize("depth", [1.5, "2", True])
def test_a_depth_that_is_no_integer(depth):
    with pytest.raises(TypeError, match="draw: depth: expected an integer, got"):
        seed_graph().draw(depth)


def test_a_chain_is_a_straight_line():
    placed = layout([[], [0], [1], [2]], [30.0, 20.0, 40.0, 30.0], 10.0)
    assert placed.column == [0, 1, 2, 3]
    np.testing.assert_allclose(placed.y, 20.0)


def test_a_line_that_passes_columns_bends_beside_their_boxes():
    # 0 -> 1 -> 2 -> 3, and 0 -> 3 past 1 and 2, and 0 -> 2 past 1.
    placed = layout([[], [0], [1, 0], [2, 0]], [20.0] * 4, 10.0)
    assert placed.sources == [[], [0], [1, 4], [2, 5], [0], [4]]
    assert placed.column[4:] == [1, 2]
    for column, room in ((placed.columns[1], 15), (placed.columns[2], 15)):
        assert abs(placed.y[column[0]] - placed.y[column[1]]) >= room - 1e-9


def test_a_long_line_is_nearly_straight():
    # It passes a high box: the line as a whole goes below it, and not by steps.
    heights = [30.0, 30.0, 30.0, 150.0, 30.0, 30.0, 30.0, 30.0]
    placed = layout([[], [0], [1], [2], [3], [4], [5], [6, 0]], heights, 10.0)
    bends = placed.y[8:]
    assert len(bends) == 6
    assert min(bends) > 150
    assert max(bends) - min(bends) < 5


def test_crossings_are_undone():
    # The walk from the last box meets 1 before 0, and 2 before 3.
    placed = layout([[], [], [1], [0], [2, 3]], [20.0] * 5, 10.0)
    first, second = placed.columns[0], placed.columns[1]
    assert [placed.sources[i][0] for i in second] == first
