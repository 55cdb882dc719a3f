"""Who may use a network when: real calls in every state, compared with the core's table."""

import copy
import pickle
import re
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import _core, graph, nn, optim
from processes import alone
from threads import in_threads

X = np.random.default_rng(0).normal(size=(6, 2))
Y = np.random.default_rng(1).normal(size=(6, 2))
TABLE = _core.access_table()


class Pause:
    """Runs a function once, from Python code that the core calls."""

    work: Callable[[], None] | None = None

    def __call__(self):
        work, self.work = self.work, None
        if work is not None:
            work()


class Through(nn.Layer):
    """A layer written in Python, whose forward pass pauses."""

    def __init__(self):
        self.pause = Pause()

    def forward(self, x, training):
        self.pause()
        return x

    def backward(self, delta):
        return delta


class PausingLoss:
    """nn.MSELoss in Python, which pauses."""

    def __init__(self):
        self.pause = Pause()

    def __call__(self, outputs, y, sample_weight=None):
        return float(((outputs - y) ** 2).mean())

    def delta(self, outputs, y, sample_weight=None):
        self.pause()
        return 2 * (outputs - y) / y.size


class PausingSchedule(optim.StepLR):
    """A schedule that pauses when its state is read."""

    pause = Pause()

    def state_dict(self):
        self.pause()
        return super().state_dict()


class Bench:
    """A network and an optimizer, ready for any call; with or without a layer in Python."""

    def __init__(self, folder, layer_in_python):
        self.through = Through()
        layers = [nn.Standardize(2), nn.Linear(2, 3), nn.Linear(3, 2)]
        if layer_in_python:
            layers.insert(2, self.through)
        self.layer_in_python = layer_in_python
        self.net = nn.Sequential(*layers, seed=0)
        self.net[0].learn(X)
        self.opt = optim.SGD(self.net.parameters(), ema_decay=0.5)
        self.schedule = PausingSchedule(self.opt, 10)
        self.opt.step()
        self.net_state, self.opt_state = self.net.state_dict(), self.opt.state_dict()
        self.path = folder / "net.dp"
        self.node = self.net.node(graph.variable(X)).sum()
        self.node.value
        self.net.forward(X)

    def fit(self, **options):
        options = {"loss": nn.MSELoss(), "epochs": 1, **options}
        return self.net.fit(X, Y, optimizer=self.opt, **options)

    def averaged(self):
        with self.opt.averaged():
            pass

    def deltas(self):
        self.net.backward(Y)
        return self.net.deltas


# By the names that the table uses.
CALLS = {
    "fit": Bench.fit,
    "forward": lambda b: b.net.forward(X),
    "backward": lambda b: b.net.backward(Y),
    "activations": lambda b: b.net.activations,
    "deltas": lambda b: b.net.deltas,
    "net(x)": lambda b: b.net(X),
    "predict": lambda b: b.net.predict(X),
    "evaluate": lambda b: b.net.evaluate(X, Y, loss=nn.MSELoss()),
    "a node": lambda b: b.net.node(graph.variable(X)).value,
    "jacobian": lambda b: b.net.jacobian(X),
    "backward of a node": lambda b: b.node.backward(),
    "the same with layers written in Python": lambda b: (b.net.jacobian(X), b.node.backward()),
    "Standardize.learn": lambda b: b.net[0].learn(X),
    "optimizer.step": lambda b: b.opt.step(),
    "zero_grad": lambda b: b.net.zero_grad(),
    "state_dict": lambda b: b.net.state_dict(),
    "save": lambda b: b.net.save(b.path),
    "deepcopy": lambda b: copy.deepcopy(b.net),
    "pickle": lambda b: pickle.dumps(b.net),
    "predictor": lambda b: b.net.predictor(),
    "load_state_dict": lambda b: b.net.load_state_dict(b.net_state),
    "layer.weight = w": lambda b: setattr(b.net[1], "weight", np.ones((3, 2))),
    "nn.init": lambda b: nn.init.ones_(b.net.parameters()[0]),
    "freeze": lambda b: b.net[1].freeze(),
    "unfreeze": lambda b: b.net[1].unfreeze(),
    # fit(resume=...) writes it, which fit's own rule refuses first.
    "seed of a checkpoint": lambda b: setattr(b.net._network, "seed", 1),
    "optimizer.lr = r": lambda b: setattr(b.opt, "lr", 0.5),
    "options of a group": lambda b: b.opt.param_groups[0].__setitem__("l2", 0.5),
    "optimizer.clip_norm = c": lambda b: setattr(b.opt, "clip_norm", 1.0),
    "clip_value": lambda b: setattr(b.opt, "clip_value", 1.0),
    "ema_decay": lambda b: setattr(b.opt, "ema_decay", 0.9),
    "optimizer.state_dict": lambda b: b.opt.state_dict(),
    "optimizer.load_state_dict": lambda b: b.opt.load_state_dict(b.opt_state),
    "optimizer.averaged": Bench.averaged,
}
# Only such networks obey these rules, or can be saved.
WITHOUT_LAYERS_IN_PYTHON = {"jacobian", "backward of a node", "save"}


