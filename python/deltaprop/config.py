"""Version, build and hardware information, and the number of threads."""

import platform
import re
from typing import Any, Literal, overload

import numpy as np

from deltaprop import _core
from deltaprop._arrays import as_count


def _cpu() -> str:
    """Return the CPU's model name on Linux, elsewhere the machine type."""
    from pathlib import Path

    try:
        model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        model = None
    return model[1] if model else platform.machine()


@overload
def show_config(mode: Literal["stdout"] = ...) -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, Any]: ...
def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Show versions, instruction sets, threads and hardware; include this in bug reports.

    The kernels, which do all the arithmetic, are built for several instruction sets. Importing
    deltaprop loads the best one that the CPU supports; the environment variable ``DELTAPROP_ISA``
    selects another. x86-64-v3 and x86-64-v4 give bit-identical results; x86-64-v2, which has no
    fused multiply-add, agrees with them to rounding.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, default="stdout"
        Whether to print the information or to return it.

    Returns
    -------
    dict or None
        With ``mode="dicts"``: ``version``, ``instruction_set``, ``chosen_by`` ("CPU" or
        "DELTAPROP_ISA"), ``available`` (sets that this CPU supports), ``built`` (sets with
        kernels), ``threads``, ``cpu``, ``compiler``, ``build_type``, ``eigen``, ``numpy`` and
        ``python``.

    Raises
    ------
    ValueError
        For another mode.

    Examples
    --------
    >>> import deltaprop as dp
    >>> config = dp.show_config(mode="dicts")
    >>> config["instruction_set"] in config["available"]
    True
    """
    if mode not in {"stdout", "dicts"}:
        raise ValueError(f"show_config: expected mode 'stdout' or 'dicts', got {mode!r}")
    from deltaprop._version import __version__

    config = {
        "version": __version__,
        **_core.config(),
        "cpu": _cpu(),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    if mode == "dicts":
        return config
    for name, value in config.items():
        text = ", ".join(value) if isinstance(value, list) else value
        print(f"{name.replace('_', ' ')}: {text}")
    return None


def get_num_threads() -> int:
    """Return the maximum number of threads that work on one step or one prediction.

    The initial value is the environment variable ``DELTAPROP_NUM_THREADS`` or, without it, the
    number of processors that the process may use, at most ``OMP_NUM_THREADS``.

    Returns
    -------
    int
    """
    return _core.num_threads()


def set_num_threads(count: int) -> None:
    """Set the maximum number of threads that work on one step or one prediction.

    Work that is too small to divide runs on one thread. Results are bit-identical for any number.

    Parameters
    ----------
    count : int
        From 1 to 1024.

    Raises
    ------
    TypeError, ValueError
        If `count` is not an integer or is out of range.
    """
    _core.set_num_threads(as_count(count, "set_num_threads", 1, _core.MAX_THREADS))
