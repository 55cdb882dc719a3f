"""Paths of descents on functions of a few variables."""

import functools
import math

import numpy as np
import pytest

from deltaprop import graph, nn, optim
from optimizers import FAMILY, VARIANTS, each_case


def banana(x, y):
    return (1 - x) ** 2 + 10 * (y - x**2) ** 2


# The path


def test_gradient_descent_is_the_plain_loop():
    path = optim.descend(banana, (-1, 2), lr=0.01, steps=50)
    x, y = -1.0, 2.0
    for point, value, slopes in zip(path.points, path.values, path.gradients, strict=True):
        expected = [-2 * (1 - x) - 40 * x * (y - x**2), 20 * (y - x**2)]
        np.testing.assert_allclose(point, [x, y], rtol=1e-12)
        np.testing.assert_allclose(slopes, expected, rtol=1e-11, atol=1e-13)
        assert value == pytest.approx((1 - x) ** 2 + 10 * (y - x**2) ** 2, rel=1e-11)
        x, y = x - 0.01 * expected[0], y - 0.01 * expected[1]


@each_case
def test_a_rule_gives_the_points_of_the_optimizer_by_hand(name, variant):
    options = {"lr": 0.05, **VARIANTS[name][variant]}
    start, lr = [-1.0, 2.0], options["lr"]
    given = {key: value for key, value in options.items() if key != "lr"}
    path = optim.descend(banana, start, lr, steps=20, rule=functools.partial(FAMILY[name], **given))

    net = nn.Sequential(nn.Linear(2, 1, bias=False), dtype="float64", seed=0)
    weight = net[0].weight
    weight[...] = [start]
    optimizer = FAMILY[name](net.parameters(), **options)
    for point, slopes in zip(path.points, path.gradients, strict=True):
        np.testing.assert_array_equal(point, weight[0])
        net[0].grad_weight[...] = [graph.grad(banana)(*weight[0].tolist())]
        np.testing.assert_array_equal(slopes, net[0].grad_weight[0])
        optimizer.step()


def test_a_class_and_a_function_may_be_the_rule():
    by_class = optim.descend(banana, (-1, 2), lr=0.1, steps=5, rule=optim.Adam)
    by_function = optim.descend(
        banana, (-1, 2), lr=0.1, steps=5, rule=lambda p, lr: optim.Adam(p, lr=lr)
    )
    np.testing.assert_array_equal(by_class.points, by_function.points)
    plain = optim.descend(banana, (-1, 2), lr=0.1, steps=5)
    assert not np.allclose(by_class.points[1], plain.points[1])


def test_gradient_descent_is_sgd():
    plain = optim.descend(banana, (-1, 2), lr=0.01, steps=5)
    same = optim.descend(banana, (-1, 2), lr=0.01, steps=5, rule=optim.SGD)
    np.testing.assert_array_equal(plain.points, same.points)


def test_a_rule_may_climb():
    climb = functools.partial(optim.SGD, maximize=True)
    path = optim.descend(lambda x: 5 - (x - 1) ** 2, 0.0, lr=0.1, steps=100, rule=climb)
    assert path.values[-1] == pytest.approx(5, abs=1e-9)


@pytest.mark.parametrize("start", [1.2, np.float32(1.25), 2, [1.2], (3,), np.array([1.5])])
def test_one_variable_may_start_from_a_number_or_from_a_list(start):
    path = optim.descend(lambda x: x**2, start, lr=0.25, steps=3)
    assert path.points.shape == path.gradients.shape == (4, 1)
    assert path.values.shape == (4,)
    assert path.points.dtype == path.values.dtype == np.float64
    np.testing.assert_allclose(path.points[:, 0], np.ravel(start)[0] * 0.5 ** np.arange(4))


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_any_number_of_variables(n):
    def f(*variables):
        return sum((k + 1) * v**2 for k, v in enumerate(variables))

    path = optim.descend(f, np.ones(n), lr=0.05, steps=10)
    expected = (1 - 0.1 * np.arange(1, n + 1)) ** np.arange(11)[:, None]
    np.testing.assert_allclose(path.points, expected, rtol=1e-12)


