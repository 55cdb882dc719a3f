"""Containers: base class, residual blocks, parallel branches."""

from collections.abc import Iterator
from typing import Any, ClassVar

from deltaprop import _core
from deltaprop._arrays import Array
from deltaprop.nn.core_module import CoreModule
from deltaprop.nn.module import Leaf, Module, Storage, _build_lock, build_alone, owner_of


class Container(CoreModule):
    """Base class of modules that contain modules, such as `Sequential`.

    Attributes
    ----------
    activations, deltas : list of ndarray
        Output of each child module, and dJ/d(that output), after the last calls of `forward` and
        `backward`. Read-only; the next pass overwrites them. Tuples for a child with `Heads`.
    """

    _kind: ClassVar[str]
    _modules: tuple[Module, ...] = ()
    _materialized = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("forward", "backward", "__call__"):
            if getattr(cls, name) is not getattr(CoreModule, name):
                raise TypeError(
                    f"{cls.__name__}: expected {name} to be {cls._kind}'s, which fit runs without; "
                    f"write a subclass of nn.Layer instead"
                )

    def __init__(self, *modules: Module) -> None:
        if self._modules:
            raise RuntimeError(f"{self._kind}: expected __init__ to be called once")
        seen: set[int] = set()
        for i, module in enumerate(modules):
            self._check(i, module, seen)
        self._modules = modules
        self._block()  # raises if widths do not match

    @property
    def activations(self) -> list[Any]:
        """Output of each module in the last `forward`, read-only.

        Raises
        ------
        RuntimeError
            If `forward` has not been called.
        """
        blocks = self._storage().network.activations()
        return [blocks[place.block] for place in self._places()]

    @property
    def deltas(self) -> list[Any]:
        """dJ/d(output of each module) of the last `backward`, read-only.

        Raises
        ------
        RuntimeError
            If `backward` has not been called after the last `forward`.
        """
        blocks = self._storage().network.deltas()
        return [blocks[place.block] for place in self._places()]

    def __len__(self) -> int:
        return len(self._modules)

    # Any: the type of an item depends on the arguments of the constructor.
    def __getitem__(self, i: int) -> Any:
        if isinstance(i, slice):
            raise TypeError(f"{self._kind}: expected the number of a layer, got a slice")
        return self._modules[i]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules)

    def __repr__(self) -> str:
        lines = []
        for i, module in enumerate(self._modules):
            first, *rest = repr(module).split("\n")
            lines += [f"\n  ({i}): {first}", *(f"\n  {line}" for line in rest)]
        return f"{type(self).__name__}({''.join(lines)}\n)"

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_stored", "_materialized")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _materialized=False)

    def _block(self) -> _core.Block:
        blocks = []
        for module in self._modules:
            blocks.append(module._block())
        return _core.Block(self._kind, blocks)

    def _children(self) -> tuple[Module, ...]:
        return self._modules

    def _title(self) -> str:
        return self._kind

    def _shares_input(self) -> bool:
        return self._modules[0]._shares_input()

    def _has_heads(self) -> bool:
        return self._modules[-1]._has_heads()

    def _state(self) -> dict[str, Array]:
        self._storage()
        views = {}
        for i, module in enumerate(self._modules):
            for name, view in module._state().items():
                views[f"{i}.{name}"] = view
        return views

    def _leaves(self) -> list[Leaf]:
        leaves: list[Leaf] = []
        for module in self._modules:
            leaves += module._leaves()
        return leaves

    def _storage(self) -> Storage:
        if self._materialized and self._stored is not None:
            return self._stored
        with _build_lock:
            if self._stored is None:
                build_alone(self)
            if not self._materialized:
                for leaf in self._leaves():
                    leaf._materialized = True
                self._materialized = True
            assert self._stored is not None
            return self._stored

    def _places(self) -> list[Storage]:
        return [module._stored for module in self._modules if module._stored is not None]

    def _check(self, i: int, module: Any, seen: set[int]) -> None:
        """Raise if a module cannot be a child; adds its layers to `seen`."""
        if isinstance(module, type):
            raise TypeError(
                f"{self._kind}: expected layers, got the class {module.__name__} at {i}"
            )
        if not isinstance(module, Module) or module is self:
            got = "itself" if module is self else type(module).__name__
            raise TypeError(f"{self._kind}: expected layers, got {got} at {i}")
        layers = {id(leaf) for leaf in module._leaves()}
        if layers & seen:
            raise ValueError(
                f"{self._kind}: expected each layer once, got layer {i}, {module._title()}, twice"
            )
        seen |= layers
        other = owner_of(module)
        if other is not None:
            raise ValueError(
                f"{self._kind}: expected layers without a network, got layer {i}, "
                f"{other._title()}, of another"
            )


