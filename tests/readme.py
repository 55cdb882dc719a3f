"""Runs the Python examples of a README and compares each output with the text block below it."""

import contextlib
import io
import re
import sys
from pathlib import Path


def check(path: Path) -> int:
    """Return the number of examples; exit where an output differs."""
    text = path.read_text()
    pairs = re.findall(r"```python\n(.*?)```.*?```text\n(.*?)```", text, re.DOTALL)
    for code, expected in pairs:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(code, {})
        if out.getvalue() != expected:
            sys.exit(f"{path}: an example printed\n{out.getvalue()}instead of\n{expected}")
    return len(pairs)


if __name__ == "__main__":
    count = check(Path(sys.argv[1]))
    print(f"{count} examples")
    sys.exit(0 if count > 0 else "no example found")
