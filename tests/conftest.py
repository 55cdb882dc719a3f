"""What the tests share."""

import importlib
import os
from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def peer() -> Callable[[str], ModuleType]:
    """Return the function that imports a peer to compare with, or skips where it is missing.

    A machine that is there to compare sets DELTAPROP_REQUIRE_PEERS=1: a peer that is missing there
    would otherwise be hundreds of tests that quietly did nothing.
    """
    if os.environ.get("DELTAPROP_REQUIRE_PEERS") == "1":
        return importlib.import_module
    return pytest.importorskip
