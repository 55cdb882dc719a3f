"""The stubs of the compiled module against the module: its docstrings carry the real signatures."""

import ast
import inspect
import re
from pathlib import Path
from types import FunctionType, WrapperDescriptorType

import pytest

import deltaprop
from deltaprop import _core

STUBS = ast.parse((Path(deltaprop.__file__).parent / "_core.pyi").read_text())
FUNCTIONS = {
    f"{owner.name + '.' if isinstance(owner, ast.ClassDef) else ''}{f.name}": f
    for owner in [STUBS, *(n for n in STUBS.body if isinstance(n, ast.ClassDef))]
    for f in owner.body
    # A slot that is called takes whatever comes and looks for itself.
    if isinstance(f, ast.FunctionDef) and not f.decorator_list and f.name != "__call__"
}


def documented(name):
    """Yield the argument names of each overload."""
    target = _core
    for part in name.split("."):
        target = getattr(target, part)
    short = name.split(".")[-1]
    if isinstance(target, FunctionType | WrapperDescriptorType):
        parameters = inspect.signature(target).parameters.values()
        yield [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        return
    for line in re.findall(rf"^(?:\d+\. )?{short}\((.*)\) -> ", target.__doc__, re.MULTILINE):
        yield re.findall(r"(?:^|, )(\w+)(?=: )", line)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_are_those_of_the_module(name):
    stub = FUNCTIONS[name]
    signatures = list(documented(name))
    assert signatures
    for arguments in signatures:
        assert arguments == [a.arg for a in (*stub.args.posonlyargs, *stub.args.args)]
