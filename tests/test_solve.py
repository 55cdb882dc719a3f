"""graph.solve."""

import math
import pickle

import numpy as np
import pytest

from deltaprop import graph


def square(start=3.0, dtype=np.float64):
    x = graph.variable(np.array(start, dtype), name="x")
    return x, x**2


def test_one_variable_is_newtons_method():
    x = graph.variable(2.0, name="x")
    solution = graph.solve(x**3 - 2 * x, 5, x, tol=1e-12)
    at = 2.0
    for row in solution:
        assert row.values["x"] == pytest.approx(at, rel=1e-15)
        at -= (at**3 - 2 * at - 5) / (3 * at**2 - 2)
    assert x.value == pytest.approx(2.0945514815423265, rel=1e-14)


def test_kept_factors_are_those_of_the_start():
    x, y = square()
    solution = graph.solve(y, 4, x, factors="keep")
    at = 3.0
    for row in solution[:-1]:
        assert row.values["x"] == pytest.approx(at, rel=1e-15)
        assert row.factors["x"] == 6
        at -= (at**2 - 4) / 6
    assert x.value == pytest.approx(2, rel=1e-5)


@pytest.mark.parametrize(
    "shares", [None, (1 / 3, 1 / 3, 1 / 3), (0.1, 0.2, 0.7), [0.5, 0.25, 0.25]]
)
@pytest.mark.parametrize("factors", ["recompute", "keep"])
def test_a_linear_node_takes_one_update_however_the_error_is_shared(shares, factors):
    a, b, c = (graph.variable(float(i), name="abc"[i]) for i in range(3))
    node = 2 * a - 3 * b + 0.5 * c + 1
    solution = graph.solve(node, 10, [a, b, c], factors=factors, shares=shares)
    assert solution.updates == 1
    assert node.value == pytest.approx(10, rel=1e-14)
    first = solution[0]
    moved = [first.factors[name] * first.corrections[name] / first.error for name in "abc"]
    np.testing.assert_allclose(moved, shares or [1 / 3] * 3, rtol=1e-14)


def test_shares_may_be_an_array():
    a, b = graph.variable(0.0, name="a"), graph.variable(0.0, name="b")
    graph.solve(a + b, 4, [a, b], shares=np.array([0.25, 0.75]))
    assert (a.value, b.value) == (1, 3)


def test_what_is_solved_already_stays():
    x, y = square()
    solution = graph.solve(y, 9, x)
    assert (solution.updates, solution.converged, x.value) == (0, True, 3)
    assert solution[0] == graph.Iteration({"x": 3}, 9, 0, {}, {})


def test_it_starts_where_the_variables_are():
    x, y = square()
    x.value = 5
    first = graph.solve(y, 4, x)[0]
    assert (first.values, first.output) == ({"x": 5}, 25)


def test_the_graph_is_left_at_the_solution_and_other_variables_as_they_were():
    x, k = graph.variable(3.0, name="x"), graph.variable(2.0, name="k")
    y = k * x**2
    graph.solve(y, 8, x, tol=1e-9)
    assert k.value == 2
    assert y.value == pytest.approx(8, abs=1e-9)
    assert y.value == 2 * x.value**2


def test_the_tolerance_is_on_the_error_and_is_not_reached_by_it():
    x = graph.variable(1.0, name="x")
    assert graph.solve(1 * x, 0.5, x, tol=0.5).updates == 1
    x.value = 1
    assert graph.solve(1 * x, 0.5, x, tol=0.51).updates == 0


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_number_may_have_any_shape_and_precision(shape, dtype):
    x, y = square(np.full(shape, 3.0), dtype)
    solution = graph.solve(y, 4, x, tol=1e-4)
    assert (np.shape(x.value), x.dtype) == (shape, dtype)
    assert np.asarray(x.value).item() == pytest.approx(2, rel=1e-4)
    assert solution.values["x"] == np.asarray(x.value).item()


def test_a_variable_may_be_what_is_solved_for():
    x = graph.variable(3.0, name="x")
    assert graph.solve(x, 5, x).updates == 1
    assert x.value == 5


