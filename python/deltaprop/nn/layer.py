"""The base of all layers: where a layer's numbers live, and how one is written in Python."""

import secrets
import threading
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from deltaprop import _core
from deltaprop._arrays import Array, as_array, as_count
from deltaprop.nn.module import Module
from deltaprop.nn.parameter import Parameter, write

Network = _core.Network32 | _core.Network64

# Two threads that are the first to use a layer must make one network between them.
_making = threading.RLock()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer's numbers live."""

    network: Network
    index: int
    parameters: dict[str, int]  # by the layer's own name, the place in the network's list
    owned: bool  # by a network, and not by the layer itself


def places(network: Network, count: int, owned: bool) -> list[Place]:
    """Return the place of each of the first `count` layers of a core network."""
    by_layer: list[dict[str, int]] = [{} for _ in range(count)]
    for i, (layer, name) in enumerate(network.parameters):
        by_layer[layer][name.partition(".")[2]] = i
    return [Place(network, i, names, owned) for i, names in enumerate(by_layer)]


class Layer(Module):
    """Base class of layers. Subclass it to write one in Python.

    A subclass gives `forward(x, training)`, which takes an array (N, in) and returns (N, out), and
    `backward(delta)`, which takes dJ/d(output), (N, out), adds to the gradients of its parameters
    and returns dJ/d(input), (N, in). Both get copies in the network's dtype, the whole batch at
    once. With ``training=False`` `forward` must change nothing in ``self``: inference may run in
    several threads.

    Attributes
    ----------
    in_features, out_features : int or None
        Widths of input and output. None, the default: any input, and an output as wide as it.

    Examples
    --------
    >>> import numpy as np
    >>> from deltaprop import nn
    >>> class Scale(nn.Layer):
    ...     def __init__(self):
    ...         self.parameter("factor", np.ones(1))
    ...     def forward(self, x, training):
    ...         self.x = x if training else None
    ...         return x * self.factor
    ...     def backward(self, delta):
    ...         self.grad_factor += (delta * self.x).sum()
    ...         return delta * self.factor
    >>> net = nn.Sequential(nn.Linear(2, 3), Scale())
    """

    in_features: int | None = None
    out_features: int | None = None

    _place: Place | None = None
    # Values to start from; None where the network's seed decides.
    _initial: dict[str, Array] | None = None
    _names: ClassVar[tuple[str, ...]] = ()

    def forward(self, x: Any, training: bool = True) -> Array:
        """Return the layer's output; see the class."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method forward(x, training)")

    def backward(self, delta: Any) -> Array:
        """Return dJ/d(input) for dJ/d(output) and add to the gradients; see the class."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method backward(delta)")

    def parameter(self, name: str, value: Any) -> None:
        """Declare a parameter of a layer written in Python.

        It then is ``self.<name>`` and its gradient ``self.grad_<name>``: writable arrays in the
        network's flat buffers, so that optimizers, `check_gradients` and `state_dict` know it.

        Parameters
        ----------
        name : str
        value : array_like
            Its initial value, of any shape.

        Raises
        ------
        ValueError
            Where the name is taken or not an identifier, or the layer is in a network already.
        """
        initial = self._values()
        if self._place is not None and self._place.owned:
            raise ValueError(
                f"{self!r}: expected parameters to be declared before it joins a network"
            )
        names = {n for known in initial for n in (known, f"grad_{known}")}
        taken = names | self.__dict__.keys() | set(dir(type(self)))
        if not name.isidentifier() or {name, f"grad_{name}"} & taken:
            raise ValueError(f"{type(self).__name__}: expected a new name, got {name!r}")
        array = np.array(as_array(value, name))
        self.__dict__["_place"] = None
        self.__dict__["_initial"] = {**initial, name: array}

    def parameters(self) -> list[Parameter]:
        """Return the layer's parameters; they are named within the layer ("weight").

        Returns
        -------
        list of Parameter
        """
        place = self._home()
        return [Parameter(place.network, i, name) for name, i in place.parameters.items()]

    def __call__(self, x: Any) -> Array:
        """Return the layer's output in inference: (N, in) gives (N, out), (in,) gives (out,)."""
        place = self._home()
        return place.network.infer_layer(place.index, as_array(x, "x"))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def _core_layer(self) -> _core.Layer:
        def width(name: str) -> int:
            value = getattr(self, name)
            return -1 if value is None else as_count(value, f"{type(self).__name__}: {name}", 1)

        return _core.PythonLayer(
            self,
            type(self).__name__,
            width("in_features"),
            width("out_features"),
            [(name, list(value.shape)) for name, value in (self._initial or {}).items()],
        )

    def _home(self) -> Place:
        """Return where the numbers live: in a network of its own, if it has joined no other."""
        with _making:
            place = self._place
            if place is None:
                double = any(v.dtype == np.float64 for v in (self._initial or {}).values())
                network = (_core.Network64 if double else _core.Network32)(
                    [self._core_layer()], secrets.randbits(64)
                )
                place = places(network, 1, owned=False)[0]
                self._settle(place, self._initial)
        return place

    def _settle(self, place: Place, values: dict[str, Array] | None) -> None:
        for name, value in (values or {}).items():
            place.network.value(place.parameters[name])[...] = value
        self.__dict__["_place"] = place

    def _values(self) -> dict[str, Array]:
        """Return copies of the values it has, if any were given or looked at yet."""
        if self._place is None:
            return dict(self._initial or {})
        return self.state_dict()

    def _find(self, name: str) -> Array | None:
        names = self._names or tuple(self._initial or ())
        if name in names:
            place = self._home()
            return place.network.value(place.parameters[name])
        if name.startswith("grad_") and name[5:] in names:
            place = self._home()
            return place.network.grad(place.parameters[name[5:]])
        return None

    def __getattr__(self, name: str) -> Any:
        view = None if name.startswith("__") else self._find(name)
        if view is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return view

    def __setattr__(self, name: str, value: Any) -> None:
        view = self._find(name)
        if view is None:
            super().__setattr__(name, value)
        elif not _same_memory(view, value):  # `self.grad_w += ...` has written already
            self._home().network.check_idle()
            write(view, value, name)

    def __dir__(self) -> list[str]:
        names = self._names or tuple(self._initial or ())
        return [*super().__dir__(), *names, *(f"grad_{name}" for name in names)]

    def __getstate__(self) -> dict[str, Any]:
        # A copied or unpickled layer belongs to no network; it takes its values along.
        state = {k: v for k, v in self.__dict__.items() if k != "_place"}
        if self._place is not None or self._initial is not None:
            state["_initial"] = self._values()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _same_memory(a: Array, b: Any) -> bool:
    return (
        isinstance(b, np.ndarray)
        and (a.shape, a.strides) == (b.shape, b.strides)
        and a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
    )
