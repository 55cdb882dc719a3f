"""Residual, Concat, Heads and nested Sequential."""

import copy
import pickle

import numpy as np
import pytest

import deltaprop as dp
from container_cases import MSE, each, several, tree, tree_data
from deltaprop import nn, optim
from nests import Scale


class TestShapes:
    def test_names(self):
        names = [p.name for p in tree().parameters()]
        assert names[:4] == ["0.0.0.weight", "0.0.0.bias", "0.1.weight", "0.1.bias"]
        assert names[-2:] == ["2.1.0.weight", "2.1.0.bias"]
        assert [p.name for p in tree()[1].parameters()][-2:] == ["1.1.weight", "1.1.bias"]

    def test_one_row_and_no_rows(self):
        net = tree()
        assert [a.shape for a in net((np.ones(4), np.ones(2)))] == [(1,), (2,)]
        assert [a.shape for a in net((np.ones((0, 4)), np.ones((0, 2))))] == [(0, 1), (0, 2)]
        outputs = net.forward((np.ones((0, 4)), np.ones((0, 2))))
        assert [d.shape for d in net.backward(outputs)] == [(0, 4), (0, 2)]
        assert not net.flat_gradients.any()

    def test_all_of_x_where_it_is_no_tuple(self):
        a, b = nn.Linear(3, 2), nn.Linear(3, 4)
        x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
        want = np.hstack([a(x), b(x)])
        net = nn.Sequential(nn.Concat(a, b))
        np.testing.assert_array_equal(net(x), want)
        np.testing.assert_array_equal(net((x, x)), want)
        np.testing.assert_array_equal(net.forward((x, x)), want)
        delta = np.ones((5, 6))
        one, two = net.backward(delta)
        net.forward(x)
        np.testing.assert_array_equal(net.backward(delta), one + two)

    def test_any_kind_of_array(self):
        net = tree()
        (x0, x1), _ = tree_data(6)
        want = net((x0, x1))
        frozen = np.asfortranarray(x0)
        frozen.flags.writeable = False
        wide = np.zeros((12, 4))
        wide[::2, ::2] = x1
        for a, b in zip(want, net((frozen, wide[::2, ::2])), strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(want, net((x0.tolist(), x1.tolist())), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_heads_before_a_concat(self):
        net = nn.Sequential(
            nn.Linear(3, 4),
            nn.Heads(nn.Linear(4, 2), nn.Tanh(), nn.Linear(4, 1)),
            nn.Concat(nn.Linear(2, 2), nn.Sequential(nn.Linear(4, 3)), nn.Sigmoid()),
            nn.Linear(6, 1),
        )
        x = np.random.default_rng(0).normal(size=(4, 3))
        assert net(x).shape == (4, 1)
        assert dp.check_gradients(net, MSE, x, np.ones((4, 1))).ok
        parts = net[1](net[0](x))
        np.testing.assert_array_equal(net[3](net[2](parts)), net(x))
        with pytest.raises(ValueError, match=r"^Concat: expected a tuple of 3 inputs, got 1$"):
            net[2](np.ones((4, 2)))
        net.forward(x)
        net.backward(np.ones((4, 1)))
        assert [d.shape for d in net.deltas[1]] == [(4, 2), (4, 4), (4, 1)]

    def test_the_parts_alone(self):
        net = tree()
        x, _ = tree_data()
        a = net[0](x)
        b = net[1](a)
        for head, want in zip(net[2](b), net(x), strict=True):
            np.testing.assert_array_equal(head, want)
        np.testing.assert_array_equal(net[0][0][1](net[0][0][0](x[0])), a[:, :3])
        np.testing.assert_array_equal(net[0][0](x[0]), a[:, :3])

    def test_a_width_that_only_the_data_tells(self):
        net = nn.Sequential(
            nn.Sequential(nn.ReLU(), nn.Concat(nn.ReLU(), nn.Tanh())), nn.Linear(6, 2)
        )
        assert net(np.ones((1, 3))).shape == (1, 2)
        for use in (net, net.forward, net.jacobian):
            with pytest.raises(ValueError, match=r"^Linear\(6, 2\): expected 6 features, got 12$"):
                use(np.ones((1, 6)))

    def test_a_forward_that_raised_leaves_nothing_behind(self):
        net = nn.Sequential(nn.Residual(nn.Concat(nn.ReLU(), nn.ReLU())))
        for _ in range(2):
            with pytest.raises(ValueError, match="expected as many outputs as inputs, got 30 in"):
                net.forward(np.ones((20, 30)))
        with pytest.raises(RuntimeError, match="expected a fresh training pass"):
            net.backward(np.ones((20, 30)))


class TestActivations:
    def test_lists(self):
        net = tree("float64")
        x, y = tree_data()
        outputs = net.forward(x)
        a = net.activations
        assert [each(np.shape, part) for part in a] == [(7, 6), (7, 6), ((7, 1), (7, 2))]
        for one, other in zip(a[2], outputs, strict=True):
            np.testing.assert_array_equal(one, other)
        inner = net[0].activations
        np.testing.assert_array_equal(np.hstack(inner), a[0])
        np.testing.assert_array_equal(net[0][0].activations[1], inner[0])
        with pytest.raises(RuntimeError, match="deltas: expected a backward pass"):
            _ = net.deltas
        delta = tuple(MSE.delta(one, t) for one, t in zip(outputs, y, strict=True))
        back = net.backward(delta)
        d = net.deltas
        for one, other in zip(d[2], delta, strict=True):
            np.testing.assert_array_equal(one, other)
        # The delta of the trunk is the sum of what comes back through the heads.
        tanh = net[2][1].activations[1]
        lower = delta[0] @ net[2][0].weight + (delta[1] * (1 - tanh**2)) @ net[2][1][0].weight
        np.testing.assert_allclose(d[1], lower, rtol=1e-12)
        np.testing.assert_array_equal(net[1].deltas[1], d[1])
        np.testing.assert_allclose(d[0], d[1] + net[1].deltas[0] @ net[1][0].weight, rtol=1e-12)
        np.testing.assert_array_equal(np.hstack(net[0].deltas), d[0])
        np.testing.assert_allclose(back[1], net[0].deltas[1] @ net[0][1].weight, rtol=1e-12)
        for array in (*a[:2], *a[2], *d[:2], *d[2], *net[1].activations):
            assert not array.flags.writeable

    def test_they_outlive_the_network(self):
        net = tree()
        net.forward(tree_data()[0])
        arrays = [net.activations[0], net[1].activations[0], net.flat_parameters, net[0][1].weight]
        copies = [np.array(array) for array in arrays]
        del net
        for array, kept in zip(arrays, copies, strict=True):
            np.testing.assert_array_equal(array, kept)


class TestNestedSequential:
    def test_untouched_layers_are_drawn_from_the_outer_seed(self):
        flat = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), seed=5)
        inner = nn.Sequential(nn.Tanh(), nn.Linear(4, 2))
        net = nn.Sequential(nn.Linear(3, 4), inner, seed=5)
        np.testing.assert_array_equal(net.flat_parameters, flat.flat_parameters)
        assert [p.name for p in net.parameters()][-1] == "1.1.bias"

    def test_a_seed_of_its_own_is_kept(self):
        inner = nn.Sequential(nn.Linear(4, 2), seed=9)
        want = nn.Sequential(nn.Linear(4, 2), seed=9).flat_parameters
        net = nn.Sequential(nn.Linear(3, 4), inner, seed=5)
        np.testing.assert_array_equal(net.flat_parameters[-len(want) :], want)

    def test_touched_layers_keep_their_values(self):
        inner = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 2))
        view = inner.flat_parameters
        weight = inner[0].weight
        weight[:] = 7
        net = nn.Sequential(nn.Linear(3, 4), inner, seed=5)
        assert (net[1][0].weight == 7).all()
        weight[:] = 8
        view[-1] = 8
        assert (net[1][0].weight == 7).all()
        assert net[1][1].bias[-1] != 8

    @pytest.mark.parametrize("kind", [nn.Residual, nn.Concat, nn.Heads])
    def test_other_containers_work_alone(self, kind):
        module = kind(nn.Linear(3, 3), nn.Tanh())
        x = np.ones((2, 3))
        before = module(x)
        outputs = module.forward(x)
        assert module.backward(outputs).shape == (2, 3)
        assert any(p.grad.any() for p in module.parameters())
        module.zero_grad()
        assert not any(p.grad.any() for p in module.parameters())
        net = nn.Sequential(module, seed=0)
        for a, b in zip(several(before), several(net(x)), strict=True):
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize(
        "use",
        [
            lambda net: net.forward(np.ones((1, 2))),
            lambda net: net.backward(np.ones((1, 2))),
            lambda net: net.flat_parameters,
            lambda net: net.flat_gradients,
            lambda net: net.jacobian(np.ones((1, 2))),
            lambda net: net.fit(
                np.ones((1, 2)),
                np.ones((1, 2)),
                loss=MSE,
                optimizer=optim.SGD(net.parameters(), lr=0.1),
                epochs=1,
            ),
        ],
    )
    def test_an_inner_sequential_refuses_calls_of_the_outer_network(self, use):
        net = nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Tanh())
        with pytest.raises(RuntimeError, match=r"^Sequential: expected .* on the network that it"):
            use(net[0])


