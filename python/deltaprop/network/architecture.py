"""Networks as plain data structures, for files."""

import inspect
from typing import Any

from deltaprop import nn
from deltaprop.nn.containers import Container
from deltaprop.nn.core_module import CoreLayer
from deltaprop.nn.module import Module


def describe(module: Module) -> dict[str, Any]:
    """Return the class name, options and children of a module.

    Raises
    ------
    TypeError
        For a layer written in Python or an ExpressionLayer, which contain functions.
    """
    if isinstance(module, Container):
        return {
            "kind": module._kind,
            "options": {},
            "children": [describe(child) for child in module._children()],
        }
    kind = type(module).__name__
    built_in = isinstance(module, CoreLayer) and getattr(nn, kind, None) is type(module)
    if not built_in or isinstance(module, nn.ExpressionLayer):
        raise TypeError(
            f"save: expected built-in layers, got {module!r}; keep the state_dict() of a network "
            f"with layers of your own"
        )
    assert isinstance(module, CoreLayer)
    names = inspect.signature(type(module)).parameters
    return {"kind": kind, "options": module._arguments(tuple(names)), "children": []}


def restore(description: dict[str, Any], **options: Any) -> Module:
    """Return a new module from a description; `options` are added to those of the outermost.

    Raises
    ------
    ValueError
        If this version has no such class, or the class has no such options.
    """
    kind = getattr(nn, str(description["kind"]), None)
    if not (isinstance(kind, type) and issubclass(kind, CoreLayer | Container)):
        raise ValueError(f"load: expected a layer of this version, got {description['kind']!r}")
    children = [restore(child) for child in description["children"]]
    try:
        module: Module = kind(*children, **description["options"], **options)
    except TypeError as error:
        name = description["kind"]
        raise ValueError(f"load: expected a layer of this version, got {name} ({error})") from None
    return module
