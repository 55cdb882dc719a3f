"""Threads: the same bits for any number, choices, life beside fork and other threads."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import deltaprop as dp
import processes
from deltaprop import nn, optim

# What of it there is would decide otherwise.
UNSET = {"DELTAPROP_NUM_THREADS": None, "OMP_NUM_THREADS": None}


def run(*command, **environment):
    """Run Python with a choice of numbers of threads."""
    return processes.run(*command, **UNSET | environment)


@pytest.fixture(autouse=True)
def as_it_was():
    """Leave the number as it was."""
    before = dp.get_num_threads()
    yield
    dp.set_num_threads(before)


def network(dtype="float32"):
    """Give a network whose steps and predictions are worth sharing."""
    layers = nn.Linear(64, 300), nn.Tanh(), nn.Dropout(0.2), nn.Linear(300, 200), nn.ReLU()
    return nn.Sequential(*layers, nn.Linear(200, 5), dtype=dtype, seed=0)


def data(rows=1500):
    """Give inputs and classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, 64)), rng.integers(0, 5, rows)


def trained(net, **options):
    """Fit a network and give all that came of it."""
    X, y = data()
    opt = optim.Adam(net.parameters(), clip_norm=options.pop("clip_norm", None))
    history = net.fit(
        X,
        y,
        loss=nn.CrossEntropyLoss(),
        optimizer=opt,
        epochs=2,
        batch_size=500,
        validation_data=(X, y),
        **options,
    )
    return net.flat_parameters.copy(), history["loss"], history["val_loss"], net(X)


def test_everything_has_the_same_bits(tmp_path):
    """Other numbers are met in what follows, which takes less long."""
    expected = processes.everything(tmp_path / "alone.npz", "1")
    found = processes.everything(tmp_path / "shared.npz", "3")
    assert found.keys() == expected.keys()
    for name, a in expected.items():
        assert a.tobytes() == found[name].tobytes(), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.5}, {"accumulate": 2}], ids=str)
