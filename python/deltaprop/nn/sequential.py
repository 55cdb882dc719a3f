"""Layers one after the other."""

import copy
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from deltaprop import _core
from deltaprop._arrays import Array, as_count, as_seed, entropy
from deltaprop._core import Node, Predictor
from deltaprop._files import read_file, write_file
from deltaprop.nn.architecture import describe, restore
from deltaprop.nn.containers import Container
from deltaprop.nn.module import Module, Network, Unchanged, build, one_or_several
from deltaprop.optim import Optimizer
from deltaprop.training import Callback, History, Run, StopOnPlateau, fit
from deltaprop.training.heads import HeadLosses, probabilities
from deltaprop.training.metric_evaluator import Metrics

_HEAD = ("", "layer", "output", "parameters")


class Sequential(Container):
    """A network of layers one after the other.

    Parameters
    ----------
    *layers : Layer or other module
        One or more, each in this network only. Layers not used before are initialised from `seed`,
        in order; of those used already, be it that their values were looked at, and of a
        `Sequential` with a seed of its own the values are copied, so that arrays taken from them
        before no longer belong to them. Another `Sequential` is a part of this network then.
    dtype : {"float32", "float64"}, default "float32"
        What the network computes in. Inputs of other real types are converted.
    seed : int from 0 to 2**64 - 1, optional
        Decides the initial parameters and the shuffling in `fit`. None: drawn from the operating
        system; `seed` shows it.

    Attributes
    ----------
    seed : int
    dtype : numpy.dtype
    flat_parameters, flat_gradients : ndarray, 1-D
        All parameters, and all gradients, in storage order: writable views of the two buffers.
    activations, deltas : list of ndarray, shape (N, features of layer i)
        Output of layer i, and dJ/d(that output), of the last `forward` and `backward` by hand;
        read-only, and overwritten by the next pass.

    Raises
    ------
    TypeError
        For what is not a layer, or another dtype.
    ValueError
        Where the widths of two neighbours differ, a layer is listed twice or has a network.

    Notes
    -----
    Formula: y = f_n(... f_1(f_0(x)))
    Derivative: dJ/dx = delta back through f_n, ..., f_1, f_0: the delta recursion
    Source: torch.nn.Sequential; Rumelhart, Hinton and Williams, "Learning representations by
    back-propagating errors" (1986)

    Examples
    --------
    >>> import numpy as np
    >>> from deltaprop import nn
    >>> net = nn.Sequential(nn.Linear(2, 50), nn.Sigmoid(), nn.Linear(50, 1), seed=0)
    >>> net(np.ones((10, 2))).shape
    (10, 1)
    """

    _kind = "Sequential"
    # What makes probabilities of each output, as the last fit's losses take them.
    _output_transforms: tuple[str, ...] = ()

    def __init__(self, *layers: Module, dtype: Any = "float32", seed: int | None = None) -> None:
        double = _dtype(dtype) == np.float64
        given = seed
        seed = entropy() if seed is None else as_seed(seed, "Sequential")
        super().__init__(*layers)
        build(self, seed, double)
        if given is not None:
            self._storage()  # these values are wanted, wherever it goes

    @property
    def _network(self) -> Network:
        return self._core_network("it")

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the network computes in."""
        double = isinstance(self._storage().network, _core.Network64)
        return np.dtype(np.float64 if double else np.float32)

    @property
    def seed(self) -> int:
        """The seed it was made from."""
        return self._storage().network.seed

    @property
    def flat_parameters(self) -> Array:
        """All parameters in storage order, a writable view."""
        return self._network.flat_parameters()

    @property
    def flat_gradients(self) -> Array:
        """All gradients in storage order, a writable view."""
        return self._network.flat_gradients()

    def zero_grad(self) -> None:
        """Set every gradient to zero."""
        if self._storage().owned:
            return super().zero_grad()
        with self._network.access("zero_grad"):
            self.flat_gradients[:] = 0

    def predict(self, x: Any, batch_size: int | None = None) -> Any:
        """Return the outputs in inference, as calling the network does.

        Parameters
        ----------
        x : array_like, shape (N, in_features) or (in_features,), or a tuple of them
        batch_size : int, optional
            Rows that a layer written in Python sees at once; changes nothing else.

        Returns
        -------
        ndarray, shape (N, out_features) or (out_features,), or a tuple of them
        """
        if batch_size is None:
            return self(x)
        size = as_count(batch_size, "predict: batch_size", 1)
        x = one_or_several(x, self._shares_input())
        given = x if isinstance(x, tuple) else (x,)
        shapes = {part.shape[:1] for part in given}
        # What does not go together is the network's to refuse.
        if given[0].ndim < 2 or len(given[0]) <= size or len(shapes) > 1:
            return self(x)
        parts = []
        for i in range(0, len(given[0]), size):
            rows = tuple(part[i : i + size] for part in given)
            parts.append(self(rows if isinstance(x, tuple) else rows[0]))
        if isinstance(parts[0], tuple):
            return tuple(np.concatenate(part) for part in zip(*parts, strict=True))
        return np.concatenate(parts)

    def jacobian(self, x: Any) -> Any:
        """Return the derivatives of each output with respect to each input, in inference.

        Parameters
        ----------
        x : array_like, shape (N, in_features) or (in_features,), or a tuple of them

        Returns
        -------
        ndarray, shape (N, out_features, in_features) or (out_features, in_features)
            Of several inputs a tuple, one for each; of several heads a tuple of those.

        Notes
        -----
        One pass of the delta recursion for each output: its delta is 1 there and 0 elsewhere. A
        pass by hand stays, but for a network with a layer written in Python.

        Examples
        --------
        >>> from deltaprop import nn
        >>> net = nn.Sequential(nn.Linear(2, 1), nn.Tanh())
        >>> net.jacobian([[0.5, 1.0]]).shape
        (1, 1, 2)
        """
        return self._network.jacobian(one_or_several(x, self._shares_input()))

    def predictor(self) -> Predictor:
        """Return a frozen copy that predicts with as little around it as can be.

        Made for loops that ask for one row, or a few, at a time: a call allocates nothing but its
        result, takes no lock, and may be made from any number of threads at once. It gives the bits
        that the network gives now, and stays so when the network is trained further: then make a
        new one. It can be neither copied nor pickled; send the network, and make one there.

        Returns
        -------
        callable
            ``predictor(x, out=None)``, with the arguments, results and errors of calling the
            network. Quickest for a C-contiguous array of the network's dtype, of shape
            (in_features,) or a few rows, and with `out`.

        Raises
        ------
        RuntimeError
            While `fit` runs in another thread.

        Examples
        --------
        >>> import numpy as np
        >>> from deltaprop import nn
        >>> net = nn.Sequential(nn.Linear(2, 50), nn.Sigmoid(), nn.Linear(50, 1), seed=0)
        >>> predict, out = net.predictor(), np.empty(1, np.float32)
        >>> state = np.array([0.5, -1.0], np.float32)
        >>> predict(state, out=out) is out
        True
        """
        frozen = copy.deepcopy(self)
        return _core.predictor(frozen._network, frozen)

    def node(self, x: Any) -> Node:
        """Return the network's output as a node of a computational graph, its parameters constant.

        Parameters
        ----------
        x : Node or array_like, shape (N, in_features) or (in_features,)

        Returns
        -------
        Node, shape (N, out_features) or (out_features,)
            In inference. Each ``forward`` of the graph uses the parameters that there are then.

        Raises
        ------
        ValueError
            For a wrong shape, or a network of several inputs or heads.

        Notes
        -----
        It has first derivatives only: a `graph.hessian` through it is TypeError.

        Examples
        --------
        >>> from deltaprop import graph, nn
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1), seed=0)
        >>> x = graph.variable([0.5, -1.0])
        >>> net.node(x).sum().backward()
        >>> x.grad.shape
        (2,)
        """
        return self._network.node(_core.graph_node(x), self)

    def input_gradient(self, x: Any, y: Any, *, loss: Any, loss_weights: Any = None) -> Any:
        """Return dJ/d(input) of the loss in inference; neither pass nor gradients are touched.

        But for a network with a layer written in Python: its pass is gone.

        Parameters
        ----------
        x : array_like, shape (N, in_features) or (in_features,), or a tuple of them
        y : array_like, or a tuple of them
            As the loss takes it.
        loss : loss, or a tuple of them
            One for each head.
        loss_weights : sequence of float, optional
            What each head's loss counts; 1 where not given.

        Returns
        -------
        ndarray, the shape of the input, or a tuple of them
        """
        heads = HeadLosses.of(loss, loss_weights)

        def delta(outputs: Any) -> Any:
            return heads.delta(outputs, y)

        given = one_or_several(x, self._shares_input())
        return self._network.input_gradient(given, delta)

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        loss: Any,
        optimizer: Optimizer,
        epochs: int,
        batch_size: int | None = 32,
        shuffle: bool = True,
        seed: int | None = None,
        validation_data: tuple[Any, ...] | None = None,
        validation_split: float | None = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        loss_weights: Sequence[float] | None = None,
        metrics: Sequence[Any] = (),
        accumulate: int = 1,
        record: Sequence[str] = (),
        stop: StopOnPlateau | None = None,
        callbacks: Iterable[Callback | Callable[[Run], object]] = (),
        resume: str | os.PathLike[str] | None = None,
        progress: bool = False,
        num_threads: int | None = None,
    ) -> History:
        """Train on NumPy arrays, in C++ and without the GIL.

        Parameters
        ----------
        X : array_like, shape (N, in_features), or a tuple of them, or an iterable of batches
            Any real type and memory order; it is converted batch by batch, never copied whole. A
            tuple gives each branch of a `Concat` or `Heads` its own. An iterable (y is left out),
            or an object with ``__getitem__`` and ``__len__``, gives batches (x, y) or
            (x, y, sample_weight), anew in each epoch: it decides their size and order then, and
            metrics are of the data held out only.
        y : array_like, or a tuple of them
            Targets, as the loss takes them: the shape of the output, (N,) for an output (N, 1), or
            integer classes (N,). A tuple with several heads.
        loss : loss, or a tuple of them
            From `deltaprop.nn`, or an object of your own with ``__call__`` and ``delta``. A tuple
            (or list) for several heads.
        optimizer : Optimizer
            Of this network's parameters; with its schedule, if one is attached.
        epochs : int
            Passes over the data, 0 or more; with `resume` those of the checkpoint included.
        batch_size : int, default 32
            Rows a step; the last batch of an epoch may be smaller. None: all rows in one batch.
        shuffle : bool, default True
            Whether each epoch takes the rows in a new random order. A single batch keeps theirs.
        seed : int, optional
            For the shuffling. None: the network's seed and its running count of epochs.
        validation_data : tuple (X, y) or (X, y, sample_weight), optional
            Held out; its loss after each epoch is ``history["val_loss"]``.
        validation_split : float, optional
            Instead, this part of the rows is held out: the last ones, so shuffle sorted data first.
        sample_weight : array_like, shape (N,), optional
            A weight of 0 or more for each row's loss.
        class_weight : dict, array_like or "balanced", optional
            A weight for each class, times the row's. "balanced": N / (classes * rows of the class).
            A dict needs those classes only that occur in y.
            Neither metrics nor data held out are weighed by it.
        loss_weights : sequence of float, optional
            What each head's loss counts in the sum; 1 where not given.
        metrics : sequence of str or callables, optional
            Computed after each epoch on the training data and on the data held out; see
            `deltaprop.Metric`. Functions need names of their own. With several heads a tuple of
            such sequences, one for each.
        accumulate : int, default 1
            Batches whose gradients make one update, as one batch of all their rows would; what is
            left at the end of an epoch makes a smaller one. A loss
            of your own may have an attribute ``reduction``, "mean" (taken for granted) or "sum".
        record : sequence of {"activations", "deltas", "gradients"}, optional
            Norms to record: ``history["delta_norm"]`` and so on, (epochs, layers) with a column for
            each layer, those within containers included, in the order of `summary`. Each is the
            mean over the epoch's updates of the Euclidean norm over the batch; the last batch, and
            the sum of the gradients, where several are accumulated.
        stop : StopOnPlateau, optional
        callbacks : iterable of callables or Callback
            A function is called with the `Run` after every epoch.
        resume : str or path-like, optional
            A checkpoint that `ModelCheckpoint` wrote: the fit goes on from there, to the bit as if
            it had not stopped. Everything else is given as it was then, the data too (which nobody
            checks of an iterable), but for `epochs`, `stop`, `progress`, `num_threads` and settings
            of callbacks, such as more patience. The network takes over the checkpoint's seed, the
            optimizer all its options. A fit that a
            callback had stopped goes on; one that a rule had stopped only if that lets it.
        progress : bool, default False
            Show a progress bar (tqdm's, where it is installed; else a line an epoch, from 1 on).
        num_threads : int, optional
            The most that may work on a step; None: as `deltaprop.get_num_threads` says. Steps too
            small to share take one. Results have the same bits for any number.

        Returns
        -------
        History
            ``history["loss"]`` is, for each epoch, the row-weighted mean of the batches' losses,
            each taken before its update; of several heads the weighted sum, beside ``"loss_0"``...

        Raises
        ------
        ValueError
            For a wrong shape or value, NaN or infinity, settings or data unlike the checkpoint's.
        TypeError
            For a wrong kind of thing.
        FloatingPointError
            Where the loss or a delta is not finite, naming epoch and batch, both counted from 0;
            the network is as the last update left it. Where the last updates made parameters so.
        RuntimeError
            Where another thread uses the network, or a callback calls `fit`.

        Notes
        -----
        Gradients left from passes by hand are ignored, and zero afterwards. Ctrl-C raises
        KeyboardInterrupt within a fraction of a second and leaves the network usable.
        """
        return fit(
            self,
            X,
            y,
            loss=loss,
            optimizer=optimizer,
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            validation_data=validation_data,
            validation_split=validation_split,
            sample_weight=sample_weight,
            class_weight=class_weight,
            loss_weights=loss_weights,
            metrics=metrics,
            accumulate=accumulate,
            record=record,
            stop=stop,
            callbacks=callbacks,
            resume=resume,
            progress=progress,
            num_threads=num_threads,
        )

    def evaluate(
        self,
        X: Any,
        y: Any,
        *,
        loss: Any,
        loss_weights: Sequence[float] | None = None,
        metrics: Sequence[Any] = (),
        sample_weight: Any = None,
        batch_size: int | None = None,
    ) -> dict[str, float]:
        """Return the loss, and metrics, of inference on a set of data.

        Parameters
        ----------
        X, y, loss, loss_weights, metrics, sample_weight
            As for `fit`.
        batch_size : int, optional
            As for `predict`.

        Returns
        -------
        dict of str to float
            "loss", "loss_0" and so on for several heads, and each metric by its name.
        """
        heads = HeadLosses.of(loss, loss_weights, "evaluate")
        heads.check_reductions("evaluate")
        outputs = self.predict(X, batch_size)
        values = heads.value(outputs, y, sample_weight)
        result = {"loss": heads.total(values)}
        if len(values) > 1:
            result |= {f"loss_{k}": value for k, value in enumerate(values)}
        return result | Metrics(metrics, heads)(y, outputs, sample_weight)

    def predict_proba(self, x: Any, batch_size: int | None = None) -> Any:
        """Return probabilities: softmax or sigmoid of the outputs, as the last fit's loss has them.

        Parameters
        ----------
        x, batch_size
            As for `predict`.

        Returns
        -------
        ndarray, the shape of the output, or a tuple of them
            Softmax over the classes for `CrossEntropyLoss`, exp for `NLLLoss`, sigmoid for
            `BCEWithLogitsLoss`, the outputs themselves for `BCELoss` and for heads of other losses.

        Raises
        ------
        RuntimeError
            Where the network has not been fitted with such a loss.
        """
        if not any(self._output_transforms):
            raise RuntimeError(
                "predict_proba: expected a network fitted with a loss of probabilities, as "
                "CrossEntropyLoss or BCEWithLogitsLoss"
            )
        outputs = self.predict(x, batch_size)
        heads = outputs if isinstance(outputs, tuple) else (outputs,)
        found = tuple(
            probabilities(link, a) for link, a in zip(self._output_transforms, heads, strict=True)
        )
        return found if isinstance(outputs, tuple) else found[0]

    def summary(self) -> None:
        """Print a table of the layers, the shapes of their outputs and their parameters."""
        rows = [_HEAD, *self._rows()]
        columns = [max(len(row[c]) for row in rows) for c in range(4)]
        lines = [
            f"{row[0]:>{columns[0]}}  {row[1]:<{columns[1]}}  {row[2]:<{columns[2]}}  "
            f"{row[3]:>{columns[3]}}"
            for row in rows
        ]
        rule = "-" * len(lines[0])
        print(lines[0], rule, *lines[1:], rule, self._size(), sep="\n")

    def _rows(self) -> list[tuple[str, str, str, str]]:
        """Return the lines of its table."""
        assert self._stored is not None  # it may be read without being kept as it is
        network = self._stored.network
        widths = network.out_features()
        rows = []
        for path, module in self._inside():
            place = module._stored
            assert place is not None
            shapes = ", ".join(f"(N, {'any' if w < 0 else w})" for w in widths[place.block])
            count = sum(network.value(i).size for i in place.parameters.values())
            title = type(module).__name__ if module._children() else repr(module)
            rows.append((path, title, shapes, f"{count:,}"))
        return rows

    def _size(self) -> str:
        """Return how many numbers it has."""
        assert self._stored is not None
        values = [self._stored.network.value(i) for i in self._stored.parameters.values()]
        count, size = (sum(getattr(v, what) for v in values) for what in ("size", "nbytes"))
        double = isinstance(self._stored.network, _core.Network64)
        return f"{count:,} parameters, float{64 if double else 32}, {size:,} bytes"

    def _repr_html_(self) -> str:
        from deltaprop import _html

        title = f"{type(self).__name__}: {self._size()}"
        return _html.block(title, _html.table(_HEAD, self._rows()))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a file, which `deltaprop.load` reads: layers, values, counters.

        Parameters
        ----------
        path : str or path-like
            Replaced as a whole: no one ever finds half a file.

        Raises
        ------
        TypeError
            For a layer written in Python, or an `ExpressionLayer`.
        OSError
            Where the file cannot be written.
        RuntimeError
            While `fit` runs in another thread.
        """
        write_file(path, {"network": self._description()})

    def _description(self) -> dict[str, Any]:
        network = self._network
        with network.access("state_dict"):
            return {
                "architecture": describe(self),
                "dtype": self.dtype.name,
                "seed": network.seed,
                "epochs": network.epochs,
                "passes": network.passes,
                "frozen": [leaf._frozen for leaf in self._leaves()],
                "links": self._output_transforms,
                "state": self.state_dict(),
            }

    def _check_alike(self, description: dict[str, Any]) -> None:
        own = {"architecture": describe(self), "dtype": self.dtype.name}
        for name, value in own.items():
            if description[name] != value:
                raise ValueError(
                    f"resume: expected the network of the checkpoint, got another {name}"
                )

    def _restore(self, description: dict[str, Any]) -> None:
        """Take back what `_description` gave of a network of the same layers and dtype."""
        self.load_state_dict(description["state"])
        for leaf, frozen in zip(self._leaves(), description["frozen"], strict=True):
            leaf._set_frozen(frozen)
        self._network.seed = description["seed"]
        self._network.epochs = description["epochs"]
        self._network.passes = description["passes"]
        self._output_transforms = description["links"]

    def __getstate__(self) -> dict[str, Any]:
        network = self._storage().network
        with network.access("state_dict"):
            return super().__getstate__() | {
                "_made": (self.dtype.name, network.seed, network.epochs, network.passes),
                "_unchanged": Unchanged(network),
            }

    def __setstate__(self, state: dict[str, Any]) -> None:
        dtype, seed, epochs, passes = state.pop("_made")
        state.pop("_unchanged", None)
        super().__setstate__(state)
        build(self, seed, dtype == "float64")
        self._network.epochs, self._network.passes = epochs, passes


_DESCRIPTION = {
    "architecture",
    "dtype",
    "seed",
    "epochs",
    "passes",
    "frozen",
    "links",
    "state",
}


def load(path: str | os.PathLike[str]) -> Sequential:
    """Return the network that `Sequential.save` or a checkpoint wrote.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Sequential
        With the same parameters, running statistics, frozen layers, dtype, seed and counters.

    Raises
    ------
    OSError
        Where the file cannot be read.
    ValueError
        Where it is not such a file.

    Examples
    --------
    >>> import deltaprop as dp, os, tempfile
    >>> from deltaprop import nn
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "net.dp")
    ...     net.save(path)
    ...     twin = dp.load(path)
    >>> bool((twin([1.0, 2.0]) == net([1.0, 2.0])).all())
    True
    """
    content = read_file(path).get("network")
    if not isinstance(content, dict) or not content.keys() >= _DESCRIPTION:
        raise ValueError(f"load: expected a file with a network, got {path!s}")
    net = restore(content["architecture"], dtype=content["dtype"], seed=content["seed"])
    assert isinstance(net, Sequential)
    net._restore(content)
    return net


def _dtype(dtype: Any) -> np.dtype[Any]:
    try:
        found: np.dtype[Any] | None = np.dtype(dtype)
    except TypeError:
        found = None
    if dtype is None or found is None or found not in (np.float32, np.float64):
        raise TypeError(f"Sequential: expected dtype 'float32' or 'float64', got {dtype!r}")
    return found
