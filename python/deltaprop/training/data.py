"""Training data: from what users give to the arrays that the core reads in place."""

import copy
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from deltaprop._arrays import Array, as_array, as_real
from deltaprop._table import some_of
from deltaprop.training.heads import HeadLosses, is_native
from deltaprop.training.protocols import TrainableNetwork

# What gives its items only once.
_USED_UP = (Generator, map, zip, filter, enumerate)

# x, y, sample weights; whether x, and each y, is looked through only as rows are gathered.
Arrays = tuple[list[Array], list[Array], Array | None, bool, list[bool]]


def arrays(
    X: Any, y: Any, weight: Any, heads: HeadLosses, whose: str = "", also: tuple[Any, ...] = ()
) -> Arrays:
    """Return data as arrays; `also`: other losses that the targets are for, head by head."""
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
    """Run forward and backward on at most so many rows, evenly between; of the first batch."""
    xs, ys, *_ = data.first if isinstance(data, Batches) else data
    rows = some_of(len(xs[0]), most)
    x, y = (tuple(part[rows] for part in parts) for parts in (xs, ys))
    outputs = network.forward(x if len(x) > 1 else x[0])
    network.backward(heads.delta(outputs, y if heads.many else y[0]))


def digests(data: "Arrays | Batches", validation: Arrays | None) -> dict[str, Any]:
    """Return what tells data apart, by the names of `fit`; nothing of batches still to come."""
    found: dict[str, Any] = {}
    if not isinstance(data, Batches):
        x, y, weight, x_in_file, y_in_file = data
        found["X"] = [_digest(one, x_in_file) for one in x]
        found["y"] = [_digest(one, there) for one, there in zip(y, y_in_file, strict=True)]
        found["sample_weight or class_weight"] = None if weight is None else _digest(weight, False)
    if validation is not None:
        own = digests(validation, None)
        found["validation_data"] = list(own.values())
    return found


