"""Files of arrays and plain values: a zip archive of JSON and .npy, without pickle."""

import io
import os
from typing import Any, BinaryIO

import numpy as np

from deltaprop._arrays import Array

_FORMAT = "deltaprop"
_VERSION = 1


def write_file(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write `content`, nested dicts, lists, arrays and plain values, atomically.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    import json
    import zipfile
    from pathlib import Path

    target = Path(path)
    arrays: list[Array] = []
    header = {"format": _FORMAT, "version": _VERSION, "content": _encoded(content, arrays)}
    temporary = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
    try:
        with temporary.open("xb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("header.json", json.dumps(header))
                for i, array in enumerate(arrays):
                    buffer = io.BytesIO()
                    np.lib.format.write_array(buffer, array, allow_pickle=False)
                    archive.writestr(f"{i}.npy", buffer.getvalue())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `write_file` wrote.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the file is damaged or was not written by `write_file`.
    """
    from pathlib import Path

    with Path(path).open("rb") as file:
        try:
            return _read(file)
        except Exception as error:  # zipfile and NumPy raise many kinds for damaged files
            raise ValueError(
                f"{os.fspath(path)}: expected a file of deltaprop's, got {error}"
            ) from None


def _read(file: BinaryIO) -> dict[str, Any]:
    import json
    import zipfile

    with zipfile.ZipFile(file) as archive:
        header = json.loads(archive.read("header.json"))
        if header.get("format") != _FORMAT or header.get("version") != _VERSION:
            raise ValueError(f"version {header.get('version')} of {header.get('format')}")

        def array(i: int) -> Array:
            return np.lib.format.read_array(
                io.BytesIO(archive.read(f"{i}.npy")), allow_pickle=False
            )

        content: dict[str, Any] = _decoded(header["content"], array)
        return content


def _encoded(value: Any, arrays: list[Array]) -> Any:
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, dict):
        # As pairs, since keys may be numbers, which JSON objects do not allow.
        return {"dict": [[k, _encoded(v, arrays)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_encoded(v, arrays) for v in value]}
    if isinstance(value, list):
        return [_encoded(v, arrays) for v in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"expected plain values and arrays to save, got {type(value).__name__}")


def _decoded(value: Any, array: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(v, array) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "array":
        return array(inner)
    if kind == "dict":
        return {k: _decoded(v, array) for k, v in inner}
    return tuple(_decoded(v, array) for v in inner)
