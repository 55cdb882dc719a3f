"""Copies the results of `python -m benchmarks` into performance.md: performance.py [FOLDER]."""

import shutil
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("performance.md")
BEGIN, END = "<!-- results -->\n", "<!-- /results -->\n"
DRAWINGS = {
    "results.png": "Times of the peers as multiples of deltaprop's",
    "scaling.png": "Cost against size",
}


def main(folder: Path) -> None:
    """Insert the tables between the markers, with headings one level lower, and copy the plots."""
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    _, tables = (folder / "results.md").read_text().split("\n", 1)
    lines = [tables.replace("\n## ", "\n### ").strip("\n"), ""]
    for name, title in DRAWINGS.items():
        if (folder / name).is_file():
            shutil.copy(folder / name, PAGE.with_name(name))
            lines += [f"![{title}]({name})", ""]
    PAGE.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + after)


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else "benchmarks/results"))
