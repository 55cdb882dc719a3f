"""fit: validation_split and class_weight."""

import re

import numpy as np
import pytest

from deltaprop import nn
from fit_data_cases import RNG, C, W, X, Y, fit, refused, trained


class TestSplit:
    def test_the_last_rows_are_validation_data(self):
        expected = trained(X[:24], Y[:24], validation_data=(X[24:], Y[24:]))
        assert trained(validation_split=0.2) == expected
        assert trained(X.tolist(), Y.tolist(), validation_split=0.2) == expected

    def test_with_weights(self):
        expected = trained(
            X[:24], Y[:24], sample_weight=W[:24], validation_data=(X[24:], Y[24:], W[24:])
        )
        assert trained(sample_weight=W, validation_split=0.2) == expected

    def test_of_a_frame(self, peer):
        pandas = peer("pandas")
        frame = pandas.DataFrame(X, index=range(100, 130))
        assert trained(frame, pandas.DataFrame(Y), validation_split=0.2) == trained(
            validation_split=0.2
        )

    def test_of_several_inputs_and_heads(self):
        def bits(**options):
            net = nn.Sequential(
                nn.Concat(nn.Linear(3, 2), nn.Linear(2, 2)),
                nn.Heads(nn.Linear(4, 2), nn.Linear(4, 2)),
                dtype="float64",
                seed=0,
            )
            history = fit(net, loss=(nn.MSELoss(), nn.CrossEntropyLoss()), **options)
            return net.flat_parameters.tobytes(), history.to_dict()

        data = (X, Y), (Y, C)
        first, last = (
            [tuple(a[rows] for a in g) for g in data] for rows in (np.s_[:24], np.s_[24:])
        )
        expected = bits(x=first[0], y=first[1], validation_data=(last[0], last[1]))
        assert bits(x=data[0], y=data[1], validation_split=0.2) == expected

    @pytest.mark.parametrize(
        ("options", "kind", "message"),
        [
            ({"validation_split": 0}, ValueError, "fit: expected 0 < validation_split < 1, got 0"),
            ({"validation_split": 1}, ValueError, "fit: expected 0 < validation_split < 1, got 1"),
            (
                {"validation_split": np.nan},
                ValueError,
                "fit: validation_split: expected a finite n",
            ),
            ({"validation_split": "a"}, TypeError, "fit: validation_split: expected a number, got"),
            ({"validation_split": 0.01}, ValueError, "fit: .* rows on both sides, got 0.01 of 30"),
            ({"validation_split": 0.2, "y": Y[:24]}, ValueError, "validation_data y: expected 6 r"),
            ({"validation_split": 0.2, "y": 1.0}, ValueError, "fit: expected arrays to split, got"),
            (
                {"validation_split": 0.2, "validation_data": (X, Y)},
                ValueError,
                "fit: expected validation_data or validation_split, got both",
            ),
        ],
    )
    def test_errors(self, options, kind, message):
        refused(kind, f"^{message}", **options)