class TestCopies:
    @pytest.mark.parametrize(
        "duplicate",
        [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))],
        ids=["copy", "deepcopy", "pickle"],
    )
    def test_the_same_and_apart(self, duplicate):
        net = tree("float64")
        x, _ = tree_data()
        twin = duplicate(net)
        assert repr(twin) == repr(net)
        assert twin.seed == net.seed
        for a, b in zip(net(x), twin(x), strict=True):
            np.testing.assert_array_equal(a, b)
        twin.flat_parameters[:] = 0
        assert net.flat_parameters.any()
        part = duplicate(net[1])
        np.testing.assert_array_equal(part(np.ones((2, 6))), net[1](np.ones((2, 6))))
        part.forward(np.ones((2, 6)))  # it is a network of its own

    def test_a_file(self, tmp_path):
        net = tree()
        net[1].freeze()
        net.save(tmp_path / "net.dp")
        twin = dp.load(tmp_path / "net.dp")
        assert repr(twin) == repr(net)
        x, _ = tree_data()
        for a, b in zip(net(x), twin(x), strict=True):
            np.testing.assert_array_equal(a, b)
        bare = nn.Sequential(nn.Linear(2, 3, bias=False), seed=0)
        bare.save(tmp_path / "net.dp")
        assert dp.load(tmp_path / "net.dp")[0].bias is None


