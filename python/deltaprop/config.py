"""What this installation is and runs on."""

import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from deltaprop import _core


def _cpu() -> str:
    """Its name where Linux tells it, else its kind."""
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
        kernels for), ``cpu``, ``compiler``, ``build_type``, ``eigen``, ``numpy`` and ``python``.

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
    config = {
        "version": version("deltaprop"),
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
