"""Names of a package that are imported when somebody first asks for them."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def names(
    package: str, modules: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's `__getattr__` and `__dir__`, given what it has from which of its modules.

    A module must not be called as one of its names: whoever imports it sets that in the package.
    """
    places = {name: module for module, those in modules.items() for name in those}
    own = vars(sys.modules[package])

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        own[name] = getattr(import_module(f"{package}.{places[name]}"), name)
        return own[name]

    return find, lambda: sorted({*own, *places})
