"""What users call arrays, as NumPy arrays that the core can read in place."""

import math
import numbers
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def as_array(value: Any, name: str) -> Array:
    """Return `value` as an array of real numbers, copied only where its kind demands it.

    Parameters
    ----------
    value : array_like, DataFrame or Series
    name : str
        What messages call it.

    Raises
    ------
    TypeError
        Where the elements are not real numbers; for a DataFrame the column is named.
    ValueError
        Where nested lists are ragged.
    """
    columns = getattr(value, "columns", None)
    if columns is not None and hasattr(value, "iloc"):
        return _table(value, name)
    if np.ma.is_masked(value):
        raise ValueError(f"{name}: expected an array without masked elements, got a masked one")
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name}: expected rows of equal length, got a ragged sequence") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array


def _table(frame: Any, name: str) -> Array:
    for i, (column, dtype) in enumerate(zip(frame.columns, frame.dtypes, strict=True)):
        if getattr(dtype, "kind", "O") not in "biuf":
            raise TypeError(f"{name}: expected numeric columns, got {column!r} of dtype {dtype}")
        # Nullable columns have no NaN of their own that a later check could find.
        if not isinstance(dtype, np.dtype) and frame.iloc[:, i].isna().any():
            raise ValueError(f"{name}: expected numbers, got a missing value in column {column!r}")
    array = np.asarray(frame)
    # Columns of several kinds come as objects.
    return array if array.dtype.kind in "biuf" else array.astype(np.float64)


def as_seed(seed: Any, name: str) -> int:
    """Return `seed` as an integer that fits 64 bits.

    Raises
    ------
    TypeError, ValueError
        Where it is not an integer, or out of range.
    """
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool):
        raise TypeError(f"{name}: expected an integer seed or None, got {type(seed).__name__}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"{name}: expected a seed from 0 to 2**64 - 1, got {seed}")
    return int(seed)


def entropy() -> int:
    """Return a seed from the operating system, where nobody has given one."""
    return int.from_bytes(os.urandom(8), "little")


def as_count(value: Any, name: str, at_least: int, at_most: int = 2**63 - 1) -> int:
    """Return `value` as an integer from `at_least` to `at_most`.

    Raises
    ------
    TypeError, ValueError
        Where it is not an integer, or out of range.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}")
    if value < at_least:
        raise ValueError(f"{name}: expected {at_least} or more, got {value}")
    if value >= 2**63:
        raise ValueError(f"{name}: expected less than 2**63, got {value}")
    if value > at_most:
        raise ValueError(f"{name}: expected {at_most} or less, got {value}")
    return int(value)


def as_real(value: Any, name: str, at_least: float = -math.inf, at_most: float = math.inf) -> float:
    """Return `value` as a finite float from `at_least` to `at_most`.

    Raises
    ------
    TypeError, ValueError
        Where it is not a real number, or out of range.
    """
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name}: expected a finite number, got {number}")
    if number < at_least:
        raise ValueError(f"{name}: expected {at_least:g} or more, got {number:g}")
    if number > at_most:
        raise ValueError(f"{name}: expected {at_most:g} or less, got {number:g}")
    return number


def as_flag(value: Any, name: str) -> bool:
    """Return `value` as True or False.

    Raises
    ------
    TypeError
        Where it is neither.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def as_name(value: Any, name: str) -> str:
    """Return `value` as a string.

    Raises
    ------
    TypeError
        Where it is not one.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a name, got {type(value).__name__}")
    return value
