"""NumPy's functions and operators on nodes, its type rules, and refusals."""

import numpy as np
import pytest

from deltaprop import graph
from deltaprop.graph import Node, constant, node, variable

# Texts and bytes answer first, in their own words.
REFUSED = "unsupported operand|concat|multiply sequence"
UFUNCS = list(node._UFUNCS)
SHAPES = {np.matmul: (2, 2)}
SCALARS = [
    2,
    2.5,
    True,
    np.float64(2),
    np.float32(2),
    np.int64(2),
    np.int8(2),
    np.float16(2),
    np.bool_(True),
]


def test_these_ufuncs_are_there():
    reference = {
        "add", "subtract", "multiply", "divide", "power", "matmul", "negative", "positive",
        "reciprocal", "less", "less_equal", "greater", "greater_equal", "equal", "not_equal",
        "fabs",
        "absolute", "exp", "expm1", "log", "log1p", "sqrt", "square", "sin", "cos", "tan", "tanh",
        "sign", "maximum", "minimum",
    }  # fmt: skip
    assert reference <= {f.__name__ for f in UFUNCS}


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_ufunc_is_numpys(ufunc, dtype):
    rng = np.random.default_rng(0)
    arrays = [
        rng.uniform(0.3, 1.4, SHAPES.get(ufunc, (3, 4))).astype(dtype) for _ in range(ufunc.nin)
    ]
    expected = ufunc(*arrays)
    # All nodes, then each argument alone, the others being arrays.
    for which in range(-1, ufunc.nin):
        given = [variable(a) if which in (-1, i) else a for i, a in enumerate(arrays)]
        found = ufunc(*given)
        assert isinstance(found, Node)
        assert found.dtype == dtype
        np.testing.assert_allclose(
            found.value, expected, rtol=3e-15 if dtype == "float64" else 1e-6
        )


OPERATORS = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "**": lambda x, y: x**y,
    "<": lambda x, y: x < y,
    "<=": lambda x, y: x <= y,
    ">": lambda x, y: x > y,
    ">=": lambda x, y: x >= y,
    "==": lambda x, y: x == y,
    "!=": lambda x, y: x != y,
}


@pytest.mark.parametrize("sign", OPERATORS)
@pytest.mark.parametrize(
    "other", [*SCALARS, [1, 2], (1.5, 2.0), np.array([1, 2]), np.array(2.0)], ids=repr
)
def test_operators_both_ways_round(sign, other):
    f, a = OPERATORS[sign], np.array([1.5, 2.0])
    plain = np.asarray(other)
    for found, expected in (
        (f(variable(a), other), f(a, plain)),
        (f(other, variable(a)), f(plain, a)),
    ):
        assert isinstance(found, Node)
        np.testing.assert_allclose(found.value, expected, rtol=1e-15)


def test_products_of_matrices_both_ways_round():
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    for found in (variable(a) @ b, a @ variable(b), a.tolist() @ variable(b)):
        np.testing.assert_array_equal(found.value, a @ b)


def test_augmented_assignment_makes_a_new_node():
    x = y = variable([1.0, 2.0])
    y += 1
    y *= np.array([2.0, 3.0])
    assert x.value.tolist() == [1, 2]
    assert y.value.tolist() == [4, 9]
    a = np.ones(2)
    with pytest.raises(TypeError, match="out="):
        a += x
    assert a.tolist() == [1, 1]


