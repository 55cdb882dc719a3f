"""State dictionaries of optimizers, in PyTorch's layout; loading one is atomic."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from deltaprop import _core
from deltaprop._arrays import Array, as_array
from deltaprop.nn.parameter import Parameter

GLOBAL_OPTIONS = ("clip_norm", "clip_value", "ema_decay")
# Keys of our groups that PyTorch's lack, and the reverse.
_OURS = {"l1", "l2", "max_norm", "nonnegative"}
_THEIRS = {"capturable", "differentiable", "foreach", "fused", "initial_lr"}


class StatefulOptimizer(Protocol):
    """An optimizer, as far as its state needs it."""

    _core: _core.Optimizer32 | _core.Optimizer64
    _schedule: Any

    @property
    def param_groups(self) -> Sequence[Mapping[str, Any]]:
        """Parameters under "params", and their options by name."""

    def _flat(self, options: dict[str, Any]) -> list[float]: ...
    def _averages(self) -> dict[int, Array]: ...
    def _global_options(self) -> dict[str, float | None]: ...
    def _set_global_options(self, **given: Any) -> None: ...


def state_dict(optimizer: StatefulOptimizer) -> dict[str, Any]:
    """Return everything that future steps depend on."""
    core = optimizer._core
    state, groups = {}, []
    position = 0
    for index, group in enumerate(optimizer.param_groups):
        names = [name for name, _ in core.states(core.options(index))]
        first = position
        for p in group["params"]:
            step, scalars, _ = core.step_state(p._index)
            if step > 0:
                arrays = [core.state(k, p._index, False) for k in range(len(names))]
                state[position] = dict(zip(core.scalars(), (step, *scalars), strict=False)) | {
                    k: np.array(v, order="C")
                    for k, v in zip(names, arrays, strict=True)
                    if v is not None
                }
            position += 1
        groups.append({**group, "params": list(range(first, position))})
    result: dict[str, Any] = {"state": state, "param_groups": groups, **optimizer._global_options()}
    result["ema"] = optimizer._averages()
    if optimizer._schedule is not None:
        result["schedule"] = optimizer._schedule.state_dict()
    return result


def load_state_dict(optimizer: StatefulOptimizer, given: Any) -> None:
    """Validate all of `given`, then write it."""
    core, name = optimizer._core, type(optimizer).__name__
    _check_keys(
        f"{name}: state_dict",
        given,
        {"state", "param_groups"},
        {*GLOBAL_OPTIONS, "ema", "schedule"},
    )
    groups = _groups(optimizer, given["param_groups"])
    options = {id(p): flat for flat, members in groups for p in members.values()}
    members = {place: p for _, group in groups for place, p in group.items()}
    state, ema = given["state"], given.get("ema", {})
    _check_keys(f"{name}: state", state, set(), set(members))
    _check_keys(f"{name}: ema", ema, set(), set(members))
    entries = {
        place: _entry(optimizer, options[id(p)], p, state.get(place, {}), f"{name}: state {place}")
        for place, p in members.items()
    }
    averages = {k: _array(v, members[k], f"{name}: ema {k}") for k, v in ema.items()}
    if "schedule" in given and optimizer._schedule is None:
        raise ValueError(f"{name}: expected no schedule, as none is attached, got one")
    before = optimizer._global_options()
    optimizer._set_global_options(**{k: given[k] for k in GLOBAL_OPTIONS if k in given})
    try:
        if "schedule" in given:
            optimizer._schedule.load_state_dict(given["schedule"])
    except BaseException:
        optimizer._set_global_options(**before)
        raise
    # Nothing below raises.
    for index, (flat, _) in enumerate(groups):
        core.set_options(index, flat)
    for place, p in members.items():
        step, scalars, arrays = entries[place]
        for k, array in enumerate(arrays):
            view = core.state(k, p._index, array is not None)
            if view is not None:
                view[...] = 0 if array is None else array
        if place in averages:
            view = core.average(p._index, True)
            assert view is not None
            view[...] = averages[place]
        core.set_step_state(p._index, step, scalars, place in averages)


def _groups(
    optimizer: StatefulOptimizer, given: Any
) -> list[tuple[list[float], dict[Any, Parameter]]]:
    """Return each group's options, and its parameters by their indices in `given`."""
    name, own = type(optimizer).__name__, optimizer.param_groups
    if not isinstance(given, list):
        raise TypeError(f"{name}: expected a list of param_groups, got {type(given).__name__}")
    if len(given) != len(own):
        raise ValueError(f"{name}: expected {len(own)} param_groups, got {len(given)}")
    groups = []
    used: set[Any] = set()
    for i, (group, theirs) in enumerate(zip(own, given, strict=True)):
        what = f"{name}: param_groups[{i}]"
        _check_keys(what, theirs, set(group) - _OURS, _OURS | _THEIRS)
        places = theirs["params"]
        if not isinstance(places, list) or not all(isinstance(k, int) for k in places):
            raise TypeError(f"{what}: expected params to be a list of integers, got {places!r}")
        if len(places) != len(group["params"]) or len({*places, *used}) != len(places) + len(used):
            raise ValueError(f"{what}: expected {len(group['params'])} params, got {places}")
        used.update(places)
        flat = optimizer._flat({**group, **theirs})
        optimizer._core.check_options(flat)
        groups.append((flat, dict(zip(places, group["params"], strict=True))))
    return groups


def _entry(
    optimizer: StatefulOptimizer, flat: list[float], p: Parameter, given: Any, what: str
) -> tuple[int, list[float], list[Array | None]]:
    """Return the step, the scalars and the arrays of one parameter's state."""
    scalars, states = optimizer._core.scalars(), optimizer._core.states(flat)
    if not isinstance(given, dict):
        raise TypeError(f"{what}: expected a dict, got {type(given).__name__}")
    given = {k: v for k, v in given.items() if v is not None}
    if given:
        needed = {name for name, needed in states if needed}
        _check_keys(what, given, {*scalars, *needed}, {name for name, _ in states})
    arrays = [_array(given[k], p, f"{what}, {k}") if k in given else None for k, _ in states]
    numbers = [_number(given[k], f"{what}, {k}") for k in scalars if given]
    # A rule that stores no step count only needs to know whether it has taken a step.
    step = numbers[0] if numbers else float(bool(given))
    if not (0 <= step < 2**53 and step.is_integer()):
        raise ValueError(f"{what}: expected step to be a count, got {step}")
    return int(step), [*numbers[1:], 0.0, 0.0][:2], arrays


def _check_keys(what: str, given: Any, required: set[Any], allowed: set[Any]) -> None:
    if not isinstance(given, dict):
        raise TypeError(f"{what}: expected a dict, got {type(given).__name__}")
    if missing := sorted(required - set(given)):
        raise ValueError(f"{what}: expected {missing} as well, got {list(given)}")
    if unknown := [key for key in given if key not in required | allowed]:
        expected = sorted(required | allowed, key=str)
        raise ValueError(f"{what}: expected none but {expected}, got {unknown}")


def _array(value: Any, p: Parameter, what: str) -> Array:
    array = as_array(value, what)
    if array.shape != p.value.shape:
        raise ValueError(f"{what}: expected shape {p.value.shape}, got {array.shape}")
    return array


def _number(value: Any, what: str) -> float:
    array = as_array(value, what)
    if array.size != 1 or not np.isfinite(array).all():
        raise ValueError(f"{what}: expected a finite number, got {value!r}")
    return float(array.reshape(()))
