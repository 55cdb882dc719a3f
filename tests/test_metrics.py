"""Metrics: scikit-learn's numbers, edges and errors."""

import inspect
import math
import re
import sys

import numpy as np
import pytest

import deltaprop as dp
from deltaprop import Metric
from deltaprop.training import metrics

# name: scikit-learn's function and its options for more than two classes.
OF_CLASSES = {
    "accuracy": ("accuracy_score", {}),
    "precision": ("precision_score", {"average": "macro", "zero_division": 0}),
    "recall": ("recall_score", {"average": "macro", "zero_division": 0}),
    "f1": ("f1_score", {"average": "macro", "zero_division": 0}),
    "auc": ("roc_auc_score", {"multi_class": "ovr", "average": "macro"}),
    "top_k_accuracy": ("top_k_accuracy_score", {}),
}
OF_VALUES = {
    "mse": "mean_squared_error",
    "rmse": "root_mean_squared_error",
    "mae": "mean_absolute_error",
    "r2": "r2_score",
}
# Those that take scores and not labels.
OF_SCORES = {"auc", "top_k_accuracy"}


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def problem(seed, classes, n=200, ties=False):
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(n, classes))
    z = np.round(z) if ties else z
    y = np.where(rng.random(n) < 0.5, z.argmax(axis=1), rng.integers(classes, size=n))
    return y, z, rng.random(n) * (rng.random(n) < 0.8)


def test_every_metric_has_cases():
    assert set(metrics.METRICS) == {*OF_CLASSES, *OF_VALUES}
    assert set(metrics.OF_CLASSES) == set(OF_CLASSES)
    listed = set(re.findall(r'"(\w+)"', Metric.__doc__.split("where scikit-learn")[0]))
    assert listed == set(metrics.METRICS)


@pytest.mark.parametrize("name", metrics.METRICS)
def test_notes_tell_the_formula_and_its_source(name):
    notes = inspect.getdoc(metrics.METRICS[name]).split("Notes\n-----")[1]
    assert re.search(r"^Formula: .+", notes, re.MULTILINE)
    assert re.search(r"^Source: .+", notes, re.MULTILINE)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("classes", [3, 7])
@pytest.mark.parametrize("name", OF_CLASSES)
def test_several_classes_against_sklearn(name, classes, ties, weighted, peer):
    function, more = OF_CLASSES[name]
    reference = getattr(peer("sklearn.metrics"), function)
    for seed in range(5):
        y, z, w = problem(seed, classes, ties=ties)
        w = w if weighted else None
        if name == "top_k_accuracy":
            given = z
        else:
            given = softmax(z) if name in OF_SCORES else z.argmax(axis=1)
        want = reference(y, given, sample_weight=w, **more)
        got = Metric(name, probabilities=True)(y, softmax(z), w)
        assert got == pytest.approx(want, rel=1e-12)
        # Rounding can make equal probabilities of different logits unequal.
        rel = 1e-3 if ties and name == "auc" else 1e-12
        assert Metric(name)(y, z, w) == pytest.approx(want, rel=rel)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", sorted(set(OF_CLASSES) - {"top_k_accuracy"}))
def test_two_classes_against_sklearn(name, ties, weighted, peer):
    function, more = OF_CLASSES[name]
    more = {k: v for k, v in more.items() if k == "zero_division"}
    reference = getattr(peer("sklearn.metrics"), function)
    for seed in range(5):
        y, z, w = problem(seed, 2, ties=ties)
        w = w if weighted else None
        score = z[:, 1] - z[:, 0]
        want = reference(y, score if name == "auc" else score > 0, sample_weight=w, **more)
        p = 1 / (1 + np.exp(-score))
        probable = Metric(name, probabilities=True)
        for got in (
            Metric(name)(y, z, w),
            Metric(name)(y, score, w),
            Metric(name)(y[:, np.newaxis].astype(np.float32), score[:, np.newaxis], w),
            Metric(name)(y.astype(bool), score, w),
            probable(y, p, w),
            probable(y, np.column_stack([1 - p, p]), w),
        ):
            assert got == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("features", [1, 3])
@pytest.mark.parametrize("name", OF_VALUES)
def test_values_against_sklearn(name, features, weighted, peer):
    reference = getattr(peer("sklearn.metrics"), OF_VALUES[name])
    for seed in range(5):
        rng = np.random.default_rng(seed)
        y = rng.normal(size=(100, features)) * 10.0 ** rng.integers(-6, 6, features)
        a = y + rng.normal(size=y.shape)
        w = rng.random(100) * (rng.random(100) < 0.8) if weighted else None
        want = reference(y, a, sample_weight=w)
        assert Metric(name)(y, a, w) == pytest.approx(want, rel=1e-12)
        if features == 1:
            assert Metric(name)(y[:, 0], a, w) == pytest.approx(want, rel=1e-12)
            assert Metric(name)(y, a[:, 0], w) == pytest.approx(want, rel=1e-12)


