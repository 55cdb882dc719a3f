"""State dictionaries of every optimizer: to PyTorch and back, resuming, refusals."""

import numpy as np
import pytest

from deltaprop import optim
from optimizers import (
    BOUNDS,
    CASES,
    FAMILY,
    VARIANTS,
    TorchRule,
    detached,
    distance,
    draws,
    each_case,
    each_dtype,
    in_double,
    network,
    run,
    set_gradients,
    values,
)


@pytest.fixture
def torch(peer):
    yield from in_double(peer("torch"))


def tensors(torch, state):
    """Return a state_dict whose arrays are tensors."""
    entries = {
        i: {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in entry.items()}
        for i, entry in state["state"].items()
    }
    return {"state": entries, "param_groups": state["param_groups"]}


@pytest.mark.parametrize(("name", "variant"), [c for c in CASES if c[0] != "Lion"])
@each_dtype
def test_a_state_goes_to_pytorch_and_back(torch, name, variant, dtype):
    options = VARIANTS[name][variant]
    net, back = network(dtype), network(dtype)
    ours = FAMILY[name](net.parameters(), **options)
    run(net, ours, 7, seed=1)
    theirs = TorchRule(torch, name, values(net))  # the options come with the state
    theirs.rule.load_state_dict(tensors(torch, ours.state_dict()))
    start = values(net)
    rng = np.random.default_rng(2)
    for _ in range(5):
        gradients = draws(net, rng)
        set_gradients(net, gradients)
        ours.step()
        theirs.step(gradients)
    assert distance(values(net), detached(theirs), start) <= BOUNDS[dtype]

    returned = FAMILY[name](back.parameters())
    returned.load_state_dict(theirs.rule.state_dict())
    for p, value in zip(back.parameters(), detached(theirs), strict=True):
        p.value = value
    start = values(back)
    for _ in range(5):
        gradients = draws(net, rng)
        set_gradients(back, gradients)
        returned.step()
        theirs.step(gradients)
    assert distance(values(back), detached(theirs), start) <= BOUNDS[dtype]


@each_case
@each_dtype
def test_loading_and_stepping_is_never_having_stopped(name, variant, dtype):
    options = {**VARIANTS[name][variant], "ema_decay": 0.9, "clip_norm": 0.5, "max_norm": 0.7}
    whole, first, second = (network(dtype) for _ in range(3))
    opt = FAMILY[name](whole.parameters(), **options)
    run(whole, opt, 4, seed=1)
    run(whole, opt, 4, seed=2)
    opt = FAMILY[name](first.parameters(), **options)
    run(first, opt, 4, seed=1)
    second.flat_parameters[:] = first.flat_parameters
    resumed = FAMILY[name](second.parameters())
    run(second, resumed, 2, seed=3)  # what it has is forgotten
    second.flat_parameters[:] = first.flat_parameters
    resumed.load_state_dict(opt.state_dict())
    run(second, resumed, 4, seed=2)
    np.testing.assert_array_equal(second.flat_parameters, whole.flat_parameters)
    opt = FAMILY[name](whole.parameters(), **options)
    assert [p["lr"] for p in resumed.param_groups] == [p["lr"] for p in opt.param_groups]


@each_case
def test_states_are_copies_in_the_shape_of_the_parameters(name, variant):
    net = network()
    opt = FAMILY[name](net.parameters(), **VARIANTS[name][variant])
    assert opt.state_dict()["state"] == {}
    run(net, opt, 2, seed=0)
    state = opt.state_dict()
    arrays = 0
    for i, entry in state["state"].items():
        for value in entry.values():
            if isinstance(value, np.ndarray):
                assert value.shape == net.parameters()[i].value.shape
                assert value.flags.c_contiguous
                value[...] = np.nan
                arrays += 1
            else:
                assert np.isfinite(value)
    keeps_nothing = name == "SGD" and "momentum" not in VARIANTS[name][variant]
    assert (arrays == 0) == keeps_nothing
    run(net, opt, 1, seed=0)
    assert np.isfinite(net.flat_parameters).all()


