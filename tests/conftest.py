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
    would otherwise be hundreds of tests that quietly did nothing. DELTAPROP_REQUIRE_PEERS=0 leaves
    them out where they have been compared already.
    """
    wanted = os.environ.get("DELTAPROP_REQUIRE_PEERS")
    if wanted == "1":
        return importlib.import_module
    if wanted == "0":
        return lambda name: pytest.skip(f"{name} is not wanted here")
    return pytest.importorskip