def while_layer(call, access):
    """The state in which a call runs a layer in Python; without one the call's access is held."""

    def enter(bench, work):
        if bench.layer_in_python:
            bench.through.pause.work = work
            call(bench.net)
        else:
            with bench.net._network.access(access):
                work()

    return enter


def while_learning(bench, work):
    with bench.net._network.access("learn"):  # learn runs no Python
        work()


def while_state_is_read(bench, work):
    bench.schedule.pause.work = work
    bench.opt.state_dict()


def while_averaged(bench, work):
    with bench.opt.averaged():
        work()


def between_steps(bench, work):
    bench.fit(callbacks=[lambda run: work()])


def within_a_step(bench, work):
    loss = PausingLoss()
    loss.pause.work = work
    bench.fit(loss=loss)


STATES = {
    "idle": lambda bench, work: work(),
    "inference": while_layer(lambda net: net(X), "infer"),
    "forward or backward": while_layer(lambda net: net.forward(X), "forward"),
    "Standardize.learn": while_learning,
    "optimizer.state_dict": while_state_is_read,
    "within averaged()": while_averaged,
    "fit, between steps": between_steps,
    "fit, within a step": within_a_step,
}


def outcome(call):
    """Return the message of a RuntimeError, empty where the call is allowed."""
    try:
        call()
    except RuntimeError as error:
        # The call was allowed, but fit has left no pass by hand to go on with.
        no_pass = re.search(
            "expected a (fresh )?training pass|expected a backward pass", str(error)
        )
        return "" if no_pass else str(error)
    return ""


def test_the_table_has_every_state_and_call():
    assert list(dict.fromkeys(row[0] for row in TABLE)) == list(STATES)
    names = [name for row in TABLE for name in row[1].split(", ")]
    assert sorted(names) == sorted(list(CALLS) * len(STATES))


def guide_table():
    """Return the lines of the table for the guide: calls by states."""
    words = {(True, True): "yes", (True, False): "same thread", (False, False): "no"}
    rows = {}
    for _, calls, same, other in TABLE:
        rows.setdefault(calls, []).append(words[not same, not other])
    lines = [["Call", *STATES], ["---"] * (1 + len(STATES)), *([c, *r] for c, r in rows.items())]
    return ["| " + " | ".join(line) + " |" for line in lines]


