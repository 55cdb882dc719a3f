"""Write python/deltaprop/_core.pyi from the compiled module; with --check say whether it differs.

pybind11-stubgen reads the signatures that pybind11 writes. Corrections: what pybind11 converts is
written as what our code passes; results that C++ returns as Python objects have the types of
RETURNS; the classes without signatures come from _core_slots.pyi.
"""

import ast
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
STUB = HERE / "deltaprop" / "_core.pyi"
SLOTS = HERE / "_core_slots.pyi"

# In this order.
SHORTER = {
    "typing.SupportsInt | typing.SupportsIndex": "int",
    "typing.SupportsFloat | typing.SupportsIndex": "float",
    "deltaprop.graph.Node": "Node",
    "deltaprop.nn.Predictor": "Predictor",
}
NAMES = {
    "numpy.ndarray": "_Array",
    "numpy.typing.NDArray[numpy.float64]": "NDArray[np.float64]",
    "numpy.typing.ArrayLike": "ArrayLike",
    "collections.abc.Sequence": "Sequence[Any]",
    "typing.Any": "Any",
    "typing.overload": "overload",
    "dict": "dict[str, Any]",
    "list": "list[Any]",
}
# By the name alone where it is the same in every class.
RETURNS = {
    "average": "_Array | None",
    "state": "_Array | None",
    "parameters": "list[tuple[int, str]]",
    "buffers": "list[tuple[int, str]]",
    "delta": "_Array",
    "cos": "_Array",
    "power": "_Array",
    "graph_jacobian": "list[_Array]",
}
# Functions of a network that our code calls without knowing its precision: one signature for both.
OF_BOTH = {"fit", "predictor"}
HEAD = """\
# Written by python/stubs.py from the compiled module.
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, final, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deltaprop.graph.drawing import Drawing

_Array = NDArray[Any]

"""


class Corrections(ast.NodeTransformer):
    """The corrections of one stub."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """Drop what an annotation is annotated with, and name generic types."""
        text = ast.unparse(node)
        if text in NAMES:
            return expression(NAMES[text])
        if ast.unparse(node.value) == "typing.Annotated":
            assert isinstance(node.slice, ast.Tuple)
            return self.visit(node.slice.elts[0])
        if isinstance(node.value, ast.Attribute):
            node.value = expression(node.value.attr)
        node.slice = self.visit(node.slice)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Write a qualified name as it is imported."""
        return expression(NAMES.get(ast.unparse(node), ast.unparse(node)))

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Give a generic type its arguments."""
        return expression(NAMES.get(node.id, node.id))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Correct the result."""
        self.generic_visit(node)
        if node.args.vararg is not None and node.args.vararg.annotation is None:
            node.args.vararg.annotation = expression("object")
        if node.name in RETURNS:
            node.returns = expression(RETURNS[node.name])
        return node


def expression(text: str) -> ast.expr:
    """Parse one expression."""
    return ast.parse(text, mode="eval").body


def of_both(function: ast.FunctionDef) -> ast.FunctionDef:
    """Return an overload for networks of one precision as the function for both."""
    text = ast.unparse(Corrections().visit(function)).removeprefix("@overload\n")
    text = re.sub(r"\b(Network|Optimizer)(32|64)\b", r"\g<1>32 | \g<1>64", text)
    (statement,) = ast.parse(text).body
    assert isinstance(statement, ast.FunctionDef)
    return statement


def generated() -> str:
    """Return what pybind11-stubgen writes."""
    with tempfile.TemporaryDirectory() as folder:
        command = ("pybind11_stubgen", "deltaprop._core", "-o", folder, "--ignore-all-errors")
        subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True)
        return (Path(folder) / "deltaprop" / "_core.pyi").read_text()


def stub() -> str:
    """Return the whole stub, formatted."""
    text = generated()
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    tree = ast.parse(text)
    body: list[ast.stmt] = []
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name in OF_BOTH:
            function = of_both(statement)
            if ast.unparse(function) not in map(ast.unparse, body):
                body.append(function)
        elif isinstance(statement, ast.ClassDef | ast.FunctionDef):
            body.append(Corrections().visit(statement))
        elif isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) != "__all__":
            statement.value = None
            body.append(statement)
    _, slots = SLOTS.read_text().split("\n\n@final", 1)
    text = "\n".join([HEAD, ast.unparse(ast.Module(body, [])), "@final" + slots])
    command = ("ruff", "format", "--stdin-filename", str(STUB), "-")
    done = subprocess.run(
        [sys.executable, "-m", *command], input=text, capture_output=True, text=True, check=True
    )
    return done.stdout


def main(arguments: list[str]) -> str | None:
    """Write the stub or check it; return the error, if any."""
    if arguments not in ([], ["--check"]):
        return f"expected nothing or --check, got {' '.join(arguments)}"
    if not arguments:
        STUB.write_text(stub())
    elif STUB.read_text() != stub():
        return f"{STUB.name} differs from the compiled module: run python python/stubs.py"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
