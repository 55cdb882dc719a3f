"""Executes the notebooks, all of them or those named.

``python notebooks/run.py [--check] [NAME ...]`` puts the outputs in place. With ``--check`` it
writes nothing, and tells of printed text that is not what the notebook has; cells tagged "timing"
may print what they like. Exits with 1 when a cell fails, as one does whose assertion does not hold.
"""

import argparse
import base64
import difflib
import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

FOLDER = Path(__file__).resolve().parent
# What every notebook says of itself, whoever ran it with whichever Python.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def texts(notebook: nbformat.NotebookNode) -> Iterator[tuple[str, list[str]]]:
    """Give each code cell's id and the lines it printed, but for timings."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and "timing" not in cell.metadata.get("tags", []):
            # A stream may come in one piece or in several.
            parts = (o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs)
            yield cell.id, "".join(parts).splitlines()


def shrink(notebook: nbformat.NotebookNode) -> None:
    """Store each picture in 256 colours of its own, which takes a third of the room."""
    outputs = (out for cell in notebook.cells for out in cell.get("outputs", []))
    for data in (out.data for out in outputs if "image/png" in out.get("data", {})):
        picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
        file = io.BytesIO()
        picture.quantize(256, dither=Image.Dither.NONE).save(file, "png", optimize=True)
        data["image/png"] = base64.b64encode(file.getvalue()).decode()


def run(path: Path, check: bool) -> bool:
    """Execute one notebook, tell how it went, and return whether no cell failed."""
    committed = nbformat.read(path, as_version=4)
    notebook = nbformat.from_dict(committed)
    start = time.perf_counter()
    try:
        NotebookClient(
            notebook,
            timeout=None,
            startup_timeout=600,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": str(path.parent)}},
        ).execute()
    except CellExecutionError as error:
        print(f"{path.name}: a cell failed\n{error}")
        return False
    print(f"{path.name}: {time.perf_counter() - start:.0f} s", flush=True)
    if check:
        for (cell, before), (_, now) in zip(texts(committed), texts(notebook), strict=True):
            for line in difflib.unified_diff(before, now, "committed", "now", lineterm="", n=0):
                print(f"  {cell}: {line}")
    else:
        shrink(notebook)
        notebook.metadata = nbformat.from_dict(METADATA)
        nbformat.write(notebook, path)
    return True


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Execute the notebooks.")
    parser.add_argument("names", nargs="*", help="as 000_one_neuron; all without any")
    parser.add_argument("--check", action="store_true", help="write nothing, compare printed text")
    options = parser.parse_args()
    names = options.names or sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    went = [run(FOLDER / f"{name}.ipynb", options.check) for name in names]
    return 0 if all(went) else 1


if __name__ == "__main__":
    sys.exit(main())
