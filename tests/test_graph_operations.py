"""Operations of nodes: items, reductions, shapes and products."""

import numpy as np
import pytest

from deltaprop import graph
from deltaprop.graph import variable


class TestItems:
    @pytest.mark.parametrize(
        "key",
        [
            0, -1, slice(None), slice(None, None, -1), slice(None, None, -2), slice(5, 1, -3),
            slice(3, 1), slice(1, 3, -1), slice(10, 20), slice(-2, None), (), ..., None,
            (0, 1), (..., 0), (None, ..., None), (slice(1, None), -1), (0, ..., slice(0, 0)),
            np.int64(1), (slice(2**70), 0), (slice(None), None, 1),
        ],
    )  # fmt: skip
    def test_as_numpys(self, key):
        a = np.arange(24.0).reshape(6, 4)
        x = variable(a)
        y = x[key]
        np.testing.assert_array_equal(y.value, a[key])
        assert y.shape == a[key].shape
        w = np.random.default_rng(0).normal(size=y.shape)
        y.backward(w)
        expected = np.zeros_like(a)
        expected[key] += w
        np.testing.assert_array_equal(x.grad, expected)

    @pytest.mark.parametrize(
        "key", [1.0, "a", True, np.True_, [0], np.array([0, 1]), np.array(1), {}, ("a", 0)]
    )
    def test_kinds_that_nodes_do_not_take(self, key):
        with pytest.raises(TypeError, match=r"integers, slices, None or \.\.\. between"):
            variable(np.ones((3, 2)))[key]
        with pytest.raises(TypeError, match="got Node"):
            variable(np.ones((3, 2)))[variable(1.0)]

    def test_out_of_range(self):
        x = variable(np.ones((3, 2)))
        for key in (3, -4, (0, 2), 2**70):
            with pytest.raises(IndexError):
                x[key]
        with pytest.raises(IndexError, match=r"expected 2 indices or fewer for \(3, 2\), got 3"):
            x[0, 0, 0]
        with pytest.raises(ValueError, match=r"one \.\.\. between brackets, got two"):
            x[..., ...]
        with pytest.raises(ValueError, match="slice step cannot be zero"):
            x[::0]

    def test_lengths_and_iteration(self):
        x = variable([[1.0, 2.0], [3.0, 4.0]])
        assert len(x) == 2
        assert [row.value.tolist() for row in x] == [[1, 2], [3, 4]]
        for meet in (len, list):
            with pytest.raises(TypeError, match="a number has no length"):
                meet(variable(1.0))
        with pytest.raises(TypeError, match="item assignment"):
            x[0] = 1.0


class TestReductions:
    @pytest.mark.parametrize(
        "axis", [None, 0, -1, (0, 1), (1, -3), [2], (), np.int64(1), (0, 1, 2)]
    )
    @pytest.mark.parametrize("keepdims", [False, True, np.True_])
    def test_axes_as_numpys(self, axis, keepdims):
        a = np.random.default_rng(0).normal(size=(2, 3, 4))
        for name in ("sum", "mean", "max", "min"):
            own = tuple(axis) if isinstance(axis, list) else axis
            expected = getattr(np, name)(a, axis=own, keepdims=bool(keepdims))
            found = getattr(variable(a), name)(axis=axis, keepdims=keepdims)
            np.testing.assert_allclose(found.value, expected, rtol=1e-14)
            assert found.shape == np.shape(expected)

    def test_axes_that_are_not_there(self):
        x = variable(np.ones((2, 3)))
        for axis in (2, -3, (0, 0), (0, -2), tuple(range(1000)), 2**70, -(2**70)):
            with pytest.raises(
                ValueError, match=r"sum: expected different axes of an array \(2, 3\)"
            ):
                x.sum(axis=axis)
        with pytest.raises(
            ValueError, match=r"expected different axes of an array \(\), got axis 0"
        ):
            variable(1.0).mean(axis=0)

    @pytest.mark.parametrize("axis", ["a", 1.5, (0, "a"), {0}, {}, np.array([0.5])])
    def test_axes_of_the_wrong_kind(self, axis):
        for name in ("sum", "mean", "max", "min"):
            with pytest.raises(
                TypeError, match="axis: expected an integer or a sequence of them, got"
            ):
                getattr(graph, name)(variable(np.ones((2, 3))), axis=axis)

    def test_keepdims_of_the_wrong_kind(self):
        with pytest.raises(TypeError, match="keepdims: expected True or False, got 'a'"):
            variable([1.0]).sum(keepdims="a")

    def test_of_nothing(self):
        x = variable(np.ones((0, 3)))
        assert x.sum(axis=0).value.tolist() == [0, 0, 0]
        assert x.max(axis=1).shape == (0,)
        for name in ("mean", "max", "min"):
            with pytest.raises(
                ValueError, match=r"expected an element or more, got an array \(0, 3\)"
            ):
                getattr(x, name)(axis=0)

    def test_ties_share_and_nan_is_the_largest(self):
        for name, ties in (("max", [1.0, 3, 3]), ("min", [3.0, 1, 1])):
            x = variable(ties)
            getattr(x, name)().backward()
            assert x.grad.tolist() == [0, 0.5, 0.5]
            x = variable([1.0, np.nan, 2.0])
            y = getattr(x, name)()
            assert np.isnan(y.value)
            y.backward()
            assert x.grad.tolist() == [0, 1, 0]
        x = variable([-np.inf, -np.inf])
        x.max().backward()
        assert x.grad.tolist() == [0.5, 0.5]


