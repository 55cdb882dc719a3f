"""Names of a package that are imported on first access.

A layer reaches what stands above it through these names alone: `nn` exposes `Sequential`, which
stands on `training`, and a history is drawn by `plot`. No import runs up.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def attribute(module: str, name: str) -> Any:
    """Return an attribute of a module, which is imported now."""
    return getattr(import_module(module), name)


def names(
    package: str, modules: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's `__getattr__` and `__dir__`; `modules`: names by the module that has them.

    A module of the package must not have the name of one of its attributes: importing the module
    would overwrite the attribute.
    """
    module_of = {name: module for module, those in modules.items() for name in those}
    own = vars(sys.modules[package])

    def find(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        own[name] = attribute(module_of[name], name)
        return own[name]

    return find, lambda: sorted({*own, *module_of})
