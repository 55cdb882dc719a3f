"""Layers and containers that stand still while the rest is trained."""

import copy
import pickle

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from nests import Scale

DTYPES = ["float32", "float64"]
MSE = nn.MSELoss()


def make(dtype="float32", seed=0):
    """Return a network with layers and containers to freeze."""
    return nn.Sequential(
        nn.Linear(3, 4),
        nn.Residual(nn.Linear(4, 4), nn.PReLU()),
        nn.Concat(nn.Linear(4, 2), nn.Sequential(nn.Linear(4, 2), nn.Tanh())),
        nn.Linear(4, 1),
        dtype=dtype,
        seed=seed,
    )


def data(rows=20, seed=0):
    """Return inputs and targets."""
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, 3)), random.normal(size=(rows, 1))


X, Y = data()


def fit(net, opt, epochs=3, **options):
    return net.fit(X, Y, loss=MSE, optimizer=opt, epochs=epochs, batch_size=8, **options)


def by_hand(net, opt, epochs=3):
    for _ in range(epochs):
        for begin in range(0, len(X), 8):
            a = net.forward(X[begin : begin + 8])
            net.backward(MSE.delta(a, Y[begin : begin + 8]))
            opt.step()
            opt.zero_grad()


PARTS = {
    "first": lambda net: net[0],
    "last": lambda net: net[3],
    "residual": lambda net: net[1],
    "concat": lambda net: net[2],
    "nested": lambda net: net[2][1],
    "a layer within": lambda net: net[1][0],
    "everything": lambda net: net,
}


class TestStandsStill:
    @pytest.mark.parametrize("rule", [optim.SGD, optim.Adam], ids=["SGD", "Adam"])
    @pytest.mark.parametrize("train", [fit, by_hand])
    @pytest.mark.parametrize("part", PARTS)
    def test_values_and_states(self, part, train, rule):
        net = make()
        options = {"momentum": 0.9} if rule is optim.SGD else {}
        opt = rule(net.parameters(), lr=0.01, weight_decay=0.1, **options)
        train(net, opt)
        module = PARTS[part](net)
        assert module.freeze() is module
        still = {p.name for p in module.parameters()}
        prefix = {"first": "0.", "last": "3.", "residual": "1.", "concat": "2.", "nested": "2.1."}
        still = {prefix.get(part, "1.0." if part == "a layer within" else "") + n for n in still}
        before, states = net.state_dict(), copy.deepcopy(opt.state_dict())
        train(net, opt)
        after, later = net.state_dict(), opt.state_dict()
        for i, (name, value) in enumerate(before.items()):
            assert np.array_equal(after[name], value) == (name in still), name
            one, other = states["state"][i], later["state"][i]
            same = all(np.array_equal(one[key], other[key]) for key in one)
            assert same == (name in still), name

    @pytest.mark.parametrize("part", PARTS)
    def test_gradients_stay_as_they_were(self, part):
        net, free = make("float64"), make("float64")
        PARTS[part](net).freeze()
        names = [p.name for p in net.parameters()]
        results = []
        for one in (net, free):
            a = one.forward(X)
            back = one.backward(MSE.delta(a, Y))
            results.append([a, back, *one.deltas[:1], one.deltas[3]])
        for a, b in zip(*results, strict=True):
            np.testing.assert_array_equal(a, b)
        grads = {p.name: p.grad for p in net.parameters()}
        expected = {p.name: p.grad for p in free.parameters()}
        still = [p.grad for p in PARTS[part](net).parameters()]
        assert not any(grad.any() for grad in still)
        shared = [name for name in names if any(np.shares_memory(grads[name], g) for g in still)]
        assert len(shared) == len(still)
        for name in set(names) - set(shared):
            np.testing.assert_array_equal(grads[name], expected[name])
        np.testing.assert_array_equal(net.jacobian(X), free.jacobian(X))
        np.testing.assert_array_equal(
            net.input_gradient(X, Y, loss=MSE), free.input_gradient(X, Y, loss=MSE)
        )

    @pytest.mark.parametrize("part", PARTS)
    def test_by_hand_is_fit(self, part):
        nets = make(), make()
        for net, train in zip(nets, (fit, by_hand), strict=True):
            PARTS[part](net).freeze()
            opt = optim.Adam(net.parameters(), lr=0.01)
            if train is fit:
                fit(net, opt, shuffle=False)
            else:
                by_hand(net, opt)
        np.testing.assert_array_equal(nets[0].flat_parameters, nets[1].flat_parameters)

    def test_all_of_it(self):
        net = make("float64").freeze()
        before = np.array(net.flat_parameters)
        history = fit(net, optim.Adam(net.parameters(), lr=0.1), epochs=2)
        np.testing.assert_array_equal(net.flat_parameters, before)
        np.testing.assert_allclose(history["loss"], [MSE(net(X), Y)] * 2, rtol=1e-12)

    @pytest.mark.parametrize("frozen", [False, True])
    def test_between_forward_and_backward(self, frozen):
        net = make()
        if frozen:
            net[1].freeze()
        net.forward(X)
        net[1].unfreeze() if frozen else net[1].freeze()
        net.backward(np.ones((20, 1)))
        assert not any(p.grad.any() for p in net[1].parameters())
        assert net[0].grad_weight.any()

    def test_clipping_does_not_see_them(self):
        # The norm is that of what moves.
        nets = make("float64"), make("float64")
        for net in nets:
            net[0].freeze()
        nets[1][0].grad_weight[:] = 1e6
        for net in nets:
            opt = optim.SGD(net.parameters(), lr=0.1, clip_norm=0.01)
            net.backward(MSE.delta(net.forward(X), Y))
            opt.step()
        np.testing.assert_array_equal(nets[0].flat_parameters, nets[1].flat_parameters)

    @pytest.mark.parametrize("train", [fit, by_hand])
    def test_a_layer_in_python(self, train):
        net = nn.Sequential(nn.Linear(3, 2), Scale(), nn.Residual(Scale()), nn.Linear(2, 1), seed=0)
        net[1].freeze()
        train(net, optim.Adam(net.parameters(), lr=0.05))
        assert net[1].factor == 1.5
        assert net[2][0].factor != 1.5
        net.zero_grad()
        net[1].grad_factor[:] = 3
        net.backward(MSE.delta(net.forward(X), Y))
        assert net[1].grad_factor == 3
        assert net[2][0].grad_factor != 0