class Residual(Container):
    """Layers in sequence with a skip connection: y = x + f(x).

    Parameters
    ----------
    *layers : Layer or other module
        One or more; the output of the last must be as wide as the input of the first.

    Raises
    ------
    TypeError
        If an item is not a layer.
    ValueError
        If widths do not match, or a layer is listed twice or part of a network.

    Notes
    -----
    Formula: y = x + f(x), f the layers one after the other
    Derivative: dJ/dx = delta + the delta that comes back through f
    Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition" (2016),
    equation 1

    Parameters are named as in `Sequential`, and so as in a PyTorch module that derives from
    ``torch.nn.Sequential`` and adds its input.

    Examples
    --------
    >>> import numpy as np
    >>> from deltaprop import nn
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.Residual(nn.Linear(8, 8), nn.ReLU()), seed=0)
    >>> net(np.ones((2, 4))).shape
    (2, 8)
    """

    _kind = "Residual"

    def __init__(self, *layers: Module) -> None:
        super().__init__(*layers)

    def _shares_input(self) -> bool:
        return False


class Concat(Container):
    """Parallel branches with concatenated outputs: y = (f_0(x), f_1(x), ...).

    Parameters
    ----------
    *branches : Layer or other module
        One or more. If the input is a tuple, branch i takes ``x[i]``; else each branch takes x.

    Raises
    ------
    TypeError
        If an item is not a layer.
    ValueError
        If a branch has several outputs, or a layer is listed twice or part of a network.

    Notes
    -----
    Formula: y = (f_0(x), f_1(x), ...), joined along the features; f_i(x_i) where x is a tuple
    Derivative: dJ/dx = the sum over i of what comes back through f_i of its columns of delta
    Source: torch.cat along the features; Keras, keras.layers.Concatenate

    Parameters of branch i are named ``"i...."``.

    Examples
    --------
    >>> import numpy as np
    >>> from deltaprop import nn
    >>> net = nn.Sequential(nn.Concat(nn.Linear(4, 8), nn.Linear(2, 3)), nn.Linear(11, 1), seed=0)
    >>> net((np.ones((5, 4)), np.ones((5, 2)))).shape
    (5, 1)
    """

    _kind = "Concat"

    def __init__(self, *branches: Module) -> None:
        super().__init__(*branches)

    def _shares_input(self) -> bool:
        return True

    def _has_heads(self) -> bool:
        return False


class Heads(Container):
    """Parallel branches with separate outputs: y = (f_0(x), f_1(x), ...), a tuple.

    Parameters
    ----------
    *branches : Layer or other module
        Two or more. If the input is a tuple, branch i takes ``x[i]``; else each branch takes x.

    Raises
    ------
    TypeError
        If an item is not a layer.
    ValueError
        For fewer than two branches, or if a branch has several outputs, or a layer is listed twice
        or part of a network.

    Notes
    -----
    Formula: y = (f_0(x), f_1(x), ...), a tuple; f_i(x_i) where x is a tuple
    Derivative: dJ/dx = the sum over i of what comes back through f_i of delta_i
    Source: Caruana, "Multitask learning" (1997); Keras's networks of several outputs

    `fit` then takes tuples as y and loss, with one item per head.

    Examples
    --------
    >>> import numpy as np
    >>> from deltaprop import nn
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.Heads(nn.Linear(8, 1), nn.Linear(8, 3)), seed=0)
    >>> [a.shape for a in net(np.ones((5, 4)))]
    [(5, 1), (5, 3)]
    """

    _kind = "Heads"

    def __init__(self, *branches: Module) -> None:
        super().__init__(*branches)

    def _shares_input(self) -> bool:
        return True

    def _has_heads(self) -> bool:
        return True
