"""What this installation is and runs on."""

import platform
import re
from typing import Any, Literal, overload

import numpy as np

from deltaprop import _core
from deltaprop._arrays import as_count


def _cpu() -> str:
    """Its name where Linux tells it, else its kind."""
    from pathlib import Path

    try:
        named = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        named = None
    return named[1] if named else platform.machine()


@overload
def show_config(mode: Literal["stdout"] = ...) -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, Any]: ...
def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Show what this installation of deltaprop is and what it runs on: put it into reports of bugs.

    The kernels, all the arithmetic, are built for several instruction sets. Importing deltaprop
    takes the best that the CPU has; the environment variable ``DELTAPROP_ISA`` forces another of
    them. x86-64-v3 and x86-64-v4 give the same bits; x86-64-v2, which has no fused multiply-add,
    agrees with them to rounding.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, default="stdout"
        Whether to print it or to return it.

    Returns
    -------
    dict or None
        With ``mode="dicts"``: ``version``, ``instruction_set``, ``chosen_by`` ("CPU" or
        "DELTAPROP_ISA"), ``available`` (the sets that this CPU has), ``built`` (those there are
        kernels for), ``threads``, ``cpu``, ``compiler``, ``build_type``, ``eigen``, ``numpy`` and
        ``python``.

    Raises
    ------
    ValueError
        If the mode is another one.

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
        shown = ", ".join(value) if isinstance(value, list) else value
        print(f"{name.replace('_', ' ')}: {shown}")
    return None


def get_num_threads() -> int:
    """Return how many threads may work on one step, or on one prediction.

    At first this is what the environment variable ``DELTAPROP_NUM_THREADS`` says, or else the
    number of processors that the process may use, ``OMP_NUM_THREADS`` at the most.

    Returns
    -------
    int
    """
    return _core.num_threads()


def set_num_threads(count: int) -> None:
    """Set how many threads may work on one step, or on one prediction, from now on.

    What is too small to share takes one. Results have the same bits for any number.

    Parameters
    ----------
    count : int
        1 to 1024.

    Raises
    ------
    TypeError, ValueError
        Where it is not an integer, or none of these.
    """
    _core.set_num_threads(as_count(count, "set_num_threads", 1, _core.MAX_THREADS))
