"""Training data: conversion of arguments to arrays, class weights, splits, batches."""

import copy
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from deltaprop._arrays import Array, as_array, as_real
from deltaprop._table import some_of
from deltaprop.training.heads import HeadLosses, is_native
from deltaprop.training.protocols import TrainableNetwork

# Iterables that can be consumed only once.
_SINGLE_PASS = (Generator, map, zip, filter, enumerate)

# x, y, sample weights; whether x, and each y, is validated only when its rows are gathered.
Arrays = tuple[list[Array], list[Array], Array | None, bool, list[bool]]


def arrays(
    X: Any, y: Any, weight: Any, heads: HeadLosses, whose: str = "", also: tuple[Any, ...] = ()
) -> Arrays:
    """Return data as arrays; `also`: further losses of each head that read the same targets."""
    many = isinstance(X, tuple) and heads.several_inputs
    parts = X if many else (X,)
    if not parts:
        raise ValueError(f"{whose}X: expected one input or more, got an empty tuple")
    names = [f"{whose}X[{i}]" if many else f"{whose}X" for i in range(len(parts))]
    xs = [as_array(part, name) for part, name in zip(parts, names, strict=True)]
    ys = heads.targets(y, f"{whose}y")
    python = [
        not (is_native(loss) and all(is_native(other) for other in others))
        for loss, *others in zip(heads.losses, *([also] if also else []), strict=True)
    ]
    targets = [_targets(one, f"{whose}y", raw) for one, raw in zip(ys, python, strict=True)]
    return (
        xs,
        targets,
        None if weight is None else as_array(weight, f"{whose}sample_weight"),
        any(isinstance(part, np.memmap) for part in parts),
        [isinstance(one, np.memmap) for one in ys],
    )


def manual_pass(
    data: "Arrays | Batches", heads: HeadLosses, most: int, network: TrainableNetwork
) -> None:
    """Run forward and backward on at most `most` evenly spaced rows (of the first batch)."""
    xs, ys, *_ = data.first if isinstance(data, Batches) else data
    rows = some_of(len(xs[0]), most)
    x, y = (tuple(part[rows] for part in parts) for parts in (xs, ys))
    outputs = network.forward(x if len(x) > 1 else x[0])
    network.backward(heads.delta(outputs, y if heads.many else y[0]))


def digests(data: "Arrays | Batches", validation: Arrays | None) -> dict[str, Any]:
    """Return hashes of the data by argument of `fit`; an iterable of batches has none."""
    result: dict[str, Any] = {}
    if not isinstance(data, Batches):
        x, y, weight, x_in_file, y_in_file = data
        result["X"] = [_digest(one, x_in_file) for one in x]
        result["y"] = [_digest(one, in_file) for one, in_file in zip(y, y_in_file, strict=True)]
        result["sample_weight or class_weight"] = None if weight is None else _digest(weight, False)
    if validation is not None:
        result["validation_data"] = list(digests(validation, None).values())
    return result


