"""Metrics: functions of targets and outputs, available by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from deltaprop._arrays import Array, as_array


@dataclass(frozen=True, eq=False, repr=False)
class Classes:
    """Targets and outputs of a classification.

    Attributes
    ----------
    y, labels : ndarray of int, shape (N,)
        True and predicted classes.
    scores : ndarray, shape (N,) for two classes, those of the second; else (N, classes)
        Logits or probabilities.
    probabilities : bool
        Whether `scores` are probabilities.
    weight : ndarray, shape (N,)
    """

    y: Array
    labels: Array
    scores: Array
    probabilities: bool
    weight: Array

    @property
    def classes(self) -> int:
        """The number of classes."""
        return 2 if self.scores.ndim == 1 else int(self.scores.shape[1])


@dataclass(frozen=True, eq=False, repr=False)
class Values:
    """Targets and outputs of a regression, (N, features) each, and weights (N,)."""

    y: Array
    outputs: Array
    weight: Array


def accuracy(c: Classes) -> float:
    """Fraction of rows whose class is correct.

    Notes
    -----
    Formula: sum_i w_i [label_i = y_i] / sum_i w_i

    Source: sklearn.metrics.accuracy_score.
    """
    return float(_mean(c.labels == c.y, c.weight))


def precision(c: Classes) -> float:
    """Fraction of rows predicted as a class that belong to it; of class 1, or the mean of several.

    Notes
    -----
    Formula: TP / (TP + FP), 0 where nothing is taken for the class

    Source: sklearn.metrics.precision_score; average "binary" for two classes, "macro"
    for more.
    """
    return _by_class(c, lambda correct, predicted, actual: _ratio(correct, predicted))


def recall(c: Classes) -> float:
    """Fraction of rows of a class that are predicted as it; of class 1, or the mean of several.

    Notes
    -----
    Formula: TP / (TP + FN), 0 where nothing is of the class

    Source: sklearn.metrics.recall_score; average "binary" for two classes, "macro"
    for more.
    """
    return _by_class(c, lambda correct, predicted, actual: _ratio(correct, actual))


def f1(c: Classes) -> float:
    """Harmonic mean of precision and recall; of class 1, or the mean over more than two classes.

    Notes
    -----
    Formula: 2 TP / (2 TP + FP + FN), 0 where that is 0 / 0

    Source: sklearn.metrics.f1_score; average "binary" for two classes, "macro" for
    more.
    """
    return _by_class(c, lambda correct, predicted, actual: _ratio(2 * correct, predicted + actual))


def auc(c: Classes) -> float:
    """Area under the ROC curve; for more than two classes the mean over classes, one-vs-rest.

    Notes
    -----
    Formula: sum_ij w_i w_j ([s_i > s_j] + [s_i = s_j] / 2) / sum_ij w_i w_j, where i goes over the
    rows of the class and j over the others, and s is the probability of the class; NaN where either
    are missing

    Source: sklearn.metrics.roc_auc_score (multi_class="ovr", average="macro").
    """
    if c.scores.ndim == 1:
        return _area(c.scores, c.y == 1, c.weight)
    # Log-probabilities have the same order and do not saturate at 0 or 1.
    scores = c.scores if c.probabilities else _log_softmax(c.scores)
    return float(np.mean([_area(s, c.y == k, c.weight) for k, s in enumerate(scores.T)]))


def top_k_accuracy(c: Classes) -> float:
    """Fraction of rows whose class is among the two with the highest scores.

    Notes
    -----
    Formula: sum_i w_i [y_i among the 2 highest of row i] / sum_i w_i; of equal scores the later
    class comes first

    Source: sklearn.metrics.top_k_accuracy_score with its default k = 2.
    """
    if c.scores.ndim == 1:
        return float(_mean(np.ones(len(c.y)), c.weight))
    best = np.argsort(c.scores, axis=1, kind="stable")[:, -2:]
    return float(_mean((best == c.y[:, np.newaxis]).any(axis=1), c.weight))


def mse(v: Values) -> float:
    """Mean squared error.

    Notes
    -----
    Formula: sum_i w_i (a_i - y_i)^2 / sum_i w_i, the mean over features

    Source: sklearn.metrics.mean_squared_error.
    """
    return float(np.mean(_mean((v.outputs - v.y) ** 2, v.weight)))


def rmse(v: Values) -> float:
    """Root of the mean squared error.

    Notes
    -----
    Formula: sqrt(sum_i w_i (a_i - y_i)^2 / sum_i w_i), the mean over features

    Source: sklearn.metrics.root_mean_squared_error.
    """
    return float(np.mean(np.sqrt(_mean((v.outputs - v.y) ** 2, v.weight))))


def mae(v: Values) -> float:
    """Mean absolute error.

    Notes
    -----
    Formula: sum_i w_i |a_i - y_i| / sum_i w_i, the mean over features

    Source: sklearn.metrics.mean_absolute_error.
    """
    return float(np.mean(_mean(np.abs(v.outputs - v.y), v.weight)))


def r2(v: Values) -> float:
    """Coefficient of determination, R^2.

    Notes
    -----
    Formula: 1 - sum_i w_i (a_i - y_i)^2 / sum_i w_i (y_i - mean y)^2, the mean over features; for
    constant y it is 1 where all are met and else 0; NaN for fewer than two rows

    Source: sklearn.metrics.r2_score.
    """
    if len(v.y) < 2:
        return np.nan
    left = v.weight @ (v.outputs - v.y) ** 2
    total = v.weight @ (v.y - _mean(v.y, v.weight)) ** 2
    return float(np.mean(np.where(total != 0, 1 - left / total, left == 0)))


OF_CLASSES = {f.__name__: f for f in (accuracy, precision, recall, f1, auc, top_k_accuracy)}
OF_VALUES = {f.__name__: f for f in (mse, rmse, mae, r2)}
METRICS: dict[str, Callable[..., float]] = {**OF_CLASSES, **OF_VALUES}


class Metric:
    """A measure of how well outputs fit targets.

    Parameters
    ----------
    metric : str or callable
        "accuracy", "precision", "recall", "f1", "auc", "top_k_accuracy" (k = 2), "mse", "rmse",
        "mae" or "r2"; where scikit-learn is installed, any of its other scorers
        ("balanced_accuracy", "f1_weighted", ...) or the positive form of a negated one
        ("log_loss"). Or a function of ``(y, outputs)`` that returns a number; it gets no weights.
    probabilities : bool, default False
        Whether a classifier's outputs are probabilities instead of logits. For a metric given by
        name `fit` and `evaluate` decide by the loss: probabilities for `BCELoss` and for losses
        whose outputs approximate the targets (`MSELoss`, `L1Loss`, `SmoothL1Loss`, `HuberLoss`,
        `QuantileLoss`), logits for all others.

    Attributes
    ----------
    name : str
        The metric's name, or the function's.

    Raises
    ------
    ValueError
        For an unknown name.
    TypeError
        If `metric` is neither a name nor a function.

    Notes
    -----
    `fit` and `evaluate` interpret y as the loss does. `HingeLoss`: 1 is the second class, -1 the
    first. `CrossEntropyLoss` and `NLLLoss`: rows of `ignore_index` are ignored; of target
    probabilities the highest is the class. Several outputs of `BCEWithLogitsLoss`, `BCELoss` or
    `HingeLoss` are separate labels, and the metric is the mean over labels: accuracy over all
    elements, f1 and others as in scikit-learn with average "macro".

    Classes are integers y (N,) from 0 to C - 1 for outputs (N, C), where the highest output is the
    prediction, or 0 and 1 (of any dtype) for one output, where the prediction is 1 above 0 (logits)
    or above 0.5 (probabilities). Two logits are scored by their difference. A scorer of
    scikit-learn is passed classes if y can represent them: one output and all y 0 or 1, or several
    outputs and y (N,).

    Examples
    --------
    >>> from deltaprop import Metric
    >>> Metric("accuracy")([0, 1, 1], [[2.0, 1.0], [0.5, 3.0], [1.0, 0.0]])
    0.6666666666666666
    >>> Metric("mae")([1.0, 2.0], [[1.5], [2.5]])
    0.5
    """

    def __init__(
        self, metric: str | Callable[[Any, Any], float], *, probabilities: bool = False
    ) -> None:
        if not isinstance(metric, str) and not callable(metric):
            raise TypeError(f"Metric: expected a name or a function, got {type(metric).__name__}")
        self.probabilities = bool(probabilities)
        self.name = metric if isinstance(metric, str) else getattr(metric, "__name__", "metric")
        self._function: Callable[..., float]
        if not isinstance(metric, str):
            self._takes, self._function = "arrays", metric
        elif metric in METRICS:
            self._takes = "values" if metric in OF_VALUES else "classes"
            self._function = METRICS[metric]
        else:
            self._takes, self._function = "either", _scorer(metric)

    def __call__(self, y: Any, outputs: Any, sample_weight: Any = None) -> float:
        """Return the metric.

        Parameters
        ----------
        y : array_like, shape (N,) or that of `outputs`
            Targets.
        outputs : array_like, shape (N, features) or (N,)
            The network's outputs.
        sample_weight : array_like, shape (N,), optional
            A weight of 0 or more for each row.

        Returns
        -------
        float
            NaN if there are no rows, all weights are 0, or outputs contain NaN.

        Raises
        ------
        ValueError
            For shapes that do not match, or targets that are not valid classes for the outputs.
        TypeError
            If the elements are not real numbers.
        """
        if self._takes == "arrays":
            return float(self._function(y, outputs))
        data = self._data(y, outputs, sample_weight)
        if data is None:
            return np.nan
        with np.errstate(all="ignore"):
            return self._function(data)

    def _check(self, y: Any, outputs: Any, sample_weight: Any) -> None:
        """Raise the errors of a call, without computing the metric."""
        if self._takes != "arrays":
            self._data(y, outputs, sample_weight)

    def _data(self, y: Any, outputs: Any, sample_weight: Any) -> Classes | Values | None:
        """Return the argument of the metric's function; None if the result is NaN."""
        y, outputs = as_array(y, f"{self.name}: y"), as_array(outputs, f"{self.name}: outputs")
        fits = outputs.ndim in (1, 2) and y.ndim in (1, 2) and len(y) == len(outputs)
        if not fits or 0 in (*outputs.shape[1:], *y.shape[1:]):
            raise ValueError(
                f"{self.name}: expected outputs (N, features) or (N,) and targets of N rows, "
                f"got {outputs.shape} and {y.shape}"
            )
        outputs = outputs if outputs.ndim == 2 else outputs[:, np.newaxis]
        weight = _weights(self.name, sample_weight, len(y))
        if weight.sum() == 0 or np.isnan(outputs).any():
            return None
        of_classes = self._takes == "classes"
        if self._takes == "either":
            of_classes = y.ndim == 1 if outputs.shape[1] > 1 else bool(np.isin(y, (0, 1)).all())
        return (self._classes if of_classes else self._values)(y, outputs, weight)

    def _values(self, y: Array, outputs: Array, weight: Array) -> Values:
        targets = y if y.ndim == 2 else y[:, np.newaxis]
        if targets.shape != outputs.shape:
            raise ValueError(
                f"{self.name}: expected targets of shape {outputs.shape}, got {y.shape}"
            )
        return Values(targets.astype(np.float64), outputs.astype(np.float64), weight)

    def _classes(self, y: Array, outputs: Array, weight: Array) -> Classes:
        count = max(outputs.shape[1], 2)
        flat = y[:, 0] if y.shape[1:] == outputs.shape[1:] == (1,) else y
        wrong = flat[~np.isin(flat, np.arange(count))]
        if flat.ndim > 1 or len(wrong) > 0:
            raise ValueError(
                f"{self.name}: expected targets (N,) that are classes from 0 to {count - 1}, "
                f"got {y.shape if flat.ndim > 1 else wrong[0]}"
            )
        scores = outputs.astype(np.float64)
        if outputs.shape[1] == 1:
            scores = scores[:, 0]
            labels = scores > (0.5 if self.probabilities else 0)
        else:
            labels = scores.argmax(axis=1)
        if outputs.shape[1] == 2:
            # The sigmoid of the difference of two logits is their softmax.
            scores = scores[:, 1] - (0 if self.probabilities else scores[:, 0])
        return Classes(
            flat.astype(np.int64), labels.astype(np.int64), scores, self.probabilities, weight
        )

    def __repr__(self) -> str:
        return f"Metric({self.name!r})"


