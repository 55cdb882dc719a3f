"""The base class of optimizers: parameter groups, common options, the step."""

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
    """The options that every optimizer has; `Optimizer` describes them."""

    maximize: bool
    l1: float
    l2: float
    max_norm: float | None
    nonnegative: bool
    clip_norm: float | None
    clip_value: float | None
    ema_decay: float | None


class ParameterGroup(MutableMapping[str, Any]):
    """Parameters that share options; a changed option takes effect at the next step."""

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
    """Base class of optimizers: parameter groups, the step, and the common options.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``net.parameters()``, or groups ``{"params": [...], "lr": ...}`` with options of their own.
    options : dict
        The options of the rule and their defaults.
    maximize : bool, default False
        Maximise the objective instead of minimising it.
    l1, l2 : float, default 0
        Penalties: ``l2 p + l1 sign(p)`` is added to the gradient. The loss does not include them.
    max_norm : float, optional
        Upper bound of the norm of each unit's incoming weights, a row of an (out, in) weight, as
        ``torch.renorm`` enforces it. Applies to parameters with two dimensions only.
    nonnegative : bool, default False
        Set parameters that an update makes negative to 0.
    clip_norm : float, optional
        Scale the gradients such that the norm of all of them together is at most this, as
        ``torch.nn.utils.clip_grad_norm_`` does.
    clip_value : float, optional
        Clip each element of the gradients to ``[-clip_value, clip_value]``.
    ema_decay : float, optional
        Keep an exponential moving average of the parameters, ``average <- ema_decay average + (1 -
        ema_decay) p``, starting from the values after the first step. See `averaged`.

    Attributes
    ----------
    lr : float
        The learning rate of the first group; assigning it sets that of every group. An attached
        schedule overwrites it at the next count.
    param_groups : list of ParameterGroup
        Writable mappings of option names to values. `maximize`, `l1`, `l2`, `max_norm` and
        `nonnegative` can differ between groups.
    clip_norm, clip_value, ema_decay : float or None
        Options of the whole optimizer, writable.

    Raises
    ------
    ValueError
        For an option out of range, or a parameter that is listed twice or belongs to another
        network.
    TypeError
        If `params` are not parameters, or an option has the wrong type.

    Notes
    -----
    A step applies penalties, clipping, the rule with its weight decay, constraints and averages, in
    this order. It does not change the gradients.
    """

    # The attached schedule, with state_dict() and load_state_dict().
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
        # Two calls, so that mypy matches the types of network and optimizer.
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
            If another thread is using the optimizer in `step` or `fit`, during a step of `fit`, or
            within `averaged`.
        """
        self._core.step()

    def zero_grad(self) -> None:
        """Set the gradients of the optimizer's parameters to 0."""
        self._core.zero_grad()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Replace the parameters by their moving averages within a ``with`` block.

        At the end of the block, also after an exception, the parameters have their values from
        before it, even if they were written to. Parameters without an average are not replaced.

        Raises
        ------
        RuntimeError
            If `ema_decay` is None, within another such block, while another thread uses the network
            or the optimizer, or during a step of `fit`. Within the block, `step` and `fit` raise.
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
        """Return everything that future steps depend on, in PyTorch's layout.

        Returns
        -------
        dict
            ``"state"``: for each parameter that has been updated, by its index in the groups, the
            step count and copies of the rule's arrays, C-contiguous in the parameter's shape.
            ``"param_groups"``: the options of the groups. ``"clip_norm"``, ``"clip_value"``,
            ``"ema_decay"``: options of the optimizer. ``"ema"``: the averages, by the same indices.
            ``"schedule"``: the state of the attached schedule, if any.

        Raises
        ------
        RuntimeError
            If another thread is using the optimizer in `step` or `fit`, or during a step of `fit`.

        Notes
        -----
        With its arrays converted to tensors, the optimizer of the same name in ``torch.optim``
        loads it.
        """
        with self._core.access("state_dict"):
            return _state.state_dict(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state; future steps are bit-identical to those of the saved optimizer.

        Parameters
        ----------
        state_dict : dict
            As returned by `state_dict`, here or of the optimizer of the same name in
            ``torch.optim``. Options that PyTorch lacks are kept, and averages restart.

        Raises
        ------
        ValueError
            If groups, names, shapes or options do not match this optimizer.
        TypeError
            If an entry has the wrong type. In both cases nothing changes.
        RuntimeError
            If another thread is using the optimizer in `step` or `fit`, or during a step of `fit`.
        """
        with self._core.access("load_state_dict"):
            _state.load_state_dict(self, state_dict)

    @property
    def clip_norm(self) -> float | None:
        """The upper bound of the norm of all gradients together, or None."""
        return self._global_options()["clip_norm"]

    @clip_norm.setter
    def clip_norm(self, value: float | None) -> None:
        self._set_global_options(clip_norm=value)

    @property
    def clip_value(self) -> float | None:
        """The upper bound of the absolute values of the gradients' elements, or None."""
        return self._global_options()["clip_value"]

    @clip_value.setter
    def clip_value(self, value: float | None) -> None:
        self._set_global_options(clip_value=value)

    @property
    def ema_decay(self) -> float | None:
        """The decay of the parameters' moving averages, or None for no averages."""
        return self._global_options()["ema_decay"]

    @ema_decay.setter
    def ema_decay(self, value: float | None) -> None:
        self._set_global_options(ema_decay=value)

    @property
    def lr(self) -> float:
        """The learning rate of the first group; assigning it sets that of all groups."""
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

    def _global_options(self) -> dict[str, float | None]:
        return dict(zip(_state.GLOBAL_OPTIONS, self._core.global_options(), strict=True))

    def _set_global_options(self, **changes: Any) -> None:
        values = {
            k: None if v is None else self._numbers(k, v, None)[0]
            for k, v in {**self._global_options(), **changes}.items()
        }
        self._core.set_global_options(**values)

    def _averages(self) -> dict[int, Array]:
        """Return copies of the averages, by the indices of their parameters in the groups."""
        params = [p for group in self.param_groups for p in group["params"]]
        return {
            i: np.array(self._core.average(p._index, False), order="C")
            for i, p in enumerate(params)
            if self._core.step_state(p._index)[2]
        }

    def _load_averages(self, averages: dict[int, Array]) -> None:
        """Write averages as returned by `_averages`."""
        params = [p for group in self.param_groups for p in group["params"]]
        for i, average in averages.items():
            view = self._core.average(params[i]._index, False)
            assert view is not None
            view[...] = average

    def _numbers(self, name: str, value: Any, count: int | None) -> list[float]:
        """Return an option's value, one number or a tuple of `count`, as a list of floats."""
        what = f"{type(self).__name__}: expected {count or 'a'} number{'s' * bool(count)}"
        is_tuple = isinstance(value, Iterable)
        values = tuple(value) if is_tuple else (value,)
        if is_tuple != (count is not None) or not all(isinstance(v, numbers.Real) for v in values):
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
        """Return the options as the flat list of numbers that the core takes."""
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
        """Return the core's flat list of numbers as named options."""
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