def _digest(array: Array, in_file: bool) -> str:
    """Return shape, dtype and a hash; a memory-mapped array, which may be huge, is sampled."""
    import hashlib

    rows = np.atleast_1d(array)
    if in_file:
        rows = rows[:: max(1, len(rows) // 64)]
    hashed = hashlib.blake2b(digest_size=16)
    step = max(1, 2**20 // max(rows[:1].nbytes, 1))
    for i in range(0, len(rows), step):
        hashed.update(np.ascontiguousarray(rows[i : i + step]).data)
    return f"{array.shape} {array.dtype} {hashed.hexdigest()}"


def _targets(y: Any, name: str, opaque: bool) -> Array:
    targets = as_array(y, name)
    if opaque:
        # A loss written in Python gets y in its own dtype. The core copies its bytes without
        # interpreting them: they must be C-contiguous, and are validated here.
        targets = np.asarray(targets, order="C")
        if not isinstance(y, np.memmap) and not np.isfinite(targets).all():
            row = np.argwhere(~np.isfinite(targets))[0][0]
            raise ValueError(f"{name}: expected finite numbers, got nan or infinity in row {row}")
    return targets


def class_weights(class_weight: Any, y: Any, weight: Any, heads: HeadLosses, outputs: int) -> Any:
    """Return sample weights, multiplied by the class weights, if there are any."""
    if class_weight is None:
        return weight
    if heads.many:
        raise ValueError("fit: expected class_weight for a network of one output, got several")
    labels = as_array(y, "y")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or (labels != np.round(labels)).any():
        raise ValueError("fit: class_weight expected y to be classes, one a row")
    ignored = getattr(heads.losses[0], "ignore_index", None)
    counted = labels != ignored if ignored is not None else np.ones(len(labels), dtype=bool)
    classes, index, counts = np.unique(labels[counted], return_inverse=True, return_counts=True)
    by_class = _by_class(class_weight, classes, counts, outputs)
    if not (np.isfinite(by_class) & (by_class >= 0)).all():
        raise ValueError(f"fit: expected finite class_weight of 0 or more, got {by_class.tolist()}")
    weights = np.ones(len(labels))
    weights[counted] = by_class[index]
    if weight is None:
        return weights
    sample_weight = as_array(weight, "sample_weight")
    if sample_weight.shape != weights.shape:
        raise ValueError(f"sample_weight: expected {weights.shape}, got {sample_weight.shape}")
    return weights * sample_weight


def _by_class(class_weight: Any, classes: Array, counts: Array, outputs: int) -> Array:
    """Return the weight of each class in `classes`, whose frequencies are `counts`."""
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(f"fit: expected class_weight 'balanced', got {class_weight!r}")
        return np.asarray(counts.sum() / (len(classes) * counts))
    # One output separates classes 0 and 1, or -1 and 1; y may also hold larger integers.
    number = outputs if outputs > 1 else max(2, int(classes.max(initial=0)) + 1)
    if isinstance(class_weight, Mapping):
        known = {*range(-1 if outputs == 1 else 0, number), *classes.tolist()}
        if unknown := [c for c in class_weight if c not in known]:
            raise ValueError(f"fit: expected class_weight for {number} classes, got {unknown}")
        missing = [c for c in classes.tolist() if c not in class_weight]
        if missing:
            raise ValueError(f"fit: expected a class_weight for each class, got none for {missing}")
        return np.array([as_real(class_weight[c], "class_weight") for c in classes.tolist()])
    table = as_array(class_weight, "class_weight")
    if table.shape != (number,):
        raise ValueError(
            f"fit: expected class_weight for {number} classes, got shape {table.shape}"
        )
    if not np.isin(classes, range(number)).all():
        raise ValueError(
            f"fit: expected y to be classes from 0 to {number - 1} for a list of class_weight, "
            f"got {classes.tolist()}"
        )
    return np.asarray(table[classes.astype(int)])


def split(
    X: Any, y: Any, weight: Any, heads: HeadLosses, fraction: Any
) -> tuple[tuple[Any, Any, Any], tuple[Any, ...]]:
    """Split off the last rows as validation data; slices, without copying memory-mapped files."""
    fraction = as_real(fraction, "fit: validation_split")
    if not 0 < fraction < 1:
        raise ValueError(f"fit: expected 0 < validation_split < 1, got {fraction:g}")
    ys = heads.targets(y)
    many = isinstance(X, tuple) and heads.several_inputs
    xs = X if many else (X,)
    shapes = [np.shape(a) for a in (*xs, *ys)]
    if not all(shapes):
        raise ValueError("fit: expected arrays to split, got a number")
    rows = shapes[0][0]
    cut = rows - int(rows * fraction)
    if cut in (0, rows):
        raise ValueError(
            "fit: expected validation_split to leave rows on both sides, "
            f"got {fraction:g} of {rows}"
        )

    def part(rows: slice) -> tuple[Any, Any, Any]:
        x, targets = [
            tuple((a if isinstance(a, np.ndarray) else as_array(a, "data"))[rows] for a in group)
            for group in (xs, ys)
        ]
        return (
            x if many else x[0],
            targets if heads.many else targets[0],
            None if weight is None else as_array(weight, "sample_weight")[rows],
        )

    validation = part(slice(cut, None))
    return part(slice(cut)), validation[:2] if weight is None else validation


# Marks the end of an epoch; None could be an invalid batch.
_END = object()


def _iterate(batches: Any) -> Iterator[Any]:
    """Return an iterator over an epoch's batches; by index if there is no ``__iter__``."""
    if not hasattr(batches, "__iter__") and hasattr(batches, "__len__"):
        return (batches[i] for i in range(len(batches)))
    return iter(batches)


class Batches:
    """An iterable of batches (x, y) or (x, y, sample_weight), iterated once per epoch."""

    def __init__(self, batches: Iterable[Any], heads: HeadLosses, copied: bool) -> None:
        self._batches = batches
        self._copied = copied
        self._heads = heads
        self._kinds: list[Any] = []
        self._iterator = _iterate(batches)
        first = self._pull()
        if first is None:
            raise ValueError("fit: expected an iterable of batches, got an empty one")
        self.first = first
        self._pulled: Arrays | None = first  # read ahead, not yet returned by `next`
        self._begun = True
        self.ended = False  # whether the epoch's last batch has been read

    def check_lasting(self, epochs: int) -> None:
        """Raise ValueError if the iterable lasts for one epoch only and there are more."""
        if epochs > 1 and isinstance(self._batches, _SINGLE_PASS):
            raise ValueError(
                f"fit: expected an iterable that begins anew in each epoch, got a "
                f"{type(self._batches).__name__}, which is used up after one"
            )

    def targets(self) -> list[Array]:
        """Return the targets of the first batch, whose dtype and shape stand for all."""
        return self.first[1]

    def begin(self) -> None:
        """Begin an epoch."""
        if not self._begun:
            self._iterator = _iterate(self._batches)
        self._begun = self.ended = False

    def next(self) -> Arrays | None:
        """Return the next batch, None at the end of the epoch."""
        pulled, self._pulled = self._pulled, None
        return pulled or self._pull()

    def _pull(self) -> Arrays | None:
        batch = next(self._iterator, _END)
        if batch is _END:
            self.ended = True
            return None
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
            raise TypeError(
                f"fit: expected batches (x, y) or (x, y, sample_weight), got {type(batch).__name__}"
            )
        batch = copy.deepcopy(batch) if self._copied else batch
        result = arrays(batch[0], batch[1], batch[2] if len(batch) == 3 else None, self._heads)
        # A loss written in Python gets dtype and shape of its y once, for all batches.
        kinds = [(y.dtype, y.shape[1:]) for y in result[1]]
        for loss, kind, first in zip(self._heads.losses, kinds, self._kinds or kinds, strict=True):
            if not is_native(loss) and kind != first:
                raise ValueError(
                    f"fit: expected y of dtype {first[0]} and shape (N, *{first[1]}), as in the "
                    f"first batch, got {kind[0]} and (N, *{kind[1]})"
                )
        self._kinds = self._kinds or kinds
        return result
