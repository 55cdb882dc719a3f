"""Losses and layers of a function of nodes, beside the built-in ones that they say again."""

import copy
import gc
import pickle
import re
import sys
import threading
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import graph, nn, optim
from processes import alone
from test_threads import together

ROWS = 25  # no multiple of the batches


def normal(rng, rows, out):
    return rng.normal(size=(rows, out))


def chances(rng, rows, out):
    return rng.uniform(0.05, 0.95, (rows, out))


def counts(rng, rows, out):
    return rng.poisson(2.0, (rows, out)).astype(float)


def signs(rng, rows, out):
    return rng.choice([-1.0, 1.0], (rows, out))


def one_hot(rng, rows, out):
    return np.eye(out)[rng.integers(0, out, rows)]


def smooth_l1(a, y):
    e = a - y
    return graph.where(np.abs(e) < 0.3, e**2 / 0.6, np.abs(e) - 0.15)


def huber(a, y):
    e = a - y
    return graph.where(np.abs(e) < 0.3, e**2 / 2, 0.3 * (np.abs(e) - 0.15))


def gaussian(a, y):
    variance = np.maximum(a[:, 2:], 1e-6)
    return (np.log(variance) + (a[:, :2] - y) ** 2 / variance) / 2


def pinball(a, y):
    q = np.array([0.1, 0.5, 0.9])
    return np.maximum(q * (y - a), (q - 1) * (y - a))


def cross_entropy(a, y):
    shifted = a - a.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - (y * shifted).sum(axis=1)


@dataclass
class Case:
    """A built-in loss, the same as an expression, and the targets that they take."""

    built_in: type
    function: Any
    targets: Any
    options: Any = None
    out: int = 4
    columns: int = 4  # of the targets
    last: Any = nn.Identity

    def losses(self, reduction="mean"):
        return (
            self.built_in(reduction=reduction, **(self.options or {})),
            nn.ExpressionLoss(self.function, reduction=reduction),
        )

    def data(self, rows=ROWS, seed=0):
        rng = np.random.default_rng(seed)
        return rng.normal(size=(rows, 3)), self.targets(rng, rows, self.columns)

    def network(self, dtype="float64", seed=1):
        layers = nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, self.out), self.last()
        return nn.Sequential(*layers, dtype=dtype, seed=seed)

    def __str__(self):
        return self.built_in.__name__


MSE = Case(nn.MSELoss, lambda a, y: (a - y) ** 2, normal)
CASES = [
    MSE,
    Case(nn.L1Loss, lambda a, y: np.abs(a - y), normal),
    Case(nn.SmoothL1Loss, smooth_l1, normal, {"beta": 0.3}),
    Case(nn.HuberLoss, huber, normal, {"delta": 0.3}),
    Case(
        nn.BCEWithLogitsLoss,
        lambda a, y: np.maximum(a, 0) - a * y + np.log1p(np.exp(-np.abs(a))),
        chances,
    ),
    Case(nn.PoissonNLLLoss, lambda a, y: np.exp(a) - y * a, counts),
    Case(nn.GaussianNLLLoss, gaussian, normal, columns=2, last=nn.Softplus),
    Case(nn.HingeLoss, lambda a, y: np.maximum(0, 1 - y * a), signs),
    Case(nn.QuantileLoss, pinball, normal, out=3, columns=1),
    Case(nn.CrossEntropyLoss, cross_entropy, one_hot),
]
each = pytest.mark.parametrize("case", CASES, ids=str)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def near(found, expected, dtype, loose=1.0):
    small = loose * (1e-5 if dtype == "float32" else 1e-12)
    np.testing.assert_allclose(found, expected, rtol=small, atol=small)


# By hand


@each
@each_dtype
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_values_and_deltas_are_those_of_the_built_in_loss(case, dtype, reduction, weighted, rows):
    built_in, own = case.losses(reduction)
    X, y = case.data(rows)
    a = case.network(dtype)(X)
    weight = np.arange(rows) / 2 if weighted else None
    value, delta = own(a, y, weight), own.delta(a, y, weight)
    near(value, built_in(a, y, weight), dtype)
    near(delta, built_in.delta(a, y, weight), dtype)
    assert np.shape(value) == np.shape(built_in(a, y, weight))
    assert delta.dtype == a.dtype


