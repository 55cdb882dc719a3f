"""Random nests of containers, beside PyTorch and a loop by hand."""

import numpy as np
import pytest

import deltaprop as dp
from container_cases import MSE, each, several
from deltaprop import nn, optim
from nests import problem

DTYPES = ["float32", "float64"]


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
