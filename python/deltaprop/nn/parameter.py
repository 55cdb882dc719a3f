"""Parameters: named places in a network's flat buffers."""

from deltaprop import _core
from deltaprop._arrays import Array


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
        self.value[...] = value

    @property
    def grad(self) -> Array:
        """Its gradient, a writable view."""
        return self._network.grad(self._index)

    @grad.setter
    def grad(self, value: Array) -> None:
        self.grad[...] = value

    def __repr__(self) -> str:
        return f"Parameter({self.name!r}, shape={self.value.shape})"
