"""Parameters: named places in a network's flat buffers."""

from typing import Any

from deltaprop import _core
from deltaprop._arrays import Array, as_array


def write(view: Array, value: Any, name: str) -> None:
    """Write an array of the view's shape, or one number, into it; ValueError for other shapes."""
    value = as_array(value, name)
    if value.shape not in ((), view.shape):
        raise ValueError(f"{name}: expected shape {view.shape} or a number, got {value.shape}")
    view[...] = value


class Parameter:
    """One parameter of a network: a name, its value and its gradient.

    Attributes
    ----------
    name : str
        As PyTorch's ``nn.Sequential`` names it: ``"0.weight"``.
    value, grad : ndarray
        Writable views into the network's flat buffers. A Linear layer's weight has the shape
        (out_features, in_features) and is the transposed view of what is stored.
    """

    __slots__ = ("_index", "_network", "name")

    def __init__(self, network: "_core.Network32 | _core.Network64", index: int, name: str) -> None:
        self._network = network
        self._index = index
        self.name = name

    @property
    def value(self) -> Array:
        """The parameter itself, a writable view."""
        return self._network.value(self._index)

    @value.setter
    def value(self, value: Array) -> None:
        with self._network.access("write"):
            write(self.value, value, self.name)

    @property
    def grad(self) -> Array:
        """Its gradient, a writable view."""
        return self._network.grad(self._index)

    @grad.setter
    def grad(self, value: Array) -> None:
        with self._network.access("write"):
            write(self.grad, value, self.name)

    def __repr__(self) -> str:
        return f"Parameter({self.name!r}, shape={self.value.shape})"
