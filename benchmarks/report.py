"""The report: Markdown tables, and all figures as JSON."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benchmarks.crowds import NETWORKS, Crowd
from benchmarks.machine import Machine
from benchmarks.memory import Memory
from benchmarks.peers import OURS, PEERS
from benchmarks.scaling import Law
from benchmarks.startup import Startup
from benchmarks.turns import Timing
from benchmarks.works import Product, Serving, Training, Work


@dataclass
class Results:
    """All that a run has measured."""

    date: str
    machine: str
    limits: Machine
    settings: str
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    timings: list[tuple[int, Work, list[Timing]]] = field(default_factory=list)
    """Threads, work, and the peers' times."""
    idle: dict[str, float] = field(default_factory=dict)
    """The part of a core that a peer's process took while others ran."""
    startups: list[Startup] = field(default_factory=list)
    wheel: int = 0
    memories: list[Memory] = field(default_factory=list)
    laws: list[Law] = field(default_factory=list)
    crowds: list[Crowd] = field(default_factory=list)

    def of(self, kind: type[Work], threads: int) -> list[tuple[Any, list[Timing]]]:
        """Give the timings of one kind of work."""
        return [(w, t) for n, w, t in self.timings if n == threads and isinstance(w, kind)]

    def threads(self) -> list[int]:
        """Give the numbers of threads that ran."""
        return sorted({threads for threads, _, _ in self.timings})


def number(value: float) -> str:
    """Show three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def megabytes(value: float) -> str:
    """Show bytes."""
    return f"{value / 1e6:,.2f}"


def milliseconds(values: list[float]) -> str:
    """Show the median and the least."""
    return f"{median(values):,.1f} ({min(values):,.1f})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Give the lines of a table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def of_peak(results: Results, threads: int, work: Any, micros: float) -> str:
    """Show a time as a part of the peak of the cores in use."""
    double = isinstance(work, Training) and work.network.dtype == "float64"
    peak = results.limits.peak * threads / (2 if double else 1)
    return f"{work.flops / micros / 1e3 / peak:.0%}"


def cell(timing: Timing) -> str:
    """Show a peer's time and its ratio to ours, bold where it is faster."""
    if timing.why_not:
        return "-"
    times = f"{number(timing.median)} ({number(timing.least)})"
    if timing.peer == OURS:
        return times
    ratio = f"{timing.ratio:.2f}x"
    return f"{times} {f'**{ratio}**' if timing.ratio < 1 else ratio}"


def work_tables(results: Results, kind: type[Work], title: str) -> list[str]:
    """Give a table for each number of threads."""
    lines = []
    for threads in results.threads():
        measured = results.of(kind, threads)
        if not measured:
            continue
        ran = {t.peer for _, timings in measured for t in timings if not t.why_not}
        peers = [name for name in PEERS if name in ran]
        lines += [f"## {title}, {threads} thread{'s' * (threads > 1)}", ""]
        flops = hasattr(kind, "flops")
        head = ["work", *peers, *(["of peak"] if flops else [])]
        rows = []
        for work, timings in measured:
            cells = [cell(timing) for timing in timings if timing.peer in peers]
            least = [of_peak(results, threads, work, timings[0].least)] if flops else []
            rows.append([str(work), *cells, *least])
        lines += table(head, rows)
        reasons: dict[str, list[str]] = {}
        for work, timings in measured:
            for timing in timings:
                if timing.why_not:
                    reasons.setdefault(f"{timing.peer}: {timing.why_not}", []).append(str(work))
        for reason, works in reasons.items():
            where = "" if len(works) == len(measured) else f" ({'; '.join(works)})"
            lines.append(f"- Not run: {reason}{where}.")
        lines.append("")
    return lines


def product_tables(results: Results) -> list[str]:
    """Give the products as GFLOP/s, medians, with the part of the peak."""
    lines = []
    for threads in results.threads():
        measured = results.of(Product, threads)
        if not measured:
            continue
        lines += [f"## Products, GFLOP/s, {threads} thread{'s' * (threads > 1)}", ""]
        ran = [t.peer for t in measured[0][1] if not t.why_not]
        rows = []
        for work, timings in measured:
            times = [t.median for t in timings if not t.why_not]
            rates = [
                f"{number(work.flops / t / 1e3)} ({of_peak(results, threads, work, t)})"
                for t in times
            ]
            rows.append([str(work), *rates])
        lines += table(["rows x inner x columns", *ran], rows)
    return lines