class TestTypes:
    @pytest.mark.parametrize("other", [*SCALARS, *(np.ones(2, t) for t in "?bBhHilfde")], ids=repr)
    def test_float32_meets_others_as_in_numpy(self, other):
        a = np.ones(2, np.float32)
        expected = (a * other).dtype
        for found in (
            variable(a) * other,
            other * variable(a),
            graph.maximum(a, variable(a) * other),
        ):
            assert found.dtype == expected

    def test_float32_meets_lists(self):
        assert (variable(np.ones(2, np.float32)) * [1, 2]).dtype == np.float64

    def test_numbers_take_the_precision_of_what_they_meet(self):
        x = variable(np.float32(0.1))
        for y in (
            x + 1,
            2.5 * x,
            x**3,
            x**-1,
            2**x,
            graph.maximum(x, 0),
            graph.where(x > 0, x, 0),
            -x / 3,
        ):
            assert y.dtype == np.float32
            y.backward()
            assert x.grad.dtype == np.float32
        assert isinstance((x * 2).value, np.float32)
        assert type((variable(0.1) * 2).value) is float

    def test_a_condition_does_not_widen(self):
        a = np.ones(2, np.float32)
        for condition in (
            np.array([True, False]),
            variable([1e-300, 0.0]),
            variable([1.0, -1.0]) > 0,
            [1, 0],
        ):
            found = graph.where(condition, variable(a), 0)
            assert found.dtype == np.float32
            assert found.value.tolist() == [1, 0]
        assert graph.where(variable(a) > 0, variable([1.0, 2.0]), 0).dtype == np.float64

    def test_deltas_cross_precisions(self):
        x, y = variable(np.array([0.1, 0.2], np.float32)), variable([0.3, 0.4])
        (x * y).sum().backward()
        assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)
        np.testing.assert_array_equal(x.grad, np.array([0.3, 0.4], np.float32))
        np.testing.assert_array_equal(y.grad, x.value.astype(np.float64))

    def test_the_number_of_an_input_is_met_again(self):
        x = variable(np.float32(2))
        exponent = (x**3).inputs[1]
        assert (x**exponent).value == 8


class TestFunctions:
    def test_numpys_functions(self):
        a = np.arange(6.0).reshape(2, 3)
        x = variable(a)
        for f in (np.sum, np.mean, np.max, np.amax, np.min, np.amin):
            np.testing.assert_array_equal(f(x).value, f(a))
            np.testing.assert_array_equal(
                f(x, axis=1, keepdims=True).value, f(a, axis=1, keepdims=True)
            )
        np.testing.assert_array_equal(np.dot(a.T, x).value, a.T @ a)
        np.testing.assert_array_equal(np.reshape(x, (3, 2)).value, a.reshape(3, 2))
        np.testing.assert_array_equal(np.transpose(x).value, a.T)
        np.testing.assert_array_equal(np.where(a > 2, x, 0).value, np.where(a > 2, a, 0))
        np.testing.assert_array_equal(np.where(x > 2, a, 0).value, np.where(a > 2, a, 0))
        np.testing.assert_array_equal(np.abs(-x).value, a)
        assert (np.shape(x), np.ndim(x), np.size(x)) == ((2, 3), 2, 6)

    def test_every_function_of_the_table_is_met_here(self):
        met = {np.sum, np.mean, np.max, np.amax, np.min, np.amin, np.dot, np.reshape, np.transpose}
        assert set(node._FUNCTIONS) == met | {np.where, np.shape, np.ndim, np.size, np.stack}

    @pytest.mark.parametrize("shape", [(), (3,), (2, 1, 3)])
    @pytest.mark.parametrize("count", [1, 2, 5])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_stack(self, shape, count, dtype):
        """Infinite neighbours leave each other alone, both ways."""
        arrays = np.random.default_rng(0).normal(size=(count, *shape)).astype(dtype)
        arrays[-1] = np.inf
        nodes = [variable(a) for a in arrays]
        for joined in (graph.stack(nodes), np.stack(nodes), graph.stack(iter(nodes))):
            assert joined.dtype == dtype
            np.testing.assert_array_equal(joined.value, arrays)
        joined.backward(np.arange(1.0, 1 + arrays.size).reshape(arrays.shape))
        found = np.stack([n.grad for n in nodes])
        np.testing.assert_array_equal(found, np.arange(1.0, 1 + arrays.size).reshape(arrays.shape))

    def test_what_cannot_be_stacked(self):
        x, y = variable([1.0, 2.0]), variable(1.0)
        with pytest.raises(ValueError, match=r"one shape, got \(2,\) and \(\)"):
            graph.stack([x, y, x])
        with pytest.raises(ValueError, match="one or more nodes of one shape, got none"):
            graph.stack([])
        with pytest.raises(TypeError, match=r"np\.stack of nodes"):
            np.stack([x, x], axis=1)

    def test_of_numbers_and_arrays_they_give_constants(self):
        for found in (
            graph.exp(1.0),
            graph.sum([1.0, 2.0]),
            graph.dot([1, 2], [3, 4]),
            graph.transpose([[1]]),
        ):
            assert isinstance(found, Node)
            assert not found.active


