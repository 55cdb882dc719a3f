"""One network and many threads; what could crash runs in a process of its own."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import nn, optim
from threads import in_threads


def alone(code, timeout=60):
    """Run code in a process of its own, with threads that take turns as often as they can."""
    head = (
        "import os, sys, threading, time\nimport numpy as np\n"
        "from deltaprop import nn, optim\nsys.setswitchinterval(1e-6)\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", head + code],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def network(seed=0, dtype="float32"):
    return nn.Sequential(nn.Linear(8, 40), nn.Tanh(), nn.Linear(40, 3), dtype=dtype, seed=seed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inference_from_many_threads_gives_equal_bits(dtype):
    net = network(dtype=dtype)
    X = np.random.default_rng(0).normal(size=(1000, 8))
    expected = net(X)

    def work(i):
        for k in range(30):
            rows = slice(None) if k % 3 else slice(i, i + 1 + k)
            call = (net, net.predict, lambda x: net.predict(x, batch_size=100))[k % 3]
            np.testing.assert_array_equal(call(X[rows]), expected[rows])
        return True

    assert all(in_threads(work))


def test_inference_through_layers_written_in_python():
    class Double(nn.Layer):
        def forward(self, x, training):
            return 2 * x

    net = nn.Sequential(nn.Linear(8, 4), Double(), nn.Linear(4, 3), seed=0)
    X = np.random.default_rng(0).normal(size=(50, 8))
    expected = net(X)
    for outputs in in_threads(lambda i: [net(X) for _ in range(20)]):
        for out in outputs:
            np.testing.assert_array_equal(out, expected)


def test_inference_beside_a_pass_by_hand():
    net = network()
    X = np.random.default_rng(0).normal(size=(300, 8))
    expected = net(X)

    def work(i):
        for _ in range(50):
            if i == 0:
                np.testing.assert_array_equal(net.forward(X), expected)
                net.backward(np.ones((300, 3)))
            else:
                np.testing.assert_array_equal(net(X), expected)
        return True

    assert all(in_threads(work, 4))


@pytest.mark.parametrize("kind", ["forward", "forward and backward", "activations"])
def test_passes_of_one_network_from_several_threads(kind):
    # A result that is right or a RuntimeError; once it read and wrote freed memory.
    out = alone(f"""
net = nn.Sequential(nn.Linear(2, 500), nn.Tanh(), nn.Linear(500, 4), seed=0)
end = time.monotonic() + 2.5
wrong, done = [], []
def work(k):
    rows = 1
    while time.monotonic() < end and not wrong:
        rows = rows * 7 % (1009 + 1000 * k) + 1
        X = np.full((rows, 2), k + 1.0)
        expected = net(X)
        try:
            out = net.forward(X)
            if not np.array_equal(out, expected): wrong.append(("forward", rows))
            if {kind!r} == "activations":
                for a in net.activations: a.sum()
            if {kind!r} == "forward and backward":
                back = net.backward(out)
                if back.shape != X.shape: wrong.append(("backward", rows))
                for d in net.deltas: d.sum()
            done.append(1)
        except RuntimeError: pass
        except ValueError as error:
            # backward may meet the pass of another thread.
            if not str(error).startswith("backward: expected delta ("): raise
threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
for t in threads: t.start()
for t in threads: t.join()
assert done
print(wrong)
""")
    assert out == "[]\n"


def test_backward_beside_forward_of_another_size():
    # The delta's shape once was checked against one pass, and its memory read for another.
    out = alone("""
net = nn.Sequential(nn.Linear(8, 64), seed=0)
end = time.monotonic() + 2.5
def work(method, *shape):
    x = np.zeros(shape)
    while time.monotonic() < end:
        try: method(x)
        except (RuntimeError, ValueError): pass
threads = [threading.Thread(target=work, args=args) for args in (
    (net.forward, 1, 8), (net.forward, 20000, 8), (net.backward, 1, 64), (net.backward, 20000, 64))]
for t in threads: t.start()
for t in threads: t.join()
print("fine")
""")
    assert out == "fine\n"


def test_a_layer_alone_first_used_by_several_threads():
    out = alone("""
