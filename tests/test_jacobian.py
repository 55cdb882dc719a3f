"""Derivatives of the outputs, and of a loss, with respect to the inputs."""

import threading

import numpy as np
import pytest

from deltaprop import nn, optim
from nests import problem

MSE = nn.MSELoss()


def several(value):
    """Return a tuple of what may be one."""
    return value if isinstance(value, tuple) else (value,)


def make(seed, dtype="float64", rows=3):
    """Return a random network of containers, its inputs and its targets."""
    nest, x, y = problem(seed, rows=rows)
    net = nn.Sequential(*(child.ours() for child in nest.children), dtype=dtype, seed=seed)
    return nest, net, x, y


def differences(f, x, step=1e-5):
    """Return df/dx, (outputs..., inputs...), by central differences of fourth order."""
    x = np.array(x, dtype=np.float64)
    columns = []
    for index in np.ndindex(x.shape):
        start = x[index]

        def at(h, index=index, start=start):
            x[index] = start + h
            value = np.asarray(f(x), dtype=np.float64)
            x[index] = start
            return value

        h = step * max(1.0, abs(start)) * 10
        columns.append((8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h))
    return np.stack(columns, axis=-1).reshape(*columns[0].shape, *x.shape)


class Square(nn.Layer):
    """y = s x^2, in Python."""

    def __init__(self):
        self.parameter("scale", np.full(1, 0.5))

    def forward(self, x, training):
        if training:
            self.x = x
        return self.scale * x * x

    def backward(self, delta):
        self.grad_scale += (delta * self.x * self.x).sum()
        return 2 * self.scale * self.x * delta


class TestJacobian:
    @pytest.mark.parametrize("seed", range(12))
    def test_is_that_of_differences(self, seed):
        _, net, x, _ = make(seed)
        found = net.jacobian(x)
        xs = several(x)
        for k in range(3):
            for j, part in enumerate(xs):
                for row in range(len(part)):

                    def output(values, j=j, k=k, row=row):
                        at = tuple(values if i == j else a[row] for i, a in enumerate(xs))
                        return net(at if len(at) > 1 else at[0])[k]

                    want = differences(output, part[row])
                    got = found[k][j] if len(xs) > 1 else found[k]
                    np.testing.assert_allclose(got[row], want, rtol=1e-7, atol=1e-9)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("seed", range(6))
    def test_is_pytorchs(self, peer, seed, dtype):
        torch = peer("torch")
        nest, net, x, _ = make(seed, dtype)
        twin = nest.torchs(torch).to(getattr(torch, dtype))
        twin.load_state_dict({k: torch.from_numpy(v) for k, v in net.state_dict().items()})
        xs = tuple(torch.from_numpy(a.astype(dtype)) for a in several(x))

        def outputs(*row):
            return twin(row if len(row) > 1 else row[0])

        places = tuple(range(len(xs)))
        want = torch.func.vmap(torch.func.jacrev(outputs, argnums=places))(*xs)
        found = net.jacobian(x)
        tolerance = {"rtol": 1e-4, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-10}
        for got, theirs in zip(found, want, strict=True):
            for a, b in zip(several(got), theirs, strict=True):
                assert a.dtype == dtype
                np.testing.assert_allclose(a, b.detach().numpy(), **tolerance)

    def test_of_a_linear_layer_is_its_weight(self):
        net = nn.Sequential(nn.Linear(3, 2))
        found = net.jacobian(np.ones((4, 3)))
        assert found.shape == (4, 2, 3)
        np.testing.assert_array_equal(found, np.broadcast_to(net[0].weight, (4, 2, 3)))
        np.testing.assert_array_equal(net.jacobian(np.ones(3)), net[0].weight)
        assert net.jacobian(np.ones((0, 3))).shape == (0, 2, 3)

    def test_shapes_of_several(self):
        branches = nn.Concat(nn.Linear(3, 2), nn.Linear(2, 2))
        net = nn.Sequential(branches, nn.Heads(nn.Linear(4, 1), nn.Tanh()))
        for rows in (0, 1, 5):
            found = net.jacobian((np.ones((rows, 3)), np.ones((rows, 2))))
            shapes = [[a.shape for a in head] for head in found]
            assert shapes == [[(rows, 1, 3), (rows, 1, 2)], [(rows, 4, 3), (rows, 4, 2)]]
        found = net.jacobian((np.ones(3), np.ones(2)))
        assert [a.shape for a in found[1]] == [(4, 3), (4, 2)]

    def test_more_rows_than_a_tile(self):
        net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2), seed=0)
        x = np.random.default_rng(0).normal(size=(5000, 2))[:, ::-1]
        x.flags.writeable = False
        found = net.jacobian(x)
        for i in (0, 256, 4999):
            np.testing.assert_array_equal(found[i], net.jacobian(x[i]))

    def test_a_layer_in_python(self):
        net = nn.Sequential(nn.Linear(2, 3), Square(), nn.Residual(Square()), dtype="float64")
        x = np.random.default_rng(0).normal(size=(2, 2))
        found = net.jacobian(x)
        for i in range(2):
            np.testing.assert_allclose(found[i], differences(net, x[i]), rtol=1e-7, atol=1e-9)
        assert not net.flat_gradients.any()

    def test_errors(self):
        net = nn.Sequential(nn.Linear(3, 2))
        with pytest.raises(ValueError, match=r"^Linear\(3, 2\): expected input \(N, 3\), got \(2"):
            net.jacobian(np.ones((2, 4)))
        with pytest.raises(TypeError, match=r"^x: expected real numbers"):
            net.jacobian(np.ones((2, 3), complex))
        outer = nn.Sequential(net)
        with pytest.raises(RuntimeError, match=r"^Sequential: expected .* the network that it is"):
            net.jacobian(np.ones((2, 3)))
        assert outer.jacobian(np.ones((2, 3))).shape == (2, 2, 3)