def test_one_number_is_the_loss():
    own = nn.ExpressionLoss(lambda a, y: graph.sqrt(((a - y) ** 2).mean()) + 1)
    a, y = np.array([[1.0], [2.0], [4.0]]), np.array([[1.0], [0.0], [0.0]])
    root = np.sqrt(20 / 3)
    assert own(a, y) == pytest.approx(root + 1, rel=1e-15)
    np.testing.assert_allclose(own.delta(a, y), (a - y) / 3 / root, rtol=1e-14)


def test_shapes_by_hand():
    own = nn.ExpressionLoss(lambda a, y: (a - y) ** 2)
    assert own([1.0, 2.0, 3.0], [1, 2, 5]) == pytest.approx(4 / 3)  # one row
    assert own([[1.0], [2.0]], [1, 4]) == 2  # y gets its axis
    assert own.delta([1.0, 2.0], [1, 4]).tolist() == [0, -2]
    assert own(np.zeros((0, 3)), np.zeros((0, 3))) == 0
    assert own.delta(np.zeros((0, 3)), np.zeros((0, 3))).shape == (0, 3)
    assert nn.ExpressionLoss(lambda a, y: (a - y) ** 2, "none")(
        [[1.0, 3.0]], [[1, 1]]
    ).tolist() == [[0, 4]]


@pytest.mark.parametrize(
    ("function", "shape"), [(lambda a, y: y.sum(), ()), (lambda a, y: (y * 2).sum(axis=1), (3,))]
)
def test_a_loss_without_the_outputs_has_no_delta(function, shape):
    a, y = np.ones((3, 2)), np.arange(6.0).reshape(3, 2)
    own = nn.ExpressionLoss(function, "sum")
    assert own(a, y) == (15 if shape == () else 30)
    assert not own.delta(a, y).any()


@pytest.mark.parametrize(
    ("function", "value", "delta"), [(lambda a, y: a, 6, 1), (lambda a, y: -a.sum(), -6, -1)]
)
def test_the_outputs_themselves(function, value, delta):
    own = nn.ExpressionLoss(function, "sum")
    a = np.array([[1.0], [2.0], [3.0]])
    assert own(a, a) == value
    assert own.delta(a, a).ravel().tolist() == [delta] * 3
    assert own([1.0], [1.0]) == value / 6
    assert own.delta([1.0], [1.0]).tolist() == [delta]


# In fit


def fitted(case, loss, dtype, X, y, **options):
    net = case.network(dtype)
    options = {"epochs": 6, "batch_size": 7, **options}
    opt = optim.Adam(net.parameters(), lr=0.01)
    return net, net.fit(X, y, loss=loss, optimizer=opt, **options)


WAYS = {
    "plain": {},
    "one batch": {"batch_size": None},
    "one row": {"batch_size": 1, "epochs": 1},
    "weights": {"sample_weight": np.linspace(0, 2, ROWS)},
    "accumulated": {"accumulate": 3},
    "accumulated weights": {"accumulate": 3, "sample_weight": np.linspace(0, 2, ROWS)},
    "held out": {"validation_split": 0.3},
    "recorded": {"record": ("activations", "deltas", "gradients")},
}


@each
@each_dtype
@pytest.mark.parametrize("way", WAYS)
def test_a_fit_goes_the_way_of_the_built_in_loss(case, dtype, way):
    X, y = case.data()
    (one, history), (two, own) = (
        fitted(case, loss, dtype, X, y, **WAYS[way]) for loss in case.losses()
    )
    assert own.keys() == history.keys()
    for key in own:
        near(own[key], history[key], dtype, 100)
    near(two.flat_parameters, one.flat_parameters, dtype, 100)


@each_dtype
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_one_number_trains_as_rows_do(dtype, reduction, accumulate):
    X, y = MSE.data()
    final = {"mean": lambda a, y: ((a - y) ** 2).mean(), "sum": lambda a, y: ((a - y) ** 2).sum()}
    (one, history), (two, own) = (
        fitted(MSE, loss, dtype, X, y, accumulate=accumulate, validation_split=0.3)
        for loss in (
            nn.MSELoss(reduction=reduction),
            nn.ExpressionLoss(final[reduction], reduction=reduction),
        )
    )
    for key in ("loss", "val_loss"):
        near(own[key], history[key], dtype, 100)
    near(two.flat_parameters, one.flat_parameters, dtype, 100)