class TestRefusals:
    @pytest.mark.parametrize(
        "f",
        [np.arctan, np.isnan, np.floor, np.arctan2, np.floor_divide, np.logical_not, np.hypot],
        ids=lambda f: f.__name__,
    )
    def test_ufuncs_that_nodes_do_not_have(self, f):
        with pytest.raises(
            TypeError, match=f"graph: expected a function that nodes have, got np.{f.__name__}"
        ):
            f(*[variable(1.0)] * f.nin)

    @pytest.mark.parametrize(
        "option", [{"out": np.ones(1)}, {"where": True}, {"dtype": "f4"}, {"casting": "no"}]
    )
    def test_options_of_ufuncs(self, option):
        with pytest.raises(
            TypeError, match=f"graph: np.exp of nodes takes no {next(iter(option))}="
        ):
            np.exp(variable(1.0), **option)

    def test_methods_of_ufuncs(self):
        x = variable([1.0, 2.0])
        for call in (
            lambda: np.add.reduce(x),
            lambda: np.add.accumulate(x),
            lambda: np.multiply.outer(x, x),
            lambda: np.add.at(np.ones(2), [0], x),
        ):
            with pytest.raises(TypeError, match=r"a function that nodes have, got np\."):
                call()

    @pytest.mark.parametrize(
        "call",
        [
            lambda x: np.sum(x, out=np.ones(())), lambda x: np.sum(x, dtype="f4"),
            lambda x: np.mean(x, where=True), lambda x: np.max(x, initial=3),
            lambda x: np.reshape(x, (2, 1), order="F"), lambda x: np.transpose(x, (0,)),
            np.where, lambda x: np.size(x, 0), lambda x: np.concatenate([x, x]),
            np.linalg.norm, lambda x: np.clip(x, 0, 1), lambda x: np.stack([x, x], axis=1),
        ],
    )  # fmt: skip
    def test_functions_and_options_that_nodes_do_not_have(self, call):
        with pytest.raises(TypeError, match="graph: "):
            call(variable([1.0, 2.0]))

    @pytest.mark.parametrize(
        "make", [np.asarray, np.array, lambda x: np.asarray([x, x]), np.atleast_1d]
    )
    def test_a_node_is_no_array(self, make):
        with pytest.raises(TypeError, match="graph: expected a"):
            make(variable(1.0))

    def test_a_node_is_no_truth(self):
        for decide in (bool, lambda x: x and 1, lambda x: 1 if x > 0 else 0, lambda x: 0 < x < 2):
            with pytest.raises(TypeError, match="got a node; where"):
                decide(variable(1.0))
        with pytest.raises(TypeError):
            1.0 in variable([1.0, 2.0])  # noqa: B015

    @pytest.mark.parametrize("other", [None, "a", b"a", {}, {1}, object], ids=repr)
    def test_what_is_no_number(self, other):
        x = variable(1.0)
        for f in list(OPERATORS.values())[:5]:
            with pytest.raises(TypeError, match=REFUSED):
                f(x, other)
            with pytest.raises(TypeError, match=REFUSED):
                f(other, x)
        for f in (graph.exp, graph.sum, graph.transpose, lambda a: graph.where(a, 1, 2)):
            with pytest.raises(TypeError, match="graph: expected a node or numbers, got"):
                f(other)

    @pytest.mark.parametrize("other", [1j, np.array([None]), ["a"], np.array(["a"])], ids=repr)
    def test_arrays_of_what_is_no_number(self, other):
        for f in (lambda x: x + other, lambda x: other + x, lambda x: x * other):
            with pytest.raises(TypeError, match="expected real numbers, got dtype"):
                f(variable([1.0]))

    def test_arrays_that_hide_something(self):
        x = variable([1.0, 2.0])
        with pytest.raises(ValueError, match="without masked elements"):
            x * np.ma.array([1.0, 2.0], mask=[0, 1])
        with pytest.raises(ValueError, match="rows of equal length"):
            x * [[1], [1, 2]]

    def test_python_operators_that_nodes_do_not_have(self):
        for f in (lambda x: x // 2, lambda x: x % 2, lambda x: pow(x, 2, 3), float, int, round):
            with pytest.raises(TypeError):
                f(variable(1.0))
        with pytest.raises(AttributeError):
            variable(1.0).T = 1
        with pytest.raises(AttributeError):
            constant(1.0).own = 1
