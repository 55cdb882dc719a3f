"""The graph of nodes: forward, backward, values and identity."""

import copy
import gc
import pickle
import time

import numpy as np
import pytest

from deltaprop import _core, graph
from deltaprop.graph import Node, constant, variable


class TestForwardAndBackward:
    def test_the_two_paths_of_b(self):
        w, b = variable(3.0, name="w"), variable(4.0, name="b")
        z = (2 * w + 3 * b) * (2 * b + 1)
        assert z.value == 162.0
        z.backward()
        assert (w.grad, b.grad) == (18.0, 63.0)

    def test_a_leaf_is_set_and_the_graph_evaluated_again(self):
        for start, then in ((2.0, 3.0), ([1.0, 2.0], [3.0, 4.0])):
            x = variable(start)
            y = (x * x + 1).sum()
            before = y.value
            x.value = then
            assert y.value == before
            y.forward()
            assert y.value == np.sum(np.square(then) + 1)
            y.backward()
            np.testing.assert_array_equal(x.grad, 2 * np.array(then))

    def test_each_backward_replaces(self):
        x = variable(3.0)
        y = x * x
        for _ in range(3):
            y.backward()
            assert x.grad == 6.0
        y.backward(2)
        assert (x.grad, y.grad) == (12.0, 2.0)

    def test_a_backward_leaves_alone_what_it_does_not_reach(self):
        x, y = variable(3.0), variable(2.0)
        (x * y).backward()
        (x * 5).backward()
        assert (x.grad, y.grad) == (5.0, 3.0)

    def test_no_grad_before_the_first_backward(self):
        x, c = variable(1.0), constant(2.0)
        y = x * c
        assert (x.grad, y.grad) == (None, None)
        y.backward()
        assert c.grad is None

    def test_a_delta_of_ones_own(self):
        x = variable([1.0, 2.0])
        y = x * x
        y.backward([1, 10])
        assert x.grad.tolist() == [2, 40]
        y.backward(np.array([1, 10], ">f4"))
        assert x.grad.tolist() == [2, 40]
        for bad in (np.ones(3), np.ones((1, 2)), [[1.0], [2.0]]):
            with pytest.raises(
                ValueError, match=r"backward: expected a number or a delta \(2,\), got"
            ):
                y.backward(bad)
        for bad in ("a", None, y, 1j):
            with pytest.raises(TypeError, match="expected"):
                y.backward(bad)

    @pytest.mark.parametrize("make", [lambda: constant(1.0), lambda: variable(1.0) < 2])
    def test_nothing_to_go_back_to(self, make):
        with pytest.raises(
            ValueError, match="backward: expected a node that depends on a variable"
        ):
            make().backward()

    def test_a_view_of_a_value_stays_as_it_was(self):
        x = variable([1.0, 2.0])
        y = x * x
        y.backward()
        value, grad, own = y.value, x.grad, x.value
        x.value = [3.0, 4.0]
        y.forward()
        y.backward()
        assert [a.tolist() for a in (value, grad, own)] == [[1, 4], [2, 4], [1, 2]]
        assert [a.tolist() for a in (y.value, x.grad, x.value)] == [[9, 16], [6, 8], [3, 4]]
        for array in (value, grad, own, variable([[1.0]]).value):
            assert not array.flags.writeable
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 5

    def test_values_outlive_their_node(self):
        y = variable(np.arange(1000.0)) * 2
        value = y.value
        del y
        gc.collect()
        np.testing.assert_array_equal(value, 2 * np.arange(1000.0))

    def test_the_array_given_is_copied(self):
        a = np.ones(3)
        x = variable(a)
        a[:] = 5
        assert x.value.tolist() == [1, 1, 1]