class TestClassWeight:
    LOSS = nn.CrossEntropyLoss()

    def same(self, class_weight, expected, y=C, **options):
        options["loss"] = options.get("loss", self.LOSS)
        given = options.pop("sample_weight", None)
        own = expected if given is None else expected * given
        assert trained(y=y, class_weight=class_weight, sample_weight=given, **options) == trained(
            y=y, sample_weight=own, **options
        )

    @pytest.mark.parametrize("weights", [{}, {"sample_weight": W}])
    def test_it_is_a_sample_weight(self, weights):
        expected = np.where(C == 0, 3.0, 0.5)
        for given in ({0: 3, 1: 0.5}, {np.int64(1): 0.5, 0: 3.0}, [3, 0.5], np.array([3, 0.5])):
            self.same(given, expected, **weights)

    def test_balanced(self, peer):
        utils = peer("sklearn.utils.class_weight")
        labels = np.where(C + RNG.integers(0, 2, 30) > 1, 1, 0)
        expected = utils.compute_sample_weight("balanced", labels)
        self.same("balanced", expected, labels)
        self.same("balanced", expected, labels, validation_data=(X, C))

    def test_classes_of_one_output(self):
        net, other = (nn.Sequential(nn.Linear(3, 1), dtype="float64", seed=0) for _ in range(2))
        y = C[:, np.newaxis].astype(float)
        fit(net, y=y, loss=nn.BCEWithLogitsLoss(), class_weight={0: 2, 1: 5})
        fit(other, y=y, loss=nn.BCEWithLogitsLoss(), sample_weight=np.where(C == 0, 2, 5))
        assert net.flat_parameters.tobytes() == other.flat_parameters.tobytes()

    def test_rows_that_are_ignored_are_of_no_class(self):
        y = np.where(np.arange(30) < 5, -100, C)
        counts = np.bincount(y[5:])
        expected = np.where(y < 0, 1, 25 / (2 * counts[np.maximum(y, 0)]))
        self.same("balanced", expected, y)
        self.same([1.0, 4.0], np.where(y == 1, 4.0, 1.0), y)
        self.same({0: 1.0, 1: 4.0}, np.where(y == 1, 4.0, 1.0), y)

    @pytest.mark.parametrize(
        ("weight", "kind", "message"),
        [
            ("heavy", ValueError, "fit: expected class_weight 'balanced', got 'heavy'"),
            (
                {0: 1},
                ValueError,
                r"fit: expected a class_weight for each class, got none for \[1\]",
            ),
            ([1.0], ValueError, r"fit: expected class_weight for 2 classes, got shape \(1,\)"),
            ([1, 1, 9], ValueError, r"fit: expected class_weight for 2 classes, got shape \(3,\)"),
            (2.0, ValueError, r"fit: expected class_weight for 2 classes, got shape \(\)"),
            (
                {0: 1, 1: 1, 7: 2, "a": 1},
                ValueError,
                r"fit: expected class_weight for 2 classes, got \[7, 'a'\]",
            ),
            ({0: 1, 1: -1}, ValueError, "fit: expected finite class_weight of 0 or more, got"),
            ([1, np.nan], ValueError, "fit: expected finite class_weight of 0 or more, got"),
            ({0: 1, 1: "a"}, TypeError, "class_weight: expected a number, got 'a'"),
            (["a", "b"], TypeError, "class_weight: expected real numbers"),
        ],
    )
    def test_errors(self, weight, kind, message):
        refused(kind, f"^{message}", y=C, loss=self.LOSS, class_weight=weight)

    def test_classes_that_no_row_has(self):
        """The network's outputs are the classes, not what happens to be in y."""
        for y in (np.zeros(30, int), np.ones(30, int)):
            self.same({0: 3, 1: 0.5}, np.where(y == 0, 3, 0.5), y)
            self.same([3, 0.5], np.where(y == 0, 3, 0.5), y)
        refused(
            ValueError,
            r"^fit: expected y to be classes from 0 to 1 for a list of class_weight, got \[0, 5\]$",
            y=np.where(C == 0, 0, 5),
            loss=self.LOSS,
            class_weight=[1, 2],
        )

    @pytest.mark.parametrize("low", [0, -1])
    def test_the_two_classes_of_one_output(self, low):
        loss = nn.BCEWithLogitsLoss() if low == 0 else nn.HingeLoss()

        def trained_on(y, **options):
            net = nn.Sequential(nn.Linear(3, 1), dtype="float64", seed=0)
            fit(net, y=y, loss=loss, **options)
            return net.flat_parameters.tobytes()

        for y in (np.where(C == 0, low, 1), np.ones(30, int)):
            expected = trained_on(y, sample_weight=np.where(y == 1, 5.0, 2.0))
            assert trained_on(y, class_weight={low: 2, 1: 5}) == expected
        with pytest.raises(
            ValueError, match=r"^fit: expected class_weight for 2 classes, got \[2\]"
        ):
            trained_on(y, class_weight={low: 2, 1: 5, 2: 1})
        with pytest.raises(
            ValueError, match=r"^fit: expected class_weight for 2 classes, got shap"
        ):
            trained_on(y, class_weight=[1, 2, 3])

    def test_targets_that_are_no_classes(self):
        for y in (Y, Y[:, 0]):
            refused(
                ValueError, "^fit: class_weight expected y to be classes", y=y, class_weight=[1]
            )
        for shape in ((), (1,), (30, 1)):
            message = "^" + re.escape(f"sample_weight: expected (30,), got {shape}")
            options = {"class_weight": [1, 2], "sample_weight": np.ones(shape)}
            refused(ValueError, message, y=C, loss=self.LOSS, **options)
