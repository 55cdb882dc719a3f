"""The table of the catalogue repeats the docstrings and lists every member."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

from deltaprop import nn, optim
from deltaprop.training.metrics import METRICS

DOCS = Path(__file__).resolve().parents[1] / "docs"
SPEC = importlib.util.spec_from_file_location("catalogue", DOCS / "catalogue.py")
catalogue = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(catalogue)

PUBLIC = {
    **{f"nn.{name}": getattr(nn, name) for name in nn.__all__},
    **{f"optim.{name}": getattr(optim, name) for name in optim.__all__},
    **{f"nn.init.{name}": getattr(nn.init, name) for name in nn.init.__all__},
    **{f'"{name}"': metric for name, metric in METRICS.items()},
}
# What members are made of or derive from, and what uses them.
NO_MEMBERS = {
    nn.Layer,
    nn.Parameter,
    optim.Optimizer,
    optim.ParameterGroup,
    optim.LRScheduler,
    optim.Descent,
    optim.descend,
}


def tables():
    """Give each table of the page: its title, its columns, its rows of cells."""
    for part in catalogue.PAGE.read_text().split("\n## ")[1:]:
        title, *lines = part.splitlines()
        cells = [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in lines
            if line.startswith("|")
        ]
        yield title, cells[0], cells[2:]


TABLES = {title: (columns, rows) for title, columns, rows in tables()}


def test_the_page_is_what_the_docstrings_say():
    assert catalogue.main(["--check"]) is None


def test_a_page_that_is_not_is_found(tmp_path, monkeypatch):
    page = tmp_path / "catalogue.md"
    monkeypatch.setattr(catalogue, "PAGE", page)
    assert "run python docs/catalogue.py" in catalogue.main(["--check"])
    assert catalogue.main([]) is None
    assert catalogue.main(["--check"]) is None
    page.write_text(page.read_text().replace("tanh(x)", "tan(x)"))
    assert "run python docs/catalogue.py" in catalogue.main(["--check"])
    assert "got --chekc" in catalogue.main(["--chekc"])


def test_the_families():
    assert list(TABLES) == [
        "Activations",
        "Layers",
        "Losses",
        "Optimizers",
        "Schedules",
        "Initialisers",
        "Metrics",
    ]
    for title, (columns, _) in TABLES.items():
        assert columns[:2] == ["Name", "Formula"]
        assert ("Derivative" in columns) == (title in {"Activations", "Losses"})
        assert columns[-1] == "Source"


@pytest.mark.parametrize(
    "name", [n for n, v in PUBLIC.items() if not inspect.ismodule(v) and v not in NO_MEMBERS]
)
def test_every_member_is_in_one_table_with_all_cells_filled(name):
    found = [
        (columns, row) for columns, rows in TABLES.values() for row in rows if row[0] == f"`{name}`"
    ]
    assert len(found) == 1
    columns, row = found[0]
    assert len(row) == len(columns)
    assert all(re.search(r"\w", cell) for cell in row)


def test_a_member_without_its_notes_is_refused(monkeypatch):
    monkeypatch.setattr(nn.Tanh, "__doc__", "Tanh.\n\n    Notes\n    -----\n    Formula: tanh(x)\n")
    with pytest.raises(ValueError, match=r"nn\.Tanh: expected Derivative, Source in the doc"):
        catalogue.page()


def test_fields_end_where_others_begin():
    def member():
        """Return nothing.

        Notes
        -----
        Formula: a |b|
        over two lines.
        Source: ``torch.nn.X``; a_b

        What stands here is no part of it.
        """

    assert catalogue.notes(member) == {
        "Formula": "a |b| over two lines",
        "Source": "``torch.nn.X``; a_b",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("|x|_2 < a * b", r"\|x\|\_2 \< a \* b"),
        ("[j = k] ~ `a_b|c`", r"\[j = k\] \~ `a_b\|c`"),
        ("as ``torch.nn.init.ones_``", "as `torch.nn.init.ones_`"),
        ("torch.nn.Tanh; x", "`torch.nn.Tanh`; x"),
    ],
)
def test_cells_show_text_letter_for_letter(text, expected):
    assert catalogue.cell(text) == expected
