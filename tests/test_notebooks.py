"""The committed notebooks are whole, clean and listed. `notebooks/run.py --check` executes them."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="a source distribution has no notebooks")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code(path):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def outputs(path):
    return [output for cell in code(path) for output in cell["outputs"]]


@each_notebook
def test_every_cell_was_run_once_and_in_order(path):
    counts = [cell["execution_count"] for cell in code(path)]
    assert counts == list(range(1, len(counts) + 1))


def speaks(source):
    """Return whether a cell prints or draws when it is run, rather than define what does."""
    return any(
        isinstance(node, ast.Call)
        and ast.unparse(node.func).startswith(("print", "plot.", "plt.subplots", "plt.figure"))
        for statement in ast.parse(source).body
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef)
        for node in ast.walk(statement)
    )


@each_notebook
def test_what_a_cell_prints_or_draws_is_there(path):
    silent = [cell for cell in code(path) if not cell["outputs"]]
    assert len(silent) < len(code(path)) / 2
    assert not [cell for cell in silent if speaks("".join(cell["source"]))]


@each_notebook
def test_no_cell_failed_or_warned(path):
    kinds = {output["output_type"] for output in outputs(path)}
    assert kinds <= {"stream", "display_data", "execute_result"}
    assert not [o["text"] for o in outputs(path) if o.get("name") == "stderr"]


@each_notebook
def test_a_notebook_has_pictures_and_is_small(path):
    assert any("image/png" in output.get("data", {}) for output in outputs(path))
    assert path.stat().st_size < 600_000


@each_notebook
def test_nothing_tells_of_the_machine_that_ran_it(path):
    notebook = json.loads(path.read_text())
    assert notebook["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook["cells"]:
        assert set(cell["metadata"]) <= {"tags"}
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("image/png", None)
    text = json.dumps(notebook, ensure_ascii=False)
    assert not re.search(r"[\s\"'(](/(home|root|tmp|usr|var|opt|work|mnt)|/?[A-Z]:\\\\)", text)


@each_notebook
def test_it_checks_its_own_numbers(path):
    assert any(
        re.search(r"^ *assert ", "".join(cell["source"]), re.MULTILINE) for cell in code(path)
    )


@each_notebook
def test_links_between_notebooks_lead_somewhere(path):
    text = "".join(
        "".join(cell["source"])
        for cell in json.loads(path.read_text())["cells"]
        if cell["cell_type"] == "markdown"
    )
    for name in re.findall(r"\]\(([^):]+)\)", text):
        assert (path.parent / name).is_file(), name


def test_the_readme_lists_them_all():
    listed = re.findall(r"\(notebooks/(\w+\.ipynb)\)", (ROOT / "README.md").read_text())
    assert sorted(listed) == [path.name for path in NOTEBOOKS]