class TestStateDict:
    """Layout and refusals."""

    def make(self, **options):
        net = network()
        w0, b0, w1, _ = net.parameters()
        groups = [{"params": [w1, b0], "lr": 0.5}, {"params": [w0]}]
        return net, optim.Adam(groups, lr=0.1, **options)

    def test_the_layout(self):
        net, opt = self.make(ema_decay=0.5)
        run(net, opt, 3, seed=0)
        state = opt.state_dict()
        assert list(state["state"]) == [0, 1, 2]
        assert state["state"][0]["step"] == 3
        assert state["state"][0]["exp_avg"].shape == (2, 4)
        assert [g["params"] for g in state["param_groups"]] == [[0, 1], [2]]
        assert [g["lr"] for g in state["param_groups"]] == [0.5, 0.1]
        assert state["ema_decay"] == 0.5
        assert state["clip_norm"] is None
        assert state["ema"][2].shape == (4, 3)
        assert "schedule" not in state

    def bad(self, state, what):
        first = state["state"][0]
        match what:
            case "no groups":
                del state["param_groups"]
            case "more groups":
                state["param_groups"].append(state["param_groups"][0])
            case "groups":
                state["param_groups"] = 5
            case "fewer params":
                state["param_groups"][0]["params"] = [0]
            case "twice":
                state["param_groups"][1]["params"] = [0]
            case "names":
                state["param_groups"][1]["params"] = ["w"]
            case "option":
                state["param_groups"][1]["lr"] = -1
            case "kind":
                state["param_groups"][1]["lr"] = "fast"
            case "no option":
                del state["param_groups"][0]["betas"]
            case "new option":
                state["param_groups"][0]["momentum"] = 1
            case "shape":
                state["state"][2]["exp_avg_sq"] = np.ones((3, 4))
            case "strings":
                state["state"][2]["exp_avg_sq"] = np.array([["a"]])
            case "no array":
                del state["state"][2]["exp_avg_sq"]
            case "array":
                first["sum"] = np.ones((2, 4))
            case "no step":
                del first["step"]
            case "half a step":
                first["step"] = 1.5
            case "nan step":
                first["step"] = np.nan
            case "entry":
                state["state"][1] = 7
            case "place":
                state["state"][9] = first
            case "state":
                state["state"] = []
            case "ema":
                state["ema"][1] = np.ones(3)
            case "ema place":
                state["ema"][7] = np.ones(3)
            case "clip":
                state["clip_norm"] = -1.0
            case "schedule":
                state["schedule"] = {}
            case "key":
                state["else"] = 1
            case "amsgrad":
                state["param_groups"][0]["amsgrad"] = True
        return state

    @pytest.mark.parametrize(
        ("what", "error", "message"),
        [
            ("no groups", ValueError, r"state_dict: expected \['param_groups'\] as well"),
            ("more groups", ValueError, "expected 2 param_groups, got 3"),
            ("groups", TypeError, "expected a list of param_groups, got int"),
            ("fewer params", ValueError, r"param_groups\[0\]: expected 2 params, got \[0\]"),
            ("twice", ValueError, r"param_groups\[1\]: expected 1 params, got \[0\]"),
            ("names", TypeError, r"expected params to be a list of integers, got \['w'\]"),
            ("option", ValueError, "expected lr >= 0, got -1.0"),
            ("kind", TypeError, "expected a number for lr, got 'fast'"),
            ("no option", ValueError, r"expected \['betas'\] as well"),
            ("new option", ValueError, r"expected none but .*, got \['momentum'\]"),
            ("shape", ValueError, r"state 2, exp_avg_sq: expected shape \(4, 3\), got \(3, 4\)"),
            ("strings", TypeError, "state 2, exp_avg_sq: expected real numbers"),
            ("no array", ValueError, r"state 2: expected \['exp_avg_sq'\] as well"),
            ("array", ValueError, r"state 0: expected none but .*, got \['sum'\]"),
            ("no step", ValueError, r"state 0: expected \['step'\] as well"),
            ("half a step", ValueError, "state 0: expected step to be a count, got 1.5"),
            ("nan step", ValueError, "state 0, step: expected a finite number, got nan"),
            ("entry", TypeError, "state 1: expected a dict, got int"),
            ("place", ValueError, r"state: expected none but \[0, 1, 2\], got \[9\]"),
            ("state", TypeError, "state: expected a dict, got list"),
            ("ema", ValueError, r"ema 1: expected shape \(4,\), got \(3,\)"),
            ("ema place", ValueError, r"ema: expected none but .*, got \[7\]"),
            ("clip", ValueError, "expected clip_norm > 0 or None, got -1.0"),
            ("schedule", ValueError, "expected no schedule, as none is attached, got one"),
            ("key", ValueError, r"state_dict: expected none but .*, got \['else'\]"),
            ("amsgrad", ValueError, r"state 0: expected \['max_exp_avg_sq'\] as well"),
        ],
    )
    def test_what_is_refused_changes_nothing(self, what, error, message):
        net, opt = self.make(ema_decay=0.5)
        run(net, opt, 3, seed=0)
        other_net, other = self.make(clip_value=2.0)
        run(other_net, other, 2, seed=1)
        before = other.state_dict()
        with pytest.raises(error, match=f"^Adam: {message}|^Adam: .*: {message}"):
            other.load_state_dict(self.bad(opt.state_dict(), what))
        after = other.state_dict()
        np.testing.assert_equal(after, before)

    def test_not_a_dict(self):
        _, opt = self.make()
        with pytest.raises(TypeError, match=r"^Adam: state_dict: expected a dict, got int$"):
            opt.load_state_dict(5)

    def test_a_schedule_goes_along(self):
        class Schedule:
            def __init__(self):
                self.state = 3

            def state_dict(self):
                return {"at": self.state}

            def load_state_dict(self, state):
                if state["at"] < 0:
                    raise ValueError("at: expected 0 or more")
                self.state = state["at"]

        _, opt = self.make()
        opt._schedule = Schedule()
        state = opt.state_dict()
        assert state["schedule"] == {"at": 3}
        _, other = self.make(clip_norm=1.0)
        other._schedule = Schedule()
        other.load_state_dict({**state, "schedule": {"at": 8}})
        assert (other._schedule.state, other.clip_norm) == (8, None)
        other.clip_norm = 2.0
        with pytest.raises(ValueError, match="at: expected 0 or more"):
            other.load_state_dict({**state, "schedule": {"at": -1}})
        assert other.clip_norm == 2.0

    def test_momentum_of_nothing_begins_with_the_gradient(self):
        # A state without a buffer is one that has not begun: dampening spares the first gradient.
        net = network()
        opt = optim.SGD(net.parameters(), lr=1.0, momentum=0.5, dampening=0.5)
        opt.load_state_dict({**opt.state_dict(), "state": {0: {"momentum_buffer": None}}})
        before = net.flat_parameters.copy()
        net.flat_gradients[:] = 1
        opt.step()
        np.testing.assert_allclose(net.flat_parameters, before - 1, rtol=1e-14, atol=1e-15)
