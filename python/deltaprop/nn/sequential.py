"""Layers one after the other."""

import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from deltaprop import _core
from deltaprop._arrays import Array, as_array, as_count, as_seed
from deltaprop.nn.layer import Layer, places
from deltaprop.nn.module import Module
from deltaprop.nn.parameter import Parameter
from deltaprop.optim import Optimizer
from deltaprop.training import History, Run, StopOnPlateau, fit


class Sequential(Module):
    """A network of layers one after the other.

    Parameters
    ----------
    *layers : Layer
        One or more, each in this network only. Layers not used before are initialised from `seed`,
        in order; of those used already the values are copied.
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

    Examples
    --------
    >>> import numpy as np
    >>> from deltaprop import nn
    >>> net = nn.Sequential(nn.Linear(2, 50), nn.Sigmoid(), nn.Linear(50, 1), seed=0)
    >>> net(np.ones((10, 2))).shape
    (10, 1)
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("forward", "backward", "__call__"):
            if name in cls.__dict__:
                raise TypeError(
                    f"{cls.__name__}: expected {name} to be Sequential's, which fit runs without; "
                    f"write a subclass of nn.Layer instead"
                )

    def __init__(self, *layers: Layer, dtype: Any = "float32", seed: int | None = None) -> None:
        for i, layer in enumerate(layers):
            _check_layer(i, layer, layers[:i])
        double = _dtype(dtype) == np.float64
        seed = secrets.randbits(64) if seed is None else as_seed(seed, "Sequential")
        values = [
            layer._values() if layer._place is not None or layer._initial is not None else None
            for layer in layers
        ]
        self._layers = layers
        self._network: _core.Network32 | _core.Network64 = (
            _core.Network64 if double else _core.Network32
        )([layer._core_layer() for layer in layers], seed)
        homes = places(self._network, len(layers), owned=True)
        for layer, home, value in zip(layers, homes, values, strict=True):
            layer._settle(home, value)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the network computes in."""
        double = isinstance(self._network, _core.Network64)
        return np.dtype(np.float64 if double else np.float32)

    @property
    def seed(self) -> int:
        """The seed it was made from."""
        return self._network.seed

    @property
    def flat_parameters(self) -> Array:
        """All parameters in storage order, a writable view."""
        return self._network.flat_parameters()

    @property
    def flat_gradients(self) -> Array:
        """All gradients in storage order, a writable view."""
        return self._network.flat_gradients()

    @property
    def activations(self) -> list[Array]:
        """Output of each layer in the last `forward`, read-only.

        Raises
        ------
        RuntimeError
            Where there was no `forward` yet.
        """
        return self._network.activations()

    @property
    def deltas(self) -> list[Array]:
        """dJ/d(output of each layer) of the last `backward`, read-only.

        Raises
        ------
        RuntimeError
            Where the last `forward` has had no `backward` yet.
        """
        return self._network.deltas()

    def parameters(self) -> list[Parameter]:
        """Return the parameters, named as PyTorch's Sequential names them ("0.weight").

        Returns
        -------
        list of Parameter
        """
        return [
            Parameter(self._network, i, name)
            for i, (_, name) in enumerate(self._network.parameters)
        ]

    def zero_grad(self) -> None:
        """Set every gradient to zero."""
        self._network.check_idle()
        self.flat_gradients[:] = 0

    def __call__(self, x: Any) -> Array:
        """Return the outputs in inference, (N, in) to (N, out) or (in,) to (out,).

        Keeps nothing, so any number of threads may call it at once. Row i of the result is, to the
        bit, what row i alone gives, unless a layer written in Python sees to it otherwise.

        Raises
        ------
        ValueError
            For a wrong shape; the message names the layer.
        TypeError
            For what are not real numbers.
        RuntimeError
            While `fit` runs in another thread.
        """
        return self._network.infer(as_array(x, "x"))

    def predict(self, x: Any, batch_size: int | None = None) -> Array:
        """Return the outputs in inference, as calling the network does.

        Parameters
        ----------
        x : array_like, shape (N, in_features) or (in_features,)
        batch_size : int, optional
            Rows that a layer written in Python sees at once; changes nothing else.

        Returns
        -------
        ndarray, shape (N, out_features) or (out_features,)
        """
        if batch_size is None:
            return self(x)
        size = as_count(batch_size, "predict: batch_size", 1)
        x = as_array(x, "x")
        if x.ndim < 2 or len(x) <= size:
            return self(x)
        return np.concatenate([self(x[i : i + size]) for i in range(0, len(x), size)])

    def forward(self, x: Any, training: bool = True) -> Array:
        """Run the training pass: keeps every activation for `backward`.

        Parameters
        ----------
        x : array_like, shape (N, in_features) or (in_features,)
            Copied.
        training : bool, default True
            False is the same as calling the network: inference.

        Returns
        -------
        ndarray, shape (N, out_features) or (out_features,)

        Raises
        ------
        ValueError, TypeError
            As for calling the network.
        """
        return self._network.forward(as_array(x, "x")) if training else self(x)

    def backward(self, delta: Any) -> Array:
        """Run the delta recursion; adds to the gradients and consumes the pass.

        Parameters
        ----------
        delta : array_like, the shape of the output
            dJ/d(output), as ``loss.delta(a, y)`` gives it.

        Returns
        -------
        ndarray, the shape of the input
            dJ/d(input).

        Raises
        ------
        RuntimeError
            Without a fresh `forward`.
        ValueError
            For a wrong shape.

        Notes
        -----
        For a Linear layer l with input a: dJ/dw = a^T delta, dJ/db = the sum of delta's rows, and
        delta w^T goes on to the layer before; an activation multiplies by f'. Rumelhart, Hinton and
        Williams, "Learning representations by back-propagating errors", Nature 323 (1986).
        """
        return self._network.backward(as_array(delta, "delta"))

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        loss: Any,
        optimizer: Optimizer,
        epochs: int,
        batch_size: int | None = 32,
        shuffle: bool = True,
        seed: int | None = None,
        validation_data: tuple[Any, ...] | None = None,
        sample_weight: Any = None,
        stop: StopOnPlateau | None = None,
        callbacks: Iterable[Callable[[Run], object]] = (),
        progress: bool = False,
    ) -> History:
        """Train on NumPy arrays, in C++ and without the GIL.

        Parameters
        ----------
        X : array_like, shape (N, in_features)
            Any real type and memory order; it is converted batch by batch, never copied whole.
        y : array_like
            Targets, as the loss takes them: the shape of the output, (N,) for an output (N, 1), or
            integer classes (N,).
        loss : loss
            From `deltaprop.nn`, or an object of your own with ``__call__`` and ``delta``.
        optimizer : Optimizer
            Of this network's parameters.
        epochs : int
            Passes over the data, 0 or more.
        batch_size : int, default 32
            Rows a step; the last batch of an epoch may be smaller. None: all rows in one batch.
        shuffle : bool, default True
            Whether each epoch takes the rows in a new random order. A single batch keeps theirs.
        seed : int, optional
            For the shuffling. None: the network's seed and its running count of epochs.
        validation_data : tuple (X, y) or (X, y, sample_weight), optional
            Held out; its loss after each epoch is ``history["val_loss"]``.
        sample_weight : array_like, shape (N,), optional
            A weight of 0 or more for each row's loss.
        stop : StopOnPlateau, optional
        callbacks : iterable of callables
            Each is called with a `Run` after every epoch.
        progress : bool, default False
            Show a progress bar (tqdm's, where it is installed; else a line an epoch).

        Returns
        -------
        History
            ``history["loss"]`` is, for each epoch, the row-weighted mean of the batches' losses,
            each taken before its update.

        Raises
        ------
        ValueError
            For a wrong shape or value, NaN or infinity.
        TypeError
            For a wrong kind of thing.
        FloatingPointError
            Where the loss or a delta is not finite; the network is as the last update left it.
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
            sample_weight=sample_weight,
            stop=stop,
            callbacks=callbacks,
            progress=progress,
        )

    def summary(self) -> None:
        """Print a table of the layers, the shapes of their outputs and their parameters."""
        widths = self._network.widths(self._network.in_features)
        rows = [("", "layer", "output", "parameters")]
        for i, layer in enumerate(self._layers):
            count = sum(p.value.size for p in layer.parameters())
            width = "any" if widths[i + 1] < 0 else widths[i + 1]
            rows.append((str(i), repr(layer), f"(N, {width})", f"{count:,}"))
        columns = [max(len(row[c]) for row in rows) for c in range(4)]
        lines = [
            f"{row[0]:>{columns[0]}}  {row[1]:<{columns[1]}}  {row[2]:<{columns[2]}}  "
            f"{row[3]:>{columns[3]}}"
            for row in rows
        ]
        rule = "-" * len(lines[0])
        total = self.flat_parameters
        print(lines[0], rule, *lines[1:], rule, sep="\n")
        print(f"{total.size:,} parameters, {self.dtype}, {total.nbytes:,} bytes")

    def __len__(self) -> int:
        return len(self._layers)

    def __getitem__(self, i: int) -> Layer:
        if isinstance(i, slice):
            raise TypeError("Sequential: expected the number of a layer, got a slice")
        return self._layers[i]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._layers)

    def __repr__(self) -> str:
        lines = "".join(f"\n  ({i}): {layer!r}" for i, layer in enumerate(self._layers))
        return f"Sequential({lines}\n)"

    def __getstate__(self) -> dict[str, Any]:
        own = ("_layers", "_network")
        return {
            "attributes": {k: v for k, v in self.__dict__.items() if k not in own},
            "layers": self._layers,
            "dtype": self.dtype.name,
            "seed": self.seed,
            "epochs": self._network.epochs,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Not __init__ of the class itself: a subclass may take other arguments.
        Sequential.__init__(self, *state["layers"], dtype=state["dtype"], seed=state["seed"])
        self._network.epochs = state["epochs"]
        self.__dict__.update(state["attributes"])


def _check_layer(i: int, layer: Any, before: tuple[Layer, ...]) -> None:
    if isinstance(layer, type):
        raise TypeError(f"Sequential: expected layers, got the class {layer.__name__} at {i}")
    if not isinstance(layer, Layer):
        raise TypeError(f"Sequential: expected layers, got {type(layer).__name__} at {i}")
    if any(layer is other for other in before):
        raise ValueError(f"Sequential: expected each layer once, got layer {i}, {layer!r}, twice")
    if layer._place is not None and layer._place.owned:
        raise ValueError(
            f"Sequential: expected layers without a network, got layer {i}, {layer!r}, of another"
        )


def _dtype(dtype: Any) -> np.dtype[Any]:
    try:
        found: np.dtype[Any] | None = np.dtype(dtype)
    except TypeError:
        found = None
    if dtype is None or found is None or found not in (np.float32, np.float64):
        raise TypeError(f"Sequential: expected dtype 'float32' or 'float64', got {dtype!r}")
    return found
