"""Containers at their limits: subclasses, depth, many branches, threads."""

import copy
import subprocess
import sys
import threading

import numpy as np
import pytest

from container_cases import MSE, mse_fit, tree, tree_data
from deltaprop import nn, optim


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

    def test_a_container_that_contains_itself_is_refused(self):
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
