"""What fit refuses before its first update."""

import re

import numpy as np
import pytest

from deltaprop import nn, optim
from fit_cases import bits, data, fit, network


class TestRefusedBeforeTheFirstUpdate:
    """Arguments refused before the first step, without a change to the network."""

    def refused(self, kind, message, X=None, y=None, net=None, **options):
        net = net or network()
        X, y = (data()[0] if X is None else X), (data()[1] if y is None else y)
        before = bits(net)
        with pytest.raises(kind, match=message):
            fit(net, X, y, **options)
        assert bits(net) == before
        # And it can still be trained.
        fit(net)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, bad):
        for row, column in ((0, 0), (7, 2), (49, 1)):
            X, y = data()
            X[row, column] = bad
            text = f"X: expected finite numbers, got {bad} in row {row}, column {column}"
            self.refused(ValueError, f"^{text}$", X, y)
        X, y = data()
        y[3, 1] = bad
        text = f"y: expected finite numbers, got {bad} in row 3, column 1"
        self.refused(ValueError, f"^{text}$", X, y)
        text = f"validation_data y: expected finite numbers, got {bad} in row 3, column 1"
        self.refused(ValueError, f"^{text}$", X, data()[1], validation_data=(X, y))

    def test_not_finite_far_down(self):
        X = np.zeros((10_000, 3), np.float16)
        X[9_876, 1] = np.nan
        self.refused(ValueError, "got nan in row 9876, column 1$", X, np.zeros((10_000, 2)))
        X = np.asfortranarray(X[::-1])
        self.refused(ValueError, "got nan in row 123, column 1$", X, np.zeros((10_000, 2)))

    def test_too_large_for_float32(self):
        X, y = data()
        X[5, 2] = 1e39
        message = r"^X: expected finite numbers that fit float32 .* in row 5, column 2$"
        self.refused(ValueError, message, X, y, net=network(dtype="float32"))
        fit(network(dtype="float64"), X * 1e-39, y)

    @pytest.mark.parametrize("shape", [(), (50,), (50, 3, 1), (50, 2), (50, 4), (50, 0)])
    def test_shapes_of_x(self, shape):
        message = re.escape(f"got {shape}") + "(;|$)"
        self.refused(ValueError, message, np.zeros(shape))

    def test_one_feature_without_its_axis(self):
        net = nn.Sequential(nn.Linear(1, 1))
        message = (
            r"^X: expected \(N, features\), got \(5,\); for one feature use X\.reshape\(-1, 1\)$"
        )
        with pytest.raises(ValueError, match=message):
            fit(net, np.zeros(5), np.zeros(5))

    @pytest.mark.parametrize("rows", [0, 49, 51, 1, 100])
    def test_other_numbers_of_rows(self, rows):
        message = rf"^y: expected 50 rows, as X has, got shape \({rows}, 2\)$"
        self.refused(ValueError, message, y=np.zeros((rows, 2)))
        message = (
            r"^validation_data y: expected 50 rows, as validation_data X has, "
            rf"got shape \({rows}, 2\)$"
        )
        self.refused(ValueError, message, validation_data=(data()[0], np.zeros((rows, 2))))

    def test_no_rows(self):
        message = r"^X: expected one row or more, got \(0, 3\)$"
        self.refused(ValueError, message, np.zeros((0, 3)), np.zeros((0, 2)))
        message = r"^validation_data X: expected one row or more, got \(0, 3\)$"
        self.refused(ValueError, message, validation_data=(np.zeros((0, 3)), np.zeros((0, 2))))

    @pytest.mark.parametrize("shape", [(50,), (50, 1), (50, 3), (50, 2, 1)])
    def test_shapes_of_y(self, shape):
        message = re.escape(f"MSELoss: expected y (50, 2) for outputs (50, 2), got {shape}")
        self.refused(ValueError, f"^{message}$", y=np.zeros(shape))

    def test_shapes_of_y_for_one_output(self):
        X = data()[0]
        for shape in ((50, 50), (50, 2)):
            message = re.escape(f"MSELoss: expected y (50, 1) for outputs (50, 1), got {shape}")
            with pytest.raises(ValueError, match=f"^{message}$"):
                fit(network(outputs=1), X, np.zeros(shape))
        with pytest.raises(
            ValueError, match=r"^y: expected 50 rows, as X has, got shape \(1, 50\)$"
        ):
            fit(network(outputs=1), X, np.zeros((1, 50)))
        a, b = network(outputs=1), network(outputs=1)
        y = data()[1][:, 0]
        fit(a, X, y)
        fit(b, X, y[:, None])
        assert bits(a) == bits(b)

    @pytest.mark.parametrize("bad", [-1, 2, 10**9, -(2**63)])
    def test_classes_out_of_range(self, bad):
        y = np.zeros(50, int)
        y[33] = bad
        loss = nn.CrossEntropyLoss()
        message = f"^y: expected classes from 0 to 1, got {bad} in row 33$"
        self.refused(ValueError, message, y=y, loss=loss)
        message = f"^validation_data y: expected classes from 0 to 1, got {bad} in row 33$"
        self.refused(
            ValueError, message, y=np.zeros(50, int), loss=loss, validation_data=(data()[0], y)
        )

    def test_classes_of_another_kind(self):
        loss = nn.CrossEntropyLoss()
        message = r"^CrossEntropyLoss: expected y of integer classes \(50,\), got dtype float64$"
        self.refused(TypeError, message, y=np.zeros(50), loss=loss)
        message = r"^CrossEntropyLoss: expected y \(50,\) for outputs \(50, 2\), got \(50, 1\)$"
        self.refused(ValueError, message, y=np.zeros((50, 1), int), loss=loss)

    @pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
    def test_weights_out_of_range(self, bad):
        weight = np.ones(50)
        weight[17] = bad
        message = "^sample_weight: expected finite weights of 0 or more, got .* in row 17$"
        self.refused(ValueError, message, sample_weight=weight)
        self.refused(ValueError, message, validation_data=(*data(), weight))

    @pytest.mark.parametrize("shape", [(49,), (50, 1), (), (1,)])
    def test_shapes_of_weights(self, shape):
        message = "^" + re.escape(f"sample_weight: expected (50,), got {shape}") + "$"
        self.refused(ValueError, message, sample_weight=np.ones(shape))

    @pytest.mark.parametrize(
        ("options", "kind", "message"),
        [
            ({"epochs": -1}, ValueError, "^fit: epochs: expected 0 or more, got -1$"),
            ({"epochs": 1.0}, TypeError, "^fit: epochs: expected an integer, got float$"),
            ({"epochs": None}, TypeError, "^fit: epochs: expected an integer, got NoneType$"),
            ({"epochs": True}, TypeError, "^fit: epochs: expected an integer, got bool$"),
            ({"batch_size": 0}, ValueError, "^fit: batch_size: expected 1 or more, got 0$"),
            ({"batch_size": -5}, ValueError, "^fit: batch_size: expected 1 or more, got -5$"),
            ({"batch_size": 1.5}, TypeError, "^fit: batch_size: expected an integer, got float$"),
            ({"seed": -1}, ValueError, r"^fit: expected a seed from 0 to 2\*\*64 - 1, got -1$"),
            ({"seed": 0.5}, TypeError, "^fit: expected an integer seed or None, got float$"),
            ({"loss": None}, TypeError, "^fit: expected a loss with __call__ and delta, got None"),
            (
                {"loss": nn.MSELoss},
                TypeError,
                "^fit: expected a loss with .*, got the class MSELoss$",
            ),
            ({"loss": len}, TypeError, "^fit: expected a loss with __call__ and delta, got"),
            (
                {"loss": nn.MSELoss(reduction="none")},
                ValueError,
                "^fit: expected a loss with reduction 'mean' or 'sum', got 'none'$",
            ),
            ({"stop": 1e-3}, TypeError, "^fit: expected stop to be a StopOnPlateau, got float$"),
            ({"callbacks": [3]}, TypeError, "^fit: expected callables as callbacks, got int$"),
            ({"callbacks": print}, TypeError, "^fit: expected .*callbacks, got"),
            (
                {"validation_data": 3},
                TypeError,
                r"^validation_data: expected \(X, y\) or \(X, y, s",
            ),
            ({"validation_data": (1,)}, TypeError, r"^validation_data: expected \(X, y\)"),
            ({"validation_data": (1,) * 4}, TypeError, r"^validation_data: expected \(X, y\)"),
        ],
    )
    def test_options(self, options, kind, message):
        self.refused(kind, message, **options)

    @pytest.mark.parametrize("name", ["epochs", "batch_size"])
    def test_a_count_that_no_integer_holds(self, name):
        # One line that says what was expected, not a list of C++ signatures.
        self.refused(ValueError, f"^fit: {name}: expected", **{name: 2**70})

    @pytest.mark.parametrize("bad", [None, "adam", optim.SGD])
    def test_what_is_no_optimizer(self, bad):
        with pytest.raises(TypeError, match=r"^fit: expected an optimizer, got"):
            network().fit(*data(), loss=nn.MSELoss(), optimizer=bad, epochs=1)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_an_optimizer_of_another_network(self, dtype):
        message = "^fit: expected an optimizer of this network's parameters, got one of another"
        self.refused(ValueError, message, opt=optim.SGD(network(dtype=dtype).parameters()))

    def test_options_are_keywords(self):
        with pytest.raises(TypeError, match="positional"):
            network().fit(*data(), nn.MSELoss())
        with pytest.raises(TypeError, match="unexpected keyword argument 'bacth_size'"):
            fit(network(), bacth_size=3)
