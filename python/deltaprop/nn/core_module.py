"""Modules whose arithmetic is in the core."""

import inspect
from typing import Any, ClassVar

from deltaprop._checked_init import CheckedInit
from deltaprop.nn.layer import Layer
from deltaprop.nn.module import Module, Network, one_or_several


class CoreModule(CheckedInit, Module):
    """A module whose passes are the core's."""

    def forward(self, x: Any, training: bool = True) -> Any:
        """Run the training pass: keeps every activation for `backward`.

        Parameters
        ----------
        x : array_like, shape (N, in_features) or (in_features,), or a tuple of them
            Copied. A tuple gives each branch of a `Concat` or `Heads` an input of its own.
        training : bool, default True
            False is the same as calling the network: inference.

        Returns
        -------
        ndarray, shape (N, out_features) or (out_features,), or a tuple of them
            A tuple where the network ends in `Heads`.

        Raises
        ------
        ValueError, TypeError
            As for calling the network.
        RuntimeError
            For a module inside another: the whole network has one pass.
        """
        network = self._core_network("forward")
        given = one_or_several(x, self._shares_input())
        return network.forward(given) if training else network.infer(0, given)

    def backward(self, delta: Any) -> Any:
        """Run the delta recursion; adds to the gradients and consumes the pass.

        Parameters
        ----------
        delta : array_like, the shape of the output, or a tuple of them
            dJ/d(output), as ``loss.delta(a, y)`` gives it.

        Returns
        -------
        ndarray, the shape of the input, or a tuple of them
            dJ/d(input).

        Raises
        ------
        RuntimeError
            Without a fresh `forward`, or for a module inside another.
        ValueError
            For a wrong shape.

        Notes
        -----
        For a Linear layer l with input a: dJ/dw = a^T delta, dJ/db = the sum of delta's rows, and
        delta w^T goes on to the layer before; an activation multiplies by f'. Where a value is read
        by several layers their deltas add. Rumelhart, Hinton and Williams, "Learning
        representations by back-propagating errors", Nature 323 (1986).
        """
        network = self._core_network("backward")
        return network.backward(one_or_several(delta, self._has_heads(), "delta"))

    def _core_network(self, method: str) -> Network:
        """Return the core network that is this module and nothing else."""
        place = self._storage()
        if place.owned:
            raise RuntimeError(
                f"{self._title()}: expected {method} to be called on the network that it is part of"
            )
        return place.network


class CoreLayer(CoreModule, Layer):
    """A layer whose arithmetic is in the core.

    Its arguments stay as they are, since the core has its own copy of them.
    """

    _signature: ClassVar[dict[str, inspect.Parameter]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Else it is a user's, whose arguments may be others.
        if {"_core_layer", "_function"} & cls.__dict__.keys():
            cls._signature = dict(inspect.signature(cls).parameters)
        if "forward" in cls.__dict__ or "backward" in cls.__dict__:
            raise TypeError(
                f"{cls.__name__}: expected a subclass of nn.Layer, where forward and backward are "
                f"written in Python, got one of a built-in layer, whose own they stay"
            )

    def _arguments(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return the arguments that make a layer like this one."""
        # One with a parameter's name says whether there is such a parameter.
        return {
            name: name in self._names if name in type(self)._names else getattr(self, name)
            for name in names
        }

    def _leave_out(self, *names: str) -> None:
        """Do without some of the parameters: they are None, and stay so."""
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
        """Refuse: the parameters of a built-in layer are its own."""
        raise TypeError(f"{self!r}: expected a layer written in Python, got a built-in one")

    def __repr__(self) -> str:
        return self._core_layer().describe()


class ConfiguredLayer(CoreLayer):
    """A layer that writes itself as the call that makes it."""

    def __repr__(self) -> str:
        # What must be given, and what was given beside; where nothing must, everything.
        values = self._arguments(tuple(self._signature))
        needed = [name for name, p in self._signature.items() if p.default is p.empty]
        others = [
            f"{name}={value!r}"
            for name, value in values.items()
            if name not in needed and (not needed or value != self._signature[name].default)
        ]
        return f"{type(self).__name__}({', '.join([*(repr(values[n]) for n in needed), *others])})"
