"""The base class of layers: storage of parameters, and layers written in Python."""

from typing import Any, ClassVar

import numpy as np

from deltaprop import _core
from deltaprop._arrays import Array, as_array, as_count
from deltaprop.nn.module import Leaf, Storage, _build_lock, build_alone
from deltaprop.nn.parameter import write


class Layer(Leaf):
    """Base class of layers. Subclass it to write a layer in Python.

    A subclass defines `forward(x, training)`, which takes an array (N, in) and returns (N, out),
    and `backward(delta)`, which takes dJ/d(output), (N, out), adds to the gradients of its
    parameters and returns dJ/d(input), (N, in). Both receive copies in the network's dtype of the
    whole batch. With ``training=False`` `forward` must not modify ``self``: inference may run in
    several threads.

    Attributes
    ----------
    in_features, out_features : int or None
        Widths of input and output. None, the default: any input width, the same output width.

    Examples
    --------
    >>> import numpy as np
    >>> from deltaprop import nn
    >>> class Scale(nn.Layer):
    ...     def __init__(self):
    ...         self.parameter("factor", np.ones(1))
    ...     def forward(self, x, training):
    ...         if training:
    ...             self.x = x
    ...         return x * self.factor
    ...     def backward(self, delta):
    ...         self.grad_factor += (delta * self.x).sum()
    ...         return delta * self.factor
    >>> net = nn.Sequential(nn.Linear(2, 3), Scale())
    """

    in_features: int | None = None
    out_features: int | None = None

    # Initial values; None: drawn from the network's seed.
    _initial: dict[str, Array] | None = None
    # Names of a built-in layer's parameters and buffers.
    _names: ClassVar[tuple[str, ...]] = ()
    _buffer_names: ClassVar[tuple[str, ...]] = ()

    def forward(self, x: Any, training: bool = True) -> Array:
        """Return the layer's output; see the class docstring."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method forward(x, training)")

    def backward(self, delta: Any) -> Array:
        """Return dJ/d(input) for dJ/d(output) and add to the gradients; see the class docstring."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method backward(delta)")

    def parameter(self, name: str, value: Any) -> None:
        """Declare a parameter of a layer written in Python.

        Its value is ``self.<name>`` and its gradient ``self.grad_<name>``: writable views into the
        network's flat buffers, which optimizers, `check_gradients` and `state_dict` use.

        Parameters
        ----------
        name : str
        value : array_like
            The initial value, of any shape.

        Raises
        ------
        ValueError
            If the name is in use or not an identifier, or the layer is already part of a network.
        """
        initial = self._values()
        if self._stored is not None and self._stored.owned:
            raise ValueError(
                f"{self!r}: expected parameters to be declared before it joins a network"
            )
        names = {n for known in initial for n in (known, f"grad_{known}")}
        in_use = names | self.__dict__.keys() | set(dir(type(self)))
        if not name.isidentifier() or {name, f"grad_{name}"} & in_use:
            raise ValueError(f"{type(self).__name__}: expected a new name, got {name!r}")
        array = np.array(as_array(value, name))
        self.__dict__["_stored"] = None  # built before this declaration, it lacks the parameter
        self.__dict__["_initial"] = {**initial, name: array}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def _block(self) -> _core.Block:
        return _core.Block(self._core_layer())

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

    def _storage(self) -> Storage:
        if self._materialized and self._stored is not None:
            return self._stored
        # A layer outside a network gets one of its own.
        with _build_lock:
            if self._stored is None:
                build_alone(self)
            self.__dict__["_materialized"] = True
            assert self._stored is not None
            return self._stored

    def _values(self) -> dict[str, Array]:
        if self._stored is not None and self._materialized:
            return self.state_dict()
        return dict(self._initial or {})

    def _all_names(self) -> tuple[str, ...]:
        return self._names or tuple(self._initial or ())

    def _view(self, name: str) -> Array | None:
        """Return the parameter, gradient or buffer of this name; None if there is none."""
        if name in self._all_names():
            storage = self._storage()
            return storage.network.value(storage.parameters[name])
        if name.startswith("grad_") and name[5:] in self._all_names():
            storage = self._storage()
            return storage.network.grad(storage.parameters[name[5:]])
        if name in self._buffer_names:
            storage = self._storage()
            return storage.network.buffer(storage.buffers[name])
        return None

    def __getattr__(self, name: str) -> Any:
        view = None if name.startswith("__") else self._view(name)
        if view is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return view

    def __setattr__(self, name: str, value: Any) -> None:
        view = self._view(name)
        if view is None:
            super().__setattr__(name, value)
        elif not _same_memory(view, value):  # `self.grad_w += ...` has already written in place
            with self._storage().network.access("write"):
                write(view, value, name)

    def __dir__(self) -> list[str]:
        names = self._all_names()
        gradients = (f"grad_{name}" for name in names)
        return [*super().__dir__(), *names, *gradients, *self._buffer_names]

    def __getstate__(self) -> dict[str, Any]:
        # A copied or unpickled layer is not part of a network; it keeps its values.
        state = {k: v for k, v in self.__dict__.items() if k not in ("_stored", "_materialized")}
        if self._stored is not None:
            state["_initial"] = self.state_dict()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _same_memory(a: Array, b: Any) -> bool:
    return (
        isinstance(b, np.ndarray)
        and (a.shape, a.strides) == (b.shape, b.strides)
        and a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
    )