def _weights(name: str, weight: Any, rows: int) -> Array:
    if weight is None:
        return np.ones(rows)
    array = as_array(weight, f"{name}: sample_weight")
    if array.shape != (rows,):
        raise ValueError(f"{name}: expected sample_weight of shape ({rows},), got {array.shape}")
    if not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError(f"{name}: expected finite weights of 0 or more in sample_weight")
    return array.astype(np.float64)


def _mean(values: Array, weight: Array) -> Array:
    return np.asarray(weight @ values / weight.sum())


def _ratio(top: Array, bottom: Array) -> Array:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom != 0)


def _by_class(c: Classes, of: Callable[[Array, Array, Array], Array]) -> float:
    """Return a score from the weight of each class's rows: correct, predicted as it, of it."""
    correct = c.weight * (c.y == c.labels)
    pairs = [(c.y, correct), (c.labels, c.weight), (c.y, c.weight)]
    values = of(*(np.bincount(k, w, c.classes) for k, w in pairs))
    # Classes that neither occur nor are predicted do not count.
    return float(values[1] if c.scores.ndim == 1 else np.mean(values[np.union1d(c.y, c.labels)]))


def _area(scores: Array, positive: Array, weight: Array) -> float:
    _, rank = np.unique(scores, return_inverse=True)
    positives = np.bincount(rank, weight * positive)
    negatives = np.bincount(rank, weight * ~positive)
    below = np.cumsum(negatives) - negatives / 2
    return float(positives @ below / (positives.sum() * negatives.sum()))


