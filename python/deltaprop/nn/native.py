"""Layers whose arithmetic is in the core."""

from typing import Any

from deltaprop._arrays import Array, as_array
from deltaprop.nn.layer import Layer, Place


class NativeLayer(Layer):
    """A layer whose arithmetic is in the core."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "forward" in cls.__dict__ or "backward" in cls.__dict__:
            raise TypeError(
                f"{cls.__name__}: expected a subclass of nn.Layer, where forward and backward are "
                f"written in Python, got one of a built-in layer, whose own they stay"
            )

    def parameter(self, name: str, value: Any) -> None:
        """Refuse: the parameters of a built-in layer are its own."""
        raise TypeError(f"{self!r}: expected a layer written in Python, got a built-in one")

    def forward(self, x: Any, training: bool = True) -> Array:
        """Run a layer that stands alone and keep what `backward` needs.

        Parameters
        ----------
        x : array_like, shape (N, in_features) or (in_features,)
        training : bool, default True
            False is inference, which keeps nothing.

        Returns
        -------
        ndarray, shape (N, out_features) or (out_features,)
        """
        place = self._alone("forward")
        x = as_array(x, "x")
        return place.network.forward(x) if training else place.network.infer(x)

    def backward(self, delta: Any) -> Array:
        """Take dJ/d(output) back through a layer that stands alone, adding to its gradients.

        Parameters
        ----------
        delta : array_like, the shape of the output

        Returns
        -------
        ndarray, the shape of the input
            dJ/d(input).
        """
        return self._alone("backward").network.backward(as_array(delta, "delta"))

    def _alone(self, method: str) -> Place:
        place = self._home()
        if place.owned:
            raise RuntimeError(
                f"{self!r}: expected {method} to be called on the network that the layer is part of"
            )
        return place

    def __repr__(self) -> str:
        return self._core_layer().describe()
