"""Speed, memory and size compared with other libraries, in turns on the same cores.

``python -m benchmarks`` measures a training step of six networks, serving, matrix products,
start-up, size and memory, for deltaprop and every installed peer, and the machine's peak rates.
``python -m benchmarks.graphs`` measures computational graphs.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from benchmarks import plots, report, works
from benchmarks.crowds import crowds
from benchmarks.machine import Machine, description
from benchmarks.memory import memory
from benchmarks.peers import OURS, Unsupported
from benchmarks.report import Results
from benchmarks.scaling import laws
from benchmarks.startup import startups, wheel_size
from benchmarks.turns import Group
from benchmarks.works import Work


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--works", action="store_true", help="train the six works (default)")
    which.add_argument("--grid", action="store_true", help="train the grid around them as well")
    which.add_argument("--smoke", action="store_true", help="a short run of everything, for CI")
    parser.add_argument(
        "--scaling", action="store_true", help="fit our cost against size, and train many at once"
    )
    parser.add_argument(
        "--only",
        default="",
        metavar="TEXT",
        help="only works whose names contain TEXT: training, serving, product, startup, memory, "
        "or a network",
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--turns", type=int, default=7, help="turns per timing")
    parser.add_argument("--seconds", type=float, default=0.3, help="seconds per turn")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    if options.smoke:
        options.turns, options.seconds, options.scaling = 1, 0.001, True
    return options


def chosen(options: argparse.Namespace, threads: int) -> Iterator[Work]:
    """Yield the works to run."""
    training = [*works.SIX, *(works.grid() if options.grid else [])]
    everything: list[Work] = [*training, *works.SERVING, *works.PRODUCTS]
    if options.smoke:
        few = [works.SERVING[1], works.PRODUCTS[2], works.square(8, 32, "float64", "SGD", "Tanh")]
        short = [replace(work, steps=min(work.steps, 100)) for work in works.SIX]
        everything = [*(short if threads == 1 else short[3:4]), *few]
    for work in everything:
        if options.only in f"{type(work).__name__.lower()}: {work}":
            yield work


def say(text: str) -> None:
    """Print a progress message with the time."""
    print(f"{datetime.now():%H:%M:%S} {text}", flush=True)


def measure(group: Group, threads: int, options: argparse.Namespace, results: Results) -> None:
    """Measure everything that runs in the peers' processes."""
    results.versions, results.missing = group.versions, group.missing
    for name, reason in group.missing.items():
        say(f"not run: {name}: {reason}")
    for work in chosen(options, threads):
        timings = group.measure(work, options.turns, options.seconds)
        results.timings.append((threads, work, timings))
        results.limits.measure(options.seconds / 4)
        ran = [t for t in timings if t.peer != OURS and not t.why_not]
        ratios = ", ".join(f"{t.peer} {t.ratio:.2f}x" for t in ran)
        say(f"{threads} {work}: {timings[0].median:.4g} us; {ratios}")
    if options.scaling and threads == min(options.threads):
        results.laws = laws(group, options.turns, options.seconds, 3 if options.smoke else 9)
    for name, (used, waited) in group.waits.items():
        part = float(used / waited) if waited else 0.0
        results.idle[name] = max(part, results.idle.get(name, 0.0))


def write(results: Results, folder: Path) -> None:
    """Write tables, JSON and plots."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(report.markdown(results))
    (folder / "results.json").write_text(report.as_json(results))
    if results.timings:
        plots.ratios(results, folder / "results.png")
    if results.laws:
        plots.laws(results.laws, folder / "scaling.png")
    say(f"written to {folder}")


def main() -> None:
    """Measure and report."""
    options, start = arguments(), time.perf_counter()
    machine = Machine()
    machine.measure(options.seconds)
    settings = f"{options.turns} turns of {options.seconds} s."
    date = f"{datetime.now():%Y-%m-%d}"
    results = Results(date, description(), machine, settings)
    for threads in options.threads:
        try:
            with Group(threads) as group:
                measure(group, threads, options, results)
            write(results, options.out)  # also now, in case a long run is interrupted
        except Unsupported as reason:
            say(f"not run: {reason}")
            results.missing |= {f"{threads} threads": str(reason)}
    if options.only in "memory":
        results.memories = [memory(work) for work in works.SIX[1 : 2 if options.smoke else None]]
    if options.scaling:
        results.crowds = crowds(options.turns, options.seconds, 1 if options.smoke else 4)
    if options.only in "startup":
        results.startups = startups(results.missing, 1 if options.smoke else 15)
        results.wheel = wheel_size()
    write(results, options.out)
    say(f"{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
