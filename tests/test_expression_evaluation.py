"""When the function of an expression is called, its constants, and expressions in threads."""

import sys
import threading

import numpy as np

from deltaprop import graph, nn, optim
from expression_cases import MSE, ROWS, each_dtype, fitted, near
from processes import alone
from threads import in_threads


class Counted:
    """Calls a function, and knows for how many rows."""

    def __init__(self, function):
        self.function = function
        self.rows = []

    def __call__(self, *nodes):
        self.rows.append(nodes[0].shape[0])
        return self.function(*nodes)


def test_the_function_is_called_once_for_each_shape():
    f = Counted(lambda a, y: (a - y) ** 2)
    X, y = MSE.data()
    _, history = fitted(MSE, nn.ExpressionLoss(f), "float32", X, y, epochs=50)
    assert history.updates == 200
    assert sorted(f.rows) == [2, 4, 7]


def test_a_layer_is_called_once_for_each_shape():
    f = Counted(np.sin)
    net = nn.Sequential(nn.Linear(3, 4), nn.ExpressionLayer(f), seed=0)
    X, y = MSE.data()
    net.fit(
        X,
        y,
        loss=nn.MSELoss(),
        optimizer=optim.SGD(net.parameters(), lr=0.1),
        epochs=50,
        batch_size=7,
    )
    for _ in range(10):
        net(X)
    # For its width twice: as the layers are put together, and as the network is made of them.
    assert sorted(f.rows) == [2, 2, 4, 7, ROWS]


def test_batches_of_more_sizes_than_are_kept_in_mind():
    X, y = MSE.data(40)

    class Batches:
        def __iter__(self):
            for n in (*range(1, 41), *range(40, 0, -1)):
                yield X[:n], y[:n]

    nets = [fitted(MSE, loss, "float64", Batches(), None, epochs=2)[0] for loss in MSE.losses()]
    near(nets[1].flat_parameters, nets[0].flat_parameters, "float64", 100)


def test_other_threads_run_during_a_fit():
    # With this switch interval no other thread would run if the fit held the GIL.
    X, y = MSE.data(2000)
    net = MSE.network()
    layered = nn.Sequential(
        net, nn.ExpressionLayer(lambda x: np.sin(x) + x), dtype="float64", seed=0
    )
    interval = sys.getswitchinterval()
    sys.setswitchinterval(100)
    seen, done = [0], threading.Event()

    def count():
        while not done.wait(0.001):
            seen[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    try:
        layered.fit(
            X,
            y,
            loss=nn.ExpressionLoss(MSE.function),
            optimizer=optim.SGD(layered.parameters(), lr=1e-3),
            epochs=500,
            batch_size=500,
        )
        during = seen[0]
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join()
    assert during > 5, during


def test_nodes_from_outside_are_constants():
    scale = graph.variable(2.0)
    loss = nn.ExpressionLoss(lambda a, y: scale * (a - y) ** 2)
    a, y = np.ones((3, 4)), np.zeros((3, 4))
    assert loss(a, y) == 2
    assert scale.grad is None
    scale.value = 5.0
    assert loss(a, y) == 5  # by hand it is called anew


def test_a_fit_keeps_the_constants_of_its_start():
    scale = graph.variable(2.0)
    X, y = MSE.data()

    def change(run):
        scale.value = 100.0

    found = [
        fitted(MSE, nn.ExpressionLoss(f), "float64", X, y, batch_size=None, callbacks=[change])[0]
        for f in (lambda a, y: scale * (a - y) ** 2, lambda a, y: 2.0 * (a - y) ** 2)
    ]
    scale.value = 2.0
    np.testing.assert_array_equal(found[0].flat_parameters, found[1].flat_parameters)


def test_nodes_that_were_kept_and_are_set_meanwhile():
    # In a process of its own, for it once might have crashed.
    out = alone("""
import threading
rng = np.random.default_rng(0)
X, y = rng.normal(size=(3000, 3)), rng.normal(size=(3000, 2))
kept = []
def f(a, y):
    result = (a - y) ** 2
    kept.append((a, y, result))
    return result
def train(loss):
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2), seed=0)
    net.fit(X, y, loss=loss, optimizer=optim.SGD(net.parameters(), lr=0.01), epochs=60,
            batch_size=1000)
    return net.flat_parameters.copy()
expected = train(nn.ExpressionLoss(lambda a, y: (a - y) ** 2))
done = threading.Event()
def meddle():
    while not done.is_set():
        for a, y, result in list(kept):
            a.value = np.full(a.shape, 7.0)
            result.forward()
            result.backward()
threads = [threading.Thread(target=meddle) for _ in range(3)]
for t in threads: t.start()
found = train(nn.ExpressionLoss(f))
done.set()
for t in threads: t.join()
print(np.array_equal(found, expected), len(kept))
""")
    assert out == "True 2\n"


@each_dtype
def test_a_network_with_such_a_layer_in_many_threads(dtype):
    net = nn.Sequential(
        nn.Linear(3, 20),
        nn.ExpressionLayer(lambda x: np.sin(x) * x),
        nn.Linear(20, 2),
        dtype=dtype,
        seed=0,
    )
    X = np.random.default_rng(0).normal(size=(300, 3))
    sizes = [1, 2, 7, *range(100, 300, 11)]
    expected = {n: net(X[:n]) for n in sizes}

    def work(i):
        for n in (*sizes[i:], *sizes):
            np.testing.assert_array_equal(net(X[:n]), expected[n])
        return True

    assert all(in_threads(work))


def test_two_fits_at_once_of_one_loss():
    X, y = MSE.data(200)
    loss = nn.ExpressionLoss(MSE.function)
    expected = fitted(MSE, loss, "float64", X, y, epochs=20)[0].flat_parameters
    for net, _ in in_threads(lambda i: fitted(MSE, loss, "float64", X, y, epochs=20), 4):
        np.testing.assert_array_equal(net.flat_parameters, expected)