def test_auc_by_its_definition():
    rng = np.random.default_rng(0)
    s, y, w = rng.integers(5, size=40), rng.integers(2, size=40), rng.random(40)
    pairs = [(i, j) for i in range(40) for j in range(40) if y[i] == 1 and y[j] == 0]
    wins = sum(w[i] * w[j] * ((s[i] > s[j]) + (s[i] == s[j]) / 2) for i, j in pairs)
    assert Metric("auc")(y, s, w) == pytest.approx(wins / sum(w[i] * w[j] for i, j in pairs))
    # Neither saturates: the sigmoid of both would be 1.
    assert Metric("auc")([0, 1], [50.0, 60.0]) == 1
    assert Metric("auc")([1, 0], [[0.0, 50.0], [0.0, 60.0]]) == 0


def test_a_class_that_is_missing():
    for y in ([0, 0, 0], [1, 1, 1]):
        assert math.isnan(Metric("auc")(y, [0.1, 0.2, -0.3]))
    assert math.isnan(Metric("auc")([0, 1, 0], np.eye(3)))
    # Not there and never taken for there: not counted; taken for there: 0.
    assert Metric("f1")([0, 1, 0], [[3.0, 1, 0], [0, 1, 0], [1, 0, 0]]) == 1
    assert Metric("recall")([0, 1, 0], [[3.0, 1, 9], [0, 1, 0], [1, 0, 0]]) == 0.5
    for name in ("precision", "recall", "f1"):
        assert Metric(name)([0, 0], [-1.0, -2.0]) == 0


@pytest.mark.parametrize("name", metrics.METRICS)
def test_edges(name):
    metric = Metric(name)
    for shape in ((0,), (0, 1), (0, 3)):
        assert math.isnan(metric(np.empty(0 if len(shape) == 1 else shape[:1]), np.empty(shape)))
    assert math.isnan(metric([0, 1], [0.5, 1.5], [0, 0]))
    assert math.isnan(metric([0, 1], [0.5, np.nan]))
    one = metric([1], [2.0])
    assert math.isnan(one) if name in {"auc", "r2"} else one == 1
    rng = np.random.default_rng(0)
    y, a, w = rng.integers(2, size=20), rng.normal(size=(20, 1)), rng.random(20)
    want = metric(y, a, w)
    read_only, strided = np.repeat(a, 2, axis=0)[::2], np.repeat(y, 3)[::3]
    read_only.flags.writeable = False
    assert metric(strided, read_only, w) == want
    assert metric(y.astype(np.int8), a.astype(">f8"), list(w)) == want
    assert isinstance(want, float)
    # Weights count by their proportions, and a whole one is a row given so often.
    whole = rng.integers(3, size=20)
    assert metric(y, a, 3e-5 * w) == pytest.approx(want, rel=1e-12)
    many = metric(np.repeat(y, whole), np.repeat(a, whole, axis=0))
    assert metric(y, a, whole) == pytest.approx(many, rel=1e-12)


def test_the_highest_of_two_outputs_counts_whatever_they_are():
    y, z = [1, 0, 1], np.array([[-3.0, -1.0], [2.0, 1.0], [0.1, 0.2]])
    for probabilities in (False, True):
        assert Metric("accuracy", probabilities=probabilities)(y, z) == 1


def test_r2_of_constant_targets():
    assert Metric("r2")([2.0, 2.0], [2.0, 2.0]) == 1
    assert Metric("r2")([2.0, 2.0], [2.0, 3.0]) == 0


@pytest.mark.parametrize("value", [1e-300, 1e300])
def test_huge_and_tiny_values(value):
    assert Metric("mae")([0.0, 0.0], [value, value]) == value
    assert Metric("accuracy")([1, 0], [value, -value]) == 1
    assert Metric("auc")([1, 0, 2], value * np.eye(3)[[1, 0, 2]]) == (1 if value > 1 else 0.5)


def test_functions_of_the_users():
    def bias(y, outputs):
        return np.mean(np.asarray(outputs) - y)

    metric = Metric(bias)
    assert metric.name == "bias"
    assert metric([1.0, 2.0], [2.0, 4.0], [1, 9]) == 1.5
    assert Metric(lambda y, outputs: 3)(None, None) == 3


