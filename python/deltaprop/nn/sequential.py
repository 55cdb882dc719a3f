"""Sequential networks: inference, training, evaluation, files."""

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
from deltaprop.nn.module import Module, Network, build, one_or_several
from deltaprop.optim import Optimizer
from deltaprop.training import Callback, History, Run, StopOnPlateau, fit
from deltaprop.training.heads import HeadLosses, probabilities
from deltaprop.training.metric_evaluator import Metrics

_HEAD = ("", "layer", "output", "parameters")


class Sequential(Container):
    """A network that applies its layers in sequence.

    Parameters
    ----------
    *layers : Layer or other module
        One or more, none of them part of another network. New layers are initialised from `seed`,
        in order. Layers whose values have been read or used, and a `Sequential` with its own seed,
        keep their values, which are copied; views obtained from them before are detached. A
        `Sequential` among the layers becomes part of this network.
    dtype : {"float32", "float64"}, default "float32"
        The dtype of parameters and computations. Inputs of other real dtypes are converted.
    seed : int from 0 to 2**64 - 1, optional
        Seed of the initial parameters and of the shuffling in `fit`. Default: a random seed from
        the operating system, available as the attribute `seed`.

    Attributes
    ----------
    seed : int
    dtype : numpy.dtype
    flat_parameters, flat_gradients : ndarray, 1-D
        All parameters, and all gradients, in storage order: writable views of the two buffers.
    activations, deltas : list of ndarray, shape (N, features of layer i)
        Output of layer i, and dJ/d(that output), after the last calls of `forward` and `backward`.
        Read-only; the next pass overwrites them.

    Raises
    ------
    TypeError
        If an item is not a layer, or for another dtype.
    ValueError
        If widths of adjacent layers differ, or a layer is listed twice or part of a network.

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
    # For each output the link from outputs to probabilities, set by the losses of the last fit.
    _output_transforms: tuple[str, ...] = ()

    def __init__(self, *layers: Module, dtype: Any = "float32", seed: int | None = None) -> None:
        double = _dtype(dtype) == np.float64
        given = seed
        seed = entropy() if seed is None else as_seed(seed, "Sequential")
        super().__init__(*layers)
        build(self, seed, double)
        if given is not None:
            self._storage()  # an explicit seed fixes the values, also inside another network

    @property
    def _network(self) -> Network:
        return self._core_network("it")

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of parameters and computations."""
        double = isinstance(self._storage().network, _core.Network64)
        return np.dtype(np.float64 if double else np.float32)

    @property
    def seed(self) -> int:
        """The seed of the network."""
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
        self._network.check_between_steps("zero_grad")
        self.flat_gradients[:] = 0

    def predict(self, x: Any, batch_size: int | None = None) -> Any:
        """Return the outputs in inference, as calling the network does.

        Parameters
        ----------
        x : array_like, shape (N, in_features) or (in_features,), or a tuple of them
        batch_size : int, optional
            Rows per call of layers written in Python. Results of built-in layers do not depend on
            it. Default: all rows at once.

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
        # The network raises for inputs that do not match.
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
            For several inputs a tuple with one array each; for several heads a tuple of those.

        Notes
        -----
        Runs the delta recursion once for each output, with a delta of 1 there and 0 elsewhere. The
        activations of the last `forward` remain valid, except in a network with a layer written in
        Python.

        Examples
        --------
        >>> from deltaprop import nn
        >>> net = nn.Sequential(nn.Linear(2, 1), nn.Tanh())
        >>> net.jacobian([[0.5, 1.0]]).shape
        (1, 1, 2)
        """
        return self._network.jacobian(one_or_several(x, self._shares_input()))

    def predictor(self) -> Predictor:
        """Return a frozen copy of the network that predicts with minimal overhead.

        It is made for loops that predict one or a few rows at a time: a call allocates only its
        result, takes no lock, and may run in any number of threads at once. Results are
        bit-identical to those of the network at the time of this call; further training does not
        change the copy. A predictor cannot be copied or pickled; copy or pickle the network.

        Returns
        -------
        callable
            ``predictor(x, out=None)``, with the arguments, results and errors of calling the
            network. It is fastest with `out` and a C-contiguous array of the network's dtype, of
            shape (in_features,) or with a few rows.

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
        """Return the network's output as a node of a graph, with constant parameters.

        Parameters
        ----------
        x : Node or array_like, shape (N, in_features) or (in_features,)

        Returns
        -------
        Node, shape (N, out_features) or (out_features,)
            Computed in inference. Each ``forward`` of the graph uses the current parameters.

        Raises
        ------
        ValueError
            For a wrong shape, or a network with several inputs or heads.

        Notes
        -----
        Only first derivatives are available: `graph.hessian` of the node raises TypeError.

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
        """Return dJ/d(input) of the loss in inference, without changing any gradients.

        The activations of the last `forward` remain valid, except in a network with a layer written
        in Python.

        Parameters
        ----------
        x : array_like, shape (N, in_features) or (in_features,), or a tuple of them
        y : array_like, or a tuple of them
            Targets, in the form that the loss takes.
        loss : loss, or a tuple of them
            One for each head.
        loss_weights : sequence of float, optional
            Weight of each head's loss. Default: 1.

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
            Inputs of any real dtype and memory order, converted batch by batch without a copy of
            the whole array. A tuple has one input for each branch of a `Concat` or `Heads`. An
            iterable (without y), or an object with ``__getitem__`` and ``__len__``, yields batches
            (x, y) or (x, y, sample_weight) and is iterated once per epoch. It then determines size
            and order of the batches, and metrics are computed on validation data only.
        y : array_like, or a tuple of them
            Targets, in the form that the loss takes: the shape of the output, (N,) for an output
            (N, 1), or integer classes (N,). A tuple for several heads.
        loss : loss, or a tuple of them
            A loss of `deltaprop.nn`, or an object with methods ``__call__`` and ``delta``. A tuple
            (or list) for several heads.
        optimizer : Optimizer
            An optimizer of this network's parameters. An attached schedule is advanced.
        epochs : int
            Number of passes over the data, 0 or more; with `resume` the total, including those of
            the checkpoint.
        batch_size : int, default 32
            Rows per step; the last batch of an epoch may be smaller. None: all rows in one batch.
        shuffle : bool, default True
            Whether to shuffle the rows in each epoch. A single batch is not shuffled.
        seed : int, optional
            Seed of the shuffling. Default: the network's seed and its running count of epochs.
        validation_data : tuple (X, y) or (X, y, sample_weight), optional
            Data that is not trained on; its loss after each epoch is ``history["val_loss"]``.
        validation_split : float, optional
            Fraction of the rows to use as validation data instead. The last rows are taken, so
            shuffle sorted data first.
        sample_weight : array_like, shape (N,), optional
            A weight of 0 or more for each row's loss.
        class_weight : dict, array_like or "balanced", optional
            A weight for each class, multiplied with the row's weight. "balanced" is
            N / (classes * rows of the class). A dict needs only the classes that occur in y.
            It does not apply to metrics and validation data.
        loss_weights : sequence of float, optional
            Weight of each head's loss in the sum. Default: 1.
        metrics : sequence of str or callables, optional
            Metrics to compute after each epoch on training and validation data; see
            `deltaprop.Metric`. Functions need distinct names. For several heads a tuple with one
            sequence per head.
        accumulate : int, default 1
            Number of batches whose gradients are accumulated for one update, equivalent to one
            batch of all their rows. The last update of an epoch may have fewer. A user-defined loss
            may have an attribute ``reduction``, "mean" (the default) or "sum".
        record : sequence of {"activations", "deltas", "gradients"}, optional
            Norms to record as ``history["delta_norm"]`` and so on, of shape (epochs, layers), with
            a column for each layer, including those within containers, in the order of `summary`.
            Values are means over the epoch's updates of the Euclidean norm over the batch. With
            `accumulate` they are those of the last batch, for gradients those of the sum.
        stop : StopOnPlateau, optional
            A stop rule.
        callbacks : iterable of callables or Callback
            A function is called with the `Run` after every epoch.
        resume : str or path-like, optional
            A checkpoint written by `ModelCheckpoint`. Training continues from it, bit-identical to
            an uninterrupted fit. All other arguments must be those of the original call, including
            the data (which is not checked for an iterable), except `epochs`, `stop`, `progress`,
            `num_threads` and settings of callbacks, such as `patience`. The network takes its seed,
            and the optimizer its options, from the checkpoint. A fit that a callback had stopped
            continues; one that a stop rule had stopped continues only if the rule allows it.
        progress : bool, default False
            Whether to show a progress bar, by tqdm if installed, else a line per epoch.
        num_threads : int, optional
            Maximum number of threads for a step. Default: `deltaprop.get_num_threads`. Small steps
            use one. Results are bit-identical for any number.

        Returns
        -------
        History
            ``history["loss"]`` has, for each epoch, the row-weighted mean of the batches' losses,
            each evaluated before its update. For several heads it is the weighted sum, and
            ``"loss_0"``, ``"loss_1"``, ... are the heads' losses.

        Raises
        ------
        ValueError
            For a wrong shape or value, NaN or infinity in the data, or settings or data that differ
            from the checkpoint's.
        TypeError
            For an argument of the wrong type.
        FloatingPointError
            If the loss or a delta is not finite; the message names epoch and batch, counted from 0,
            and the network keeps its state after the last update. Also if the last updates have
            made parameters infinite or NaN.
        RuntimeError
            If another thread uses the network, or a callback calls `fit`.

        Notes
        -----
        Existing gradients are ignored, and set to 0 at the end. Ctrl-C raises KeyboardInterrupt
        within a fraction of a second and leaves the network usable.
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
        """Return the loss and metrics of the network on a data set, in inference.

        Parameters
        ----------
        X, y, loss, loss_weights, metrics, sample_weight
            As for `fit`.
        batch_size : int, optional
            As for `predict`.

        Returns
        -------
        dict of str to float
            "loss", for several heads also "loss_0" and so on, and each metric by its name.
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
        """Return probabilities: the softmax or sigmoid of the outputs, by the loss of the last fit.

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
            If the network has not been fitted with one of these losses.
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
        """Return the rows of the table that `summary` prints."""
        assert self._stored is not None  # not _storage(), which would fix the initial values
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
        """Return number, dtype and size in bytes of the parameters, as text."""
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
        """Save the network to a file: layers, values, counters. `deltaprop.load` reads it.

        Parameters
        ----------
        path : str or path-like
            An existing file is replaced atomically.

        Raises
        ------
        TypeError
            For a layer written in Python, or an `ExpressionLayer`.
        OSError
            If the file cannot be written.
        RuntimeError
            While `fit` runs in another thread.
        """
        write_file(path, {"network": self._description()})

    def _description(self) -> dict[str, Any]:
        network = self._network
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
        """Restore a `_description` of a network with the same layers and dtype."""
        self.load_state_dict(description["state"])
        for leaf, frozen in zip(self._leaves(), description["frozen"], strict=True):
            leaf._set_frozen(frozen)
        self._network.seed = description["seed"]
        self._network.epochs = description["epochs"]
        self._network.passes = description["passes"]
        self._output_transforms = description["links"]

    def __getstate__(self) -> dict[str, Any]:
        network = self._storage().network
        return super().__getstate__() | {
            "_made": (self.dtype.name, network.seed, network.epochs, network.passes)
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        dtype, seed, epochs, passes = state.pop("_made")
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
    """Load a network from a file written by `Sequential.save` or `ModelCheckpoint`.

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
        If the file cannot be read.
    ValueError
        If the file does not contain a network.

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
