"""Base of the catalogue's classes: an error for unknown arguments names the class."""

import inspect
from collections.abc import Iterator
from typing import Any, Self, get_args, is_typeddict


class CheckedInit:
    """A class whose call raises TypeError with its name and arguments where these do not match."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # Copies are made without arguments.
        if args or kwargs:
            parameters = list(_parameters(cls))
            try:
                inspect.Signature(parameters).bind(*args, **kwargs)
            except TypeError as error:
                names = inspect.Signature([p.replace(default=p.empty) for p in parameters])
                raise TypeError(f"{cls.__name__}: expected arguments {names}; {error}") from None
        return super().__new__(cls)


def _parameters(cls: Any) -> Iterator[inspect.Parameter]:
    """Yield the arguments of a class, with each option that `**kwargs` stands for."""
    _, *parameters = inspect.signature(cls.__init__).parameters.values()
    for parameter in parameters:
        options = [kind for kind in get_args(parameter.annotation) if is_typeddict(kind)]
        for name in (name for kind in options for name in kind.__annotations__):
            yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        if not options:
            yield parameter.replace(annotation=parameter.empty)
