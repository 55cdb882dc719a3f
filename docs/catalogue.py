"""Writes catalogue.md from the notes in the docstrings; with --check reports if it is outdated."""

import inspect
import re
import sys
from pathlib import Path

from deltaprop import nn, optim
from deltaprop.nn import activations
from deltaprop.nn.losses import Loss
from deltaprop.nn.module import Module
from deltaprop.training.metrics import METRICS

PAGE = Path(__file__).with_name("catalogue.md")
HEAD = """\
# The catalogue

Every part of a network and of its training, as its docstring says; `help(nn.GELU)` gives the
options, their defaults and the errors as well. `python docs/catalogue.py` writes this file.

x is the input of a layer and y its output; for losses a is an output of the network and y its
target. J is the loss of a batch, l that of one element or row, delta = dJ/d(output). p is a
parameter, g its gradient, lr the learning rate, t the count of updates or epochs. w is a weight,
w_i the weight of row i. \\[c\\] is 1 where c holds, else 0.
"""
WITHOUT_DERIVATIVE = ("Formula", "Source")
WITH_DERIVATIVE = ("Formula", "Derivative", "Source")


def of_kind(module, base, where=lambda member: True):
    """Return the public classes of a module that derive from `base`, by name."""
    short = module.__name__.removeprefix("deltaprop.")
    members = {f"{short}.{name}": getattr(module, name) for name in module.__all__}
    return {
        name: member
        for name, member in members.items()
        if inspect.isclass(member) and issubclass(member, base) and member is not base
        if where(member)
    }


def families():
    """Return title, columns and members by name for each family."""

    def is_activation(member):
        return member.__module__ == activations.__name__

    def is_layer(member):
        return not is_activation(member) and member is not nn.Layer

    initialisers = {f"nn.init.{name}": getattr(nn.init, name) for name in nn.init.__all__}
    return [
        ("Activations", WITH_DERIVATIVE, of_kind(nn, nn.Layer, is_activation)),
        ("Layers", WITHOUT_DERIVATIVE, of_kind(nn, Module, is_layer)),
        ("Losses", WITH_DERIVATIVE, of_kind(nn, Loss)),
        ("Optimizers", WITHOUT_DERIVATIVE, of_kind(optim, optim.Optimizer)),
        ("Schedules", WITHOUT_DERIVATIVE, of_kind(optim, optim.LRScheduler)),
        ("Initialisers", WITHOUT_DERIVATIVE, initialisers),
        ("Metrics", WITHOUT_DERIVATIVE, {f'"{name}"': f for name, f in METRICS.items()}),
    ]


def notes(member):
    """Return the fields in a docstring's notes, such as ``Formula: ...``, by name."""
    _, _, text = inspect.cleandoc(member.__doc__).partition("\nNotes\n-----\n")
    # A field ends at an empty line or at the next field.
    fields = re.findall(
        r"^(Formula|Derivative|Source): (.+?)(?=\n\n|\n(?:Formula|Derivative|Source): |\Z)",
        text,
        re.MULTILINE | re.DOTALL,
    )
    return {name: " ".join(value.split()).removesuffix(".") for name, value in fields}


def cell(text):
    """Return text escaped for Markdown, with names of other packages as code."""
    text = re.sub(r"`*\b((?:torch|sklearn|keras)(?:\.\w+)+)`*", r"`\1`", text)
    parts = re.split(r"(`+[^`]+`+)", text)
    parts[::2] = [re.sub(r"([\\*_<>\[\]~])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts).replace("|", r"\|")  # ends a cell even within code


def page():
    """Return the text of the page."""
    lines = [HEAD]
    for title, columns, members in families():
        lines += [f"## {title}", "", "| " + " | ".join(("Name", *columns)) + " |"]
        lines += ["|" + " --- |" * (len(columns) + 1)]
        for name in sorted(members, key=str.lower):
            fields = notes(members[name])
            if missing := [column for column in columns if column not in fields]:
                raise ValueError(f"{name}: expected {', '.join(missing)} in the docstring's notes")
            cells = (f"`{name}`", *(cell(fields[column]) for column in columns))
            lines += ["| " + " | ".join(cells) + " |"]
        lines += [""]
    return "\n".join(lines)


def main(arguments):
    """Write or check the page; return an error message or None."""
    if arguments not in ([], ["--check"]):
        return f"expected nothing or --check, got {' '.join(arguments)}"
    if not arguments:
        PAGE.write_text(page())
    elif not PAGE.is_file() or PAGE.read_text() != page():
        return f"{PAGE.name} is not what the docstrings say: run python docs/catalogue.py"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