class TestShown:
    def test_repr(self):
        net = nn.Sequential(nn.Linear(2, 2), nn.Residual(nn.Linear(2, 2), nn.Tanh()))
        assert repr(net) == (
            "Sequential(\n"
            "  (0): Linear(2, 2)\n"
            "  (1): Residual(\n"
            "    (0): Linear(2, 2)\n"
            "    (1): Tanh()\n"
            "  )\n"
            ")"
        )

    def test_summary(self, capsys):
        tree().summary()
        lines = capsys.readouterr().out.splitlines()
        cells = [line.split() for line in lines]
        assert ["0.0.0", "Linear(4,", "3)", "(N,", "3)", "15"] in cells
        assert ["2", "Heads", "(N,", "1),", "(N,", "2)", "21"] in cells
        assert lines[-1].startswith("129 parameters")

    def test_a_container_is_a_list(self):
        net = tree()
        assert [len(part) for part in net] == [2, 2, 2]
        assert net[-1] is net[2]
        with pytest.raises(TypeError, match="expected the number of a layer, got a slice"):
            net[0:1]
        with pytest.raises(IndexError):
            net[3]


class TestPythonLayers:
    def test_inside_containers(self):
        net = nn.Sequential(
            nn.Concat(nn.Sequential(nn.Linear(2, 2), Scale()), Scale()),
            nn.Residual(Scale(), nn.Linear(4, 4)),
            nn.Heads(Scale(), nn.Linear(4, 1)),
            seed=0,
        )
        assert [p.name for p in net.parameters()][2] == "0.0.1.factor"
        random = np.random.default_rng(0)
        x = random.normal(size=(5, 2)), random.normal(size=(5, 2))
        y = random.normal(size=(5, 4)), random.normal(size=(5, 1))
        assert dp.check_gradients(net, (MSE, MSE), x, y).ok
        opt = optim.Adam(net.parameters(), lr=0.05)
        history = net.fit(x, y, loss=(MSE, MSE), optimizer=opt, epochs=20, batch_size=None)
        assert history["loss"][-1] < history["loss"][0]
