"""The process of one peer, which isolates its thread pools and memory allocator.

``python -m benchmarks.worker MODULE CORE...`` answers pickled requests, each the name of a method
of `Worker` and its arguments, until its input ends. Between requests it sleeps.
"""

import importlib
import os
import pickle
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

from benchmarks.peers import Peer, Unsupported
from benchmarks.works import Network, Product, Serving, Training, Work

REST = 0.05  # seconds until idle thread pools stop spinning


class Steps:
    """Training from the initial weights in each slice, so that all slices do the same work."""

    def __init__(self, peer: Peer, work: Training) -> None:
        self.work, self.trainer = work, peer.train(work)
        self.units = work.steps

    def begin(self) -> None:
        """Restore the initial weights and a new optimizer."""
        self.trainer.begin()

    def run(self, count: int) -> None:
        """Train for `count` epochs."""
        self.trainer.epochs(count)

    def result(self) -> float:
        """Return the decrease of the loss in two epochs."""
        self.begin()
        self.run(2)
        layers = self.trainer.layers()
        return self.work.loss(self.work.network.layers()) - self.work.loss(layers)


class Calls:
    """Calls of a function without arguments."""

    units = 1

    def __init__(self, peer: Peer, work: Serving | Product) -> None:
        self.peer = peer
        self.call = peer.serve(work) if isinstance(work, Serving) else peer.product(work)

    def begin(self) -> None:
        """Do nothing: calls have no state."""

    def run(self, count: int) -> None:
        """Call `count` times."""
        call = self.call
        for _ in repeat(None, count):
            call()

    def result(self) -> Any:
        """Return the result of a call as a NumPy array."""
        return self.peer.array(self.call())


class Worker:
    """The requests that the main process sends to a peer."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.job: Steps | Calls | None = None
        self.done = time.process_time(), time.perf_counter()

    def version(self) -> str:
        """Return the version of the peer's library."""
        return self.peer.version

    def prepare(self, work: Work) -> Any:
        """Prepare the work and return its result."""
        self.job, self.count = None, 0
        self.job = Steps(self.peer, work) if isinstance(work, Training) else Calls(self.peer, work)
        return self.job.result()

    def slice(self, seconds: float) -> tuple[float, float, float]:
        """Run for about the given time.

        Returns the microseconds per unit, and the CPU and elapsed seconds since the last answer,
        which show whether the process disturbed the others while it should have slept.
        """
        used, waited = time.process_time() - self.done[0], time.perf_counter() - self.done[1]
        if not self.count:
            self.count = 1
            elapsed = self.timed()
            while elapsed < seconds / 4:
                self.count *= 2 if elapsed > 1e-4 else 16
                elapsed = self.timed()
            self.count = max(1, round(self.count * seconds / elapsed))
        micros = self.timed() / self.count / self.job.units * 1e6
        if self.peer.threads > 1:
            time.sleep(REST)
        return micros, used, waited

    def gather(self, work: Training, networks: int, seconds: float) -> None:
        """Prepare the training of several networks, each for about the given time."""
        self.jobs = [Steps(self.peer, work) for _ in range(networks)]
        self.job, self.count = self.jobs[0], 0
        self.slice(seconds)

    def crowd(self, workers: int) -> float:
        """Return the time to train all networks with `workers` threads; 0: one after the other."""
        for job in self.jobs:
            job.begin()
        start = time.perf_counter()
        if workers:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(Steps.run, self.jobs, repeat(self.count)))
        else:
            for job in self.jobs:
                job.run(self.count)
        return time.perf_counter() - start

    def timed(self) -> float:
        """Return the time of one run."""
        self.job.begin()
        start = time.perf_counter()
        self.job.run(self.count)
        return time.perf_counter() - start

    def memory(self, work: Training) -> int:
        """Return the peak of the memory that training adds to the process, in bytes.

        The data set is not counted, nor what a library allocates once for its first network.
        """
        self.prepare(Training(Network((2, 3, 1), "Sigmoid", work.network.dtype), 4))
        self.job = None
        work.data()  # cached, as are the initial weights
        work.network.layers()
        before = self.resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        trainer = self.peer.train(work)
        trainer.begin()
        trainer.epochs(2)
        return self.resident("VmHWM") - before

    @staticmethod
    def resident(name: str) -> int:
        """Read a memory counter of this process from /proc, in bytes."""
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


def main() -> None:
    """Answer requests from standard input on standard output."""
    module, *cores = sys.argv[1], *map(int, sys.argv[2:])
    os.sched_setaffinity(0, cores)
    # Keep output of libraries out of the stream of answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def answer(value: Any) -> None:
        pickle.dump(value, answers)
        answers.flush()

    try:
        peer = importlib.import_module(f"benchmarks.peers.{module}").Peer(len(cores))
    except ImportError as missing:
        answer(Unsupported(str(missing)))
        return
    worker = Worker(peer)
    answer(peer.version)
    while True:
        try:
            name, *arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer(getattr(worker, name)(*arguments))
        except Unsupported as reason:
            answer(reason)
        except Exception:
            answer(RuntimeError(traceback.format_exc()))
        worker.done = time.process_time(), time.perf_counter()


if __name__ == "__main__":
    main()
