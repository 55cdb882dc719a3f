"""Importing: what it costs, and names that come later."""

import importlib.util
import json
import sys

import pytest

import deltaprop as dp
import processes
from deltaprop import graph, nn, optim, plot

# Slow to import, or rarely used.
LATER = {
    "IPython",
    "deltaprop._html",
    "deltaprop.gradcheck",
    "deltaprop.graph.derivatives",
    "deltaprop.graph.picture",
    "deltaprop.graph.solving",
    "deltaprop.nn.expressions",
    "deltaprop.optim.descent",
    "deltaprop.plot.curves",
    "deltaprop.training.live",
    "deltaprop.training.lr_range",
    "hashlib",
    "html",
    "importlib.metadata",
    "ipaddress",
    "json",
    "matplotlib",
    "pathlib",
    "random",
    "secrets",
    "tempfile",
    "unicodedata",
    "zipfile",
}


def imported(code):
    """Return the modules that a process has after `code`, less those that NumPy brought."""
    code = "import sys, numpy; before = set(sys.modules)\n" + code
    done = processes.run("-c", code + "\nprint(*set(sys.modules) - before)")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_what_is_seldom_used_is_not_imported():
    modules = imported("from deltaprop import graph, nn, optim")
    assert {"deltaprop._core", "deltaprop.network.sequential", "deltaprop.graph.node"} <= modules
    assert not LATER & modules


def test_names_come_when_they_are_asked_for():
    modules = imported("from deltaprop import nn, check_gradients, __version__\nnn.ExpressionLoss")
    found = {"deltaprop.gradcheck", "deltaprop.nn.expressions", "importlib.metadata"}
    assert LATER & modules >= found
    assert not {"deltaprop.graph.solving", "deltaprop.optim.descent"} & modules


@pytest.mark.parametrize("package", [dp, graph, nn, optim, plot], ids=lambda p: p.__name__)
def test_every_name_is_listed_before_it_was_asked_for(package):
    code = f"import json, {package.__name__} as p; print(json.dumps(dir(p)))"
    done = processes.run("-c", code)
    assert set(package.__all__) <= set(json.loads(done.stdout))


@pytest.mark.parametrize("package", [dp, graph, nn, optim, plot], ids=lambda p: p.__name__)
def test_a_name_that_there_is_not(package):
    with pytest.raises(AttributeError, match=rf"'{package.__name__}' has no attribute 'Nothing'"):
        package.Nothing
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        importlib.import_module("builtins").exec(f"from {package.__name__} import Nothing")


@pytest.mark.parametrize("package", [dp, graph, nn, optim, plot], ids=lambda p: p.__name__)
def test_no_module_takes_the_place_of_a_function(package):
    # `graph.solve` would be the module, once somebody has imported `graph/solve.py`.
    for name in package.__all__:
        value = getattr(package, name)
        assert name in {"graph", "nn", "optim", "plot", "init"} or not isinstance(value, type(sys))
        if not isinstance(value, type(sys)):
            assert importlib.util.find_spec(f"{package.__name__}.{name}") is None
