"""What all optimizers share: groups of parameters with options, and a step."""

import numbers
from collections.abc import Iterable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar

from deltaprop import _core
from deltaprop.nn.parameter import Parameter

if TYPE_CHECKING:
    from deltaprop.optim.lr_scheduler import LRScheduler


class ParameterGroup(MutableMapping[str, Any]):
    """Parameters that share options; writing an option takes effect at the next step."""

    def __init__(self, optimizer: "Optimizer", index: int, params: list[Parameter]) -> None:
        self._optimizer = optimizer
        self._index = index
        self._params = params

    def __getitem__(self, key: str) -> Any:
        if key == "params":
            return self._params
        flat = self._optimizer._core.options(self._index)
        return self._optimizer._named(flat)[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self._optimizer._defaults:
            raise ValueError(
                f"{type(self._optimizer).__name__}: expected one of the options "
                f"{list(self._optimizer._defaults)}, got {key!r}"
            )
        options = {k: v for k, v in self.items() if k != "params"}
        self._optimizer._core.set_options(
            self._index, self._optimizer._flat({**options, key: value})
        )

    def __delitem__(self, key: str) -> None:
        raise TypeError("an option of a group cannot be removed, only changed")

    def __iter__(self) -> Iterator[str]:
        return iter(("params", *self._optimizer._defaults))

    def __len__(self) -> int:
        return 1 + len(self._optimizer._defaults)

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v}" for k, v in self.items() if k != "params")
        return f"ParameterGroup({len(self._params)} parameters, {options})"


class Optimizer:
    """Base of the optimizers: a step for all groups, one count of steps.

    Attributes
    ----------
    lr : float
        The learning rate of the first group; writing it sets that of every group.
    param_groups : list of ParameterGroup
        Mappings of option names to values, writable.
    """

    # Public options that hold several numbers of the core, by their count.
    _tuples: ClassVar[dict[str, int]] = {}

    _core: _core.Optimizer32 | _core.Optimizer64
    _schedule: "LRScheduler | None" = None

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self._defaults = defaults
        groups = _groups(type(self).__name__, params, defaults)
        network = _one_network(type(self).__name__, [p for g in groups for p in g["params"]])
        flat = [
            ([p._index for p in g["params"]], self._flat({k: g[k] for k in defaults}))
            for g in groups
        ]
        name = type(self).__name__
        # Two calls and not one, so that the kinds of network and optimizer go together.
        if isinstance(network, _core.Network32):
            self._core = _core.Optimizer32(name, network, flat)
        else:
            self._core = _core.Optimizer64(name, network, flat)
        self.param_groups = [ParameterGroup(self, i, g["params"]) for i, g in enumerate(groups)]

    def step(self) -> None:
        """Update the parameters once from their gradients.

        Raises
        ------
        RuntimeError
            Where another thread steps it or fits with it.
        """
        self._core.step()

    def zero_grad(self) -> None:
        """Set the gradients of its parameters to zero."""
        self._core.zero_grad()

    @property
    def lr(self) -> float:
        """The learning rate of the first group; setting it sets that of all groups."""
        return float(self.param_groups[0]["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        for group in self.param_groups:
            group["lr"] = value

    def __repr__(self) -> str:
        groups = "".join(f"\n  {group!r}" for group in self.param_groups)
        return f"{type(self).__name__}({groups}\n)"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(
            f"{type(self).__name__} cannot be copied: it belongs to its network's buffers; "
            f"make one for the copied network's parameters()"
        )

    def _flat(self, options: dict[str, Any]) -> list[float]:
        """Return the options as the core's list of numbers."""
        flat: list[float] = []
        for name, value in options.items():
            count = self._tuples.get(name)
            what = f"{type(self).__name__}: expected {count or 'a'} number{'s' * bool(count)}"
            many = isinstance(value, Iterable)
            values = tuple(value) if many else (value,)
            if many != (count is not None) or not all(isinstance(v, numbers.Real) for v in values):
                raise TypeError(f"{what} for {name}, got {value!r}")
            try:
                flat += [float(v) for v in values]
            except OverflowError:
                raise ValueError(f"{what} for {name} that a float holds, got more") from None
            if len(values) != (count or 1):
                raise ValueError(f"{what} for {name}, got {value!r}")
        return flat

    def _named(self, flat: list[float]) -> dict[str, Any]:
        """Return the core's list of numbers as options."""
        options: dict[str, Any] = {}
        numbers = iter(flat)
        for name, default in self._defaults.items():
            if name in self._tuples:
                options[name] = tuple(next(numbers) for _ in default)
            else:
                value = next(numbers)
                options[name] = bool(value) if isinstance(default, bool) else value
        return options


def _groups(name: str, params: Iterable[Any], defaults: dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(params, Parameter) or not isinstance(params, Iterable):
        raise TypeError(
            f"{name}: expected net.parameters() or a list of groups, got {type(params).__name__}"
        )
    items = list(params)
    if not any(isinstance(item, dict) for item in items):
        items = [{"params": items}]
    groups = []
    for item in items:
        if not isinstance(item, dict) or "params" not in item:
            raise TypeError(f"{name}: expected groups with the key 'params', got {item!r}")
        unknown = [key for key in item if key != "params" and key not in defaults]
        if unknown:
            raise ValueError(f"{name}: expected the options {list(defaults)}, got {unknown}")
        members = item["params"]
        if not isinstance(members, Parameter | Iterable):
            raise TypeError(f"{name}: expected 'params' to be parameters, got {members!r}")
        members = [members] if isinstance(members, Parameter) else list(members)
        for member in members:
            if not isinstance(member, Parameter):
                raise TypeError(
                    f"{name}: expected parameters as net.parameters() gives them, "
                    f"got {type(member).__name__}"
                )
        groups.append({**defaults, **item, "params": members})
    return groups


def _one_network(name: str, params: list[Parameter]) -> "_core.Network32 | _core.Network64":
    if not params:
        raise ValueError(f"{name}: expected one parameter or more, got none")
    network = params[0]._network
    if any(p._network is not network for p in params):
        raise ValueError(f"{name}: expected parameters of one network, got those of several")
    return network
