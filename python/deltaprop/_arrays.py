"""Conversion and validation of arguments: arrays, seeds, numbers, flags, names."""

import math
import numbers
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def as_array(value: Any, name: str) -> Array:
    """Return `value` as an array of real numbers that the core can read; copy only if needed.

    Parameters
    ----------
    value : array_like, DataFrame or Series
    name : str
        The argument's name in error messages.

    Raises
    ------
    TypeError
        If the elements are not real numbers. For a DataFrame the message names the column.
    ValueError
        If nested lists are ragged, or values are masked or missing.
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
        # Nullable dtypes mark missing values by pd.NA, which later checks for NaN do not see.
        if not isinstance(dtype, np.dtype) and frame.iloc[:, i].isna().any():
            raise ValueError(f"{name}: expected numbers, got a missing value in column {column!r}")
    array = np.asarray(frame)
    # Columns of mixed dtypes give an object array.
    return array if array.dtype.kind in "biuf" else array.astype(np.float64)


def as_seed(seed: Any, name: str) -> int:
    """Return `seed` as an integer that fits 64 bits.

    Raises
    ------
    TypeError, ValueError
        If it is not an integer or is out of range.
    """
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool):
        raise TypeError(f"{name}: expected an integer seed or None, got {type(seed).__name__}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"{name}: expected a seed from 0 to 2**64 - 1, got {seed}")
    return int(seed)


def entropy() -> int:
    """Return a random seed from the operating system."""
    return int.from_bytes(os.urandom(8), "little")


def as_count(value: Any, name: str, at_least: int, at_most: int = 2**63 - 1) -> int:
    """Return `value` as an integer from `at_least` to `at_most`.

    Raises
    ------
    TypeError, ValueError
        If it is not an integer or is out of range.
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
        If it is not a real number or is out of range.
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
        If it is neither.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def as_name(value: Any, name: str) -> str:
    """Return `value` as a string.

    Raises
    ------
    TypeError
        If it is not a string.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a name, got {type(value).__name__}")
    return value
