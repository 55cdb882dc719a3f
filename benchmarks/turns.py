"""Timing in turns: each peer has a process, and one process runs at a time."""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np

from benchmarks.peers import OURS, PEERS, Unsupported, environment
from benchmarks.works import Work, agree


@dataclass
class Timing:
    """A peer's microseconds per unit of a work in each turn, or the reason why it did not run."""

    peer: str
    why_not: str = ""
    micros: list[float] = field(default_factory=list)
    ratio: float = np.nan
    """The median over the turns of its time divided by deltaprop's in the same turn."""

    @property
    def median(self) -> float:
        """The median of the turns."""
        return float(np.median(self.micros))

    @property
    def least(self) -> float:
        """The minimum over the turns."""
        return min(self.micros)


class Remote:
    """A peer's process, connected by two pipes."""

    def __init__(self, name: str, cores: list[int], threads: int | None = None) -> None:
        module, _ = PEERS[name]
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", module, *map(str, cores)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(threads or len(cores)),
        )

    def ask(self, *request: Any) -> Any:
        """Send a request, if any, and return the answer; an `Unsupported` answer is raised."""
        assert self.process.stdin
        assert self.process.stdout
        if request:
            pickle.dump(request, self.process.stdin)
            self.process.stdin.flush()
        try:
            answer = pickle.load(self.process.stdout)
        except EOFError:
            raise RuntimeError(f"{self.name}: its process ended") from None
        if isinstance(answer, Unsupported):
            raise answer
        if isinstance(answer, RuntimeError):
            raise RuntimeError(f"{self.name}: {answer}")
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class Group:
    """The processes of all peers, on the same cores."""

    def __init__(self, threads: int) -> None:
        cores = sorted(os.sched_getaffinity(0))[:threads]
        if len(cores) < threads:
            raise Unsupported(f"{threads} threads: only {len(cores)} cores")
        self.remotes = {name: Remote(name, cores) for name in PEERS}
        self.versions: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        for name, remote in self.remotes.items():
            try:
                self.versions[name] = remote.ask()
            except Unsupported as reason:
                self.missing[name] = f"not installed: {reason}"
        if OURS in self.missing:
            raise SystemExit(f"{OURS}: {self.missing[OURS]}")
        self.waits = {name: np.zeros(2) for name in self.versions}
        """CPU seconds used by each process while others ran, and the elapsed seconds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for remote in self.remotes.values():
            remote.close()

    def measure(self, work: Work, turns: int, seconds: float) -> list[Timing]:
        """Check that the results of all peers agree, then run a work on every peer in turns."""
        timings = [Timing(name, self.missing.get(name, "")) for name in PEERS]
        results = dict(self.each(timings, "prepare", work))
        for name, result in results.items():
            if not agree(work, results[OURS], result):
                raise SystemExit(f"{work}: {name} comes to {result}, ours is {results[OURS]}")
        run = [timing for timing in timings if not timing.why_not]
        for turn in range(turns):
            first = turn % len(run)
            order = run[first:] + run[:first]
            for timing, (_, answer) in zip(order, self.each(order, "slice", seconds), strict=True):
                micros, *waited = answer
                timing.micros.append(micros)
                self.waits[timing.peer] += waited if turn else 0
        ours = np.array(run[0].micros)
        for timing in run:
            timing.ratio = float(np.median(timing.micros / ours))
        return timings

    def each(self, timings: list[Timing], *request: Any) -> Iterable[tuple[str, Any]]:
        """Send a request to all peers that support the work; record why others do not."""
        for timing in timings:
            if not timing.why_not:
                try:
                    yield timing.peer, self.remotes[timing.peer].ask(*request)
                except Unsupported as reason:
                    timing.why_not = str(reason)
