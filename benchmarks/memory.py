"""Peak memory of training, compared with the size of parameters, gradients, states and a batch."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from benchmarks.peers import Unsupported
from benchmarks.turns import Group
from benchmarks.works import Training


@dataclass
class Memory:
    """Peak memory of a training run in bytes, by peer."""

    work: Training
    needed: int
    peaks: dict[str, int]


def needed(work: Training) -> int:
    """Count parameters, gradients, Adam's two states, and a batch's activations and deltas."""
    arrays = 4 if work.optimizer == "Adam" else 2
    batch = 2 * work.batch * sum(work.network.widths[1:])
    return (arrays * work.network.parameters + batch) * np.dtype(work.network.dtype).itemsize


def memory(work: Training) -> Memory:
    """Measure every peer in a fresh process: memory freed by earlier works would hide the peak."""
    peaks = {}
    with Group(1) as group:
        for name in group.versions:
            with suppress(Unsupported):  # the training table lists peers that do not train
                peaks[name] = group.remotes[name].ask("memory", work)
    return Memory(work, needed(work), peaks)
