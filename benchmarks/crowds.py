"""Training of several networks at once in a pool of Python threads, compared with one by one."""

import os
from dataclasses import dataclass

import numpy as np

from benchmarks.peers import OURS
from benchmarks.turns import Remote
from benchmarks.works import SIX, Training

NETWORKS = 4


@dataclass
class Crowd:
    """Speed-up over training one network after the other, by number of workers in the pool."""

    work: Training
    gains: dict[int, float]


def crowds(turns: int, seconds: float, count: int) -> list[Crowd]:
    """Measure on all cores, with one thread per network, in turns."""
    cores = sorted(os.sched_getaffinity(0))
    remote, results = Remote(OURS, cores, threads=1), []
    remote.ask()
    for work in SIX[1 : 1 + count]:
        remote.ask("gather", work, NETWORKS, seconds)
        workers = range(1, min(len(cores), NETWORKS) + 1)
        times = np.array([[remote.ask("crowd", n) for n in (0, *workers)] for _ in range(turns)])
        gains = np.median(times[:, :1] / times[:, 1:], axis=0)
        results.append(Crowd(work, dict(zip(workers, map(float, gains), strict=True))))
    remote.close()
    return results
