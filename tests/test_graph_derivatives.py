"""Derivatives by graphs against differences, PyTorch and JAX, of random expressions too."""

import inspect
from itertools import pairwise

import numpy as np
import pytest

from deltaprop import graph
from nodes import CASES, differences, weights

# Functions of other modules: a new one needs a case.
MODULES = {f"deltaprop.graph.{name}" for name in ("node", "derivatives", "solving")}
NAMES = {
    name
    for name in graph.__all__
    if inspect.isfunction(f := getattr(graph, name)) and f.__module__ not in MODULES
}
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


@pytest.fixture(scope="module")
def jax(peer):
    module = peer("jax")
    module.config.update("jax_enable_x64", True)
    return module


@pytest.fixture(scope="module")
def torch(peer):
    return peer("torch")


@pytest.fixture(scope="module")
def jaxs(jax):
    """Give f's gradient and hessian by JAX. Compiled as one, they take a tenth of the time."""

    def derivatives(f, arguments):
        every = tuple(range(len(arguments)))
        both = jax.jit(lambda *x: (jax.grad(f, every)(*x), jax.hessian(f, every)(*x)))
        return both(*arguments)

    return derivatives


def weighted(f):
    """Make one number of what f gives."""
    return lambda *x: (f(*x) * weights(np.shape(f(*x)))).sum()


def our_gradients(f, arguments):
    x = [graph.variable(a) for a in arguments]
    y = f(*x)
    if y.active:
        y.backward(weights(y.shape))
    return y.value, [v.grad for v in x]


def test_every_function_has_a_case():
    assert {name.split(",")[0] for name in CASES} >= NAMES