def test_a_variable_that_is_ignored_stays():
    path = optim.descend(lambda x, y: x**2 + 0 * x, (1, 5), lr=0.1, steps=10)
    assert np.all(path.points[:, 1] == 5)
    assert np.all(path.gradients[:, 1] == 0)


def test_a_function_may_be_one_of_its_variables():
    path = optim.descend(lambda x, y: y, (1, 5), lr=1, steps=3)
    assert path.values.tolist() == [5, 4, 3, 2]


def test_a_function_may_hold_arrays():
    x = np.linspace(-1, 1, 50)
    path = optim.descend(lambda a, b: ((a * x + b - 3 * x - 1) ** 2).mean(), (0, 0), 0.5, steps=200)
    np.testing.assert_allclose(path.points[-1], [3, 1], rtol=1e-12)


def test_other_nodes_of_a_function_stay_as_they_are():
    k = graph.variable(3.0)
    path = optim.descend(lambda x: k * x**2, 1.0, lr=0.1, steps=5)
    assert k.value == 3
    assert path.values[0] == 3


def test_the_function_is_called_once():
    calls = []

    def f(x):
        calls.append(x)
        return x**2

    optim.descend(f, 1.0, lr=0.1, steps=50)
    assert len(calls) == 1


# Where it ends


def test_no_steps_give_the_start_alone():
    path = optim.descend(lambda x: x**2, 3.0, lr=0.1, steps=0)
    assert (path.points.tolist(), path.values.tolist()) == ([[3]], [9])
    assert (path.updates, path.stop_reason) == (0, "steps")


def test_a_start_that_is_low_enough_stays():
    path = optim.descend(lambda x: x**2, 0.01, lr=0.1, stop_below=1)
    assert (path.updates, path.stop_reason) == (0, "stop_below")


def test_the_value_must_be_below_and_not_at_the_bound():
    assert optim.descend(lambda x: 1 * x, 3, lr=1, stop_below=1).values.tolist() == [3, 2, 1, 0]


def test_whichever_of_steps_and_bound_comes_first():
    def f(x):
        return 1 * x

    first = optim.descend(f, 5, lr=1, steps=2, stop_below=1)
    assert (first.updates, first.stop_reason) == (2, "steps")
    second = optim.descend(f, 5, lr=1, steps=20, stop_below=1)
    assert (second.updates, second.stop_reason) == (5, "stop_below")


def test_a_bound_that_is_never_reached_ends_at_the_limit():
    path = optim.descend(lambda x: x**2 + 1, 1.0, lr=0.1, stop_below=0.5)
    assert (path.updates, path.stop_reason) == (10_000, "limit")
    assert repr(path) == "Descent(10000 updates, value 2 -> 1, stopped by limit)"


def test_steps_may_be_more_than_the_limit():
    path = optim.descend(lambda x: x**2 + 1, 1.0, lr=0.1, stop_below=0.5, steps=10_001)
    assert (path.updates, path.stop_reason) == (10_001, "steps")


def test_growth_stops_it_and_the_path_is_kept():
    path = optim.descend(lambda x: x**2, 1.2, lr=1.1, steps=1000)
    assert path.stop_reason == "diverged"
    np.testing.assert_allclose(path.points[:, 0], 1.2 * (-1.2) ** np.arange(len(path.points)))
    assert path.values[-2] - 1.44 <= 1e6 * 2.44 < path.values[-1] - 1.44
    assert repr(path).endswith("-> 3.11073e+06, diverged)")