@pytest.mark.parametrize("every", ["epoch", "update"])
def test_plateaus_metrics_and_data_held_out(every):
    X, y = MSE.data()
    options = {
        "stop": dp.StopOnPlateau(1e-3, every=every),
        "validation_data": MSE.data(11, seed=5),
        "metrics": ["mae"],
        "epochs": 200,
    }
    (_, history), (_, own) = (
        fitted(MSE, loss, "float64", X, y, **options) for loss in MSE.losses()
    )
    assert own.stop_reason == history.stop_reason == "plateau"
    assert own.updates == history.updates
    for key in history:
        near(own[key], history[key], "float64", 1000)
    near(own.stop_losses, history.stop_losses, "float64", 1000)


def test_class_weights():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(ROWS, 3)), rng.integers(0, 2, ROWS)
    case = Case(nn.BCEWithLogitsLoss, CASES[4].function, None, out=1)
    (one, _), (two, _) = (
        fitted(case, loss, "float64", X, y, class_weight={0: 0.5, 1: 3.0}) for loss in case.losses()
    )
    near(two.flat_parameters, one.flat_parameters, "float64", 100)


def test_several_heads_with_their_weights():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(ROWS, 3)), (rng.normal(size=(ROWS, 2)), rng.integers(0, 3, ROWS))
    found = []
    for loss in (nn.MSELoss(), nn.ExpressionLoss(MSE.function)):
        heads = nn.Heads(nn.Linear(4, 2), nn.Linear(4, 3))
        net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), heads, dtype="float64", seed=0)
        history = net.fit(
            X,
            y,
            loss=(loss, nn.CrossEntropyLoss()),
            loss_weights=(0.3, 2.0),
            optimizer=optim.SGD(net.parameters(), lr=0.1),
            epochs=5,
            batch_size=7,
        )
        found.append((history, net))
    for key in ("loss", "loss_0", "loss_1"):
        near(found[1][0][key], found[0][0][key], "float64", 100)
    near(found[1][1].flat_parameters, found[0][1].flat_parameters, "float64", 100)


def test_what_else_takes_a_loss():
    X, y = MSE.data()
    built_in, own = MSE.losses()
    net = MSE.network()
    wanted = net.evaluate(X, y, loss=built_in, metrics=["r2"])
    assert net.evaluate(X, y, loss=own, metrics=["r2"]) == pytest.approx(wanted, rel=1e-13)
    near(net.input_gradient(X, y, loss=own), net.input_gradient(X, y, loss=built_in), "float64")
    assert dp.check_gradients(net, own, X[:5], y[:5]).ok
    ranges = [
        dp.lr_range_test(net, X, y, loss=loss, optimizer=optim.SGD(net.parameters()), steps=20)
        for loss in (built_in, own)
    ]
    near(ranges[1].loss, ranges[0].loss, "float64", 100)


def test_a_fit_that_goes_on_has_the_same_bits(tmp_path):
    X, y = MSE.data()
    _, own = MSE.losses()
    path = tmp_path / "c.dp"
    whole, history = fitted(MSE, own, "float32", X, y, epochs=6)
    write = {"callbacks": [dp.ModelCheckpoint(path)]}
    fitted(MSE, own, "float32", X, y, epochs=3, **write)
    resumed, later = fitted(MSE, own, "float32", X, y, epochs=6, resume=path, **write)
    np.testing.assert_array_equal(resumed.flat_parameters, whole.flat_parameters)
    np.testing.assert_array_equal(later["loss"], history["loss"])


@each_dtype
def test_a_loop_by_hand_has_the_bits_of_fit(dtype):
    X, y = MSE.data()
    _, own = MSE.losses()
    net, _ = fitted(MSE, own, dtype, X, y, batch_size=None, epochs=4)
    hand = MSE.network(dtype)
    opt = optim.Adam(hand.parameters(), lr=0.01)
    for _ in range(4):
        hand.backward(own.delta(hand.forward(X), y))
        opt.step()
        opt.zero_grad()
    np.testing.assert_array_equal(hand.flat_parameters, net.flat_parameters)


# When the function is called


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
    # With this switch interval nobody else would have a turn if the fit held the GIL.
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


# What may go wrong in the function