@pytest.mark.parametrize("name", CASES)
def test_values_are_numpys(name):
    for dtype in ("float64", "float32"):
        x = CASES[name].arguments(dtype)
        found = CASES[name].ours(*map(graph.variable, x))
        expected = CASES[name].numpy(*x)
        assert found.dtype == dtype
        assert np.shape(found.value) == found.shape == np.shape(expected)
        np.testing.assert_allclose(found.value, expected, rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_slopes(name):
    case = CASES[name]
    x = case.arguments()
    y, found = our_gradients(case.ours, x)
    assert np.shape(y) == np.shape(case.numpy(*x))
    for a, b, value in zip(found, differences(weighted(case.numpy), x), x, strict=True):
        # A function without a slope gets no delta.
        slope = np.zeros(np.shape(value)) if a is None else a
        assert np.shape(slope) == np.shape(value)
        np.testing.assert_allclose(slope, b, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [n for n in CASES if n != "sign"])
def test_gradients_are_pytorchs(name, dtype, torch):
    case = CASES[name]
    x = case.arguments(dtype)
    y, found = our_gradients(case.ours, x)
    theirs = [torch.tensor(a, requires_grad=True) for a in x]
    z = case.theirs("torch", torch)(*theirs)
    z.backward(torch.tensor(weights(np.shape(y)).astype(dtype)))
    np.testing.assert_allclose(y, z.detach().numpy(), rtol=TOLERANCE[dtype])
    for a, b in zip(found, theirs, strict=True):
        assert np.asarray(a).dtype == dtype
        np.testing.assert_allclose(a, b.grad.numpy(), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_first_and_second_derivatives_are_jaxs(name, dtype, jax, jaxs):
    case = CASES[name]
    x = case.arguments(dtype)
    w = weights(np.shape(case.numpy(*x))).astype(dtype)
    theirs = case.theirs("jax", jax.numpy)
    every = range(len(x))

    def ours(*a):
        return (case.ours(*a) * w).sum()

    slopes, curves = jaxs(lambda *a: (theirs(*a) * w).sum(), x)
    tolerance = {"rtol": TOLERANCE[dtype] * 10, "atol": TOLERANCE[dtype] * 10}
    for a, b in zip(graph.grad(ours, every)(*x), slopes, strict=True):
        assert np.asarray(a).dtype == dtype
        np.testing.assert_allclose(a, b, **tolerance)
    found = graph.hessian(ours, every)(*x)
    for i in every:
        for k in every:
            np.testing.assert_allclose(found[i][k], curves[i][k], **tolerance)


class TestRandomExpressions:
    """1,000 graphs of all operations on numbers and arrays that broadcast."""

    SHAPES = ((), (3,), (2, 1), (2, 3), (1,))

    def build(self, rng, module, x):
        """Give a random expression of x; for the same draws the same, whatever module it is of."""
        unary = (
            lambda a: module.exp(-a * a),
            lambda a: module.log(a * a + 1),
            lambda a: module.sqrt(a * a + 0.5),
            module.sin,
            module.cos,
            module.tanh,
            lambda a: module.expm1(module.tanh(a)),
            lambda a: module.log1p(a * a),
            lambda a: module.tan(module.sin(a) * 0.5),
            lambda a: -a,
            module.abs,
            module.sigmoid,
            module.square,
            lambda a: a * module.sign(a),
            lambda a: a**2,
            lambda a: module.tanh(a) ** 3,
            lambda a: (a * a + 0.5) ** -1.5,
            lambda a: 1.5 ** module.sin(a),
            lambda a: 2 - a / 3,
        )
        binary = (
            lambda a, b: a + b,
            lambda a, b: a - b,
            lambda a, b: a * b,
            lambda a, b: a / (b * b + 1),
            lambda a, b: (a * a + 0.5) ** module.tanh(b),
            module.maximum,
            module.minimum,
            lambda a, b: module.where(a < b, a * b, b),
        )
        reduction = (
            lambda a: a.sum(),
            lambda a: a.mean(),
            lambda a: a.max(),
            lambda a: a.min(),
            lambda a: a.sum(0) if a.ndim else a,
            lambda a: a.mean(-1) if a.ndim else a,
            lambda a: a.reshape(-1),
            lambda a: a.reshape(-1)[::2],
            lambda a: a[..., None] @ a[..., None, :] if a.ndim == 1 else a,
            lambda a: a.T if a.ndim == 2 else a,
        )
        nodes = list(x)
        for _ in range(int(rng.integers(3, 12))):
            kind = rng.uniform()
            a, b = (nodes[int(i)] for i in rng.integers(0, len(nodes), 2))
            if kind < 0.45:
                nodes.append(unary[int(rng.integers(len(unary)))](a))
                continue
            if kind < 0.9:
                f = binary[int(rng.integers(len(binary)))]
                try:
                    np.broadcast_shapes(tuple(a.shape), tuple(b.shape))
                except ValueError:
                    continue
                nodes.append(f(a, b))
                continue
            nodes.append(reduction[int(rng.integers(len(reduction)))](a))
        return sum((n.sum() for n in nodes[len(x) :]), start=(x[0] * x[0]).sum())

    def draw(self, seed):
        rng = np.random.default_rng(seed)
        count = int(rng.integers(1, 4))
        shapes = [self.SHAPES[int(i)] for i in rng.integers(0, len(self.SHAPES), count)]
        return [rng.normal(size=s) for s in shapes], int(rng.integers(2**60))

    def ours(self, seed):
        arguments, inner = self.draw(seed)
        x = [graph.variable(a) for a in arguments]
        return x, self.build(np.random.default_rng(inner), graph, x)

    @pytest.mark.parametrize("block", range(10))
    def test_slopes(self, block):
        """Along one random direction: kinks within the step are as rare as it is short."""
        misses = 0
        for seed in range(block * 100, block * 100 + 100):
            x, y = self.ours(seed)
            y.backward()
            gradients = [v.grad if v.grad is not None else 0 * v.value for v in x]
            start, rng = [v.value for v in x], np.random.default_rng(seed)
            along = [rng.normal(size=v.shape) for v in x]
            sides = []
            for step in (1e-6, -1e-6):
                for v, a, d in zip(x, start, along, strict=True):
                    v.value = a + step * d
                y.forward()
                sides.append(y.value)
            slope = (sides[0] - sides[1]) / 2e-6
            found = sum(np.sum(g * d) for g, d in zip(gradients, along, strict=True))
            size = 1 + sum(np.abs(g * d).sum() for g, d in zip(gradients, along, strict=True))
            misses += not abs(found - slope) < 1e-6 * max(size, abs(y.value))
        assert misses == 0

    @pytest.mark.parametrize("block", range(10))
    def test_pytorch(self, block, torch):
        for seed in range(block * 100, block * 100 + 100):
            x, y = self.ours(seed)
            y.backward()
            arguments, inner = self.draw(seed)
            theirs = [torch.tensor(a, requires_grad=True) for a in arguments]
            z = self.build(np.random.default_rng(inner), torch, theirs)
            z.backward()
            np.testing.assert_allclose(y.value, z.item(), rtol=1e-11, atol=1e-11)
            for v, t in zip(x, theirs, strict=True):
                expected = np.zeros(v.shape) if t.grad is None else t.grad.numpy()
                found = np.zeros(v.shape) if v.grad is None else v.grad
                scale = max(1, np.abs(expected).max())
                np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10 * scale)

    def test_the_gradient_as_nodes_is_that_of_backward(self):
        for seed in range(200):
            arguments, inner = self.draw(seed)
            x, y = self.ours(seed)
            y.backward()
            expected = [np.zeros(v.shape) if v.grad is None else v.grad for v in x]
            f = lambda *a, inner=inner: self.build(np.random.default_rng(inner), graph, a)  # noqa: E731
            found = graph.grad(f, range(len(x)))(*map(graph.variable, arguments))
            for a, b in zip(found, expected, strict=True):
                scale = max(1, np.abs(b).max())
                np.testing.assert_allclose(a.value, b, rtol=1e-10, atol=1e-11 * scale)


def rosenbrock(x):
    return sum(100 * (b - a**2) ** 2 + (1 - a) ** 2 for a, b in pairwise(x))


def rosenbrock_of_arrays(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def himmelblau(x, y):
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


class TestHessians:
    def test_rosenbrock(self, jaxs):
        for n in (2, 7):
            x = np.random.default_rng(n).normal(size=n)
            expected = jaxs(rosenbrock_of_arrays, [x])[1][0][0]
            np.testing.assert_allclose(graph.hessian(rosenbrock_of_arrays)(x), expected, rtol=1e-12)
            blocks = graph.hessian(lambda *a: rosenbrock(a))(*x)
            np.testing.assert_allclose(blocks, expected, rtol=1e-12)
        # At the minimum of two variables, by hand.
        np.testing.assert_allclose(
            graph.hessian(rosenbrock_of_arrays)([1.0, 1.0]), [[802, -400], [-400, 200]], rtol=1e-14
        )

    def test_himmelblau(self, jaxs):
        for x, y in ((3.0, 2.0), (-0.270845, -0.923039), (0.0, 0.0)):
            expected = jaxs(himmelblau, [x, y])[1]
            np.testing.assert_allclose(graph.hessian(himmelblau)(x, y), expected, rtol=1e-12)
        # A minimum.
        np.testing.assert_allclose(graph.grad(himmelblau)(3.0, 2.0), (0, 0), atol=1e-12)
        np.testing.assert_array_equal(graph.hessian(himmelblau)(3.0, 2.0), ((74, 20), (20, 34)))

    def test_a_network(self, jax, jaxs):
        rng = np.random.default_rng(0)
        data, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 1))
        weights = [rng.normal(size=s) for s in ((3, 4), (4,), (4, 1), (1,))]

        def loss(module, a, b, c, d):
            return ((module.tanh(data @ a + b) @ c + d - y) ** 2).mean()

        found = graph.hessian(lambda *w: loss(graph, *w))(*weights)
        slopes, expected = jaxs(lambda *w: loss(jax.numpy, *w), weights)
        for i in range(4):
            for k in range(4):
                assert found[i][k].shape == weights[i].shape + weights[k].shape
                np.testing.assert_allclose(found[i][k], expected[i][k], rtol=1e-9, atol=1e-12)
        for a, b in zip(graph.grad(lambda *w: loss(graph, *w))(*weights), slopes, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)

    def test_of_what_is_straight(self):
        np.testing.assert_array_equal(
            graph.hessian(lambda x: x.sum())([2.0, 3.0]), np.zeros((2, 2))
        )
        np.testing.assert_array_equal(
            graph.hessian(lambda x: graph.constant(1.0))([2.0]), np.zeros((1, 1))
        )
        assert graph.hessian(lambda x: (x * x).sum())(np.zeros(0)).shape == (0, 0)

    def test_of_powers_at_0(self):
        for n, expected in ((0, 0), (1, 0), (2, 2), (3, 0)):
            assert graph.hessian(lambda x, n=n: x**n)(0.0) == expected
        assert graph.hessian(lambda x, y: x**y)(2.0, 0.0)[0][1] == pytest.approx(0.5)

    def test_of_an_empty_broadcast(self):
        found = graph.hessian(lambda x: (x * x * np.ones((0, 3))).sum())(np.ones((1, 3)))
        np.testing.assert_array_equal(found, np.zeros((1, 3, 1, 3)))