def test_the_output_may_be_reduced_from_arrays():
    scale = graph.variable(1.0, name="scale")
    graph.solve((scale * np.arange(5.0)).sum(), 25, scale)
    assert scale.value == 2.5


def test_a_node_used_many_times_is_looked_at_once():
    x = graph.variable(1.0, name="x")
    node = x
    for _ in range(60):
        node = node + node
    assert graph.solve(node, 2.0**61, x).updates == 1
    assert x.value == 2


def test_a_deep_graph_is_solved():
    x = graph.variable(1.0, name="x")
    node = x
    for _ in range(50_000):
        node = node + 1
    graph.solve(node, 0, x)
    assert x.value == -50_000


def chain():
    x, k = graph.variable(2.0, name="x"), graph.variable(3.0, name="k")
    inner = x * k
    aside = k**2
    unnamed = inner + aside
    outer = graph.exp(unnamed / 10)
    inner.name, aside.name, outer.name = "inner", "aside", "outer"
    return x, k, 2 * outer


def test_named_nodes_between_are_shown_in_the_order_of_evaluation():
    x, k, node = chain()
    assert list(graph.solve(node, 5, x)[0].values) == ["x", "inner", "outer"]
    x, k, node = chain()
    first = graph.solve(node, 5, [x, k])[0]
    assert list(first.values) == ["x", "k", "inner", "aside", "outer"]
    assert list(first.factors) == list(first.corrections) == list(first.values)


def test_nodes_between_show_what_they_alone_would_have_to_lose():
    x, k, node = chain()
    first = graph.solve(node, 5, [x, k])[0]
    node.forward()
    for name in ("inner", "aside", "outer"):
        assert first.corrections[name] == first.error / first.factors[name]
    outer = math.exp(1.5)
    assert first.factors["outer"] == 2
    assert first.factors["inner"] == pytest.approx(2 * outer / 10, rel=1e-14)
    assert first.factors["k"] == pytest.approx(2 * outer / 10 * (2 + 6), rel=1e-14)
    assert first.corrections["k"] == pytest.approx(first.error / 2 / first.factors["k"], rel=1e-14)


def test_a_node_between_without_influence_would_have_to_lose_infinitely_much():
    x = graph.variable(1.0, name="x")
    dead = 2 * x
    dead.name = "dead"
    first = graph.solve(x + 0 * dead, 3, x)[0]
    assert (first.factors["dead"], first.corrections["dead"]) == (0, math.inf)


def test_named_arrays_between_are_passed_over():
    x = graph.variable(1.0, name="x")
    array = x * np.arange(3.0)
    array.name = "array"
    total = array.sum()
    total.name = "total"
    assert list(graph.solve(2 * total, 12, x)[0].values) == ["x", "total"]
    assert x.value == 2


def test_a_solution_is_a_sequence_of_its_iterations():
    x, y = square()
    solution = graph.solve(y, 4, x)
    assert isinstance(solution[0], graph.Iteration)
    assert len(list(solution)) == len(solution) == solution.updates + 1
    assert solution[-1] == solution.iterations[-1]
    assert solution[1:3] == solution.iterations[1:3]
    assert solution.values == {"x": x.value}
    assert (solution.variables, solution.output) == (("x",), "output")


def test_the_table_has_a_line_for_each_iteration():
    x, y = square()
    y.name = "y"
    solution = graph.solve(y, 4, x, tol=0.1)
    assert str(solution) == solution.table()
    assert solution.table().splitlines() == [
        "update         x         y   delta_y  factor_x   delta_x",
        "     0  3.000000  9.000000  5.000000  6.000000  0.833333",
        "     1  2.166667  4.694444  0.694444  4.333333  0.160256",
        "     2  2.006410  4.025682  0.025682         -         -",
    ]
    assert repr(solution) == "Solution(2 updates, x=2.006410, y=4.025682)"


