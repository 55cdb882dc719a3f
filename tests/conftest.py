"""What the tests share."""

import gc
import importlib
import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

# Before anything imports matplotlib.
os.environ["MPLBACKEND"] = "agg"


@pytest.fixture(scope="session")
def peer() -> Callable[[str], ModuleType]:
    """Return the function that imports a peer to compare with, or skips where it is missing.

    A machine that is there to compare sets DELTAPROP_REQUIRE_PEERS=1: a peer that is missing there
    would otherwise be hundreds of tests that quietly did nothing. DELTAPROP_REQUIRE_PEERS=0 leaves
    them out where they have been compared already.
    """
    wanted = os.environ.get("DELTAPROP_REQUIRE_PEERS")
    if wanted == "1":
        return importlib.import_module
    if wanted == "0":
        return lambda name: pytest.skip(f"{name} is not wanted here")
    return pytest.importorskip


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def canvas(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Return the function that makes Axes to draw on; what is drawn is rendered at the end.

    No function may open a figure of its own then, let alone show one.
    """
    from matplotlib import pyplot
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = []

    def axes(**options: Any) -> Any:
        made.append(Figure(layout="constrained"))
        return made[-1].add_subplot(**options)

    monkeypatch.setattr(pyplot, "show", lambda: pytest.fail("a figure was shown"))
    yield axes
    for figure in made:
        FigureCanvasAgg(figure).draw()
    assert pyplot.get_fignums() == []


def pytest_collection_finish() -> None:
    """Keep the tests themselves, and all that they import, out of every later collection."""
    gc.collect()
    gc.freeze()