@pytest.mark.parametrize(
    ("name", "function", "wants"),
    [
        ("balanced_accuracy", "balanced_accuracy_score", "labels"),
        ("balanced_accuracy_score", "balanced_accuracy_score", "labels"),
        ("matthews_corrcoef", "matthews_corrcoef", "labels"),
        ("log_loss", "log_loss", "probabilities"),
        ("roc_auc", "roc_auc_score", "probabilities"),
        ("average_precision", "average_precision_score", "probabilities"),
    ],
)
def test_other_names_are_sklearns_scorers(name, function, wants, peer):
    reference = getattr(peer("sklearn.metrics"), function)
    y, z, w = problem(0, 2)
    p = 1 / (1 + np.exp(z[:, 0] - z[:, 1]))
    given = p if wants == "probabilities" else p > 0.5
    for weight in (None, w):
        want = reference(y, given, sample_weight=weight)
        assert Metric(name)(y, z, weight) == pytest.approx(want, rel=1e-12)
        assert Metric(name, probabilities=True)(y, p, weight) == pytest.approx(want, rel=1e-12)


def test_sklearns_scorers_of_several_classes_and_of_values(peer):
    sklearn = peer("sklearn.metrics")
    y, z, _ = problem(1, 4)
    assert Metric("f1_weighted")(y, z) == pytest.approx(
        sklearn.f1_score(y, z.argmax(axis=1), average="weighted")
    )
    assert Metric("log_loss")(y, z) == pytest.approx(sklearn.log_loss(y, softmax(z)))
    a = z[:, 0] + 0.1 * y
    assert Metric("max_error")(a, z[:, :1]) == pytest.approx(0.3)
    assert Metric("neg_max_error")(a, z[:, 0]) == pytest.approx(-0.3)
    assert Metric("explained_variance")(z[:, :2], z[:, 1:3]) == pytest.approx(
        sklearn.explained_variance_score(z[:, :2], z[:, 1:3])
    )


def test_without_sklearn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    assert Metric("accuracy")([1], [1.0]) == 1
    with pytest.raises(
        ValueError, match=r"expected one of .*'r2'\], or else scikit-learn installed"
    ):
        Metric("balanced_accuracy")


def test_errors(peer):
    peer("sklearn.metrics")
    with pytest.raises(ValueError, match=r"Metric: expected one of \['accuracy', .* got 'acuracy'"):
        Metric("acuracy")
    with pytest.raises(TypeError, match="Metric: expected a name or a function, got int"):
        Metric(3)
    wrong = [
        ("accuracy", ([0, 2], [0.1, 0.2]), "accuracy: expected targets .* from 0 to 1, got 2"),
        ("accuracy", ([0, 0.5], np.eye(2)), "accuracy: expected targets .* from 0 to 1, got 0.5"),
        ("f1", ([0, -100], np.eye(2)), "f1: expected targets .* got -100"),
        ("auc", ([0, np.nan], np.eye(2)), "auc: expected targets .* got nan"),
        ("auc", (np.eye(2), np.eye(2)), r"auc: expected targets \(N,\) .* got \(2, 2\)"),
        ("mse", ([1.0, 2.0], np.eye(2)), r"mse: expected targets of shape \(2, 2\), got \(2,\)"),
        ("mse", ([1.0, 2.0], [1.0]), r"mse: expected outputs .* got \(1,\) and \(2,\)"),
        ("mse", (1.0, 1.0), r"mse: expected outputs .* got \(\) and \(\)"),
        ("mse", (np.ones((2, 0)), np.ones((2, 0))), "mse: expected outputs"),
        ("accuracy", ([0, 1], np.ones((2, 0))), "accuracy: expected outputs"),
        ("mse", (np.ones((2, 1, 1)), np.ones((2, 1, 1))), "mse: expected outputs"),
        ("r2", ([1.0], [1.0], [1.0, 2.0]), r"r2: expected sample_weight of shape \(1,\)"),
        ("r2", ([1.0], [1.0], [-1.0]), "r2: expected finite weights of 0 or more"),
        ("r2", ([1.0], [1.0], [np.inf]), "r2: expected finite weights of 0 or more"),
    ]
    for name, arguments, match in wrong:
        with pytest.raises(ValueError, match=match):
            Metric(name)(*arguments)
    with pytest.raises(TypeError, match="accuracy: y: expected real numbers, got dtype <U1"):
        Metric("accuracy")(["a"], [1.0])


def test_representation():
    assert repr(Metric("auc")) == "Metric('auc')"
    assert dp.Metric is Metric
