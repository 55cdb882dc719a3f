"""Parameters: named views into a network's flat buffers."""

from typing import Any

from deltaprop import _core
from deltaprop._arrays import Array, as_array


def write(view: Array, value: Any, name: str) -> None:
    """Write an array of the view's shape, or a number, into it; ValueError for other shapes."""
    value = as_array(value, name)
    if value.shape not in ((), view.shape):
        raise ValueError(f"{name}: expected shape {view.shape} or a number, got {value.shape}")
    view[...] = value


class Parameter:
    """One parameter of a network: a name, its value and its gradient.

    Attributes
    ----------
    name : str
        The name in PyTorch's ``nn.Sequential``, such as ``"0.weight"``.
    value, grad : ndarray
        Writable views into the network's flat buffers. The weight of a Linear layer, of shape
        (out_features, in_features), is a transposed view of the stored array.
    """

    __slots__ = ("_index", "_network", "name")

    def __init__(self, network: "_core.Network32 | _core.Network64", index: int, name: str) -> None:
        self._network = network
        self._index = index
        self.name = name

    @property
    def value(self) -> Array:
        """The value, a writable view."""
        return self._network.value(self._index)

    @value.setter
    def value(self, value: Array) -> None:
        with self._network.access("write"):
            write(self.value, value, self.name)

    @property
    def grad(self) -> Array:
        """The gradient, a writable view."""
        return self._network.grad(self._index)

    @grad.setter
    def grad(self, value: Array) -> None:
        with self._network.access("write"):
            write(self.grad, value, self.name)

    def __repr__(self) -> str:
        return f"Parameter({self.name!r}, shape={self.value.shape})"