class TestReshape:
    @pytest.mark.parametrize(
        "shape", [6, (6,), (3, -1), [2, 3], np.array([3, 2]), np.int64(6), -1, (1, 6)]
    )
    def test_as_numpys(self, shape):
        a = np.arange(6.0).reshape(2, 3)
        expected = a.reshape(tuple(shape) if isinstance(shape, np.ndarray) else shape)
        for found in (graph.reshape(variable(a), shape), variable(a).reshape(shape)):
            np.testing.assert_array_equal(found.value, expected)

    def test_several_arguments(self):
        assert variable(np.ones((2, 3))).reshape(3, -1).shape == (3, 2)
        assert variable(2.0).reshape().shape == ()
        assert variable(np.ones((0, 3))).reshape(-1).shape == (0,)
        assert variable(np.ones((0, 3))).reshape(3, -1).shape == (3, 0)

    def test_shapes_that_do_not_fit(self):
        x = variable(np.ones((2, 3)))
        for bad in ((7,), (), (5, -1), (0, -1), (2**62, 4), (2**32, 2**32), (2**70,), (7, 0)):
            with pytest.raises(
                ValueError, match=r"reshape: expected a shape of 6 elements, as \(2, 3\)"
            ):
                x.reshape(bad)
        for bad in ((-1, -1), (-2, 3), (-(2**63),)):
            with pytest.raises(
                ValueError, match="reshape: expected lengths of 0 or more and one -1"
            ):
                x.reshape(bad)
        with pytest.raises(ValueError, match="reshape: expected a shape of 0 elements"):
            variable(np.ones(0)).reshape(0, -1)

    @pytest.mark.parametrize("shape", ["ab", 6.0, (2, "a"), None, {6}])
    def test_shapes_of_the_wrong_kind(self, shape):
        with pytest.raises(
            TypeError, match="reshape: expected an integer or a sequence of them, got"
        ):
            variable(np.ones((2, 3))).reshape(shape)

    def test_transposes(self):
        a = np.arange(24.0).reshape(2, 3, 4)
        np.testing.assert_array_equal(variable(a).T.value, a.T)
        assert variable(2.0).T.value == 2.0


class TestProductsOfMatrices:
    @pytest.mark.parametrize(
        ("a", "b"),
        [
            ((2, 0), (0, 3)),
            ((0,), (0,)),
            ((0, 2), (2, 3)),
            ((0, 2, 2), (2, 2)),
            ((3,), (3, 0)),
            ((1,), (1, 1)),
        ],
    )
    def test_of_empty_sides(self, a, b):
        x, y = variable(np.ones(a)), variable(np.ones(b))
        z = x @ y
        np.testing.assert_array_equal(z.value, np.ones(a) @ np.ones(b))
        z.sum().backward()
        assert (np.shape(x.grad), np.shape(y.grad)) == (a, b)

    def test_shapes_that_do_not_fit(self):
        x = variable(np.ones((2, 3)))
        for other in (np.ones((2, 3)), np.ones(2), 2.0, np.ones((4, 2, 3)), variable(1.0)):
            with pytest.raises(
                ValueError, match=r"matmul: expected \(..., m, k\) and \(..., k, n\), got"
            ):
                x @ other
        with pytest.raises(ValueError, match="dot: expected b of 1 or 2 axes"):
            graph.dot(x, np.ones((2, 3, 2)))
        assert graph.dot(2, x).value.tolist() == [[2, 2, 2]] * 2

    def test_shapes_that_do_not_broadcast(self):
        for f in (lambda x, y: x + y, graph.maximum, lambda x, y: graph.where(x, y, 1.0)):
            with pytest.raises(ValueError, match=r"broadcast together, got \(2,\) and \(3,\)"):
                f(variable(np.ones(2)), np.ones(3))


class TestEdgesOfFunctions:
    def test_powers_at_0(self):
        for n, value, slope in ((0, 1, 0), (1, 0, 1), (2, 0, 0), (3, 0, 0), (0.5, 0, np.inf)):
            for start in (0.0, [0.0, 0.0]):
                x = variable(start)
                y = x**n
                y.backward()
                np.testing.assert_array_equal(y.value, np.full(x.shape, value))
                np.testing.assert_array_equal(x.grad, np.full(x.shape, slope))
        x, y = variable(0.0), variable(0.0)
        (x**y).backward()
        assert (x.grad, y.grad) == (0, 0)
        x = variable(-2.0)
        (x**3).backward()
        assert x.grad == 12

    def test_the_branch_not_taken(self):
        x = variable([-1.0, 0.0, 1.0])
        safe = graph.where(x > 0, graph.log(graph.where(x > 0, x, 1)), 0)
        safe.backward()
        np.testing.assert_array_equal(safe.value, [0, 0, 0])
        np.testing.assert_array_equal(x.grad, [0, 0, 1])
        bare = graph.where(x > 0, graph.log(x), 0)
        np.testing.assert_array_equal(bare.value, [0, 0, 0])

    def test_equal_sides_share(self):
        for f in (graph.maximum, graph.minimum):
            x, y = variable([1.0, 2.0]), variable([1.0, 3.0])
            f(x, y).backward()
            assert x.grad[0] == y.grad[0] == 0.5
            x = variable(1.0)
            f(x, x).backward()
            assert x.grad == 1.0

    def test_domains(self):
        with np.errstate(all="ignore"):
            for name, points in (
                ("log", [-1.0, 0, np.inf]),
                ("sqrt", [-1.0, 0]),
                ("log1p", [-2.0, -1]),
            ):
                x = np.array(points)
                np.testing.assert_array_equal(getattr(graph, name)(x).value, getattr(np, name)(x))