def fit_with(function, batch_size=7, rows=ROWS, **options):
    X, y = MSE.data(rows)
    net = MSE.network()
    before = net.flat_parameters.copy()
    loss = nn.ExpressionLoss(function)
    opt = optim.SGD(net.parameters(), lr=0.1)
    try:
        net.fit(X, y, loss=loss, optimizer=opt, epochs=2, batch_size=batch_size, **options)
    finally:
        net(X)  # is still there to be used
        assert np.isfinite(net.flat_parameters).all()
        if sys.exc_info()[0] is not None:
            np.testing.assert_array_equal(net.flat_parameters, before)


@pytest.mark.parametrize("kind", [None, 3, "sum"])
def test_no_function(kind):
    name = type(kind).__name__
    with pytest.raises(
        TypeError, match=f"^ExpressionLoss: expected a function of nodes, got {name}$"
    ):
        nn.ExpressionLoss(kind)
    with pytest.raises(TypeError, match=f"^ExpressionLayer: expected a function .*, got {name}$"):
        nn.ExpressionLayer(kind)


def test_reductions_that_there_are_not():
    for bad in ("average", "batchmean"):
        with pytest.raises(ValueError, match=f"^reduction: expected 'mean', .* got '{bad}'$"):
            nn.ExpressionLoss(MSE.function, reduction=bad)
    with pytest.raises(TypeError, match=r"^ExpressionLoss: reduction: expected a name, got int$"):
        nn.ExpressionLoss(MSE.function, reduction=3)
    with pytest.raises(ValueError, match="expected a loss with reduction 'mean' or 'sum'"):
        fitted(MSE, nn.ExpressionLoss(MSE.function, "none"), "float32", *MSE.data())


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (lambda a, y: 3.0, TypeError, "ExpressionLoss: expected a node back, got float"),
        (lambda a, y: None, TypeError, "ExpressionLoss: expected a node back, got NoneType"),
        (
            lambda a, y: (a - y).sum(axis=0),
            ValueError,
            "expected one number or rows (2, ...) back for outputs (2, 4), got (4,)",
        ),
        (
            lambda a, y: a @ graph.constant(np.ones((3, 3))),
            ValueError,
            "matmul: expected",
        ),
        (lambda a, y: a.value["x"], IndexError, "only integers"),
        (lambda a, y: 1 / 0, ZeroDivisionError, "division by zero"),
        (lambda a, y: 1 if a > y else 0, TypeError, "graph: expected a number to decide by"),
        (lambda a: a, TypeError, "takes 1 positional argument but 2 were given"),
    ],
)
def test_a_function_that_fails(function, error, text):
    with pytest.raises(error, match=re.escape(text)):
        fit_with(function)
    with pytest.raises(error, match=re.escape(text)):
        nn.ExpressionLoss(function)(np.zeros((3, 4)), np.zeros((3, 4)))


@pytest.mark.parametrize(
    ("other", "got"),
    [
        (lambda a, y: (a - y).sum(), "()"),
        (lambda a, y: (a - y).sum(axis=1), "(7,)"),
        (lambda a, y: a.reshape(7, 4, 1) * np.ones((1, 1, 500)), "(7, 4, 500)"),
    ],
)
def test_a_function_that_gives_other_rows_for_other_batches(other, got):
    def function(a, y):
        return (a - y) ** 2 if a.shape[0] == 2 else other(a, y)

    text = f"ExpressionLoss: expected (7, 4) back, as two rows gave it, got {got}"
    with pytest.raises(ValueError, match=re.escape(text)):
        fit_with(function)
    with pytest.raises(ValueError, match=re.escape(text)):
        nn.ExpressionLoss(function, "none")(np.zeros((7, 4)), np.zeros((7, 4)))


def test_a_function_that_fails_for_the_last_batch():
    def function(a, y):
        assert a.shape[0] != 4, "four rows"
        return (a - y) ** 2

    X, y = MSE.data()
    net = MSE.network()
    opt = optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(AssertionError, match="four rows"):
        net.fit(X, y, loss=nn.ExpressionLoss(function), optimizer=opt, epochs=2, batch_size=7)
    # The three batches before it have been learned from.
    assert not np.array_equal(net.flat_parameters, MSE.network().flat_parameters)
    assert not net.flat_gradients.any()
    assert net.forward(X).shape == (ROWS, 4)


def test_infinite_losses_stop_the_fit():
    with pytest.raises(FloatingPointError, match="in epoch 0, batch 0"):
        fit_with(lambda a, y: np.log(a - a))


