"""The base of layers and networks: storage of parameters, state dictionaries, freezing, calls."""

import copy
import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from deltaprop import _core
from deltaprop._arrays import Array, as_array, entropy
from deltaprop.nn.parameter import Parameter

Network = _core.Network32 | _core.Network64

# Serialises the first use of a layer: several threads must build one network only.
_build_lock = threading.RLock()


@dataclass(frozen=True)
class Storage:
    """A module's part of a core network, which stores its parameters."""

    network: Network
    block: int
    layers: range
    owned: bool  # whether it is part of another module
    parameters: dict[str, int]  # names within the module -> indices in the network
    buffers: dict[str, int]


class Unchanged:
    """The last entry of a network's state; copying it fails if a fit began after the first entry.

    The layers copy their values one after the other, outside of any method that could hold access.
    """

    def __init__(self, network: Network) -> None:
        self._network, self._accesses = network, network.accesses

    def __reduce__(self) -> tuple[Any, ...]:
        self._network.check_accesses(self._accesses)
        return type(None), ()


def one_or_several(x: Any, several: bool, name: str = "x") -> Array | tuple[Array, ...]:
    """Return an array, or a tuple of arrays for a tuple, if several are allowed."""
    if not (several and isinstance(x, tuple)):
        return as_array(x, name)
    if not x:
        raise ValueError(f"{name}: expected one array or more, got an empty tuple")
    return tuple(as_array(part, f"{name}[{i}]") for i, part in enumerate(x))


