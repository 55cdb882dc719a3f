"""What layers and networks share: where their numbers live, and how these are read and written."""

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

# Two threads that are the first to use a layer must make one network between them.
_build_lock = threading.RLock()


@dataclass(frozen=True)
class Storage:
    """Where a module's numbers live: its part of a core network."""

    network: Network
    block: int
    layers: range
    owned: bool  # by a module around it
    parameters: dict[str, int]  # by name within the module, the place in the network's list
    buffers: dict[str, int]


class Unchanged:
    """The last entry of a network's state: copying it fails where a fit began since the first.

    The layers copy their values one after the other, outside of any method that could hold access.
    """

    def __init__(self, network: Network) -> None:
        self._network, self._accesses = network, network.accesses

    def __reduce__(self) -> tuple[Any, ...]:
        self._network.check_accesses(self._accesses)
        return type(None), ()


def one_or_several(x: Any, several: bool, name: str = "x") -> Array | tuple[Array, ...]:
    """Return an array; or, where there may be several and a tuple is given, a tuple of them."""
    if not (several and isinstance(x, tuple)):
        return as_array(x, name)
    if not x:
        raise ValueError(f"{name}: expected one array or more, got an empty tuple")
    return tuple(as_array(part, f"{name}[{i}]") for i, part in enumerate(x))