def test_a_value_that_is_not_finite_stops_it_and_the_path_is_kept():
    path = optim.descend(graph.log, 0.5, lr=0.3, steps=1000)
    assert path.stop_reason == "diverged"
    np.testing.assert_allclose(path.points[:, 0], [0.5, -0.1])
    assert math.isnan(path.values[-1])
    assert "nan" in path.table()


def test_a_start_outside_the_domain_is_all_of_the_path():
    path = optim.descend(graph.sqrt, -1.0, lr=0.3, stop_below=0)
    assert (path.updates, path.stop_reason) == (0, "diverged")


def test_an_infinite_gradient_stops_it():
    path = optim.descend(graph.sqrt, 0.0, lr=0.3, steps=5)
    assert path.updates == 1
    assert path.stop_reason == "diverged"
    assert path.gradients[0, 0] == math.inf


def test_a_fall_without_end_is_no_divergence_while_it_is_finite():
    path = optim.descend(lambda x: -(x**2), 1.0, lr=1.0, steps=100)
    assert path.stop_reason == "steps"
    assert path.values[-1] < -1e6


# How it is shown


def test_the_table_shows_the_path():
    path = optim.descend(lambda x, y: x**2 + y**2, (1, -2), lr=0.25, steps=2)
    assert str(path).splitlines() == [
        "Descent(2 updates, value 5 -> 0.3125, stopped by steps)",
        "update        x0         x1     value",
        "     0  1.000000  -2.000000  5.000000",
        "     1  0.500000  -1.000000  1.250000",
        "     2  0.250000  -0.500000  0.312500",
    ]


def test_a_long_table_shows_the_first_the_last_and_some_between():
    path = optim.descend(lambda x: x**2, 1, lr=0.1, steps=1000)
    lines = path.table().splitlines()
    assert len(lines) == 21
    assert lines[1].split()[0] == "0"
    assert lines[-1].split()[0] == "1000"
    assert len(path.table(rows=3).splitlines()) == 4
    with pytest.raises(ValueError, match=r"Descent.table: rows: expected 1 or more, got 0"):
        path.table(0)


# What goes wrong


def square(x):
    return x**2


def branching(x):
    return x if x > 0 else -x


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (ValueError, "expected steps, stop_below or both, got neither", {"steps": None}),
        (ValueError, "steps: expected 0 or more, got -1", {"steps": -1}),
        (TypeError, "steps: expected an integer, got float", {"steps": 2.0}),
        (TypeError, "stop_below: expected a number, got 'low'", {"stop_below": "low"}),
        (ValueError, "stop_below: expected a finite number, got nan", {"stop_below": math.nan}),
        (TypeError, "lr: expected a number, got None", {"lr": None}),
        (ValueError, "lr", {"lr": -0.1}),
        (ValueError, "lr: expected a finite number, got inf", {"lr": math.inf}),
        (ValueError, "finite numbers to start from, got nan", {"start": math.nan}),
        (ValueError, r"finite numbers to start from, got \[\]", {"start": []}),
        (ValueError, r"finite numbers to start from, got \[\[1, 2\]\]", {"start": [[1, 2]]}),
        (TypeError, "start: expected real numbers", {"start": "x"}),
        (TypeError, "positional argument", {"start": (1, 2)}),
        (ValueError, "rule 'gd' or an optimizer's class, got 'adam'", {"rule": "adam"}),
        (TypeError, "rule 'gd' or an optimizer's class, got None", {"rule": None}),
        (TypeError, "the rule to make an optimizer, got dict", {"rule": lambda p, lr: {"lr": lr}}),
        (TypeError, "expected a node from the function, got int", {"f": lambda x: 3}),
        (ValueError, "one number from the function, got", {"f": lambda x: x * np.ones(2)}),
        (TypeError, "expected a number to decide by, got a node", {"f": branching}),
    ],
)
def test_wrong_arguments(error, match, arguments):
    given = {"f": square, "start": 1.0, "lr": 0.1, "steps": 3, **arguments}
    with pytest.raises(error, match=match):
        optim.descend(**given)
