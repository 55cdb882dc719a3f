"""The machine's peak rates, measured during the run: FMA throughput and memory bandwidth."""

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

CHAINS = 12
STARTS = (ctypes.c_float * CHAINS)(*range(CHAINS))


def shortest(call: Callable[[], object], seconds: float) -> float:
    """Return the minimum time of repeated calls within `seconds`, at least two calls."""
    end, times = time.perf_counter() + seconds, []
    while len(times) < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def compiled(folder: str | Path) -> Path:
    """Compile the timed loops into a shared library."""
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    source, library = Path(__file__).with_suffix(".c"), Path(folder, "machine.so")
    flags = ["-O3", "-march=native", "-ffp-contract=fast", "-Wno-psabi", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, str(source), "-o", str(library)], check=True)
    return library


class Machine:
    """The peak rates: the maximum of all measurements."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.library = ctypes.CDLL(str(compiled(folder)))
        self.library.fma32.restype = self.library.fma64.restype = ctypes.c_float
        self.peak = 0.0
        """GFLOP/s of one core in float32; float64 has half."""
        self.stream: dict[int, float] = {}
        """GB/s by number of threads: two arrays read and one written, each larger than caches."""
        self.arrays = [np.ones(8_000_000) for _ in range(3)]
        self.pool = ThreadPoolExecutor()

    def measure(self, seconds: float) -> None:
        """Measure again and keep the maximum."""
        steps, half = 100_000, ctypes.c_float(0.5)
        for size in (32, 64):
            run = getattr(self.library, f"fma{size}")
            elapsed = shortest(partial(run, ctypes.c_long(steps), STARTS, half, half), seconds)
            self.peak = max(self.peak, 2 * steps * CHAINS * (size / 4) / elapsed / 1e9)
        for threads in range(1, len(os.sched_getaffinity(0)) + 1):
            elapsed = shortest(partial(self.triads, threads), seconds)
            rate = 3 * self.arrays[0].nbytes / elapsed / 1e9
            self.stream[threads] = max(self.stream.get(threads, 0.0), rate)

    def triads(self, threads: int) -> None:
        """Run the triad on several threads; ctypes releases the GIL."""
        parts = zip(*(np.array_split(array, threads) for array in self.arrays), strict=True)
        list(self.pool.map(self.triad, parts))

    def triad(self, arrays: tuple[np.ndarray, ...]) -> None:
        """Run the triad on the calling thread."""
        pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in arrays)
        self.library.triad(ctypes.c_long(arrays[0].size), *pointers)

    def __str__(self) -> str:
        stream = ", ".join(f"{rate:.1f} GB/s on {n}" for n, rate in self.stream.items())
        return (
            f"FMA peak of a core {self.peak:.1f} GFLOP/s in float32; "
            f"stream of memory (threads) {stream}"
        )


def description() -> str:
    """Return processor, cores, memory and system as text."""
    cpu = Path("/proc/cpuinfo").read_text()
    lines = dict(
        line.split("\t: ", 1) for line in cpu.split("\n\n")[0].splitlines() if ": " in line
    )
    lines = {key.strip(): value for key, value in lines.items()}
    model = f"{lines.get('model name', platform.machine())} (family {lines.get('cpu family')}, "
    model += f"model {lines.get('model')})"
    caches = f"{lines.get('cache size', '')} cache" if "cache size" in lines else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores, {caches}, {memory:.0f} GiB; {system}"
