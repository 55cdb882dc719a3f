"""Memory of a training run, beside what parameters, gradients, states and one batch need."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from benchmarks.peers import Unsupported
from benchmarks.turns import Group
from benchmarks.works import Training


@dataclass
class Memory:
    """Bytes at the peak of a training run, by peer."""

    work: Training
    needed: int
    peaks: dict[str, int]


def needed(work: Training) -> int:
    """Count parameters, gradients, Adam's two states, and a batch's activations and deltas."""
    arrays = 4 if work.optimizer == "Adam" else 2
    batch = 2 * work.batch * sum(work.network.widths[1:])
    return (arrays * work.network.parameters + batch) * np.dtype(work.network.dtype).itemsize


def memory(work: Training) -> Memory:
    """Ask every peer for its peak, in fresh processes: what others have freed would hide it."""
    peaks = {}
    with Group(1) as group:
        for name in group.versions:
            with suppress(Unsupported):  # the table of training says who does not train
                peaks[name] = group.remotes[name].ask("memory", work)
    return Memory(work, needed(work), peaks)