class Module:
    """Something with parameters: a layer, or layers together."""

    _stored: Storage | None = None

    def parameters(self) -> list[Parameter]:
        """Return the parameters, in the order of the flat buffers, named as PyTorch names them.

        Returns
        -------
        list of Parameter
            Names are those within this module: "weight" of a layer, "0.weight" of a network.
        """
        place = self._storage()
        return [Parameter(place.network, i, name) for name, i in place.parameters.items()]

    def state_dict(self) -> dict[str, Array]:
        """Return a copy of every parameter, and of running statistics, by name.

        Returns
        -------
        dict of str to ndarray
            C-contiguous; a weight is (out_features, in_features), as PyTorch's.

        Raises
        ------
        RuntimeError
            While `fit` runs in another thread.
        """
        with self._storage().network.access("state_dict"):
            return {name: np.array(view, order="C") for name, view in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Write parameters and running statistics by name; all of them or, on an error, none.

        Parameters
        ----------
        state : mapping of str to array_like
            As `state_dict` gives it, or PyTorch's with its tensors as arrays.

        Raises
        ------
        ValueError
            Where names are missing or unknown, or a shape differs.
        TypeError
            For what is not a mapping of names to real numbers.
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
        # Converted first: where that raises, nothing is written yet.
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
        """Keep the parameters, and running statistics, as they are until `unfreeze`.

        No gradients are found for them, and a `BatchNorm1d` normalises by its running statistics.
        Weight decay, constraints and `clip_norm` pass them by. A `Dropout` goes on dropping.

        Returns
        -------
        The module itself.
        """
        return self._set_frozen(True)

    def unfreeze(self) -> Self:
        """Let the parameters be trained again.

        Returns
        -------
        The module itself.
        """
        return self._set_frozen(False)

    def __call__(self, x: Any, out: Any = None) -> Any:
        """Return the outputs in inference, (N, in) to (N, out) or (in,) to (out,).

        Keeps nothing, so any number of threads may call it at once. Row i of the result is, to the
        bit, what row i alone gives, unless a layer written in Python sees to it otherwise.

        Parameters
        ----------
        x : array_like, shape (N, in_features) or (in_features,), or a tuple of them
            A tuple gives each branch of a `Concat` or `Heads` an input of its own.
        out : ndarray, or a tuple of them, optional
            Where the outputs go: writable, C-contiguous, of the network's dtype, apart from x.

        Returns
        -------
        ndarray, shape (N, out_features) or (out_features,), or a tuple of them
            `out`, or else new. A tuple where the network ends in `Heads`.

        Raises
        ------
        ValueError
            For a wrong shape (the message names the layer), and an `out` that does not fit.
        TypeError
            For what are not real numbers.
        RuntimeError
            While `fit` runs in another thread.
        """
        place = self._storage()
        several = isinstance(x, tuple) and self._shares_input()
        return place.network.infer(place.block, one_or_several(x, several), out)

    def __copy__(self) -> Self:
        # Two objects cannot own one buffer: a copy is always a whole one.
        return copy.deepcopy(self)

    def _state(self) -> dict[str, Array]:
        """Return views of what state_dict copies, layer by layer."""
        place = self._storage()
        network = place.network
        views = {name: network.value(i) for name, i in place.parameters.items()}
        return views | {name: network.buffer(i) for name, i in place.buffers.items()}

    def _storage(self) -> Storage:
        """Return where the numbers live, which from now on are not to be drawn anew."""
        raise NotImplementedError

    def _block(self) -> _core.Block:
        """Return a description of the module for the core."""
        raise NotImplementedError

    def _leaves(self) -> "list[Leaf]":
        """Return its layers, in order."""
        raise NotImplementedError

    def _children(self) -> "tuple[Module, ...]":
        return ()

    def _title(self) -> str:
        """Return what messages call it, in one line."""
        return repr(self)

    def _inside(self, path: str = "") -> "Iterator[tuple[str, Module]]":
        """Give all modules in it, each with its path, in order."""
        for i, child in enumerate(self._children()):
            yield f"{path}{i}", child
            yield from child._inside(f"{path}{i}.")

    def _shares_input(self) -> bool:
        """Return whether its input goes to branches, which a tuple then gives one each."""
        return False

    def _has_heads(self) -> bool:
        """Return whether its outputs are several."""
        return False

    def _set_frozen(self, frozen: bool) -> Self:
        with nullcontext() if self._stored is None else self._stored.network.access("freeze"):
            for leaf in self._leaves():
                leaf._frozen = frozen
                if leaf._stored is not None:
                    leaf._stored.network.set_frozen(leaf._stored.layers.start, frozen)
        return self


class Leaf(Module):
    """What a network needs to know of a layer."""

    _frozen: bool = False
    _materialized: bool = False  # someone has seen its values: they are kept

    def _leaves(self) -> "list[Leaf]":
        return [self]

    def _values(self) -> dict[str, Array]:
        """Return copies of the values to keep, none where the network's seed may decide."""
        raise NotImplementedError

    def _write(self, values: dict[str, Array]) -> None:
        """Write values that were kept."""
        state = self._state()
        for name, value in values.items():
            state[name][...] = value


def owner_of(module: Module) -> Module | None:
    """Return what of it has a network around it already, itself or something in it."""
    if module._stored is not None:
        return module if module._stored.owned else None
    for child in module._children():
        found = owner_of(child)
        if found is not None:
            return found
    return None


def fitting(module: Module) -> bool:
    """Return whether a fit of it, or of something in it, is under way."""
    if module._stored is not None:
        return module._stored.network.fits
    return any(fitting(child) for child in module._children())


def build(module: Module, seed: int, double: bool) -> Network:
    """Make a network of a module; its layers move there, with the values they are to keep."""
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
    """Make a network of a module used without one, as precise as the values it comes with."""
    values = [value for leaf in module._leaves() for value in leaf._values().values()]
    double = any(value.dtype == np.float64 for value in values)
    build(module, entropy(), double)


@dataclass
class _Settling:
    """How far the modules of a network have been given their places."""

    network: Network
    parameters: list[tuple[int, str]]  # the layer's number, and the name; by layer
    buffers: list[tuple[int, str]]
    blocks: int = 0
    layers: int = 0


def _assign_storage(module: Module, path: str, so_far: _Settling) -> None:
    """Give a module and all in it their places."""
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

    # Past __setattr__, which looks for parameters first.
    module.__dict__["_stored"] = Storage(
        so_far.network,
        block,
        layers,
        bool(path),
        named(so_far.parameters),
        named(so_far.buffers),
    )
