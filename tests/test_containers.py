"""Residual, Concat, Heads and nested Sequential."""

import copy
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from nests import Scale, problem

DTYPES = ["float32", "float64"]
MSE = nn.MSELoss()


def several(value):
    """Return a tuple of what may be one."""
    return value if isinstance(value, tuple) else (value,)


def each(f, value):
    """Return f of each array of one or of several."""
    return tuple(map(f, value)) if isinstance(value, tuple) else f(value)


def tree(dtype="float32", seed=0):
    """Return a network with every container in it: two inputs, two heads."""
    return nn.Sequential(
        nn.Concat(nn.Sequential(nn.Linear(4, 3), nn.Tanh()), nn.Linear(2, 3)),
        nn.Residual(nn.Linear(6, 6), nn.Sequential(nn.Sigmoid(), nn.Linear(6, 6))),
        nn.Heads(nn.Linear(6, 1), nn.Sequential(nn.Linear(6, 2), nn.Tanh())),
        dtype=dtype,
        seed=seed,
    )


def tree_data(rows=7, seed=0):
    """Return two inputs and two targets of that network."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 4)), random.normal(size=(rows, 2))
    return x, (random.normal(size=(rows, 1)), random.normal(size=(rows, 2)))


class TestRandomNests:
    @pytest.mark.parametrize("seed", range(30))
    def test_gradients(self, seed):
        nest, x, y = problem(seed)
        net = nest.ours()
        report = dp.check_gradients(net, (MSE,) * len(y), x, y, max_checks=6)
        assert report.ok, report
        assert {row.name for row in report.rows} >= {p.name for p in net.parameters()}
        inputs = [row for row in report.rows if row.name.startswith("input")]
        assert len(inputs) == len(several(x))

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("seed", range(12))
    def test_training_is_pytorchs(self, peer, seed, dtype):
        torch = peer("torch")
        nest, x, y = problem(seed, smooth=seed % 2 == 0, rows=9)
        net = nn.Sequential(*(child.ours() for child in nest.children), dtype=dtype, seed=seed)
        twin = nest.torchs(torch).to(getattr(torch, dtype))
        twin.load_state_dict(
            {name: torch.from_numpy(value) for name, value in net.state_dict().items()}, strict=True
        )
        x = each(lambda a: a.astype(dtype), x)
        y = each(lambda a: a.astype(dtype), y)
        losses = []
        adam = torch.optim.Adam(twin.parameters(), lr=0.01)
        for _ in range(20):
            adam.zero_grad()
            outputs = twin(each(torch.from_numpy, x))
            loss = sum(
                torch.nn.functional.mse_loss(a, torch.from_numpy(t))
                for a, t in zip(outputs, y, strict=True)
            )
            loss.backward()
            adam.step()
            losses.append(float(loss.detach()))
        history = net.fit(
            x,
            y,
            loss=(MSE,) * len(y),
            optimizer=optim.Adam(net.parameters(), lr=0.01),
            epochs=20,
            batch_size=None,
        )
        tolerance = 1e-3 if dtype == "float32" else 1e-8
        np.testing.assert_allclose(history["loss"], losses, rtol=tolerance)
        state = net.state_dict()
        theirs = {name: tensor.numpy() for name, tensor in twin.state_dict().items()}
        assert list(state) == list(theirs)
        for name, value in theirs.items():
            np.testing.assert_allclose(state[name], value, rtol=tolerance, atol=tolerance)
        net.load_state_dict(theirs)
        for name, value in net.state_dict().items():
            np.testing.assert_array_equal(value, theirs[name])

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("seed", range(8))
    def test_by_hand_is_fit_to_the_bit(self, seed, dtype):
        nest, x, y = problem(seed, smooth=False, rows=300)

        def make():
            layers = (child.ours() for child in nest.children)
            net = nn.Sequential(*layers, dtype=dtype, seed=seed)
            return net, optim.Adam(net.parameters(), lr=0.01)

        net, opt = make()
        losses = (MSE, nn.L1Loss(), nn.HuberLoss())
        weights = (1.0, 0.5, 2.0)
        options = {"loss": losses, "loss_weights": weights, "batch_size": 130, "shuffle": False}
        history = net.fit(x, y, optimizer=opt, epochs=3, **options)
        twin, opt = make()
        for _ in range(3):
            for begin in range(0, 300, 130):
                rows = slice(begin, begin + 130)
                outputs = twin.forward(each(lambda a, r=rows: a[r], x))
                parts = zip(losses, weights, outputs, y, strict=True)
                twin.backward(tuple(w * loss.delta(a, t[rows]) for loss, w, a, t in parts))
                opt.step()
                opt.zero_grad()
        np.testing.assert_array_equal(net.flat_parameters, twin.flat_parameters)
        sums = sum(w * history[f"loss_{k}"] for k, w in enumerate(weights))
        np.testing.assert_allclose(history["loss"], sums, rtol=1e-12)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("seed", range(8))
    def test_rows_alone_and_together(self, seed, dtype):
        nest, x, _ = problem(seed, smooth=False, rows=270)
        net = nn.Sequential(*(child.ours() for child in nest.children), dtype=dtype, seed=seed)
        whole = net(x)
        for i in (0, 5, 269):
            alone = net(each(lambda a, i=i: a[i], x))
            for a, b in zip(whole, alone, strict=True):
                np.testing.assert_array_equal(a[i], b)
        for a, b in zip(whole, net.forward(x), strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(whole, net.predict(x, batch_size=100), strict=True):
            np.testing.assert_array_equal(a, b)


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
    def test_what_only_the_whole_has(self, use):
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


def mse_fit(net, x, y, loss=(MSE, MSE), **options):
    opt = optim.SGD(net.parameters(), lr=0.1)
    return net.fit(x, y, loss=loss, optimizer=opt, epochs=1, **options)


X, Y = tree_data()
L = nn.Linear
ERRORS = {
    "inner width": (
        lambda: nn.Sequential(L(2, 3), nn.Sequential(L(4, 5))),
        r"^Sequential: layer 1, Linear\(4, 5\), expected 4 features, got 3 from layer 0, Linear\(2",
    ),
    "branch width": (
        lambda: nn.Sequential(L(2, 3), nn.Concat(L(3, 1), L(4, 5))),
        r"^Sequential: layer 1, Linear\(4, 5\), expected 4 features, got 3 from layer 0",
    ),
    "after heads": (
        lambda: nn.Sequential(nn.Heads(L(2, 2), L(2, 2)), nn.Concat(L(3, 2), L(2, 2))),
        r"^Linear\(3, 2\): expected 3 features, got 2$",
    ),
    "heads to a layer": (
        lambda: nn.Sequential(nn.Heads(L(2, 2), L(2, 2)), L(2, 2)),
        r"^Linear\(2, 2\): expected one input, got 2$",
    ),
    "heads to fewer branches": (
        lambda: nn.Sequential(nn.Heads(L(2, 2), L(2, 2)), nn.Concat(L(2, 2), L(2, 2), L(2, 2))),
        r"^Concat: expected 3 inputs, a branch each, got 2$",
    ),
    "residual of another width": (
        lambda: nn.Sequential(L(2, 3), nn.Residual(L(3, 4))),
        r"^Residual: expected as many outputs as inputs, got 3 inputs and 4 outputs$",
    ),
    "residual of heads": (
        lambda: nn.Residual(nn.Heads(L(2, 2), L(2, 2))),
        r"^Residual: expected one output to add to, got several$",
    ),
    "branch of several outputs": (
        lambda: nn.Concat(nn.Heads(L(2, 3), L(2, 3)), L(2, 2)),
        r"^Concat: expected branches of one output each, got 2 from branch 0$",
    ),
    "no layers": (nn.Sequential, r"^Sequential: expected one layer or more, got none$"),
    "no branches": (nn.Concat, r"^Concat: expected one layer or more, got none$"),
    "no heads": (nn.Heads, r"^Heads: expected one layer or more, got none$"),
    "one head": (
        lambda: nn.Heads(L(2, 2)),
        r"^Heads: expected two branches or more, got 1$",
    ),
    "nothing to add to": (
        nn.Residual,
        r"^Residual: expected one layer or more, got none",
    ),
    "inputs": (
        lambda: tree()((X[0], X[1], X[1])),
        r"^Concat: expected one input or a tuple of 2, ",
    ),
    "input width": (
        lambda: tree()((X[0], X[0])),
        r"^Linear\(2, 3\): expected input \(N, 2\), got \(7, 4\)$",
    ),
    "one input for two": (
        lambda: tree()(X[0]),
        r"^Linear\(2, 3\): expected input \(N, 2\), got \(7, 4\)$",
    ),
    "rows": (
        lambda: tree()((X[0], X[1][:3])),
        r"^Concat: expected inputs of as many rows, got \(7, 4\) and \(3, 2\)$",
    ),
    "one row and several": (
        lambda: tree()((X[0], X[1][0])),
        r"^Concat: expected inputs of as many rows, got \(7, 4\) and \(2,\)$",
    ),
    "empty tuple": (lambda: tree()(()), r"^x: expected one array or more, got an empty tuple$"),
    "deltas": (
        lambda: (net := tree(), net.forward(X), net.backward(Y[0])),
        r"^backward: expected 2 deltas, one for each output, got 1$",
    ),
    "delta": (
        lambda: (net := tree(), net.forward(X), net.backward((Y[0], Y[0]))),
        r"^backward: expected delta \(7, 2\), the shape of the output, got \(7, 1\)$",
    ),
    "y": (lambda: mse_fit(tree(), X, Y[0]), r"^y: expected a tuple of 2, one for each loss, got n"),
    "ys": (
        lambda: mse_fit(tree(), X, Y[:1]),
        r"^y: expected a tuple of 2, one for each loss, got 1",
    ),
    "y's rows": (
        lambda: mse_fit(tree(), X, (Y[0], Y[1][:3])),
        r"^y: expected 7 rows, as X has, got",
    ),
    "no losses": (lambda: mse_fit(tree(), X, Y, ()), r"^fit: expected one loss or more, got an e"),
    "a loss for two": (
        lambda: mse_fit(tree(), X, Y, MSE),
        r"^fit: expected a tuple of losses, one",
    ),
    "losses for one": (
        lambda: mse_fit(nn.Sequential(L(4, 1)), X[0], (Y[0], Y[0])),
        r"expected .*loss",
    ),
    "too few weights": (
        lambda: mse_fit(tree(), X, Y, loss_weights=(1,)),
        r"^fit: expected loss_weights to be 2 numbers, one for each loss, got \(1,\)$",
    ),
    "negative weight": (
        lambda: mse_fit(tree(), X, Y, loss_weights=(1, -1)),
        r"^fit: expected loss_weights of 0 or more, got \(1, -1\)$",
    ),
    "X's rows": (lambda: mse_fit(tree(), (X[0], X[1][:3]), Y), r"expected .* rows"),
}


class TestErrors:
    @pytest.mark.parametrize("case", ERRORS)
    def test_values(self, case):
        use, message = ERRORS[case]
        with pytest.raises(ValueError, match=message) as found:
            use()
        assert "\n" not in str(found.value)

    def test_kinds(self):
        with pytest.raises(
            TypeError, match=r"^Concat: expected layers, got the class Linear at 1$"
        ):
            nn.Concat(L(2, 2), nn.Linear)
        with pytest.raises(TypeError, match=r"^Heads: expected layers, got list at 0$"):
            nn.Heads([L(2, 2)])
        with pytest.raises(TypeError, match="expected numbers as loss_weights"):
            mse_fit(tree(), X, Y, loss_weights=("a", 1))
        with pytest.raises(TypeError, match=r"^x\[1\]: expected real numbers, got dtype <U1$"):
            tree()((X[0], [["a", "b"]]))

    def test_a_layer_twice(self):
        layer = L(2, 2)
        with pytest.raises(
            ValueError, match=r"each layer once, got layer 1, Linear\(2, 2\), twice$"
        ):
            nn.Sequential(layer, layer)
        with pytest.raises(ValueError, match=r"got layer 1, Residual, twice$"):
            nn.Sequential(layer, nn.Residual(layer))
        inner = nn.Sequential(L(2, 2))
        with pytest.raises(ValueError, match=r"got layer 1, Sequential, twice$"):
            nn.Concat(inner, inner)

    def test_a_module_of_another_network(self):
        layer = L(2, 2)
        residual = nn.Residual(layer)
        net = nn.Sequential(residual)
        for part in (layer, residual):
            with pytest.raises(ValueError, match=r"expected layers without a network, got layer 0"):
                nn.Sequential(part)
        nn.Sequential(net)
        with pytest.raises(ValueError, match=r"layer 0, Sequential, of another$"):
            nn.Sequential(net)

    def test_a_layer_that_left_for_another_network(self):
        layer = L(2, 2)
        residual = nn.Residual(layer)
        net = nn.Sequential(layer, L(2, 3))
        x = np.ones((1, 2))
        with pytest.raises(
            ValueError, match=r"^Residual: .*Linear\(2, 2\), which has joined anoth"
        ):
            residual(x)
        with pytest.raises(ValueError, match=r"got layer 0, Linear\(2, 2\), of another$"):
            nn.Concat(residual)
        net.forward(x)
        assert net.activations[1].shape == (1, 3)


class TestOddUses:
    def test_subclasses(self):
        class Block(nn.Residual):
            def __init__(self, width):
                super().__init__(nn.Linear(width, width), nn.Tanh())
                self.note = "mine"

        net = nn.Sequential(Block(3), Block(3), seed=0)
        twin = copy.deepcopy(net)
        assert isinstance(twin[0], Block)
        assert twin[0].note == "mine"
        np.testing.assert_array_equal(twin(np.ones(3)), net(np.ones(3)))

    def test_a_pass_of_its_own(self):
        class Mixin:
            def forward(self, x, training=True):
                return x

        with pytest.raises(TypeError, match="expected forward to be Concat's"):
            type("Odd", (nn.Concat,), {"forward": Mixin.forward})
        with pytest.raises(TypeError, match="expected forward to be Sequential's"):
            type("Odd", (Mixin, nn.Sequential), {})

    def test_no_layers_given(self):
        class Lazy(nn.Residual):
            def __init__(self):
                pass

        with pytest.raises(ValueError, match=r"^Residual: expected one layer or more, got none$"):
            Lazy()(np.ones(2))
        with pytest.raises(ValueError, match=r"^Residual: expected one layer or more, got none$"):
            nn.Sequential(Lazy())

    def test_itself(self):
        class Loop(nn.Residual):
            def __init__(self):
                super().__init__(nn.Tanh(), self)

        with pytest.raises(TypeError, match=r"^Residual: expected layers, got itself at 1$"):
            Loop()
        net = nn.Sequential(nn.Residual(nn.Tanh()))
        with pytest.raises(RuntimeError, match=r"^Residual: expected __init__ to be called once$"):
            net[0].__init__(net)

    def test_deep(self):
        module = nn.Linear(2, 2)
        for _ in range(150):
            module = nn.Residual(nn.Tanh(), module)
        net = nn.Sequential(module, dtype="float64", seed=0)
        y = net.forward(np.full((3, 2), 1e-60))
        delta = net.backward(np.ones((3, 2)))
        assert np.isfinite(y).all()
        assert delta.shape == (3, 2)

    def test_deeper_than_a_stack(self):
        # In a process of its own, which it may bring down.
        code = (
            "import sys; sys.setrecursionlimit(10**6)\n"
            "from deltaprop import _core\n"
            "block = _core.Block(_core.Linear(2, 2, True, 'default'))\n"
            "try:\n"
            "    for _ in range(10**6): block = _core.Block('Sequential', [block])\n"
            "except ValueError as error: print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == "Sequential: expected at most 1000 modules inside one another\n"

    def test_many(self):
        net = nn.Sequential(
            nn.Concat(*(nn.Linear(2, 1) for _ in range(500))),
            *(nn.Linear(500, 500) if i == 0 else nn.Tanh() for i in range(500)),
            nn.Heads(*(nn.Linear(500, 1) for _ in range(100))),
            seed=0,
        )
        outputs = net.forward(np.ones((2, 2)))
        assert len(outputs) == 100
        assert net.backward(outputs).shape == (2, 2)
        assert len(copy.deepcopy(net)(np.ones(2))) == 100

    def test_threads(self):
        net = tree()
        sets = [tree_data(rows, rows)[0] for rows in (1, 3, 300)]
        want = [net(x) for x in sets]
        wrong = []

        def work():
            for _ in range(60):
                for x, outputs in zip(sets, want, strict=True):
                    if any((a != b).any() for a, b in zip(net(x), outputs, strict=True)):
                        wrong.append(len(x[0]))
                net.jacobian(sets[1])

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong

    def test_callbacks_may_predict_and_change_nothing(self):
        nets = tree(), tree()
        x, y = tree_data(20)

        def look(run):
            run.network(x)
            run.network[0](x)
            run.network.jacobian(x)
            with pytest.raises(RuntimeError):
                mse_fit(run.network, x, y)

        for net, callbacks in zip(nets, ([look], []), strict=True):
            opt = optim.Adam(net.parameters())
            net.fit(x, y, loss=(MSE, MSE), optimizer=opt, epochs=3, callbacks=callbacks)
        np.testing.assert_array_equal(nets[0].flat_parameters, nets[1].flat_parameters)
