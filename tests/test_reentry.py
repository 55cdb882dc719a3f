"""What Python may not do where the core calls it back: move arrays, change what a step works on."""

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim

X = np.random.default_rng(0).normal(size=(20, 3))
Y = np.random.default_rng(1).normal(size=(20, 2))


class Calling:
    """nn.MSELoss in Python, which calls something first."""

    def __init__(self, call=lambda: None):
        self.call = call

    def __call__(self, outputs, y, sample_weight=None):
        self.call()
        return float(((outputs - y) ** 2).mean())

    def delta(self, outputs, y, sample_weight=None):
        return 2 * (outputs - y) / y.size


class Through(nn.Layer):
    """Passes everything on, and calls something each way."""

    def __init__(self, forward=lambda: None, backward=lambda: None):
        self.on_forward, self.on_backward = forward, backward

    def forward(self, x, training):
        self.on_forward()
        return x

    def backward(self, delta):
        self.on_backward()
        return delta


def network(*middle):
    return nn.Sequential(nn.Linear(3, 4), *middle, nn.Linear(4, 2), dtype="float64", seed=0)


def fit(net, x=X, y=Y, opt=None, **options):
    options = {"loss": nn.MSELoss(), "epochs": 2, "batch_size": 7, "shuffle": False, **options}
    return net.fit(x, y, optimizer=opt or optim.SGD(net.parameters(), lr=0.1), **options)


class TestResized:
    """NumPy itself refuses to move what the core reads, and moves it as soon as it is done."""

    MESSAGE = "cannot resize an array that references or is referenced"

    @pytest.mark.parametrize("which", ["x", "y", "w", "held x", "held y"])
    @pytest.mark.parametrize("caller", ["callback", "batch", "loss", "layer"])
    def test_in_fit(self, which, caller):
        arrays = {"x": X, "y": Y, "w": np.ones(20), "held x": X, "held y": Y}
        arrays = {name: a.copy() for name, a in arrays.items()}

        def grow(*_):
            arrays[which].resize((100_000, *arrays[which].shape[1:]), refcheck=False)

        net = network(Through(backward=grow)) if caller == "layer" else network()
        options = {
            "callback": {"callbacks": [grow]},
            "batch": {
                "callbacks": [type("Batches", (dp.Callback,), {"on_train_batch_end": grow})()]
            },
            "loss": {"loss": Calling(grow)},
            "layer": {},
        }[caller]
        with pytest.raises(ValueError, match=self.MESSAGE):
            fit(
                net,
                arrays["x"],
                arrays["y"],
                sample_weight=arrays["w"],
                validation_data=(arrays["held x"], arrays["held y"]),
                **options,
            )
        grow()
        assert len(arrays[which]) == 100_000

    def test_what_an_array_is_a_view_of(self):
        x = X.copy()
        with pytest.raises(ValueError, match=self.MESSAGE):
            fit(network(), x[:, ::-1], callbacks=[lambda run: x.resize((9, 9), refcheck=False)])

    def test_a_batch_of_an_iterable(self):
        x = X.copy()
        net = network(Through(backward=lambda: x.resize((99, 3), refcheck=False)))
        with pytest.raises(ValueError, match=self.MESSAGE):
            fit(net, [(x, Y)], None, batch_size=None)

    @pytest.mark.parametrize("call", ["__call__", "forward", "jacobian"])
    def test_in_passes(self, call):
        x = X.copy()
        net = network(Through(forward=lambda: x.resize((99, 3), refcheck=False)))
        with pytest.raises(ValueError, match=self.MESSAGE):
            getattr(net, call)(x)
        x.resize((99, 3), refcheck=False)

    def test_the_delta_of_a_backward_pass(self):
        delta = np.ones((20, 2))
        net = network(Through(backward=lambda: delta.resize((99, 2), refcheck=False)))
        net.forward(X)
        with pytest.raises(ValueError, match=self.MESSAGE):
            net.backward(delta)