@pytest.mark.parametrize("more", [{"sample_weight": np.ones(ROWS)}])
def test_one_number_takes_no_weights(more):
    text = "^ExpressionLoss: expected no sample_weight with an expression that gives one number"
    with pytest.raises(ValueError, match=text):
        fit_with(lambda a, y: ((a - y) ** 2).mean(), **more)
    loss = nn.ExpressionLoss(lambda a, y: ((a - y) ** 2).mean())
    for call in (loss, loss.delta):
        with pytest.raises(ValueError, match=text):
            call(np.zeros((2, 4)), np.zeros((2, 4)), np.ones(2))


def test_one_number_is_no_array_of_rows():
    loss = nn.ExpressionLoss(lambda a, y: ((a - y) ** 2).mean(), "none")
    for call in (loss, loss.delta):
        with pytest.raises(
            ValueError, match="expected a reduction of 'mean' or 'sum' with an expr"
        ):
            call(np.zeros((2, 4)), np.zeros((2, 4)))


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (np.zeros((3, 4, 1)), r"expected y \(N,\) or \(N, columns\), got \(3, 4, 1\)"),
        (np.zeros(()), r"expected y \(N,\) or \(N, columns\), got \(\)"),
        (np.zeros((2, 4)), r"expected y \(3, 4\) for outputs \(3, 4\), got \(2, 4\)"),
        (np.zeros(4), r"expected y \(3, 1\) for outputs \(3, 4\), got \(4,\)"),
        (np.zeros((3, 3)), "subtract: expected shapes that broadcast"),
    ],
)
def test_targets_of_other_shapes(y, text):
    with pytest.raises(ValueError, match=text):
        nn.ExpressionLoss(MSE.function)(np.zeros((3, 4)), y)


def test_targets_without_columns():
    loss = nn.ExpressionLoss(lambda a, y=None: a.sum() if y is None else (a**2).sum())
    assert loss(np.full((3, 2), 2.0), np.zeros((3, 0))) == 24