class TestJacobian:
    def test_jax(self, jax):
        x, y = np.linspace(0.5, 1, 3), np.linspace(1, 2, 4)

        def f(module, x, y):
            return module.sin(x[:, None] * y) + x[:, None]

        found = graph.jacobian(lambda x, y: f(graph, x, y))(x, y)
        expected = jax.jit(jax.jacobian(lambda x, y: f(jax.numpy, x, y), (0, 1)))(x, y)
        assert [a.shape for a in found] == [(3, 4, 3), (3, 4, 4)]
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)

    def test_shapes_and_types(self):
        assert graph.jacobian(lambda x: x * x)(3.0) == 6.0
        assert isinstance(graph.jacobian(lambda x: x * x)(3.0), float)
        assert graph.jacobian(lambda x: x * x)(np.float32(3)).dtype == np.float32
        assert graph.jacobian(lambda x: x * x)(np.zeros(0)).shape == (0, 0)
        assert graph.jacobian(lambda x: graph.constant([1.0, 2.0]))(3.0).tolist() == [0, 0]
        wide, narrow = graph.jacobian(lambda x, y: x * y)(np.ones(2), np.ones(2, np.float32))
        assert (wide.dtype, narrow.dtype) == (np.float64, np.float32)

    @pytest.mark.parametrize("derive", [graph.jacobian, graph.hessian])
    def test_nodes_are_refused(self, derive):
        # The result is no node: derived again it would be a constant, and the derivative wrong.
        with pytest.raises(TypeError, match="expected numbers or arrays, got a node"):
            graph.grad(lambda x: x * derive(lambda z: z**3)(x))(2.0)