CHANGES = {
    "forward": lambda net, opt: net.forward(X),
    "backward": lambda net, opt: net.backward(Y),
    "step": lambda net, opt: opt.step(),
    "step ": lambda net, opt: optim.SGD(net.parameters()).step(),
    "zero_grad": lambda net, opt: opt.zero_grad(),
    "zero_grad ": lambda net, opt: net.zero_grad(),
    "options": lambda net, opt: setattr(opt, "clip_norm", 0.5),
    "averaged": lambda net, opt: opt.averaged().__enter__(),
    "load_state_dict": lambda net, opt: opt.load_state_dict({}),
    "load_state_dict ": lambda net, opt: net.load_state_dict(net.state_dict()),
    "freeze": lambda net, opt: net[0].freeze(),
    "freeze ": lambda net, opt: net[0].unfreeze(),
}


class TestWithinAStep:
    @pytest.mark.parametrize("what", CHANGES)
    @pytest.mark.parametrize("caller", ["loss", "forward", "backward"])
    def test_nothing_changes_what_it_works_on(self, what, caller):
        refused = []

        def change():
            if inside:
                with pytest.raises(RuntimeError) as error:
                    CHANGES[what](net, opt)
                refused.append(str(error.value))

        def trained():
            through = Through(**({} if caller == "loss" else {caller: change}))
            net = network(through)
            return net, optim.SGD(net.parameters(), lr=0.1, ema_decay=0.5)

        loss = Calling(change if caller == "loss" else lambda: None)
        inside = False
        net, opt = trained()
        fit(net, opt=opt, loss=loss)
        untouched = net.flat_parameters.copy()
        net, opt = trained()
        inside = True
        fit(net, opt=opt, loss=loss)
        assert set(refused) == {f"{what.strip()}: not while a step of fit runs"}
        np.testing.assert_array_equal(net.flat_parameters, untouched)
        fit(net, loss=loss, opt=opt)  # nothing is half done

    def test_derivatives_of_a_layer_that_keeps_its_input(self):
        net = network(Through())
        message = r"^derivatives: not while a step of fit runs$"
        with pytest.raises(RuntimeError, match=message):
            fit(net, loss=Calling(lambda: net.jacobian(X)))

    def test_a_pass_of_another_network_is_free(self):
        other = network()
        opt = optim.SGD(other.parameters())

        def train():
            other.backward(other.forward(X))
            opt.step()

        fit(network(), loss=Calling(train))

    def test_between_steps_all_is_as_it_was(self):
        def change(run):
            run.network.backward(run.network.forward(X))
            run.optimizer.clip_norm = 1.0
            run.network[0].freeze()

        net = network()
        before = net[0].weight.copy()
        fit(net, callbacks=[change], epochs=1)
        assert not np.array_equal(net[0].weight, before)
        before = net[0].weight.copy()
        fit(net, callbacks=[change])
        np.testing.assert_array_equal(net[0].weight, before)


class TestAveragesLeftShown:
    MESSAGE = r"^the averages stand in for the parameters: expected no step before averaged\(\) end"

    def averaging(self, net):
        return optim.SGD(net.parameters(), lr=0.1, ema_decay=0.5)

    @pytest.mark.parametrize("another", [False, True])
    def test_by_a_callback(self, another):
        net = network()
        opt = self.averaging(net)
        shown = (self.averaging(net) if another else opt).averaged()
        own = []

        def leave_open(run):
            own.append(net.flat_parameters.copy())
            shown.__enter__()

        with pytest.raises(RuntimeError, match=self.MESSAGE):
            fit(net, opt=opt, callbacks=[leave_open])
        with pytest.raises(RuntimeError, match=self.MESSAGE):
            opt.step()
        with pytest.raises(RuntimeError, match="expected no"):
            fit(net, opt=opt)
        with pytest.raises(RuntimeError, match="shown already"):
            self.averaging(net).averaged().__enter__()
        shown.__exit__(None, None, None)
        np.testing.assert_array_equal(net.flat_parameters, *own)
        opt.step()
        fit(net, opt=opt)

    def test_of_another_optimizer_before_a_step_by_hand(self):
        net = network()
        with self.averaging(net).averaged(), pytest.raises(RuntimeError, match=self.MESSAGE):
            optim.SGD(net.parameters()).step()
