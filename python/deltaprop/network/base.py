"""The base class of networks: inference, derivatives, tables, files and copies."""

import copy
import os
from typing import Any

import numpy as np

from deltaprop import _core
from deltaprop._arrays import Array, as_count, as_seed, entropy
from deltaprop._core import Node, Predictor
from deltaprop._files import write_file
from deltaprop.network.architecture import describe
from deltaprop.nn.containers import Container
from deltaprop.nn.module import Module, Network, Unchanged, build, one_or_several

_HEAD = ("", "layer", "output", "parameters")


class NetworkBase(Container):
    """A container with its own core network: inference, derivatives, tables and files."""

    # For each output the link from outputs to probabilities, set by the losses of the last fit.
    _output_transforms: tuple[str, ...] = ()

    def __init__(self, *layers: Module, dtype: Any = "float32", seed: int | None = None) -> None:
        double = _dtype(dtype, self._kind) == np.float64
        given = seed
        seed = entropy() if seed is None else as_seed(seed, self._kind)
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
        with self._network.access("zero_grad"):
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


def _dtype(dtype: Any, kind: str) -> np.dtype[Any]:
    try:
        found: np.dtype[Any] | None = np.dtype(dtype)
    except TypeError:
        found = None
    if dtype is None or found is None or found not in (np.float32, np.float64):
        raise TypeError(f"{kind}: expected dtype 'float32' or 'float64', got {dtype!r}")
    return found