def test_training_has_the_same_bits(dtype, options):
    results = []
    for threads in (1, 2, 3, 8):
        results.append(trained(network(dtype), num_threads=threads, **options))
        dp.set_num_threads(threads)
        results.append(trained(network(dtype), **options))
    for result in results[1:]:
        for a, b in zip(results[0], result, strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize(("rows", "width"), [(1, 2100), (6, 1010), (16, 620)])
def test_few_rows_by_large_weights_have_the_same_bits(rows, width):
    """Their products, just large enough to be shared, are shared by columns."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(rows, width)), rng.integers(0, 5, rows)
    results = []
    for threads in (1, 2, 3):
        dp.set_num_threads(threads)
        net = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 5), seed=0)
        opt = optim.SGD(net.parameters(), lr=0.01)
        net.fit(X, y, loss=nn.CrossEntropyLoss(), optimizer=opt, epochs=1, batch_size=None)
        results.append((net.flat_parameters.copy(), net(X), net.predictor()(X)))
    for result in results[1:]:
        for a, b in zip(results[0], result, strict=True):
            assert a.tobytes() == b.tobytes()


def test_a_pass_by_hand_has_the_same_bits():
    X, y = data()
    results = []
    for threads in (1, 2, 5):
        dp.set_num_threads(threads)
        net, loss = network(), nn.CrossEntropyLoss()
        back = net.backward(loss.delta(net.forward(X), y))
        results.append((back, net.flat_gradients.copy(), net.predict(X)))
    for result in results[1:]:
        for a, b in zip(results[0], result, strict=True):
            assert a.tobytes() == b.tobytes()


class TestChoice:
    SHOW = "import deltaprop as dp; print(dp.get_num_threads(), dp.show_config('dicts')['threads'])"

    def test_all_processors_at_first(self):
        count = len(os.sched_getaffinity(0))
        assert run("-c", self.SHOW).stdout == f"{count} {count}\n"
        for none in ("", "0", "many"):
            assert run("-c", self.SHOW, OMP_NUM_THREADS=none).stdout == f"{count} {count}\n"

    def test_affinity_and_the_environment(self):
        pinned = f"import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); {self.SHOW}"
        assert run("-c", pinned).stdout == "1 1\n"
        assert run("-c", self.SHOW, OMP_NUM_THREADS="1,2").stdout == "1 1\n"
        assert (
            run("-c", self.SHOW, DELTAPROP_NUM_THREADS="7", OMP_NUM_THREADS="1").stdout == "7 7\n"
        )
        assert run("-c", self.SHOW, DELTAPROP_NUM_THREADS="", OMP_NUM_THREADS="1").stdout == "1 1\n"

    @pytest.mark.parametrize("text", ["0", "-2", "two", "1025", "1000000000", "9" * 30])
    def test_no_number(self, text):
        done = run("-c", "import deltaprop", DELTAPROP_NUM_THREADS=text)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == (
            f"ImportError: DELTAPROP_NUM_THREADS: expected a number from 1 to 1024, got '{text}'"
        )

    def test_set(self):
        dp.set_num_threads(np.int64(3))
        assert dp.get_num_threads() == 3

    @pytest.mark.parametrize(
        ("count", "error", "text"),
        [
            (0, ValueError, "expected 1 or more, got 0"),
            (-1, ValueError, "expected 1 or more, got -1"),
            (1025, ValueError, "expected 1024 or less, got 1025"),
            (10**9, ValueError, "expected 1024 or less, got 1000000000"),
            (1.5, TypeError, "expected an integer, got float"),
            (True, TypeError, "expected an integer, got bool"),
        ],
    )
    def test_refused(self, count, error, text):
        before = dp.get_num_threads()
        with pytest.raises(error, match=text):
            dp.set_num_threads(count)
        with pytest.raises(error, match=f"fit: num_threads: {text}"):
            trained(network(), num_threads=count)
        assert dp.get_num_threads() == before


def test_a_child_process_has_threads_of_its_own():
    code = """
import os, signal
import numpy as np
import deltaprop as dp
from deltaprop import nn, optim
dp.set_num_threads(2)
def train():
    net = nn.Sequential(nn.Linear(64, 300), nn.Tanh(), nn.Linear(300, 5), seed=0)
    X = np.random.default_rng(0).normal(size=(1000, 64))
    opt = optim.SGD(net.parameters(), lr=0.1)
    net.fit(X, X[:, :5], loss=nn.MSELoss(), optimizer=opt, epochs=3, batch_size=500)
    return net.flat_parameters.tobytes()
first = train()
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(train() != first)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert train() == first
print("both")
"""
    done = run("-W", "ignore::DeprecationWarning", "-c", code)
    assert (done.stdout, done.returncode) == ("both\n", 0), done.stderr


def test_many_at_once_share_nothing_but_the_processors():
    dp.set_num_threads(4)
    expected = trained(network())
    with ThreadPoolExecutor(6) as pool:
        for result in pool.map(lambda _: trained(network()), range(12)):
            for a, b in zip(expected, result, strict=True):
                assert a.tobytes() == b.tobytes()


def test_idle_threads_sleep():
    dp.set_num_threads(8)
    trained(network())
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.1


def test_the_first_bad_row_is_named_on_any_thread(tmp_path):
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float64, (2000, 64))
    X[:] = data(2000)[0]
    X[[700, 1999]] = np.nan
    for threads in (1, 4):
        net = network()
        with pytest.raises(ValueError, match="X: expected finite numbers, got nan in row 700"):
            net.fit(
                X,
                data(2000)[1],
                loss=nn.CrossEntropyLoss(),
                optimizer=optim.SGD(net.parameters(), lr=0.1),
                epochs=1,
                batch_size=None,
                num_threads=threads,
            )