class TestSettingAValue:
    def test_the_shape_has_to_be_the_same(self):
        with pytest.raises(ValueError, match=r"value: expected \(2,\), got \(3,\)"):
            variable([1.0, 2.0]).value = np.ones(3)
        with pytest.raises(ValueError, match=r"value: expected \(2,\), got \(\)"):
            variable([1.0, 2.0]).value = 1.0
        with pytest.raises(ValueError, match=r"value: expected \(\), got \(1,\)"):
            variable(1.0).value = [1.0]

    @pytest.mark.parametrize("bad", ["a", None, 1j, [None]])
    def test_numbers_only(self, bad):
        with pytest.raises(TypeError, match="value: expected real numbers, got dtype"):
            variable(1.0).value = bad
        with pytest.raises(TypeError, match=r"use its \.value"):
            variable(1.0).value = variable(2.0)

    def test_variables_only(self):
        for node in (constant(1.0), variable(1.0) * 2):
            with pytest.raises(TypeError, match="value: expected a variable to be set"):
                node.value = 2.0
        with pytest.raises(AttributeError):
            variable(1.0).grad = 2.0

    def test_the_precision_stays(self):
        x = variable(np.ones(2, np.float32))
        x.value = np.array([0.1, 1e300])
        assert x.value.dtype == np.float32
        assert x.value.tolist() == [float(np.float32(0.1)), np.inf]

    def test_its_own_value(self):
        x = variable([1.0, 2.0, 3.0])
        x.value = x.value[::-1]
        assert x.value.tolist() == [3, 2, 1]
        x.value = x.value
        assert x.value.tolist() == [3, 2, 1]


class TestKindsOfArrays:
    def test_everything_but_float32_becomes_float64(self):
        for given in (1, 1.5, True, np.int8(3), np.float16(0.1), np.longdouble(2), [1, 2]):
            node = variable(given)
            assert node.dtype == np.float64
            np.testing.assert_array_equal(node.value, np.asarray(given, np.float64))
        for given in (np.float32(0.1), np.ones((2, 3), np.float32), np.ones(2, ">f4")):
            node = variable(given)
            assert node.dtype == np.float32
            np.testing.assert_array_equal(node.value, given)

    def test_integers_beyond_2_to_the_53_are_rounded(self):
        assert variable(np.array([2**53 + 1])).value.tolist() == [float(2**53)]
        assert (variable(1.0) + 2**70).value == 2.0**70
        with pytest.raises(OverflowError):
            variable(1.0) + 10**400

    def test_arrays_as_they_lie(self, tmp_path):
        base = np.arange(24.0).reshape(4, 6)
        mapped = np.memmap(tmp_path / "a", np.float64, "w+", shape=(4, 6))
        mapped[:] = base
        frozen = base.copy()
        frozen.flags.writeable = False
        for a in (base[::-2, 1::3], base.T, np.asfortranarray(base), mapped, frozen, base[:0]):
            for node in (variable(a), constant(a), variable(0.0) + a):
                np.testing.assert_array_equal(node.value, a)
                assert node.shape == a.shape

    def test_big_endian_everywhere(self):
        a, x = np.array([1.5, 2.5], ">f8"), variable([0.0, 0.0])
        assert (x + a).value.tolist() == [1.5, 2.5]
        assert (a + x).value.tolist() == [1.5, 2.5]
        x.value = a
        assert x.value.tolist() == [1.5, 2.5]

    def test_shapes_of_one_and_none(self):
        for shape in ((), (1,), (1, 1), (0,), (0, 3)):
            x = variable(np.ones(shape))
            y = (x * 3).sum() + (x**2).sum()
            y.backward()
            np.testing.assert_array_equal(x.grad, np.full(shape, 5.0))
            assert np.shape(x.grad) == shape
            assert y.value == 4 * x.size

    def test_nan_and_infinity_pass(self):
        x = variable([np.nan, np.inf, -np.inf, 1.0])
        y = x * 2
        np.testing.assert_array_equal(y.value, [np.nan, np.inf, -np.inf, 2])
        y.backward()
        assert x.grad.tolist() == [2, 2, 2, 2]

    @pytest.mark.parametrize("make", [variable, constant])
    def test_what_is_no_array_of_numbers(self, make):
        for bad in (1j, "1", None, [None], np.datetime64("2020"), b"a"):
            with pytest.raises(
                TypeError, match=f"{make.__name__}: expected real numbers, got dtype"
            ):
                make(bad)
        with pytest.raises(TypeError, match=r"use its \.value"):
            make(variable(1.0))
        with pytest.raises(ValueError, match="rows of equal length"):
            make([[1], [1, 2]])
        with pytest.raises(ValueError, match="without masked elements"):
            make(np.ma.array([1.0, 2.0], mask=[0, 1]))