different = 0
x = np.ones((1, 50))
for trial in range(150):
    layer, barrier, out = nn.Linear(50, 50), threading.Barrier(4), [None] * 4
    def work(k):
        barrier.wait()
        out[k] = layer(x)
    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
    different += any(not np.array_equal(o, out[0]) for o in out)
print(different)
""")
    assert out == "0\n"


@pytest.mark.parametrize("python", [False, True], ids=["core", "Python layer"])
def test_several_networks_fitted_by_a_pool(python):
    class Same(nn.Layer):
        def forward(self, x, training):
            return x

        def backward(self, delta):
            return delta

    X = np.random.default_rng(0).normal(size=(200, 8))
    y = X[:, :3]

    def work(i):
        extra = [Same()] if python else []
        net = nn.Sequential(nn.Linear(8, 20), nn.Tanh(), *extra, nn.Linear(20, 3), seed=i % 4)
        opt = optim.Adam(net.parameters(), lr=0.01)
        seen = []
        history = net.fit(
            X, y, loss=nn.MSELoss(), optimizer=opt, epochs=20, callbacks=[seen.append]
        )
        assert len(seen) == 20
        return net.flat_parameters.tobytes(), history["loss"].tobytes()

    results = in_threads(work, 8)
    assert results == [work(i) for i in range(8)]
    assert len(set(results)) == 4


def test_two_fits_of_one_network_at_once():
    net = network()
    X = np.zeros((500, 8))
    barrier = threading.Barrier(4)

    def work(i):
        opt = optim.SGD(net.parameters())
        barrier.wait(10)
        try:
            net.fit(X, X[:, :3], loss=nn.MSELoss(), optimizer=opt, epochs=50)
        except RuntimeError as error:
            assert str(error) == "the network is in use: expected no other call while fit runs"  # noqa: PT017
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert any(pool.map(work, range(4)))
    net(X)


def test_one_optimizer_stepped_by_several_threads():
    net = network()
    opt = optim.Adam(net.parameters())
    net.flat_gradients[:] = 1

    def work(i):
        for _ in range(200):
            try:
                opt.step()
            except RuntimeError as error:
                assert str(error).startswith("the optimizer is in use")  # noqa: PT017
        return True

    assert all(in_threads(work, 4))
    assert np.isfinite(net.flat_parameters).all()


def test_checking_gradients_in_several_threads():
    net = network(dtype="float64")
    x, y = np.ones((2, 8)), np.zeros((2, 3))
    reports = in_threads(lambda i: dp.check_gradients(net, nn.MSELoss(), x, y, max_checks=5), 4)
    assert all(report == reports[0] for report in reports)
    assert reports[0].ok


def test_after_a_fork():
    out = alone("""
net = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 8), seed=0)
X = np.random.default_rng(0).normal(size=(500, 8))
def train(net):
    net.fit(X, X, loss=nn.MSELoss(), optimizer=optim.SGD(net.parameters()), epochs=2)
    return net.flat_parameters.tobytes()
net(X)
read, write = os.pipe()
child = os.fork()
if child == 0:
    os.write(write, train(net)[:64])
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(os.read(read, 64) == train(net)[:64])
""")
    assert out == "True\n"


@pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""),
    reason="the address sanitizer takes CPython's unwinding of such threads for an underflow",
)
@pytest.mark.parametrize(
    "call",
    [
        "net(X)",
        "net.forward(X)",
        "net.fit(X, X, loss=nn.MSELoss(), optimizer=opt, epochs=10**9)",
        "net.fit(X, X, loss=nn.MSELoss(), optimizer=opt, epochs=10**9, callbacks=[repr])",
        "opt.step()",
    ],
)
def test_a_daemon_thread_at_work_when_the_interpreter_ends(call):
    # Once "terminate called without an active exception": the interpreter ends such a thread
    # where it asks for the GIL, by an unwinding that must pass through the bindings.
    out = alone(f"""
X = np.zeros((3000, 8))
def work():
    net = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 8), seed=0)
    opt = optim.SGD(net.parameters())
    while True: {call}
