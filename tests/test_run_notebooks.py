"""What `notebooks/run.py` does with notebooks that fail, that print something else, that time."""

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs the extra notebooks")
pytest.importorskip("nbclient", reason="needs the extra notebooks")

from notebooks.run import METADATA, run  # noqa: E402

PICTURE = """
import matplotlib.pyplot as plt
fig, ax = plt.subplots()
ax.plot([1, 2]);
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel's own shows pictures

    def written(*sources, tags=()):
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        cells[-1].metadata["tags"] = list(tags)
        path = tmp_path / "some.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        return path

    return written


def test_outputs_are_put_in_place_without_what_differs_from_run_to_run(write):
    path = write("x = 20", "print(x + 1)", PICTURE)
    assert run(path, check=False)
    first = path.read_bytes()
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata == METADATA
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3]
    assert notebook.cells[1].outputs[0].text == "21\n"
    assert "image/png" in notebook.cells[2].outputs[0].data
    assert run(path, check=False)
    assert path.read_bytes() == first


def test_a_check_tells_of_other_text_and_writes_nothing(write, capfd):
    path = write("x = 20", "print(x + 1)")
    before = path.read_bytes()
    assert run(path, check=True)
    assert "+21" in capfd.readouterr().out
    assert path.read_bytes() == before


def test_timings_may_be_others(write, capfd):
    path = write("import time", "print(time.perf_counter())", tags=["timing"])
    assert run(path, check=False)
    capfd.readouterr()
    assert run(path, check=True)
    assert len(capfd.readouterr().out.splitlines()) == 1


def test_a_cell_that_fails_is_told(write, capfd):
    path = write("x = 20", "assert x == 21, 'not so'")
    before = path.read_bytes()
    assert not run(path, check=False)
    assert "some.ipynb: a cell failed" in capfd.readouterr().out
    assert path.read_bytes() == before
