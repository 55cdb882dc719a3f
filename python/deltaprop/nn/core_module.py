"""Modules that the C++ core computes."""

import inspect
from typing import Any, ClassVar

from deltaprop._checked_init import CheckedInit
from deltaprop.nn.layer import Layer
from deltaprop.nn.module import Module, Network, one_or_several


class CoreModule(CheckedInit, Module):
    """A module whose forward and backward passes run in the core."""

    def forward(self, x: Any, training: bool = True) -> Any:
        """Run the forward pass and keep all activations for `backward`.

        Parameters
        ----------
        x : array_like, shape (N, in_features) or (in_features,), or a tuple of them
            Copied. A tuple has one input for each branch of a `Concat` or `Heads`.
        training : bool, default True
            With False, run inference, as calling the network does.

        Returns
        -------
        ndarray, shape (N, out_features) or (out_features,), or a tuple of them
            A tuple if the network ends in `Heads`.

        Raises
        ------
        ValueError, TypeError
            As for calling the network.
        RuntimeError
            For a module inside another: only the outermost network can run a pass.
        """
        network = self._core_network("forward")
        inputs = one_or_several(x, self._shares_input())
        return network.forward(inputs) if training else network.infer(0, inputs)

    def backward(self, delta: Any) -> Any:
        """Run the backward pass, the delta recursion, of the last `forward`; add to the gradients.

        Each `forward` allows one `backward`.

        Parameters
        ----------
        delta : array_like, the shape of the output, or a tuple of them
            dJ/d(output), as returned by ``loss.delta(a, y)``.

        Returns
        -------
        ndarray, the shape of the input, or a tuple of them
            dJ/d(input).

        Raises
        ------
        RuntimeError
            Without a preceding `forward`, or for a module inside another.
        ValueError
            For a wrong shape.

        Notes
        -----
        For a Linear layer with input a: dJ/dw = a^T delta, dJ/db = the sum of delta's rows, and
        the previous layer gets delta w^T; an activation multiplies by f'. Deltas of a value that
        several layers read add up. Rumelhart, Hinton and Williams, "Learning representations by
        back-propagating errors", Nature 323 (1986).
        """
        network = self._core_network("backward")
        return network.backward(one_or_several(delta, self._has_heads(), "delta"))

    def _core_network(self, method: str) -> Network:
        """Return the core network of this module; RuntimeError if it is part of a larger one."""
        storage = self._storage()
        if storage.owned:
            raise RuntimeError(
                f"{self._title()}: expected {method} to be called on the network that it is part of"
            )
        return storage.network


class CoreLayer(CoreModule, Layer):
    """A layer that the core computes.

    Its arguments are read-only, since the core has a copy of them.
    """

    _signature: ClassVar[dict[str, inspect.Parameter]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Subclasses by users define neither, and may have other arguments.
        if {"_core_layer", "_function"} & cls.__dict__.keys():
            cls._signature = dict(inspect.signature(cls).parameters)
        if "forward" in cls.__dict__ or "backward" in cls.__dict__:
            raise TypeError(
                f"{cls.__name__}: expected a subclass of nn.Layer, where forward and backward are "
                f"written in Python, got one of a built-in layer, whose own they stay"
            )

    def _arguments(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return the constructor arguments that reproduce this layer."""
        # An argument with the name of a parameter, such as bias, says whether it exists.
        return {
            name: name in self._names if name in type(self)._names else getattr(self, name)
            for name in names
        }

    def _leave_out(self, *names: str) -> None:
        """Remove parameters: their attributes are None and cannot be set."""
        for name in names:
            self.__dict__.update({name: None, f"grad_{name}": None})
        self.__dict__["_names"] = tuple(name for name in self._names if name not in names)

    def __setattr__(self, name: str, value: Any) -> None:
        parameter = name.removeprefix("grad_")
        if parameter in type(self)._names and parameter not in self._names:
            raise AttributeError(f"{self!r} has no {parameter} to set")
        if name in self._signature and name in self.__dict__:
            raise AttributeError(f"{self!r}: expected a new layer for another {name}")
        super().__setattr__(name, value)

    def parameter(self, name: str, value: Any) -> None:
        """Raise TypeError: parameters cannot be added to a built-in layer."""
        raise TypeError(f"{self!r}: expected a layer written in Python, got a built-in one")

    def __repr__(self) -> str:
        return self._core_layer().describe()


class ConfiguredLayer(CoreLayer):
    """A layer whose ``repr`` is the constructor call that reproduces it."""

    def __repr__(self) -> str:
        # Required arguments and changed options; all options if none is required.
        values = self._arguments(tuple(self._signature))
        required = [name for name, p in self._signature.items() if p.default is p.empty]
        optional = [
            f"{name}={value!r}"
            for name, value in values.items()
            if name not in required and (not required or value != self._signature[name].default)
        ]
        arguments = [*(repr(values[name]) for name in required), *optional]
        return f"{type(self).__name__}({', '.join(arguments)})"