class Module:
    """Base class of everything with parameters: layers and containers of layers."""

    _stored: Storage | None = None

    def parameters(self) -> list[Parameter]:
        """Return the parameters, in the order of the flat buffers, with PyTorch's names.

        Returns
        -------
        list of Parameter
            Names are relative to this module: "weight" for a layer, "0.weight" for a network.
        """
        place = self._storage()
        return [Parameter(place.network, i, name) for name, i in place.parameters.items()]

    def state_dict(self) -> dict[str, Array]:
        """Return copies of all parameters and running statistics by name.

        Returns
        -------
        dict of str to ndarray
            C-contiguous arrays; weights are (out_features, in_features), as in PyTorch.

        Raises
        ------
        RuntimeError
            While `fit` runs in another thread.
        """
        with self._storage().network.access("state_dict"):
            return {name: np.array(view, order="C") for name, view in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load parameters and running statistics by name. On an error nothing changes.

        Parameters
        ----------
        state : mapping of str to array_like
            As returned by `state_dict`, or by PyTorch's, with tensors converted to arrays.

        Raises
        ------
        ValueError
            If names are missing or unknown, or a shape differs.
        TypeError
            If `state` is not a mapping of names to arrays of real numbers.
        RuntimeError
            While `fit` runs in another thread.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict: expected a mapping, got {type(state).__name__}")
        own = self._state()
        missing = [name for name in own if name not in state]
        unknown = [name for name in state if name not in own]
        if missing or unknown:
            raise ValueError(
                f"load_state_dict: expected the names of this network's parameters, "
                f"got missing {missing} and unknown {unknown}"
            )
        arrays = {name: as_array(state[name], f"state_dict[{name!r}]") for name in own}
        for name, view in own.items():
            if arrays[name].shape != view.shape:
                raise ValueError(
                    f"load_state_dict: expected {name!r} of shape {view.shape}, "
                    f"got {arrays[name].shape}"
                )
        # Convert everything first, so that nothing is written if a conversion raises.
        arrays = {name: arrays[name].astype(view.dtype) for name, view in own.items()}
        with self._storage().network.access("load_state_dict"):
            for name, view in own.items():
                view[...] = arrays[name]

    def zero_grad(self) -> None:
        """Set every gradient to zero."""
        with self._storage().network.access("zero_grad"):
            for parameter in self.parameters():
                parameter.grad[...] = 0

    def freeze(self) -> Self:
        """Exclude the parameters and running statistics from training until `unfreeze`.

        Their gradients are not computed, and a `BatchNorm1d` normalises by its running statistics.
        Weight decay, constraints and `clip_norm` skip them. `Dropout` is not affected.

        Returns
        -------
        The module itself.
        """
        return self._set_frozen(True)

    def unfreeze(self) -> Self:
        """Include the parameters in training again.

        Returns
        -------
        The module itself.
        """
        return self._set_frozen(False)

    def __call__(self, x: Any, out: Any = None) -> Any:
        """Return the outputs in inference, (N, in) to (N, out) or (in,) to (out,).

        Nothing is stored, so any number of threads may call it at once. Row i of the result is
        bit-identical to the result for row i alone, unless a layer written in Python combines rows.

        Parameters
        ----------
        x : array_like, shape (N, in_features) or (in_features,), or a tuple of them
            A tuple has one input for each branch of a `Concat` or `Heads`.
        out : ndarray, or a tuple of them, optional
            Array to write to: writable, C-contiguous, of the network's dtype, no overlap with x.

        Returns
        -------
        ndarray, shape (N, out_features) or (out_features,), or a tuple of them
            `out` if given, else a new array. A tuple if the network ends in `Heads`.

        Raises
        ------
        ValueError
            For a wrong shape (the message names the layer), or an unsuitable `out`.
        TypeError
            If the elements of `x` are not real numbers.
        RuntimeError
            While `fit` runs in another thread.
        """
        place = self._storage()
        several = isinstance(x, tuple) and self._shares_input()
        return place.network.infer(place.block, one_or_several(x, several), out)

    def __copy__(self) -> Self:
        # Two objects cannot own one buffer: a shallow copy is a deep one.
        return copy.deepcopy(self)

    def _state(self) -> dict[str, Array]:
        """Return views of the arrays that `state_dict` copies, layer by layer."""
        place = self._storage()
        network = place.network
        views = {name: network.value(i) for name, i in place.parameters.items()}
        return views | {name: network.buffer(i) for name, i in place.buffers.items()}

    def _storage(self) -> Storage:
        """Return the storage; from now on the values are fixed, not drawn again from a seed."""
        raise NotImplementedError

    def _block(self) -> _core.Block:
        """Return a description of the module for the core."""
        raise NotImplementedError

    def _leaves(self) -> "list[Leaf]":
        """Return the layers within the module, in order."""
        raise NotImplementedError

    def _children(self) -> "tuple[Module, ...]":
        return ()

    def _title(self) -> str:
        """Return a short description for error messages, in one line."""
        return repr(self)

    def _inside(self, path: str = "") -> "Iterator[tuple[str, Module]]":
        """Yield all modules within this one with their paths, in order."""
        for i, child in enumerate(self._children()):
            yield f"{path}{i}", child
            yield from child._inside(f"{path}{i}.")

    def _shares_input(self) -> bool:
        """Return whether branches read the input, so that it may be a tuple with one array each."""
        return False

    def _has_heads(self) -> bool:
        """Return whether the module has several outputs."""
        return False

    def _set_frozen(self, frozen: bool) -> Self:
        with nullcontext() if self._stored is None else self._stored.network.access("freeze"):
            for leaf in self._leaves():
                leaf._frozen = frozen
                if leaf._stored is not None:
                    leaf._stored.network.set_frozen(leaf._stored.layers.start, frozen)
        return self


class Leaf(Module):
    """The part of a layer that networks need."""

    _frozen: bool = False
    _materialized: bool = False  # its values have been read, so they are kept

    def _leaves(self) -> "list[Leaf]":
        return [self]

    def _values(self) -> dict[str, Array]:
        """Return copies of the values to keep; empty if they are drawn from the network's seed."""
        raise NotImplementedError

    def _write(self, values: dict[str, Array]) -> None:
        """Write values returned by `_values`."""
        state = self._state()
        for name, value in values.items():
            state[name][...] = value


def owner_of(module: Module) -> Module | None:
    """Return the module itself or one within it that is already part of a network, if any."""
    if module._stored is not None:
        return module if module._stored.owned else None
    for child in module._children():
        found = owner_of(child)
        if found is not None:
            return found
    return None


def fitting(module: Module) -> bool:
    """Return whether `fit` is training the module or one within it."""
    if module._stored is not None:
        return module._stored.network.fits
    return any(fitting(child) for child in module._children())


def build(module: Module, seed: int, double: bool) -> Network:
    """Build the core network of a module and move its layers there, with values to keep."""
    if fitting(module):
        raise RuntimeError(
            f"{module._title()}: expected layers that may move, got a network that fit runs on"
        )
    other = owner_of(module)
    if other is not None:
        raise ValueError(
            f"{module._title()}: expected layers without a network, got {other._title()}, which "
            f"has joined another since"
        )
    leaves = module._leaves()
    values = [leaf._values() for leaf in leaves]
    network = (_core.Network64 if double else _core.Network32)(module._block(), seed)
    _assign_storage(module, "", _Settling(network, network.parameters, network.buffers))
    for leaf, kept in zip(leaves, values, strict=True):
        if kept:
            leaf._write(kept)
        if leaf._frozen and leaf._stored is not None:
            network.set_frozen(leaf._stored.layers.start, True)
    return network


def build_alone(module: Module) -> None:
    """Build a network for a module outside a network, in the dtype of its initial values."""
    values = [value for leaf in module._leaves() for value in leaf._values().values()]
    double = any(value.dtype == np.float64 for value in values)
    build(module, entropy(), double)


@dataclass
class _Settling:
    """Progress of assigning storage to the modules of a network."""

    network: Network
    parameters: list[tuple[int, str]]  # (index of the layer, name), layer by layer
    buffers: list[tuple[int, str]]
    blocks: int = 0
    layers: int = 0


def _assign_storage(module: Module, path: str, so_far: _Settling) -> None:
    """Assign storage to a module and all modules within it."""
    block, first = so_far.blocks, so_far.layers
    so_far.blocks += 1
    children = module._children()
    for i, child in enumerate(children):
        _assign_storage(child, f"{path}{i}.", so_far)
    so_far.layers += not children
    layers = range(first, so_far.layers)

    def named(entries: list[tuple[int, str]]) -> dict[str, int]:
        own = range(bisect_left(entries, (first,)), bisect_left(entries, (layers.stop,)))
        return {entries[i][1].removeprefix(path): i for i in own}

    # Bypasses __setattr__, which searches parameters first.
    module.__dict__["_stored"] = Storage(
        so_far.network,
        block,
        layers,
        bool(path),
        named(so_far.parameters),
        named(so_far.buffers),
    )