class TestUnfreeze:
    def test_in_a_callback(self):
        net = make()
        net[0].freeze()
        weights = []

        def thaw(run):
            weights.append(np.array(run.network[0].weight))
            if run.epoch == 2:
                run.network[0].unfreeze()
            if run.epoch == 4:
                run.network[0].freeze()

        start = np.array(net[0].weight)
        fit(net, optim.Adam(net.parameters(), lr=0.01), epochs=5, callbacks=[thaw])
        moved = [not np.array_equal(a, b) for a, b in zip([start, *weights], weights, strict=False)]
        assert moved.count(True) == 2
        assert moved in ([False, False, True, True, False], [False, False, False, True, True])

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("train", [fit, by_hand])
    def test_is_pytorchs(self, peer, train, dtype):
        torch = peer("torch")

        class Residual(torch.nn.Sequential):
            def forward(self, x):
                return x + super().forward(x)

        class Concat(torch.nn.ModuleList):
            def forward(self, x):
                return torch.cat([branch(x) for branch in self], dim=1)

        t = torch.nn
        twin = t.Sequential(
            t.Linear(3, 4),
            Residual(t.Linear(4, 4), t.PReLU()),
            Concat([t.Linear(4, 2), t.Sequential(t.Linear(4, 2), t.Tanh())]),
            t.Linear(4, 1),
        ).to(getattr(torch, dtype))
        net = make(dtype)
        twin.load_state_dict({k: torch.from_numpy(v) for k, v in net.state_dict().items()})
        theirs = torch.optim.Adam(twin.parameters(), lr=0.01)
        ours = optim.Adam(net.parameters(), lr=0.01)
        x, y = (torch.from_numpy(a.astype(dtype)) for a in (X, Y))
        for frozen in (True, False):
            for place in (0, 1):
                twin[place].requires_grad_(not frozen)
                net[place].freeze() if frozen else net[place].unfreeze()
            for _ in range(20):
                for begin in range(0, 20, 8):
                    theirs.zero_grad()
                    rows = slice(begin, begin + 8)
                    t.functional.mse_loss(twin(x[rows]), y[rows]).backward()
                    theirs.step()
            options = {"shuffle": False} if train is fit else {}
            train(net, ours, epochs=20, **options)
            tolerance = 2e-4 if dtype == "float32" else 1e-9
            for name, value in twin.state_dict().items():
                np.testing.assert_allclose(
                    net.state_dict()[name], value.numpy(), rtol=tolerance, atol=tolerance
                )


class TestIsKept:
    def still(self, net, place=0):
        """Return whether a layer stands still in training."""
        before = np.array(net[place].parameters()[0].value)
        fit(net, optim.SGD(net.parameters(), lr=0.1), epochs=1)
        return np.array_equal(net[place].parameters()[0].value, before)

    def test_before_joining_a_network(self):
        layer = nn.Linear(3, 2).freeze()
        inner = nn.Sequential(nn.Linear(2, 2), nn.Tanh()).freeze()
        net = nn.Sequential(layer, inner, nn.Linear(2, 1), seed=0)
        assert self.still(net)
        assert self.still(net, 1)
        assert not self.still(net, 2)
        inner.unfreeze()
        assert not self.still(net, 1)

    @pytest.mark.parametrize(
        "duplicate",
        [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))],
        ids=["copy", "deepcopy", "pickle"],
    )
    def test_by_copies(self, duplicate):
        net = make()
        net[1].freeze()
        twin = duplicate(net)
        assert self.still(twin, 1)
        assert not self.still(twin, 0)
        twin.unfreeze()
        assert not self.still(twin, 1)
        assert self.still(net, 1)

    def test_by_files(self, tmp_path):
        net = make()
        net[2][1].freeze()
        net.save(tmp_path / "net.dp")
        twin = dp.load(tmp_path / "net.dp")
        before = np.array(twin[2][1][0].weight)
        assert not self.still(twin, 0)
        np.testing.assert_array_equal(twin[2][1][0].weight, before)

    def test_by_checks(self):
        # Frozen parameters have no gradient to check; the others equal those of the frozen network.
        net = make()
        net[1].freeze()
        report = dp.check_gradients(net, MSE, X, Y, max_checks=3)
        assert report.ok, report
        still = {f"1.{p.name}" for p in net[1].parameters()}
        assert {row.name for row in report.rows} == {*net.state_dict(), "input"} - still
        assert self.still(net, 1)
        assert dp.check_gradients(net.freeze(), MSE, X, Y, max_checks=3).ok