class TestInputGradient:
    @pytest.mark.parametrize("seed", range(8))
    def test_is_what_backward_gives(self, seed):
        _, net, x, y = make(seed, "float32")
        losses = (MSE, nn.HuberLoss(), nn.L1Loss())
        weights = (1.0, 0.25, 3.0)
        found = net.input_gradient(x, y, loss=losses, loss_weights=weights)
        outputs = net.forward(x)
        parts = zip(losses, weights, outputs, y, strict=True)
        want = net.backward(tuple(w * loss.delta(a, t) for loss, w, a, t in parts))
        for a, b in zip(several(found), several(want), strict=True):
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize("seed", range(6))
    def test_is_that_of_differences(self, seed):
        _, net, x, y = make(seed)
        found = several(net.input_gradient(x, y, loss=(MSE,) * 3))
        xs = several(x)
        for j, part in enumerate(xs):

            def value(values, j=j):
                at = tuple(values if i == j else a for i, a in enumerate(xs))
                outputs = net(at if len(at) > 1 else at[0])
                return sum(MSE(a, t) for a, t in zip(outputs, y, strict=True))

            np.testing.assert_allclose(found[j], differences(value, part), rtol=1e-7, atol=1e-9)

    def test_shapes(self):
        net = nn.Sequential(nn.Linear(3, 1), seed=0)
        for shape, y in [((3,), [1.0]), ((0, 3), np.ones((0, 1))), ((4, 3), np.ones((4, 1)))]:
            assert net.input_gradient(np.ones(shape), y, loss=MSE).shape == shape

    def test_a_loss_in_python(self):
        class Sum:
            def __call__(self, a, y):
                return float(np.sum(a))

            def delta(self, a, y):
                return np.ones_like(a)

        net = nn.Sequential(nn.Linear(3, 1), seed=0)
        found = net.input_gradient(np.ones((2, 3)), np.ones((2, 1)), loss=Sum())
        np.testing.assert_array_equal(found, np.broadcast_to(net[0].weight, (2, 3)))

    def test_errors(self):
        net = nn.Sequential(nn.Linear(3, 1), seed=0)
        x, y = np.ones((2, 3)), np.ones((2, 1))
        with pytest.raises(
            ValueError, match=r"^MSELoss: expected y \(2, 1\) for outputs \(2, 1\), got"
        ):
            net.input_gradient(x, np.ones((2, 2)), loss=MSE)
        with pytest.raises(ValueError, match=r"^loss: expected 1, one for each output, got 2$"):
            net.input_gradient(x, (y, y), loss=(MSE, MSE))
        with pytest.raises(TypeError, match="expected a loss"):
            net.input_gradient(x, y, loss=3)

        class Wrong:
            def __call__(self, a, y):
                return 0.0

            def delta(self, a, y):
                return np.ones(7)

        with pytest.raises(ValueError, match=r"expected delta \(2, 1\), the shape of the output"):
            net.input_gradient(x, y, loss=Wrong())
        assert net(x).shape == (2, 1)


