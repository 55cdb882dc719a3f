"""Ctrl-C during fit, and calls from other threads while it runs."""

import copy
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from fit_cases import data, fit, network

INTERRUPTED = """
import os, signal, threading, time
# A shell that starts tests in the background has them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np
from deltaprop import nn, optim
rows, width, batch, delay = {rows}, {width}, {batch}, {delay}
X = np.zeros((rows, width), np.float32)
net = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width), seed=0)
opt = optim.SGD(net.parameters(), lr=0.1)
sent = []
def send():
    time.sleep(delay)
    sent.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=send).start()
try:
    net.fit(X, X, loss=nn.MSELoss(), optimizer=opt, epochs=10**9, batch_size=batch {more})
except KeyboardInterrupt:
    took = time.process_time() - sent[0]
else:
    raise SystemExit("not interrupted")
assert took < 1, took  # of the processor: others may be at work on the machine
assert not net.flat_gradients.any()
assert np.isfinite(net.flat_parameters).all()
assert net(X[:3]).shape == (3, width)
net.fit(X[:5], X[:5], loss=nn.MSELoss(), optimizer=opt, epochs=1)
net.forward(X[:2])
net.backward(X[:2])
opt.step()
print("usable")
"""


@pytest.mark.parametrize(
    "options",
    [
        {"rows": 100, "width": 8, "batch": 32},
        {"rows": 20_000, "width": 256, "batch": None},
        {"rows": 100, "width": 8, "batch": 32, "more": ", callbacks=[lambda run: None]"},
        {"rows": 100, "width": 8, "batch": 1, "more": ", validation_data=(X, X)"},
    ],
    ids=["small", "one large batch", "callbacks", "validation"],
)
def test_ctrl_c(options):
    code = INTERRUPTED.format(**{"delay": 0.3, "more": "", **options})
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "usable\n"


def test_ctrl_c_from_outside():
    code = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np
from deltaprop import nn, optim
net = nn.Sequential(nn.Linear(2, 2))
print("ready", flush=True)
X = np.zeros((10, 2))
net.fit(X, X, loss=nn.MSELoss(), optimizer=optim.SGD(net.parameters()), epochs=10**9)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert err.rstrip().endswith("KeyboardInterrupt")
    # The interpreter's own end is in this time too.
    assert time.monotonic() - begin < 2


class TestInUse:
    """A network that fit has taken."""

    @pytest.fixture
    def fitting(self):
        """Give a network on which fit runs in another thread."""
        net = network(dtype="float32")
        opt = optim.SGD(net.parameters(), lr=0.1)
        running, over, errors = threading.Event(), threading.Event(), []

        def callback(run):
            running.set()
            if over.is_set():
                run.stop()

        def work():
            try:
                fit(net, opt=opt, epochs=10**9, callbacks=[callback])
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        assert running.wait(10)
        yield net, opt
        over.set()
        thread.join(10)
        assert not thread.is_alive()
        assert not errors
        fit(net, opt=opt)
        net(np.zeros(3))

    CALLS = (
        ("net(X)", lambda net, opt, X: net(X)),
        ("predict", lambda net, opt, X: net.predict(X, batch_size=2)),
        ("forward", lambda net, opt, X: net.forward(X)),
        ("layer", lambda net, opt, X: net[0](X)),
        ("fit", lambda net, opt, X: fit(net)),
        ("step", lambda net, opt, X: opt.step()),
        ("another step", lambda net, opt, X: optim.SGD(net.parameters()).step()),
        ("lr", lambda net, opt, X: setattr(opt, "lr", 0.5)),
        ("zero_grad", lambda net, opt, X: opt.zero_grad()),
        ("net.zero_grad", lambda net, opt, X: net.zero_grad()),
        ("load_state_dict", lambda net, opt, X: net.load_state_dict(net.state_dict())),
    )

    @pytest.mark.parametrize("call", [c for _, c in CALLS], ids=[n for n, _ in CALLS])
    def test_another_thread_may_not_call_it(self, fitting, call):
        net, opt = fitting
        message = "^the (network|optimizer) is in use: expected no other call while"
        with pytest.raises(RuntimeError, match=message):
            call(net, opt, np.zeros((5, 3)))

    def test_backward_and_activations(self, fitting):
        net, _ = fitting
        with pytest.raises(RuntimeError, match="expected"):
            net.backward(np.zeros((5, 2)))
        with pytest.raises(RuntimeError, match="expected"):
            net.activations

    def test_another_network_is_free(self, fitting):
        fit(network())
        network()(np.zeros(3))


def test_snapshots_are_not_taken_while_another_thread_fits():
    net = network(dtype="float32")
    running, over = threading.Event(), threading.Event()

    def callback(run):
        running.set()
        if over.is_set():
            run.stop()

    thread = threading.Thread(target=lambda: fit(net, epochs=10**9, callbacks=[callback]))
    thread.start()
    try:
        assert running.wait(10)
        for call in (
            net.state_dict,
            lambda: copy.deepcopy(net),
            lambda: pickle.dumps(net),
            lambda: dp.check_gradients(net, nn.MSELoss(), *data()),
            lambda: setattr(net[0], "bias", 0),
            lambda: setattr(net.parameters()[0], "value", 0),
        ):
            with pytest.raises(RuntimeError, match=r"^the network is in use"):
                call()
    finally:
        over.set()
        thread.join(10)