def _log_softmax(scores: Array) -> Array:
    scores = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))


def _scorer(name: str) -> Callable[[Classes | Values], float]:
    """Return a scorer of scikit-learn, with the sign changed for negated ones."""
    try:
        from sklearn.base import (
            BaseEstimator,
            ClassifierMixin,
            RegressorMixin,
        )
        from sklearn.metrics import get_scorer, get_scorer_names
    except ImportError:
        raise ValueError(
            f"Metric: expected one of {list(METRICS)}, or else scikit-learn installed, got {name!r}"
        ) from None
    known = get_scorer_names()
    names = (name, name.removesuffix("_score"), f"neg_{name}")
    match = next((n for n in names if n in known), None)
    if match is None:
        raise ValueError(
            f"Metric: expected one of {list(METRICS)} or of scikit-learn's scorers, got {name!r}"
        )
    scorer, sign = get_scorer(match), -1 if match == names[2] else 1

    # Scorers call an estimator; these estimators return the outputs computed before.
    class Regressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
        def predict(self, data: Values) -> Array:
            return data.outputs

    class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def __init__(self, classes: int) -> None:
            self.classes_ = np.arange(classes)

        def predict(self, data: Classes) -> Array:
            return data.labels

        def decision_function(self, data: Classes) -> Array:
            return data.scores

        def predict_proba(self, data: Classes) -> Array:
            scores = data.scores
            if scores.ndim == 1:
                first = 1 - scores if data.probabilities else 0 * scores
                scores = np.column_stack([first, scores])
            return scores if data.probabilities else np.exp(_log_softmax(scores))

    def score(data: Classes | Values) -> float:
        estimator = Classifier(data.classes) if isinstance(data, Classes) else Regressor()
        # Some scorers do not accept weights.
        weights = {} if (data.weight == 1).all() else {"sample_weight": data.weight}
        return sign * float(scorer(estimator, data, data.y, **weights))

    return score