def startup_table(results: Results) -> list[str]:
    """Give what there is before any work."""
    head = ["", "import, ms", "to the first prediction, ms", "resident, MB", "installed, MB"]
    rows = [
        [
            s.peer,
            milliseconds(s.import_ms),
            milliseconds(s.first_ms),
            megabytes(median(s.resident)),
            megabytes(s.installed),
        ]
        for s in results.startups
    ]
    return [
        "## Start-up and size",
        "",
        *table(head, rows),
        "Above a process that has imported NumPy; installed without dependencies.",
        f"Our package zipped, as in a wheel: {results.wheel / 1e6:.2f} MB.",
        "",
    ]


def memory_table(results: Results) -> list[str]:
    """Give the peaks of training."""
    peers = list(results.memories[0].peaks)
    rows = []
    for memory in results.memories:
        peaks = [megabytes(memory.peaks[p]) if p in memory.peaks else "-" for p in peers]
        rows.append([str(memory.work), megabytes(memory.needed), *peaks])
    return [
        "## Memory of a training run, MB at the peak",
        "",
        *table(["work", "needed", *peers], rows),
        "Needed: parameters, gradients, optimizer's states, a batch's activations and deltas. "
        "The data set is not counted, a library's own copy of it is.",
        "",
    ]


def law_table(results: Results) -> list[str]:
    """Give the lines that were fitted."""
    head = ["against", "n", "fixed, us", "each n, us", "furthest off", "power", "n from"]
    rows = []
    for law in results.laws:
        off = f"{law.off:+.0%} at {law.at:,}"
        line = [number(law.fixed), f"{law.each:.3g}", off, f"{law.power:.2f}"]
        span = f"{law.amounts[0]:,} to {law.amounts[-1]:,}"
        rows.append([law.name, law.quantity, *line, span])
    return ["## Cost of deltaprop against size", "", *table(head, rows)]


def crowd_table(results: Results) -> list[str]:
    """Give what cores bring to many networks."""
    workers = list(results.crowds[0].gains)
    rows = [[str(c.work), *(f"{c.gains[n]:.2f}" for n in workers)] for c in results.crowds]
    return [
        f"## {NETWORKS} networks trained at once: times as fast as one after the other",
        "",
        *table(["work", *(f"{n} worker{'s' * (n > 1)}" for n in workers)], rows),
        "In a ThreadPoolExecutor of one process; each `fit` uses one thread.",
        "",
    ]


def markdown(results: Results) -> str:
    """Give the whole report."""
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    idle = ", ".join(f"{name} {part:.2%}" for name, part in results.idle.items())
    lines = [
        "# Benchmarks",
        "",
        f"{results.date}. {results.machine}.",
        f"{results.limits}. {versions}.",
        "",
        "Microseconds: the median of the turns (the shortest), and the median over the turns of "
        "its ratio to deltaprop's time in the same turn, in bold where the peer is faster. Before "
        "timing, the results of all peers are checked to agree. "
        "Of the FMA peak: deltaprop's shortest. "
        f"{results.settings}",
        "",
        f"Of a core, waiting processes took {idle}.",
        "",
        *(f"- Not run: {peer}: {why}." for peer, why in results.missing.items()),
        "",
        *work_tables(results, Training, "A training step"),
        *work_tables(results, Serving, "Serving"),
        *product_tables(results),
        *(startup_table(results) if results.startups else []),
        *(memory_table(results) if results.memories else []),
        *(law_table(results) if results.laws else []),
        *(crowd_table(results) if results.crowds else []),
    ]
    return "\n".join(lines)


def as_json(results: Results) -> str:
    """Give all figures."""
    timings = [
        {"kind": type(work).__name__.lower(), "work": str(work), "threads": threads}
        | {"peers": [asdict(timing) for timing in each]}
        for threads, work, each in results.timings
    ]
    crowds = [asdict(crowd) | {"work": str(crowd.work)} for crowd in results.crowds]
    memories = [asdict(memory) | {"work": str(memory.work)} for memory in results.memories]
    figures = {
        "date": results.date,
        "machine": results.machine,
        "fma_gflops": results.limits.peak,
        "stream_gbs": results.limits.stream,
        "settings": results.settings,
        "versions": results.versions,
        "missing": results.missing,
        "idle": results.idle,
        "timings": timings,
        "startup": [asdict(startup) for startup in results.startups],
        "wheel": results.wheel,
        "memory": memories,
        "scaling": [asdict(law) for law in results.laws],
        "at_once": crowds,
    }
    return json.dumps(figures, indent=1)