class TestNothingElseIsTouched:
    def state(self, net):
        return [np.array(net.flat_parameters), np.array(net.flat_gradients)]

    @pytest.mark.parametrize(
        "use",
        [
            lambda net, x, y: net.jacobian(x),
            lambda net, x, y: net.input_gradient(x, y, loss=MSE),
        ],
        ids=["jacobian", "input_gradient"],
    )
    def test_between_forward_and_backward(self, use):
        random = np.random.default_rng(0)
        x, y = random.normal(size=(6, 2)), random.normal(size=(6, 2))
        nets = [
            nn.Sequential(nn.Linear(2, 4), nn.Residual(nn.Tanh()), nn.Linear(4, 2), seed=0)
            for _ in range(2)
        ]
        results = []
        for net, looked_at in zip(nets, (True, False), strict=True):
            a = net.forward(x)
            kept = [np.array(part) for part in net.activations]
            if looked_at:
                use(net, x[:3] * 2, y[:3])
            for part, before in zip(net.activations, kept, strict=True):
                np.testing.assert_array_equal(part, before)
            back = net.backward(MSE.delta(a, y))
            results.append([back, *net.deltas, *self.state(net)])
            opt = optim.SGD(net.parameters(), lr=0.1)
            net.fit(x, y, loss=MSE, optimizer=opt, epochs=2, batch_size=2)
            results[-1] += self.state(net)
        for a, b in zip(*results, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_a_layer_in_python_loses_its_pass(self):
        # It saves values for the backward pass itself: an error beats another input's gradient.
        net = nn.Sequential(nn.Linear(2, 2), Square())
        net.forward(np.ones((3, 2)))
        net.flat_gradients[:] = 5
        net.jacobian(np.zeros((3, 2)))
        assert (net.flat_gradients == 5).all()
        with pytest.raises(RuntimeError, match="expected a fresh training pass"):
            net.backward(np.ones((3, 2)))

    def test_in_callbacks(self):
        random = np.random.default_rng(0)
        x, y = random.normal(size=(9, 2)), random.normal(size=(9, 1))
        found = []

        def look(run):
            found.append(run.network.jacobian(x))
            found.append(run.network.input_gradient(x, y, loss=MSE))

        nets = [nn.Sequential(nn.Linear(2, 4), Square(), nn.Linear(4, 1), seed=0) for _ in "ab"]
        for net, callbacks in zip(nets, ([look], []), strict=True):
            opt = optim.Adam(net.parameters())
            net.fit(x, y, loss=MSE, optimizer=opt, epochs=3, batch_size=4, callbacks=callbacks)
        np.testing.assert_array_equal(nets[0].flat_parameters, nets[1].flat_parameters)
        assert len(found) == 6
        np.testing.assert_array_equal(found[-2], nets[1].jacobian(x))

    def test_beside_predictions_in_other_threads(self):
        net = nn.Sequential(nn.Linear(3, 40), nn.Tanh(), nn.Linear(40, 5), seed=0)
        x = np.random.default_rng(0).normal(size=(200, 3))
        want, derivatives = net(x), net.jacobian(x)
        wrong = []

        def predict():
            for _ in range(100):
                if not np.array_equal(net(x), want):
                    wrong.append("prediction")

        def look():
            for _ in range(20):
                if not np.array_equal(net.jacobian(x), derivatives):
                    wrong.append("jacobian")

        errors = []
        threads = [threading.Thread(target=self.guard(f, errors)) for f in (predict, look) * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert not wrong

    def guard(self, f, errors):
        def run():
            try:
                f()
            except RuntimeError as error:
                errors.append(error)

        return run