class TestLargeGraphs:
    @pytest.mark.parametrize("start", [1.0, [1.0, 1.0]])
    def test_a_chain_of_100_000(self, start):
        x = variable(start)
        z = x
        for _ in range(100_000):
            z = z + 1
        z.forward()
        z.backward()
        np.testing.assert_array_equal(z.value, np.full(x.shape, 100_001))
        np.testing.assert_array_equal(x.grad, np.ones(x.shape))
        assert len(repr(z)) < 1000
        del z
        gc.collect()

    def test_second_derivatives_of_a_long_chain(self):
        def f(x):
            z = x
            for _ in range(20_000):
                z = z * 1.0001
            return z * z

        assert graph.hessian(f)(1.0) == pytest.approx(2 * 1.0001**40_000)

    def test_a_diamond_of_60_levels(self):
        x = variable(1.0)
        z, start = x, time.perf_counter()
        for _ in range(60):
            z = z * 0.5 + z * 0.5
        z.forward()
        z.backward()
        assert (z.value, x.grad) == (1, 1)
        assert len(repr(z)) < 1000
        assert time.perf_counter() - start < 1


class TestIdentity:
    def test_equal_gives_a_node_and_hashing_is_by_identity(self):
        a, b = variable(1.0), variable(1.0)
        assert isinstance(a == b, Node)
        assert ((a == b).value, (a != b).value) == (1, 0)
        assert {a: 1, b: 2}[b] == 2
        assert len({a, b}) == 2
        assert (a == None) is False  # noqa: E711
        assert a != "a"

    def test_a_node_fetched_again(self):
        z = variable(1.0) * 2
        first, place = hash(z.inputs[0]), {z.inputs[0]: "x"}
        gc.collect()
        assert hash(z.inputs[0]) == first
        assert place[z.inputs[0]] == "x"
        assert z.inputs[0] is z.inputs[0]

    def test_what_a_node_shows(self):
        x = variable(np.ones((2, 3), np.float32), name="x")
        y = (x * 2).sum(axis=0)
        assert (y.op, y.details, y.inputs[0].op, x.op) == ("sum", "axis=0", "multiply", "variable")
        assert (x.shape, x.ndim, x.size, x.dtype) == ((2, 3), 2, 6, np.float32)
        assert (x.name, y.name, y.active, constant(1.0).active) == ("x", "", True, False)
        y.name = "y"
        assert y.name == "y"
        for bad in (3, None, b"x"):
            with pytest.raises(TypeError, match="name: expected a string, got"):
                y.name = bad
        with pytest.raises(TypeError, match="name: expected a string, got int"):
            variable(1.0, name=3)

    def test_copies(self):
        # A node stands in a graph that others share: what a copy of it would be is not clear.
        for make in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match=r"cannot pickle 'deltaprop\.graph\.Node' object"):
                make(variable(1.0))

    def test_nodes_come_of_functions_alone(self):
        assert Node.__module__ == "deltaprop.graph"
        for make in (Node, lambda: Node.__new__(Node), lambda: object.__new__(Node)):
            with pytest.raises(TypeError):
                make()
        with pytest.raises(TypeError):
            Node.__base__.__new__(Node)
        with pytest.raises(TypeError, match="not an acceptable base type"):
            type("Own", (Node,), {})
        with pytest.raises(TypeError):
            variable(1.0).__init__()

    def test_the_cores_functions_check_too(self):
        for arguments in ((999, 1.0), (-1, 1.0), (0,), (0, 1.0, 2.0), (0, "a")):
            with pytest.raises(TypeError):
                _core.graph_apply(*arguments)
        for bad in (None, [None], 3):
            with pytest.raises(TypeError):
                _core.graph_gradient(variable(1.0), 1.0, bad)
            with pytest.raises(TypeError):
                _core.graph_jacobian(variable(1.0), bad)
        with pytest.raises(TypeError):
            _core.graph_gradient(None, 1.0, [])

    def test_messages_name_the_public_class(self):
        for wrong in (lambda x: x + None, lambda x: x // 2, float, lambda x: pow(x, 2, 3)):
            with pytest.raises(TypeError, match=r"'deltaprop\.graph\.Node'"):
                wrong(variable(1.0))
