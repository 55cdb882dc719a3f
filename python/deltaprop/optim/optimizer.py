"""What all optimizers share: groups of parameters with options, and a step."""

import itertools
import math
import numbers
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TypedDict

import numpy as np

from deltaprop import _core
from deltaprop._arrays import Array
from deltaprop._checked_init import CheckedInit
from deltaprop._core import Option
from deltaprop.nn.parameter import Parameter
from deltaprop.optim import _state


class CommonOptions(TypedDict, total=False):
    """The options of every optimizer, as `Optimizer` describes them."""

    maximize: bool
    l1: float
    l2: float
    max_norm: float | None
    nonnegative: bool
    clip_norm: float | None
    clip_value: float | None
    ema_decay: float | None


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


class Optimizer(CheckedInit):
    """Base of the optimizers: groups, a step, and the options that every optimizer has.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``net.parameters()``, or groups ``{"params": [...], "lr": ...}`` with options of their own.
    options : dict
        The options of the rule and their defaults.
    maximize : bool, default False
        Ascend instead of descend.
    l1, l2 : float, default 0
        Penalties: the gradient grows by ``l2 p + l1 sign(p)``. The loss does not contain them.
    max_norm : float, optional
        The norm of each unit's incoming weights, a row of an (out, in) weight, is kept at this or
        below, as ``torch.renorm`` does it. Parameters of other than two dimensions are left alone.
    nonnegative : bool, default False
        What an update makes negative becomes 0.
    clip_norm : float, optional
        Gradients are scaled so that the norm of all of them together is at most this, as
        ``torch.nn.utils.clip_grad_norm_`` does it.
    clip_value : float, optional
        Each element of a gradient is put between ``-clip_value`` and ``clip_value``.
    ema_decay : float, optional
        Keep averages of the parameters, ``average <- ema_decay average + (1 - ema_decay) p``, begun
        with the values after the first step; `averaged` shows them to the network.

    Attributes
    ----------
    lr : float
        The learning rate of the first group; writing it sets that of every group. A schedule that
        is attached overwrites it at its next count.
    param_groups : list of ParameterGroup
        Mappings of option names to values, writable. `maximize`, `l1`, `l2`, `max_norm` and
        `nonnegative` can differ between groups.
    clip_norm, clip_value, ema_decay : float or None
        Of the whole optimizer, writable.

    Raises
    ------
    ValueError
        For an option out of range, a parameter listed twice or of another network.
    TypeError
        For what are not parameters, and options of another kind.

    Notes
    -----
    A step applies penalties, clipping, the rule with its weight decay, constraints and averages, in
    this order. The gradients themselves stay as they are.
    """

    # A schedule that is attached, with state_dict() and load_state_dict().
    _schedule: Any = None

    _core: _core.Optimizer32 | _core.Optimizer64

    def __init__(
        self,
        params: Iterable[Any],
        options: dict[str, Any],
        *,
        maximize: bool = False,
        l1: float = 0.0,
        l2: float = 0.0,
        max_norm: float | None = None,
        nonnegative: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        ema_decay: float | None = None,
    ) -> None:
        given = {**locals(), **options}
        self._defaults = defaults = {name: given[name] for name in self._described}
        name = type(self).__name__
        groups = _groups(name, params, defaults)
        network = _one_network(name, [p for g in groups for p in g["params"]])
        flat = [
            ([p._index for p in g["params"]], self._flat({k: g[k] for k in defaults}))
            for g in groups
        ]
        # Two calls and not one, so that the kinds of network and optimizer go together.
        if isinstance(network, _core.Network32):
            self._core = _core.Optimizer32(name, network, flat)
        else:
            self._core = _core.Optimizer64(name, network, flat)
        self.param_groups = [ParameterGroup(self, i, g["params"]) for i, g in enumerate(groups)]
        self._set_global_options(clip_norm=clip_norm, clip_value=clip_value, ema_decay=ema_decay)

    def step(self) -> None:
        """Update the parameters once from their gradients.

        Raises
        ------
        RuntimeError
            Where another thread steps it or fits with it, within a step of `fit`, and within
            `averaged`.
        """
        self._core.step()

    def zero_grad(self) -> None:
        """Set the gradients of its parameters to zero."""
        self._core.zero_grad()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the network compute with the averages of its parameters within a ``with`` block.

        At its end the parameters are what they were before it, whatever was written into them, also
        after an exception. What has no average yet stays as it is.

        Raises
        ------
        RuntimeError
            Where `ema_decay` is None, within another such block, and where another thread uses the
            network or the optimizer, and within a step of `fit`. Within the block, for steps and
            `fit` of the network.
        """
        if self.ema_decay is None:
            raise RuntimeError(
                f"{type(self).__name__}: expected an ema_decay, got None: there are no averages"
            )
        self._core.swap_in_ema()
        try:
            yield
        finally:
            self._core.swap_out_ema()

    def state_dict(self) -> dict[str, Any]:
        """Return all that the steps to come depend on, in PyTorch's layout.

        Returns
        -------
        dict
            ``"state"``: for each parameter that has been updated, by its place in the groups, the
            count of its steps and copies of the arrays that the rule keeps, C-contiguous in the
            shape of the parameter. ``"param_groups"``: options. ``"clip_norm"``, ``"clip_value"``,
            ``"ema_decay"``, ``"ema"``: the averages, by the same places. ``"schedule"``: the state
            of the schedule, where one is attached.

        Raises
        ------
        RuntimeError
            Where another thread steps it or fits with it, and within a step of `fit`.

        Notes
        -----
        It loads into the optimizer of this name in ``torch.optim`` once the arrays are tensors.
        """
        with self._core.hold("state_dict"):
            return _state.state_dict(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state: the steps to come have the bits that they would have had there.

        Parameters
        ----------
        state_dict : dict
            As `state_dict` gives it, or as that of the optimizer of this name in ``torch.optim``
            does; what PyTorch's does not have stays as it is, and averages begin anew.

        Raises
        ------
        ValueError
            For groups, names, shapes or options that are not this optimizer's.
        TypeError
            For entries of another kind. In either case nothing has changed.
        RuntimeError
            Where another thread steps it or fits with it, and within a step of `fit`.
        """
        with self._core.hold("load_state_dict"):
            _state.load_state_dict(self, state_dict)

    @property
    def clip_norm(self) -> float | None:
        """The largest norm of all gradients together, or None."""
        return self._core_network()["clip_norm"]

    @clip_norm.setter
    def clip_norm(self, value: float | None) -> None:
        self._set_global_options(clip_norm=value)

    @property
    def clip_value(self) -> float | None:
        """The largest absolute value of a gradient's elements, or None."""
        return self._core_network()["clip_value"]

    @clip_value.setter
    def clip_value(self, value: float | None) -> None:
        self._set_global_options(clip_value=value)

    @property
    def ema_decay(self) -> float | None:
        """How much of the averages of the parameters a step keeps, or None for no averages."""
        return self._core_network()["ema_decay"]

    @ema_decay.setter
    def ema_decay(self, value: float | None) -> None:
        self._set_global_options(ema_decay=value)

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

    def _core_network(self) -> dict[str, float | None]:
        return dict(zip(_state.GLOBAL_OPTIONS, self._core.global_options(), strict=True))

    def _set_global_options(self, **given: Any) -> None:
        values = {
            k: None if v is None else self._numbers(k, v, None)[0]
            for k, v in {**self._core_network(), **given}.items()
        }
        self._core.set_global_options(**values)

    def _averages(self) -> dict[int, Array]:
        """Return copies of the averages, by the places of their parameters in the groups."""
        params = [p for group in self.param_groups for p in group["params"]]
        return {
            place: np.array(self._core.average(p._index, False), order="C")
            for place, p in enumerate(params)
            if self._core.step_state(p._index)[2]
        }

    def _load_averages(self, averages: dict[int, Array]) -> None:
        """Write what `_averages` gave."""
        params = [p for group in self.param_groups for p in group["params"]]
        for place, average in averages.items():
            view = self._core.average(params[place]._index, False)
            assert view is not None
            view[...] = average

    def _numbers(self, name: str, value: Any, count: int | None) -> list[float]:
        """Return an option's value, one number or a tuple of `count`, as a list of floats."""
        what = f"{type(self).__name__}: expected {count or 'a'} number{'s' * bool(count)}"
        many = isinstance(value, Iterable)
        values = tuple(value) if many else (value,)
        if many != (count is not None) or not all(isinstance(v, numbers.Real) for v in values):
            raise TypeError(f"{what} for {name}, got {value!r}")
        if len(values) != (count or 1):
            raise ValueError(f"{what} for {name}, got {value!r}")
        try:
            return [float(v) for v in values]
        except OverflowError:
            raise ValueError(f"{what} for {name} that a float holds, got more") from None

    @property
    def _described(self) -> dict[str, list[Option]]:
        """The core's description of each option: one number, or those of a tuple."""
        described: dict[str, list[Option]] = {}
        for option in _core.options(type(self).__name__):
            described.setdefault(option.tuple or option.name, []).append(option)
        return described

    def _options(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the rule's own options: those given, and the core's defaults for others."""
        return {
            name: given.get(name, default_of(options))
            for name, options in self._described.items()
            if name not in CommonOptions.__annotations__
        }

    def _flat(self, options: dict[str, Any]) -> list[float]:
        """Return the options as the core's list of numbers."""
        flat: list[float] = []
        for name, (first, *others) in self._described.items():
            value = options[name]
            if value is None and first.kind == "optional":
                value = math.inf
            elif isinstance(value, np.bool_):
                value = bool(value)
            if first.kind == "flag" and value not in (True, False):
                raise TypeError(
                    f"{type(self).__name__}: expected True or False for {name}, got {value!r}"
                )
            flat += self._numbers(name, value, 1 + len(others) if first.tuple else None)
        return flat

    def _named(self, flat: list[float]) -> dict[str, Any]:
        """Return the core's list of numbers as options."""
        values = iter(flat)
        return {
            name: value_of(options, list(itertools.islice(values, len(options))))
            for name, options in self._described.items()
        }


def value_of(options: list[Option], numbers: list[float]) -> Any:
    """Return the core's numbers of an option as users write it."""
    if options[0].tuple:
        return tuple(numbers)
    (number,) = numbers
    if options[0].kind == "flag":
        return bool(number)
    return None if options[0].kind == "optional" and number == math.inf else number


def default_of(options: list[Option]) -> Any:
    """Return the default of an option as users write it."""
    return value_of(options, [option.fallback for option in options])


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