def test_the_guide_shows_the_table():
    page = (Path(__file__).parents[1] / "docs" / "guide" / "threads.md").read_text()
    _, section = page.split("\n## Who may use a network when\n")
    section = section.split("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("|")] == guide_table()


@pytest.mark.parametrize("asker", ["same thread", "other thread"])
@pytest.mark.parametrize(
    ("state", "calls", "same", "other"), TABLE, ids=[f"{row[0]}-{row[1]}" for row in TABLE]
)
def test_calls_are_allowed_or_refused_as_the_table_says(state, calls, same, other, asker, tmp_path):
    expected = (same if asker == "same thread" else other).replace("Optimizer", "SGD")
    for name in calls.split(", "):
        bench = Bench(tmp_path, name not in WITHOUT_LAYERS_IN_PYTHON)
        if name == "deltas":
            bench.net.backward(Y)
        outcomes = []

        def ask(bench=bench, name=name, outcomes=outcomes):
            call = lambda: CALLS[name](bench)  # noqa: E731
            if asker == "same thread":
                outcomes.append(outcome(call))
            else:
                with ThreadPoolExecutor(1) as pool:
                    outcomes.append(pool.submit(outcome, call).result())

        STATES[state](bench, ask)
        assert outcomes == [expected], name
        # Nothing is left of the state, nor of the call.
        bench.fit()
        bench.averaged()


IN_USE = "the network is in use: expected no other call while fit runs"


def deep_network():
    return nn.Sequential(*(nn.Linear(3, 3) for _ in range(20)), seed=0)


def loaded(state):
    net = deep_network()
    net.load_state_dict(state)
    return net


COPIES = {
    "state_dict": lambda net: loaded(net.state_dict()),
    "deepcopy": copy.deepcopy,
    "pickle": lambda net: pickle.loads(pickle.dumps(net)),
    "predictor": lambda net: net.predictor(),
}


@pytest.fixture
def _frequent_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_frequent_switches")
@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_beside_short_fits_is_refused_or_of_one_moment(kind):
    net, x = deep_network(), np.random.default_rng(0).normal(size=(4, 3))
    opt = optim.SGD(net.parameters(), lr=0.01)
    moments, copies, refused = {net(x).tobytes()}, [], []
    end = threading.Event()

    def fit():
        while not end.is_set():
            message = outcome(lambda: net.fit(x, x, loss=nn.MSELoss(), optimizer=opt, epochs=1))
            assert message in ("", IN_USE)
            moments.add(net(x).tobytes())

    with ThreadPoolExecutor(1) as pool:
        fits = pool.submit(fit)
        deadline = time.monotonic() + 20
        while min(len(copies), len(refused)) < 10 and time.monotonic() < deadline:
            try:
                copies.append(COPIES[kind](net)(x).tobytes())
            except RuntimeError as error:
                refused.append(str(error))
        end.set()
        fits.result()
    assert copies
    assert set(copies) <= moments
    assert set(refused) == {IN_USE}


def test_no_other_thread_fits_within_on_train_begin(tmp_path):
    bench = Bench(tmp_path, True)
    outcomes = []

    class Begin(dp.Callback):
        def on_train_begin(self, run):
            with ThreadPoolExecutor(1) as pool:
                outcomes.append(pool.submit(outcome, bench.fit).result())

    assert bench.fit(callbacks=[Begin()]).epochs == 1
    assert outcomes == [IN_USE]


@pytest.mark.usefixtures("_frequent_switches")
def test_two_threads_that_fit_leave_the_network_idle(tmp_path):
    bench = Bench(tmp_path, False)
    for _ in range(20):
        assert "" in in_threads(lambda i: outcome(lambda: bench.fit(epochs=3)), 2)
        assert not bench.net._network.fits
    assert bench.fit().epochs == 1


# Names for processes that fork.
FORK = """
import os, sys, threading
X = np.ones((6, 2))
net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2), seed=0)
opt = optim.SGD(net.parameters(), ema_decay=0.5)
def fit(*callbacks):
    net.fit(X, X, loss=nn.MSELoss(), optimizer=opt, epochs=2, callbacks=callbacks)
def refused(call):
    try: call()
    except RuntimeError as error: return str(error).split(":")[0]
    return "allowed"
def elsewhere(call):
    found = []
    thread = threading.Thread(target=lambda: found.append(refused(call)))
    thread.start(); thread.join()
    return found[0]
def averaged():
    with opt.averaged(): pass
CALLS = (lambda: net(X), lambda: net.forward(X), net.state_dict, net.predictor, net[0].freeze,
    opt.step, opt.state_dict, averaged, fit)
def answers(ask):
    return sorted({ask(call) for call in CALLS})
def report(*lines):
    print(*lines, sep="\\n", flush=True)
def wait(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_a_child_forked_while_another_thread_fits_finds_the_network_idle():
    out = alone(
        FORK
        + """
within, go_on = threading.Event(), threading.Event()
def pause(run):
    within.set()
    assert go_on.wait(20)
fitting = threading.Thread(target=fit, args=(pause,))
fitting.start()
assert within.wait(20)
report(answers(refused))
child = os.fork()
if child == 0:
    report(net._network.fits)
    report(answers(refused), answers(elsewhere))
    os._exit(0)
wait(child)
report(answers(refused))
go_on.set()
fitting.join()
report(answers(refused))
"""
    )
    in_use = "['the network is in use', 'the optimizer is in use']"
    allowed = "['allowed']"
    assert out.splitlines() == [in_use, "False", allowed, allowed, in_use, allowed]


def test_a_child_of_the_thread_that_fits_goes_on_with_its_fit():
    out = alone(
        FORK
        + """
children = []
def fork(run):
    if run.history.epochs > 1: return
    children.append(os.fork())
    if children[0] == 0:
        report(net._network.fits, refused(fit), refused(opt.step), refused(net.state_dict))
        report(elsewhere(net.state_dict), elsewhere(fit))
fit(fork)
if children[0] == 0:
    report(net._network.epochs, answers(refused))
    sys.stdout.flush()
    os._exit(0)
wait(children[0])
report(net._network.epochs, answers(refused))
"""
    )
    network, optimizer = "the network is in use", "the optimizer is in use"
    assert out.splitlines() == [
        *("True", network, optimizer, "allowed", network, network),
        *("2", "['allowed']"),
        *("2", "['allowed']"),
    ]