for _ in range(3): threading.Thread(target=work, daemon=True).start()
time.sleep(0.3)
print("end")
""")
    assert out == "end\n"


class Waiting(nn.Layer):
    """A layer whose inference waits for a signal to continue."""

    def __init__(self):
        self.inside, self.go_on = threading.Event(), threading.Event()

    def forward(self, x, training):
        if not training:
            self.inside.set()
            assert self.go_on.wait(10)
        return x

    def backward(self, delta):
        return delta


def test_fit_does_not_begin_under_an_inference_of_another_thread():
    layer = Waiting()
    net = nn.Sequential(nn.Linear(2, 2), layer)
    X = np.ones((3, 2))
    options = {"loss": nn.MSELoss(), "optimizer": optim.SGD(net.parameters()), "epochs": 1}
    with ThreadPoolExecutor(1) as pool:
        prediction = pool.submit(net, X)
        assert layer.inside.wait(10)
        try:
            with pytest.raises(RuntimeError, match=r"^the network is in use: expected no other"):
                net.fit(X, X, **options)
        finally:
            layer.go_on.set()
        assert prediction.result().shape == (3, 2)
    assert net.fit(X, X, **options).updates == 1


def test_two_fits_with_callbacks_in_two_threads(tmp_path):
    X = np.random.default_rng(0).normal(size=(100, 8))

    def work(i):
        net = network(seed=i)
        opt = optim.Adam(net.parameters(), lr=0.01)
        optim.StepLR(opt, 3)
        early, path = dp.EarlyStopping(patience=3), tmp_path / f"{i}-{threading.get_ident()}.dp"
        history = net.fit(
            X,
            X[:, :3],
            loss=nn.MSELoss(),
            optimizer=opt,
            epochs=10,
            validation_split=0.2,
            metrics=("mae",),
            callbacks=[early, dp.ModelCheckpoint(path)],
        )
        twin = dp.load(path)
        assert twin.flat_parameters.tobytes() == net.flat_parameters.tobytes()
        return net.flat_parameters.tobytes(), history.to_dict()

    assert in_threads(work, 2) == [work(0), work(1)]


def test_ctrl_c_in_a_fit_with_callbacks():
    out = alone("""
import signal
import deltaprop as dp
# A shell that starts tests in the background has them ignore the signal.
signal.signal(signal.SIGINT, signal.default_int_handler)
net = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 8), seed=0)
opt = optim.SGD(net.parameters())
schedule = optim.ExponentialLR(opt, 0.999, every="step")
class Counts(dp.Callback):
    ends = updates = 0
    def on_train_batch_end(self, run):
        self.updates += 1
        if self.updates == 7: signal.raise_signal(signal.SIGINT)
    def on_train_end(self, run): self.ends += 1
counts = Counts()
X = np.zeros((300, 8))
try: net.fit(X, X, loss=nn.MSELoss(), optimizer=opt, epochs=1000, callbacks=[counts])
except KeyboardInterrupt: print("interrupted")
print(counts.updates - schedule.count, counts.ends)
print(net.fit(X, X, loss=nn.MSELoss(), optimizer=opt, epochs=1).updates)
""")
    assert out == "interrupted\n0 0\n10\n"


@pytest.mark.parametrize("method", ["state_dict", "load_state_dict"])
def test_no_fit_begins_while_the_optimizers_state_is_read_or_written(method):
    net = nn.Sequential(nn.Linear(2, 2), seed=0)
    opt = optim.Adam(net.parameters())
    X = np.ones((3, 2))

    def fit():
        net.fit(X, X, loss=nn.MSELoss(), optimizer=opt, epochs=1)

    class Slow(optim.StepLR):
        """A schedule in whose time another thread would fit."""

        def other_thread(self):
            with (
                ThreadPoolExecutor(1) as pool,
                pytest.raises(RuntimeError, match=r"^the optimizer is in use"),
            ):
                pool.submit(fit).result()

        def state_dict(self):
            self.other_thread()
            return super().state_dict()

        def load_state_dict(self, state_dict):
            self.other_thread()
            super().load_state_dict(state_dict)

    Slow(opt, 10)
    state = opt.state_dict()
    if method == "load_state_dict":
        opt.load_state_dict(state)
    fit()
