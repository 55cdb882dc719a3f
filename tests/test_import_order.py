"""Imports run one way: no cycle, no order of importing the subpackages that fails."""

import ast
import graphlib
import itertools
import os
from pathlib import Path

import pytest

import deltaprop as dp
import processes

PACKAGE = Path(dp.__file__).parent
# `nn` exposes `Sequential` by name and imports it for type checkers only.
BY_NAME = ("deltaprop.nn", "deltaprop.network")

SUBPACKAGES = ["graph", "nn", "optim", "training", "plot"]
# A process that has only NumPy and the compiled module is forked before each import, so that what
# it has imported is one order's beginning. An empty package stands for `deltaprop`, whose own
# imports would fix the order.
EACH_ORDER = """
import importlib, os, sys, traceback, types
import numpy

package = types.ModuleType("deltaprop")
package.__path__ = sys.argv[1].split(os.pathsep)
sys.modules["deltaprop"] = package
importlib.import_module("deltaprop._core")

def import_in_each_order(order, left):
    if not left:
        assert sys.modules["deltaprop.nn"].Sequential
        os.write(1, f"{' '.join(order)}\\n".encode())
    for name in left:
        child = os.fork()
        if child == 0:
            try:
                importlib.import_module(f"deltaprop.{name}")
                import_in_each_order([*order, name], [other for other in left if other != name])
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        os.waitpid(child, 0)

import_in_each_order([], sys.argv[2:])
"""


def module_name(path, package):
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join([package.name, *(p for p in parts if p != "__init__")])


def import_graph(package):
    """Return the modules that each module of a package imports, wherever it does."""
    paths = {module_name(path, package): path for path in package.rglob("*.py")}
    # The compiled module has no source, and imports nothing of ours.
    known = {*paths, f"{package.name}._core"}
    graph = {name: set() for name in known}
    for name, path in paths.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: expected imports by the whole name"
                found = [
                    inner if (inner := f"{node.module}.{alias.name}") in known else node.module
                    for alias in node.names
                ]
            else:
                continue
            graph[name] |= {module for module in found if module in known}
    return graph


def check_no_cycle(graph):
    graphlib.TopologicalSorter(graph).prepare()


def test_no_import_cycle():
    graph = import_graph(PACKAGE)
    assert len(graph) > 70
    module, lazy = BY_NAME
    graph[module].remove(lazy)
    check_no_cycle(graph)


@pytest.mark.parametrize(
    "source",
    [
        "from deltaprop import optim",
        "import deltaprop.optim",
        "def f():\n    from deltaprop.optim import rules",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from deltaprop.optim import SGD",
    ],
)
def test_an_import_in_a_circle_is_found(source, tmp_path):
    package = tmp_path / "deltaprop"
    (package / "optim").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "nn.py").write_text(source)
    (package / "optim" / "__init__.py").write_text("from deltaprop.optim.rules import SGD")
    (package / "optim" / "rules.py").write_text("SGD = None\nfrom deltaprop.nn import Linear")
    with pytest.raises(graphlib.CycleError):
        check_no_cycle(import_graph(package))


def test_the_subpackages_can_be_imported_in_each_order():
    done = processes.run("-c", EACH_ORDER, os.pathsep.join(dp.__path__), *SUBPACKAGES)
    assert done.returncode == 0, done.stderr
    orders = {" ".join(order) for order in itertools.permutations(SUBPACKAGES)}
    assert len(orders) == 120
    assert set(done.stdout.splitlines()) == orders, done.stderr
