"""ExpressionLoss beside the built-in loss of the same formula."""

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import graph, nn, optim
from expression_cases import MSE, ROWS, Case, each_dtype, fitted, near, normal


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


WAYS = {
    "plain": {},
    "one batch": {"batch_size": None},
    "one row": {"batch_size": 1, "epochs": 1},
    "weights": {"sample_weight": np.linspace(0, 2, ROWS)},
    "accumulated": {"accumulate": 3},
    "accumulated weights": {"accumulate": 3, "sample_weight": np.linspace(0, 2, ROWS)},
    "validation": {"validation_split": 0.3},
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
def test_plateaus_metrics_and_validation_data(every):
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
    expected = net.evaluate(X, y, loss=built_in, metrics=["r2"])
    assert net.evaluate(X, y, loss=own, metrics=["r2"]) == pytest.approx(expected, rel=1e-13)
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
