"""scikit-learn: MLPRegressor and MLPClassifier, SGDRegressor for one weight; one `fit` per run."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks import peers
from benchmarks.works import Layer, Network, Serving, Training

# scikit-learn warns whenever a fit ends with its last epoch.
warnings.simplefilter("ignore", ConvergenceWarning)

ACTIVATIONS = {"ReLU": "relu", "Tanh": "tanh", "Sigmoid": "logistic", "Identity": "identity"}


def mlp(network: Network, kind: Any, X: np.ndarray, y: np.ndarray, **options: Any) -> Any:
    """Return a perceptron without early stopping, with its arrays allocated."""
    options |= {"alpha": 0.0, "shuffle": False, "tol": 0.0, "n_iter_no_change": np.inf}
    activation = ACTIVATIONS[network.activation]
    options |= {"hidden_layer_sizes": network.widths[1:-1], "activation": activation}
    net = kind(warm_start=True, max_iter=1, **options)
    net.fit(X, y)
    load(net, network.layers())
    return net


def load(net: Any, layers: list[Layer]) -> None:
    """Copy the weights into the perceptron."""
    for weight, bias, layer in zip(net.coefs_, net.intercepts_, layers, strict=True):
        weight[:], bias[:] = layer


class Perceptron:
    """A network with hidden layers."""

    def __init__(self, work: Training) -> None:
        self.work, (self.X, self.y) = work, work.data()
        self.first = work.network.layers()
        outputs = work.network.widths[-1]
        # scikit-learn divides the squared error by twice the rows, not by the number of elements.
        scale = 1.0 if work.classes else 2 / outputs
        rate = work.rate * (scale if work.optimizer == "SGD" else 1)
        self.y = self.y if work.classes or outputs > 1 else self.y.ravel()
        self.net = mlp(
            work.network,
            MLPClassifier if work.classes else MLPRegressor,
            self.X,
            self.y,
            solver=work.optimizer.lower(),
            batch_size=work.batch,
            learning_rate_init=rate,
            momentum=0.0,
        )

    def begin(self) -> None:
        """Restore the initial weights; `fit` makes a new optimizer."""
        load(self.net, self.first)

    def epochs(self, count: int) -> float:
        """Train and return the last epoch's loss."""
        self.net.set_params(max_iter=count).fit(self.X, self.y)
        return float(self.net.loss_)

    def layers(self) -> list[Layer]:
        """Return weights and biases."""
        return list(zip(self.net.coefs_, self.net.intercepts_, strict=True))


class Line:
    """One weight and one bias, trained row by row."""

    def __init__(self, work: Training) -> None:
        self.X, self.y = work.data()
        self.y = self.y.ravel()
        self.first = work.network.layers()
        self.net = SGDRegressor(
            penalty=None,
            learning_rate="constant",
            eta0=2 * work.rate,  # its loss is half the squared error
            shuffle=False,
            tol=None,
        )

    def begin(self) -> None:
        """Do nothing: `fit` starts from the initial weights."""

    def epochs(self, count: int) -> float:
        """Train; the loss is not available."""
        ((weight, bias),) = self.first
        self.net.set_params(max_iter=count).fit(self.X, self.y, weight[0].copy(), bias.copy())
        return np.nan

    def layers(self) -> list[Layer]:
        """Return weight and bias."""
        return [(self.net.coef_[:, None], self.net.intercept_)]


class Peer(peers.Peer):
    """scikit-learn."""

    version = sklearn.__version__

    def train(self, work: Training) -> Perceptron | Line:
        """Return the estimator."""
        if len(work.network.widths) > 2:
            return Perceptron(work)
        if work.network.widths == (1, 1) and (work.batch, work.optimizer) == (1, "SGD"):
            return Line(work)
        raise peers.Unsupported("has no network without hidden layers")

    def serve(self, work: Serving) -> Callable[[], Any]:
        """Return a call of `predict`."""
        x, outputs = work.data(), work.network.widths[-1]
        y = np.zeros((len(x), outputs) if outputs > 1 else len(x), x.dtype)
        net = mlp(work.network, MLPRegressor, x, y, batch_size=len(x))
        shape = (len(x), outputs)
        return lambda: net.predict(x).reshape(shape)