def _digest(array: Array, in_file: bool) -> str:
    """Return shape, dtype and a hash; of an array in a file, which may be huge, of a few rows."""
    import hashlib

    rows = np.atleast_1d(array)
    if in_file:
        rows = rows[:: max(1, len(rows) // 64)]
    hashed = hashlib.blake2b(digest_size=16)
    step = max(1, 2**20 // max(rows[:1].nbytes, 1))
    for i in range(0, len(rows), step):
        hashed.update(np.ascontiguousarray(rows[i : i + step]).data)
    return f"{array.shape} {array.dtype} {hashed.hexdigest()}"


def _targets(y: Any, name: str, in_bytes: bool) -> Array:
    targets = as_array(y, name)
    if in_bytes:
        # A loss written in Python is given y as it is. The core carries its bytes without knowing
        # what they mean: they must lie in order, and are looked through here.
        targets = np.asarray(targets, order="C")
        if not isinstance(y, np.memmap) and not np.isfinite(targets).all():
            row = np.argwhere(~np.isfinite(targets))[0][0]
            raise ValueError(f"{name}: expected finite numbers, got nan or infinity in row {row}")
    return targets


def class_weights(class_weight: Any, y: Any, weight: Any, heads: HeadLosses, outputs: int) -> Any:
    """Return sample weights; with class weights these too weigh each row."""
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
    classes, which, counts = np.unique(labels[counted], return_inverse=True, return_counts=True)
    of_class = _of_classes(class_weight, classes, counts, outputs)
    if not (np.isfinite(of_class) & (of_class >= 0)).all():
        raise ValueError(f"fit: expected finite class_weight of 0 or more, got {of_class.tolist()}")
    weights = np.ones(len(labels))
    weights[counted] = of_class[which]
    if weight is None:
        return weights
    given = as_array(weight, "sample_weight")
    if given.shape != weights.shape:
        raise ValueError(f"sample_weight: expected {weights.shape}, got {given.shape}")
    return weights * given


def _of_classes(class_weight: Any, classes: Array, counts: Array, outputs: int) -> Array:
    """Return the weight of each of `classes`, of which there are `counts`, for so many outputs."""
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(f"fit: expected class_weight 'balanced', got {class_weight!r}")
        return np.asarray(counts.sum() / (len(classes) * counts))
    # One output tells two classes apart, 0 and 1 or -1 and 1; or y is of integers that mean more.
    many = outputs if outputs > 1 else max(2, int(classes.max(initial=0)) + 1)
    if isinstance(class_weight, Mapping):
        known = {*range(-1 if outputs == 1 else 0, many), *classes.tolist()}
        if unknown := [c for c in class_weight if c not in known]:
            raise ValueError(f"fit: expected class_weight for {many} classes, got {unknown}")
        missing = [c for c in classes.tolist() if c not in class_weight]
        if missing:
            raise ValueError(f"fit: expected a class_weight for each class, got none for {missing}")
        return np.array([as_real(class_weight[c], "class_weight") for c in classes.tolist()])
    table = as_array(class_weight, "class_weight")
    if table.shape != (many,):
        raise ValueError(f"fit: expected class_weight for {many} classes, got shape {table.shape}")
    if not np.isin(classes, range(many)).all():
        raise ValueError(
            f"fit: expected y to be classes from 0 to {many - 1} for a list of class_weight, "
            f"got {classes.tolist()}"
        )
    return np.asarray(table[classes.astype(int)])


def split(
    X: Any, y: Any, weight: Any, heads: HeadLosses, fraction: Any
) -> tuple[tuple[Any, Any, Any], tuple[Any, ...]]:
    """Return the data without its last rows, and these: no copies, so that files stay files."""
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


# After an epoch's last batch; None may be a batch gone wrong.
_END = object()


def _anew(batches: Any) -> Iterator[Any]:
    """Return an epoch's batches; by place and up to its length where only these are known."""
    if not hasattr(batches, "__iter__") and hasattr(batches, "__len__"):
        return (batches[i] for i in range(len(batches)))
    return iter(batches)


class Batches:
    """An iterable of batches (x, y) or (x, y, sample_weight), asked anew for each epoch."""

    def __init__(self, batches: Iterable[Any], heads: HeadLosses, copied: bool) -> None:
        self._batches = batches
        self._copied = copied
        self._heads = heads
        self._kinds: list[Any] = []
        self._iterator = _anew(batches)
        first = self._pull()
        if first is None:
            raise ValueError("fit: expected an iterable of batches, got an empty one")
        self.first = first
        self._pulled: Arrays | None = first  # and not given to anybody yet
        self._begun = True
        self.ended = False  # whether an epoch's last batch has been pulled

    def check_lasting(self, epochs: int) -> None:
        """Raise ValueError where there are batches for one epoch, and more to come."""
        if epochs > 1 and isinstance(self._batches, _USED_UP):
            raise ValueError(
                f"fit: expected an iterable that begins anew in each epoch, got a "
                f"{type(self._batches).__name__}, which is used up after one"
            )

    def targets(self) -> list[Array]:
        """Return the targets of the first batch, which show what kind all are of."""
        return self.first[1]

    def begin(self) -> None:
        """Begin an epoch."""
        if not self._begun:
            self._iterator = _anew(self._batches)
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
        found = arrays(batch[0], batch[1], batch[2] if len(batch) == 3 else None, self._heads)
        # A loss written in Python is told once how its y is shaped.
        kinds = [(y.dtype, y.shape[1:]) for y in found[1]]
        for loss, kind, first in zip(self._heads.losses, kinds, self._kinds or kinds, strict=True):
            if not is_native(loss) and kind != first:
                raise ValueError(
                    f"fit: expected y of dtype {first[0]} and shape (N, *{first[1]}), as in the "
                    f"first batch, got {kind[0]} and (N, *{kind[1]})"
                )
        self._kinds = self._kinds or kinds
        return found