class TestGrad:
    def test_argnums(self):
        def f(x, y, z):
            return x * y**2 + z

        assert graph.grad(f)(2.0, 3.0, 4.0) == (9.0, 12.0, 1.0)
        assert graph.grad(f, 1)(2.0, 3.0, 4.0) == 12.0
        assert graph.grad(f, np.int64(-1))(2.0, 3.0, 4.0) == 1.0
        assert graph.grad(f, (0,))(2.0, 3.0, 4.0) == (9.0,)
        assert graph.grad(f, [2, 0, 0])(2.0, 3.0, 4.0) == (1.0, 9.0, 9.0)
        assert graph.grad(f, ())(2.0, 3.0, 4.0) == ()
        assert graph.value_and_grad(f, 1)(2.0, 3.0, 4.0) == (22.0, 12.0)
        with pytest.raises(ValueError, match="grad: expected argnums of 3 arguments, got 3"):
            graph.grad(f, 3)(2.0, 3.0, 4.0)
        for bad in (1.0, "a", (0, "a")):
            with pytest.raises(TypeError, match="expected argnums to be an integer or a sequence"):
                graph.grad(f, bad)(2.0, 3.0, 4.0)

    def test_what_f_has_to_give(self):
        with pytest.raises(TypeError, match="grad: expected a node from the function, got float"):
            graph.grad(lambda x: 3.0)(2.0)
        with pytest.raises(ValueError, match="grad: expected one number from the function, got"):
            graph.grad(lambda x: x)([1.0, 2.0])
        with pytest.raises(ValueError, match="hessian: expected one number from the function, got"):
            graph.hessian(lambda x: x)([1.0, 2.0])
        assert graph.grad(lambda x: x)(2.0) == 1.0
        assert graph.grad(lambda x: graph.constant(1.0))([2.0, 3.0]).tolist() == [0, 0]

    def test_grad_of_grad(self):
        f = lambda x: graph.sin(x) * x**4  # noqa: E731
        derived, x = f, 0.7
        expected = [
            np.sin(x) * x**4,
            np.cos(x) * x**4 + 4 * np.sin(x) * x**3,
            -np.sin(x) * x**4 + 8 * np.cos(x) * x**3 + 12 * np.sin(x) * x**2,
            -np.cos(x) * x**4 - 12 * np.sin(x) * x**3 + 36 * np.cos(x) * x**2 + 24 * np.sin(x) * x,
        ]
        for slope in expected[1:]:
            derived = graph.grad(derived)
            assert derived(x) == pytest.approx(slope, rel=1e-13)

    def test_of_nodes_gives_nodes(self):
        x = graph.variable(2.0)
        value, slope = graph.value_and_grad(lambda a: a**3)(x)
        assert (value.value, slope.value) == (8.0, 12.0)
        slope.backward()
        assert x.grad == 12.0
        x.value = 3.0
        slope.forward()
        assert slope.value == 27.0

    def test_arguments_that_hang_together(self):
        # f's own derivatives: how its arguments depend on each other is no part of them.
        x = graph.variable(2.0)
        product = graph.grad(lambda a, b: a * b)
        assert [n.value for n in product(x, x)] == [2.0, 2.0]
        assert [n.value for n in product(x, x**2)] == [4.0, 2.0]
        assert product(graph.constant(3.0), 5.0)[0].value == 5.0
        # But what comes of them can be derived through.
        y = product(x, x**2)[0]
        y.backward()
        assert x.grad == 4.0

    def test_directional_derivative(self):
        f = lambda x, y: x**2 + y**2 + 5  # noqa: E731
        assert graph.directional_derivative(f, (-3, 3), (3, -3)) == pytest.approx(-6 * np.sqrt(2))
        with pytest.raises(ValueError, match="a finite direction other than 0"):
            graph.directional_derivative(f, (-3, 3), (0, 0))
        with pytest.raises(ValueError, match="point and a direction of the same length"):
            graph.directional_derivative(f, (-3, 3), (1,))
