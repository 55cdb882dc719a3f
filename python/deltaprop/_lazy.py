"""Lazy imports: names of a package that are imported on first access."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def names(
    package: str, modules: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's `__getattr__` and `__dir__`; `modules` lists the names in each module.

    A module must not have the same name as one of its lazy names: importing the module would set
    that attribute of the package to the module.
    """
    module_of = {name: module for module, group in modules.items() for name in group}
    namespace = vars(sys.modules[package])

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        namespace[name] = getattr(import_module(f"{package}.{module_of[name]}"), name)
        return namespace[name]

    return get, lambda: sorted({*namespace, *module_of})
