"""Executes all notebooks, or those named.

``python notebooks/run.py [--check] [NAME ...]`` writes the outputs into the notebooks. With
``--check`` it writes nothing and reports printed text that differs from the committed text, except
in cells tagged "timing". Exits with 1 if a cell fails, for example by an assertion.
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
# Metadata of every notebook, independent of the Python that executed it.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def texts(notebook: nbformat.NotebookNode) -> Iterator[tuple[str, list[str]]]:
    """Yield id and printed lines of each code cell, except those tagged "timing"."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and "timing" not in cell.metadata.get("tags", []):
            # A stream may arrive in several pieces.
            parts = (o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs)
            yield cell.id, "".join(parts).splitlines()


def shrink(notebook: nbformat.NotebookNode) -> None:
    """Convert images to a palette of 256 colours, a third of the size."""
    outputs = (out for cell in notebook.cells for out in cell.get("outputs", []))
    for data in (out.data for out in outputs if "image/png" in out.get("data", {})):
        picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
        file = io.BytesIO()
        picture.quantize(256, dither=Image.Dither.NONE).save(file, "png", optimize=True)
        data["image/png"] = base64.b64encode(file.getvalue()).decode()


def run(path: Path, check: bool) -> bool:
    """Execute one notebook, report the result, and return whether all cells succeeded."""
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
    """Run the notebooks named on the command line."""
    parser = argparse.ArgumentParser(description="Execute the notebooks.")
    parser.add_argument("names", nargs="*", help="such as 000_one_neuron; default: all")
    parser.add_argument("--check", action="store_true", help="write nothing, compare printed text")
    options = parser.parse_args()
    names = options.names or sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    succeeded = [run(FOLDER / f"{name}.ipynb", options.check) for name in names]
    return 0 if all(succeeded) else 1


if __name__ == "__main__":
    sys.exit(main())