def test_variables_without_a_name_go_by_their_place():
    a, b = graph.variable(1.0), graph.variable(1.0)
    solution = graph.solve(a + b, 4, (a, b))
    assert solution.variables == ("variables[0]", "variables[1]")


def test_large_numbers_do_not_fill_the_line():
    x = graph.variable(1e200, name="x")
    table = graph.solve(x * 1.0, 0, x).table()
    assert "1.000000e+200" in table
    assert max(map(len, table.splitlines())) < 100


def failure(node, target, variables, **options):
    """Return the error of a solution that fails; the variables must be what they were."""
    before = [v.value for v in variables]
    value = node.value
    with pytest.raises(graph.SolveError) as caught:
        graph.solve(node, target, variables, **options)
    assert [v.value for v in variables] == before
    assert node.value == value
    return caught.value


def test_a_factor_of_zero_is_an_error():
    x, y = square(0.0)
    error = failure(y, 4, [x])
    assert isinstance(error, ValueError)
    first, *table = str(error).splitlines()
    assert first == "solve: at update 0 expected a finite factor of x other than 0, got 0"
    assert "\n".join(table) == error.solution.table()
    assert error.solution[0].factors == {"x": 0}
    assert not error.solution.converged


def test_a_variable_that_only_decides_has_a_factor_of_zero():
    x = graph.variable(1.0, name="x")
    error = failure(graph.where(x, x.value, 2.0) + 0 * x, 4, [x])
    assert "expected a finite factor of x other than 0" in str(error)


def test_one_of_two_factors_being_zero_moves_neither():
    a, b = graph.variable(1.0, name="a"), graph.variable(0.0, name="b")
    assert "factor of b other than 0" in str(failure(a + b**2, 4, [a, b]))


def test_an_infinite_factor_is_an_error():
    x = graph.variable(0.0, name="x")
    assert "finite factor of x other than 0, got inf" in str(failure(graph.sqrt(x), 4, [x]))


def test_a_value_that_leaves_the_domain_is_an_error():
    x = graph.variable(5.0, name="x")
    error = failure(graph.log(x) * 2, -1, [x])
    first, *table = str(error).splitlines()
    assert first == "solve: at update 1 expected finite values, got nan from log(x)"
    assert len(table) == 3
    assert error.solution[0].output == 2 * math.log(5)
    assert error.solution[0].corrections["x"] > 5
    assert math.isnan(error.solution[1].output)


def test_a_value_outside_the_domain_from_the_start_is_an_error():
    x = graph.variable(-1.0, name="x")
    inner = graph.log(x)
    inner.name = "inner"
    node = inner + 1
    with pytest.raises(graph.SolveError, match=r"at update 0 .* got nan from log\(x\)"):
        graph.solve(node, 1, x)
    assert x.value == -1


def test_a_variable_that_becomes_infinite_is_an_error_though_the_output_is_not():
    x = graph.variable(1e200, name="x")
    error = failure(graph.tanh(x * 1e-200), -1e200, [x], max_iter=5)
    assert "expected finite values, got -inf from x" in str(error)


def test_values_that_are_not_finite_in_an_array_are_found():
    x = graph.variable(1.0, name="x")
    node = graph.sqrt(x * np.array([1.0, 2.0, -3.0])).sum()
    with pytest.raises(graph.SolveError, match="got nan from sqrt"):
        graph.solve(node, 1, x)


def test_no_convergence_is_an_error():
    x = graph.variable(3.0, name="x")
    error = failure(x**2 + 1, 0, [x], max_iter=7)
    assert str(error).startswith("solve: at update 7 expected an error below 1e-05, got ")
    assert error.solution.updates == 7
    assert repr(error.solution).startswith("Solution(not converged, 7 updates, x=")


def test_a_long_table_is_cut_in_the_message():
    x = graph.variable(3.0, name="x")
    error = failure(x**2 + 1, 0, [x], max_iter=100)
    lines = str(error).splitlines()
    assert len(error.solution) == 101
    assert len(lines) == 23
    assert lines[2] == "..."
    assert lines[3:] == error.solution.table().splitlines()[-20:]


