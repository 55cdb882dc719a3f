"""The repository's text avoids the phrases listed here, for which technical English has a term."""

import json
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Each phrase with its replacement and an example that must be found.
PHRASES = {
    r"so many": ("the number, by name", "By so many threads."),
    r"nobody": ("the passive, or the subject", "Nobody reads it again."),
    r"whoever|beside whom": ("the subject: the caller, the user", "The memory of whoever runs it."),
    r"look(s|ed|ing)? (at|through)": ("check, inspect, read, monitor", "It looks at each loss."),
    r"told": ("an argument, a setting; known", "As forward was told."),
    r"tells": ("returns, shows, states", "It tells which is in use."),
    r"hears?": ("receives, is called for", "Everything that hears of epochs."),
    r"at the door": ("on entry, in the constructor", "Checked at the door."),
    r"held out|held-out(?! accuracy)": ("validation, test", "The rows held out."),
    r"way back": ("backward pass", "Kept for the way back."),
    r"wanted": ("required, requested, expected", "Null where it is not wanted."),
    r"what (is|are)": ("the noun itself", "What is saved is written."),
    r"in sight|before your eyes": ("accessible, visible", "With every delta in sight."),
    r"in vain": ("without success", "Tried in vain."),
    r"at the most": ("at most", "One reader at the most."),
}
GOOD = (
    "held-out accuracy: 97.3% of 450 digits",
    "It looks like a lookup table; look up the class in the catalogue.",
    "an unwanted copy; whatever; what isolates the kernels",
    "She retold the story of the heart.",
)
SUFFIXES = {
    *(".c", ".cmake", ".cpp", ".css", ".h", ".hpp", ".inc", ".ipynb", ".map", ".md", ".py", ".pyi"),
    *(".rst", ".toml", ".txt", ".yaml", ".yml"),
}
# Outputs of builds and tools, copies made by Sphinx, and licences of others.
SKIPPED = {
    *("LICENSES", "__pycache__", "_build", "build", "dist", "results"),
    *("docs/api/generated", "docs/notebooks"),
}

# A phrase may continue on the next line, after the mark of a comment.
SPACE = r"(?:[^\S\n]|\n\s*(?:#|//+|\*|>)?)+"
PATTERNS = {
    phrase: re.compile(rf"\b(?:{phrase.replace(' ', SPACE)})\b", re.IGNORECASE)
    for phrase in PHRASES
}


def text_files():
    """Yield the text files of the source tree, relative to its root."""
    for folder, folders, names in os.walk(ROOT):
        here = Path(folder).relative_to(ROOT)
        folders[:] = [
            name
            for name in folders
            if not {name, (here / name).as_posix()} & SKIPPED
            and (name == ".ci" or not name.startswith("."))
            and not name.endswith(".egg-info")
        ]
        for name in names:
            path = here / name
            if path.suffix in SUFFIXES or path.parts[0] == ".ci":
                yield path


def prose(path):
    """Return the text of a file; of a notebook, its Markdown cells, comments and docstrings."""
    text = (ROOT / path).read_text()
    if path.suffix != ".ipynb":
        return text
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        else:
            parts += re.findall(r'#.*|"""(?:.|\n)*?"""', source)
    return "\n\n".join(parts)


def findings(text):
    """Return a line for each phrase in a text: its position, the phrase, and its replacement."""
    return [
        f"line {text[: found.start()].count(chr(10)) + 1}: {found[0]!r}; write {PHRASES[phrase][0]}"
        for phrase, pattern in PATTERNS.items()
        for found in pattern.finditer(text)
    ]


FILES = [path for path in sorted(text_files()) if path != Path(__file__).relative_to(ROOT)]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_text_avoids_the_listed_phrases(path):
    assert findings(prose(path)) == []


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_listed_phrase_is_found(phrase):
    example = PHRASES[phrase][1]
    assert len(findings(example)) == 1
    assert len(findings(example.upper())) == 1
    assert len(findings("    # " + example.replace(" ", "\n    # "))) == 1


@pytest.mark.parametrize("sentence", GOOD)
def test_similar_words_are_not_found(sentence):
    assert findings(sentence) == []


def test_notebooks_are_read_without_their_code_and_outputs(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["Nobody reads it."]},
        {"cell_type": "code", "source": ["wanted = 1  # as told\n"], "outputs": ["nobody"]},
    ]
    path = tmp_path / "some.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    assert [line.split("'")[1] for line in findings(prose(path))] == ["Nobody", "told"]
