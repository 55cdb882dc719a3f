"""Runs the Python examples of Markdown pages and compares their output with the text below them.

A ``python`` block is an example; a ``text`` block right below it is its output, and without one it
prints nothing. Those of a section, which begins with a heading of the second level, go on from each
other.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path

EXAMPLE = re.compile(
    r"^```python\n(.*?)^```\n(?:\s*^```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL
)


def check(path: Path) -> int:
    """Return the number of examples; exit where an output differs."""
    count = 0
    for section in re.split(r"^## ", path.read_text(), flags=re.MULTILINE):
        names: dict[str, object] = {}
        for code, expected in EXAMPLE.findall(section):
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(code, str(path), "exec"), names)
            if out.getvalue() != expected:
                sys.exit(f"{path}:\n{code}printed\n{out.getvalue()}instead of\n{expected}")
            count += 1
    return count


if __name__ == "__main__":
    pages = [Path(name).resolve() for name in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # examples write files
        for page in pages:
            print(f"{page.name}: {check(page)} examples")
    if not pages:
        sys.exit("no page given")
