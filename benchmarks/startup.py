"""Start-up time, resident memory and installed size of each peer."""

import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.peers import OURS, PEERS, environment

# Milliseconds to import, then to the first prediction, and resident KiB above NumPy's.
PROBE = """
import importlib, os, sys, time
import numpy
from benchmarks.works import SERVING
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
before, start = resident(), time.perf_counter()
peer = importlib.import_module("benchmarks.peers." + sys.argv[1]).Peer(1)
imported, rest = time.perf_counter(), resident()
peer.array(peer.serve(SERVING[0])())
print((imported - start) * 1e3, (time.perf_counter() - start) * 1e3, rest - before)
"""


@dataclass
class Startup:
    """Results of fresh processes, relative to a process that has imported NumPy."""

    peer: str
    import_ms: list[float]
    first_ms: list[float]
    resident: list[float]
    installed: int


def installed(packages: tuple[str, ...]) -> list[Path]:
    """Return the files of installed packages."""
    folders = []
    for package in packages:
        spec = find_spec(package)
        assert spec
        folders += list(spec.submodule_search_locations or [])
    files = [file for folder in folders for file in Path(folder).rglob("*") if file.is_file()]
    return [file for file in files if file.suffix != ".pyc"]


def zipped(packages: tuple[str, ...]) -> int:
    """Return the compressed size of the packages, as in a wheel."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as wheel:
            for path in installed(packages):
                wheel.write(path)
        return file.tell()


def startups(missing: dict[str, str], repeats: int) -> list[Startup]:
    """Measure every installed peer, in turns."""
    cores = {min(os.sched_getaffinity(0))}
    names = [n for n in PEERS if n not in missing and n not in ("NumPy", "deltaprop.graph")]
    rows: dict[str, list[list[float]]] = {name: [] for name in names}
    # The first turn is not counted: it may write the compiled modules that installers leave.
    own = {k: v for k, v in environment(1).items() if k != "PYTHONDONTWRITEBYTECODE"}
    for turn in range(repeats + 1):
        for name in names:
            printed = subprocess.run(
                [sys.executable, "-c", PROBE, PEERS[name][0]],
                env=own,
                check=True,
                capture_output=True,
                text=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            ).stdout
            if turn > 0:
                rows[name].append([float(word) for word in printed.split()])
    return [
        Startup(
            name,
            *map(list, zip(*rows[name], strict=True)),
            installed=sum(file.stat().st_size for file in installed(PEERS[name][1])),
        )
        for name in names
    ]


def wheel_size() -> int:
    """Return the compressed size of deltaprop in bytes."""
    return zipped(PEERS[OURS][1])
