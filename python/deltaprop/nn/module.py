"""What layers and networks share."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

from deltaprop._arrays import Array, as_array
from deltaprop.nn.parameter import Parameter


@contextmanager
def unchanged(parameters: list[Parameter]) -> Iterator[None]:
    """Raise RuntimeError where `fit` runs in another thread before or after what is copied."""
    networks = [p._network for p in parameters[:1]]
    for network in networks:
        network.check_idle()
    yield
    for network in networks:
        network.check_idle()


class Module:
    """Something with parameters: a layer or a network."""

    def parameters(self) -> list[Parameter]:
        """Return the parameters, in the order of the flat buffers.

        Returns
        -------
        list of Parameter
        """
        raise NotImplementedError

    def state_dict(self) -> dict[str, Array]:
        """Return a copy of every parameter by name.

        Returns
        -------
        dict of str to ndarray
            C-contiguous; a weight is (out_features, in_features), as PyTorch's.

        Raises
        ------
        RuntimeError
            While `fit` runs in another thread.
        """
        parameters = self.parameters()
        with unchanged(parameters):
            return {p.name: np.array(p.value, order="C") for p in parameters}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Write parameters by name; all of them or, on an error, none.

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
        own = {p.name: p for p in self.parameters()}
        missing = [name for name in own if name not in state]
        unknown = [name for name in state if name not in own]
        if missing or unknown:
            raise ValueError(
                f"load_state_dict: expected the names of this network's parameters, "
                f"got missing {missing} and unknown {unknown}"
            )
        arrays = {name: as_array(state[name], f"state_dict[{name!r}]") for name in own}
        for name, parameter in own.items():
            if arrays[name].shape != parameter.value.shape:
                raise ValueError(
                    f"load_state_dict: expected {name!r} of shape {parameter.value.shape}, "
                    f"got {arrays[name].shape}"
                )
        # Converted first: where that raises, nothing is written yet.
        arrays = {name: arrays[name].astype(p.value.dtype) for name, p in own.items()}
        for name, parameter in own.items():
            parameter.value = arrays[name]

    def zero_grad(self) -> None:
        """Set every gradient to zero."""
        for parameter in self.parameters():
            parameter._network.check_idle()
            parameter.grad[...] = 0

    def __copy__(self) -> Self:
        # Two objects cannot own one buffer: a copy is always a whole one.
        return copy.deepcopy(self)