def test_an_error_can_be_pickled():
    x, y = square(0.0)
    error = failure(y, 4, [x])
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert again.solution == error.solution


def two():
    a, b = graph.variable(1.0, name="a"), graph.variable(2.0, name="b")
    return a, b, a * b


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (TypeError, "expected a node to solve for, got float", lambda a, b, y: (2.0, 1, a)),
        (TypeError, "target: expected a number, got 'x'", lambda a, b, y: (y, "x", a)),
        (TypeError, "target: expected a number, got array", lambda a, b, y: (y, np.ones(2), a)),
        (ValueError, "target: expected a finite number, got nan", lambda a, b, y: (y, math.nan, a)),
        (TypeError, "expected a list of variables, got int", lambda a, b, y: (y, 1, 3)),
        (TypeError, "expected variables, got float", lambda a, b, y: (y, 1, [a, 2.0])),
        (TypeError, r"expected variables, got the node a \* b", lambda a, b, y: (y, 1, [y])),
        (
            TypeError,
            "expected variables, got the node k",
            lambda a, b, y: (y, 1, graph.constant(1, name="k")),
        ),
        (ValueError, "expected one variable or more, got none", lambda a, b, y: (y, 1, [])),
        (ValueError, "expected each variable once, got one twice", lambda a, b, y: (y, 1, [a, a])),
        (
            ValueError,
            "on which the node depends, got c",
            lambda a, b, y: (y, 1, [a, graph.variable(1.0, name="c")]),
        ),
        (
            ValueError,
            "on which the node depends, got a",
            lambda a, b, y: (graph.where(a < 0, b, 2 * b), 1, a),
        ),
        (ValueError, "on which the node depends, got a", lambda a, b, y: (a < b, 1, a)),
        (
            ValueError,
            r"expected nodes of different names, got \['a', 'a'\]",
            lambda a, b, y: (a * (c := graph.variable(1.0, name="a")), 1, [a, c]),
        ),
        (
            ValueError,
            r"expected a node of one number, got \(2,\)",
            lambda a, b, y: (a * np.ones(2), 1, a),
        ),
        (
            ValueError,
            r"expected variables of one number, got \(2,\)",
            lambda a, b, y: ((c := graph.variable([1.0, 2.0])).sum(), 1, c),
        ),
        (
            ValueError,
            "expected factors 'recompute' or 'keep', got 'hold'",
            lambda a, b, y: (y, 1, a, "hold"),
        ),
        (
            ValueError,
            "expected a share for each of 2 variables, got 1",
            lambda a, b, y: (y, 1, [a, b], "keep", [1.0]),
        ),
        (
            ValueError,
            r"shares above 0 that add to 1, got \[0.5, 0.6\]",
            lambda a, b, y: (y, 1, [a, b], "keep", [0.5, 0.6]),
        ),
        (
            ValueError,
            r"shares above 0 that add to 1, got \[0.0, 1.0\]",
            lambda a, b, y: (y, 1, [a, b], "keep", [0, 1]),
        ),
        (
            TypeError,
            "expected a list of shares, got float",
            lambda a, b, y: (y, 1, [a, b], "keep", 0.5),
        ),
        (
            TypeError,
            "shares: expected a number, got 'x'",
            lambda a, b, y: (y, 1, [a, b], "keep", ["x", 1]),
        ),
        (ValueError, "expected a tol above 0, got 0", lambda a, b, y: (y, 1, a, "keep", None, 0)),
        (
            ValueError,
            "max_iter: expected 1 or more, got 0",
            lambda a, b, y: (y, 1, a, "keep", None, 1e-5, 0),
        ),
        (
            TypeError,
            "max_iter: expected an integer, got float",
            lambda a, b, y: (y, 1, a, "keep", None, 1e-5, 2.0),
        ),
    ],
)
def test_wrong_arguments(error, match, call):
    a, b, y = two()
    with pytest.raises(error, match=match) as caught:
        graph.solve(*call(a, b, y))
    assert not isinstance(caught.value, graph.SolveError)
    assert (a.value, b.value) == (1, 2)
