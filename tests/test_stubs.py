"""The stub of the compiled module is the one that python/stubs.py writes from it."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("pybind11_stubgen")
SPEC = importlib.util.spec_from_file_location(
    "stubs", Path(__file__).resolve().parents[1] / "python" / "stubs.py"
)
stubs = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(stubs)


def test_the_stub_is_what_the_compiled_module_says():
    assert stubs.main(["--check"]) is None


def test_a_stub_that_differs_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(stubs, "stub", lambda: "MAX_THREADS: int\n")
    monkeypatch.setattr(stubs, "STUB", tmp_path / "_core.pyi")
    assert stubs.main([]) is None
    assert stubs.main(["--check"]) is None
    stubs.STUB.write_text("")
    assert "run python python/stubs.py" in stubs.main(["--check"])
    assert "got --chekc" in stubs.main(["--chekc"])