# Nodes of one's own


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
wanted = train(nn.ExpressionLoss(lambda a, y: (a - y) ** 2))
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
print(np.array_equal(found, wanted), len(kept))
""")
    assert out == "True 2\n"


# Copies, equality, files


def squared(a, y):
    """Of a module, so that pickle finds it."""
    return (a - y) ** 2


def doubled(x):
    """The same for a layer."""
    return 2 * x


def test_copies_of_losses():
    loss = nn.ExpressionLoss(squared, reduction="sum")
    for twin in (copy.copy(loss), copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert twin == loss
        assert hash(twin) == hash(loss)
        assert twin.function is squared
        assert twin([[1.0, 2.0]], [[0, 0]]) == 5
    assert repr(loss) == "ExpressionLoss(squared, reduction='sum')"
    assert loss != nn.ExpressionLoss(squared)
    assert loss != nn.ExpressionLoss(doubled, reduction="sum")
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(nn.ExpressionLoss(lambda a, y: a - y))
    assert copy.deepcopy(nn.ExpressionLoss(lambda a, y: a - y))([3.0], [1.0]) == 2
    with pytest.raises(AttributeError):
        loss.function = doubled


@each_dtype
def test_copies_of_networks_with_such_a_layer(dtype):
    layer = nn.ExpressionLayer(doubled)
    net = nn.Sequential(nn.Linear(3, 4), layer, dtype=dtype, seed=0)
    X = np.random.default_rng(0).normal(size=(5, 3))
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(twin(X), net(X))
        assert twin[1].function is doubled
    assert repr(layer) == "ExpressionLayer(doubled)"
    with pytest.raises(AttributeError, match="expected a new layer for another function"):
        layer.function = squared
    lost = nn.Sequential(nn.Linear(3, 4), nn.ExpressionLayer(lambda x: x * 3))
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(lost)
    np.testing.assert_array_equal(copy.deepcopy(lost)(X), lost(X))


def test_a_file_takes_no_function(tmp_path):
    net = nn.Sequential(nn.Linear(3, 4), nn.ExpressionLayer(doubled))
    text = (
        r"save: expected built-in layers, got ExpressionLayer\(doubled\); keep the state_dict\(\)"
    )
    with pytest.raises(TypeError, match=text):
        net.save(tmp_path / "net.dp")
    assert not any(tmp_path.iterdir())
    twin = nn.Sequential(nn.Linear(3, 4), nn.ExpressionLayer(doubled))
    twin.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(twin(np.ones((2, 3))), net(np.ones((2, 3))))


def test_what_holds_a_loss_of_its_own_method_is_let_go():
    class Study:
        def __init__(self):
            self.loss = nn.ExpressionLoss(self.error)
            self.layer = nn.ExpressionLayer(self.twice)
            self.net = nn.Sequential(nn.Linear(4, 4), self.layer)

        def error(self, a, y):
            return (a - y) ** 2

        def twice(self, x):
            return 2 * x

    study = Study()
    assert study.loss(study.net(np.zeros((3, 4))), np.zeros((3, 4))) >= 0
    gone = weakref.ref(study)
    del study
    gc.collect()
    assert gone() is None


# Layers


ACTIVATIONS = [
    (nn.Tanh, np.tanh),
    (nn.Sigmoid, graph.sigmoid),
    (nn.ReLU, lambda x: graph.where(x > 0, x, 0)),
    (nn.SiLU, lambda x: x / (1 + np.exp(-x))),
    (nn.Softplus, lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))),
]


@pytest.mark.parametrize(
    ("kind", "function"), ACTIVATIONS, ids=lambda a: getattr(a, "__name__", "")
)
@each_dtype
def test_a_layer_is_the_built_in_one(kind, function, dtype):
    X, y = MSE.data()
    found = []
    for layer in (kind(), nn.ExpressionLayer(function)):
        net = nn.Sequential(nn.Linear(3, 6), layer, nn.Linear(6, 4), dtype=dtype, seed=1)
        history = net.fit(
            X,
            y,
            loss=nn.MSELoss(),
            optimizer=optim.Adam(net.parameters(), lr=0.01),
            epochs=5,
            batch_size=7,
            validation_split=0.2,
            record=("deltas", "activations"),
        )
        found.append((net, history))
    (one, history), (two, own) = found
    for key in history:
        near(own[key], history[key], dtype, 100)
    near(two.flat_parameters, one.flat_parameters, dtype, 100)
    near(two.jacobian(X), one.jacobian(X), dtype, 100)
    near(two(X[0]), one(X[0]), dtype, 100)
    assert two(X[:0]).shape == (0, 4)
    assert two.forward(X[:0]).shape == (0, 4)
    assert two.backward(np.zeros((0, 4))).shape == (0, 3)


def test_a_layer_may_change_the_width_and_bring_rows_together():
    X = np.random.default_rng(0).normal(size=(6, 3))
    centred = nn.ExpressionLayer(lambda x: x - x.mean(axis=0))
    squares = nn.ExpressionLayer(lambda x: (x**2).sum(axis=1))
    product = nn.ExpressionLayer(lambda x: x @ np.arange(6.0).reshape(3, 2))
    for layer, wanted in (
        (centred, X - X.mean(axis=0)),
        (squares, (X**2).sum(axis=1, keepdims=True)),
        (product, X @ np.arange(6.0).reshape(3, 2)),
    ):
        net = nn.Sequential(nn.Linear(3, 3), layer, dtype="float64", seed=0)
        net[0].weight[...], net[0].bias[...] = np.eye(3), 0
        np.testing.assert_allclose(net(X), wanted, rtol=1e-13, atol=1e-15)
        assert dp.check_gradients(net, nn.MSELoss(), X, np.ones_like(wanted)).ok


def test_widths_that_are_not_known_yet(capsys):
    net = nn.Sequential(nn.ExpressionLayer(doubled), nn.Tanh(), seed=0)
    net.summary()
    assert "ExpressionLayer(doubled)  (N, any)" in capsys.readouterr().out
    assert net(np.ones((2, 5))).shape == (2, 5)
    assert net(np.ones(3)).shape == (3,)
    sums = nn.ExpressionLayer(lambda x: x.sum(axis=1))
    with pytest.raises(ValueError, match="got 3 inputs and 1 outputs"):
        nn.Sequential(nn.Linear(2, 3), nn.Residual(nn.Linear(3, 3), sums))


def test_layers_within_other_modules():
    def layer():
        return nn.ExpressionLayer(lambda x: np.sin(x) * x)

    net = nn.Sequential(
        nn.Residual(nn.Linear(3, 3), layer()),
        nn.Concat(layer(), nn.Sequential(layer(), nn.Linear(3, 2)), nn.Identity()),
        nn.Linear(8, 2),
        dtype="float64",
        seed=0,
    )
    X, y = np.random.default_rng(0).normal(size=(5, 3)), np.ones((5, 2))
    assert dp.check_gradients(net, nn.MSELoss(), X, y).ok
    net.freeze()
    before = net.flat_parameters.copy()
    net.fit(X, y, loss=nn.MSELoss(), optimizer=optim.SGD(net.parameters(), lr=1.0), epochs=3)
    np.testing.assert_array_equal(net.flat_parameters, before)


def test_a_layer_first_and_frozen_ones_before_it():
    net = nn.Sequential(
        nn.ExpressionLayer(np.tanh),
        nn.Linear(3, 3),
        nn.ExpressionLayer(np.sin),
        nn.Linear(3, 1),
        seed=0,
    )
    net[1].freeze()
    X = np.random.default_rng(0).normal(size=(9, 3))
    before = net.state_dict()
    net.fit(X, X[:, :1], loss=nn.MSELoss(), optimizer=optim.SGD(net.parameters(), lr=0.1), epochs=3)
    after = net.state_dict()
    np.testing.assert_array_equal(after["1.weight"], before["1.weight"])
    assert not np.array_equal(after["3.weight"], before["3.weight"])


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (lambda x: 3, TypeError, "ExpressionLayer(<lambda>): expected a node back, got int"),
        (
            lambda x: x.sum(),
            ValueError,
            "ExpressionLayer(<lambda>): expected rows (2, out) back for x (2, 3), got ()",
        ),
        (lambda x: x.sum(axis=0), ValueError, "expected rows (2, out) back for x (2, 3), got (3,)"),
        (lambda x: x.reshape(2, 3, 1), ValueError, "back for x (2, 3), got (2, 3, 1)"),
        (lambda x: 1 / 0, ZeroDivisionError, "division by zero"),
    ],
)
def test_a_layer_that_fails(function, error, text):
    # At once where the width of its input is known, else when it is called.
    with pytest.raises(error, match=re.escape(text)):
        nn.Sequential(nn.Linear(3, 3), nn.ExpressionLayer(function))
    net = nn.Sequential(nn.ExpressionLayer(function), nn.Linear(3, 3))
    for call in (net, net.forward, net.jacobian, nn.ExpressionLayer(function)):
        with pytest.raises(error, match=re.escape(text)):
            call(np.zeros((5, 3)))


@pytest.mark.parametrize("rows", [1, 5])
def test_a_layer_that_is_wider_for_other_rows(rows):
    net = nn.Sequential(
        nn.Linear(3, 3),
        nn.ExpressionLayer(lambda x: x if x.shape[0] == 2 else x @ np.ones((3, 1000))),
        seed=0,
    )
    text = f"expected ({rows}, 3) back, as two rows gave it, got ({rows}, 1000)"
    for call in (net, net.forward, net.jacobian):
        with pytest.raises(ValueError, match=re.escape(text)):
            call(np.zeros((rows, 3)))
    assert net(np.zeros((2, 3))).shape == (2, 3)


def test_a_layer_that_does_not_look_at_x():
    net = nn.Sequential(
        nn.Linear(3, 2), nn.ExpressionLayer(lambda x: graph.constant(np.ones(x.shape))), seed=0
    )
    assert net(np.zeros((4, 3))).tolist() == [[1, 1]] * 4
    net.forward(np.zeros((4, 3)))
    assert not net.backward(np.ones((4, 2))).any()


# Threads


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
    wanted = {n: net(X[:n]) for n in sizes}

    def work(i):
        for n in (*sizes[i:], *sizes):
            np.testing.assert_array_equal(net(X[:n]), wanted[n])
        return True

    assert all(together(work))


def test_two_fits_at_once_of_one_loss():
    X, y = MSE.data(200)
    loss = nn.ExpressionLoss(MSE.function)
    wanted = fitted(MSE, loss, "float64", X, y, epochs=20)[0].flat_parameters
    for net, _ in together(lambda i: fitted(MSE, loss, "float64", X, y, epochs=20), 4):
        np.testing.assert_array_equal(net.flat_parameters, wanted)
