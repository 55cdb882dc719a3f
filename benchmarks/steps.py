"""Microseconds a training step, beside PyTorch on the same cores in the same process.

``python benchmarks/steps.py [--threads 1] [--pairs 7]`` times each work in turn, ours and
PyTorch's, and prints the medians and the median of the ratios. Both start from the same weights and
take the same steps, which is asserted.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from deltaprop import nn, optim


@dataclass(frozen=True)
class Work:
    """A network, its data and its optimizer."""

    widths: tuple[int, ...]
    activation: str
    rows: int
    batch: int
    optimizer: str

    def __str__(self) -> str:
        layers = "-".join(map(str, self.widths))
        return f"{layers} {self.activation.lower()}, {self.batch}, {self.optimizer}"


WORKS = (
    Work((1, 1), "Identity", 10_000, 1, "SGD"),
    Work((2, 50, 1), "Sigmoid", 100, 100, "Adam"),
    Work((4, 32, 16, 4), "Tanh", 10_000, 10_000, "Adam"),
    Work((64, 128, 64, 10), "ReLU", 3_200, 32, "Adam"),
    Work((784, 256, 128, 10), "ReLU", 1_280, 128, "Adam"),
    Work((1024, 1024, 1024, 10), "ReLU", 512, 256, "Adam"),
)


class Ours:
    """The work on deltaprop: the whole epoch in one `fit`."""

    def __init__(self, work: Work, X: np.ndarray, y: np.ndarray) -> None:
        layers: list[nn.Layer] = []
        for i, (a, b) in enumerate(zip(work.widths, work.widths[1:], strict=False)):
            layers += [getattr(nn, work.activation)()] if i else []
            layers.append(nn.Linear(a, b))
        self.work, self.X, self.y = work, X, y
        self.net = nn.Sequential(*layers, seed=0)
        self.optimizer = getattr(optim, work.optimizer)(self.net.parameters(), lr=1e-4)
        self.loss = nn.CrossEntropyLoss() if y.dtype.kind == "i" else nn.MSELoss()

    def epochs(self, count: int) -> float:
        """Train and return the last epoch's loss."""
        history = self.net.fit(
            self.X,
            self.y,
            loss=self.loss,
            optimizer=self.optimizer,
            epochs=count,
            batch_size=self.work.batch,
            shuffle=False,
        )
        return float(history["loss"][-1])


class Torch:
    """The work on PyTorch, eager, with the fused Adam."""

    def __init__(self, ours: Ours) -> None:
        work = ours.work
        layers: list[torch.nn.Module] = []
        for i, (a, b) in enumerate(zip(work.widths, work.widths[1:], strict=False)):
            layers += [getattr(torch.nn, work.activation)()] if i else []
            layers.append(torch.nn.Linear(a, b))
        self.net = torch.nn.Sequential(*layers)
        state = {k: torch.tensor(v) for k, v in ours.net.state_dict().items()}
        self.net.load_state_dict(state)
        options = {"fused": True} if work.optimizer == "Adam" else {}
        rule = getattr(torch.optim, work.optimizer)
        self.optimizer = rule(self.net.parameters(), lr=1e-4, **options)
        classes = ours.y.dtype.kind == "i"
        self.loss = torch.nn.CrossEntropyLoss() if classes else torch.nn.MSELoss()
        self.X, self.y, self.batch = torch.tensor(ours.X), torch.tensor(ours.y), work.batch

    def epochs(self, count: int) -> float:
        """Train and return the last epoch's loss."""
        for _ in range(count):
            total = 0.0
            for i in range(0, len(self.X), self.batch):
                value = self.loss(self.net(self.X[i : i + self.batch]), self.y[i : i + self.batch])
                self.optimizer.zero_grad()
                value.backward()
                self.optimizer.step()
                total += value.detach() * len(self.X[i : i + self.batch])
        return float(total) / len(self.X)


def seconds(run: Callable[[int], float], count: int) -> float:
    """Time `run(count)`."""
    start = time.perf_counter()
    run(count)
    return time.perf_counter() - start


def main() -> None:
    """Time each work in pairs and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--threads", type=int, default=1, help="PyTorch's; deltaprop has one so far"
    )
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each timing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    random = np.random.default_rng(0)
    print("| work (layers, batch, optimizer) | deltaprop, us | PyTorch, us | ratio |")
    print("|---|---|---|---|")
    for work in WORKS:
        X = random.normal(size=(work.rows, work.widths[0])).astype(np.float32)
        shape = (work.rows, work.widths[-1])
        y = random.normal(size=shape).astype(np.float32)
        if work.widths[-1] == 10:
            y = random.integers(0, 10, work.rows)
        ours = Ours(work, X, y)
        theirs = Torch(ours)
        np.testing.assert_allclose(ours.epochs(2), theirs.epochs(2), rtol=1e-3)
        steps = -(-work.rows // work.batch)
        counts = [max(1, round(options.seconds / seconds(r.epochs, 1))) for r in (ours, theirs)]
        pairs = [
            [
                seconds(run.epochs, count) / count / steps * 1e6
                for run, count in zip((ours, theirs), counts, strict=True)
            ]
            for _ in range(options.pairs)
        ]
        mine, torchs = np.median(pairs, axis=0)
        ratio = np.median([b / a for a, b in pairs])
        print(f"| {work} | {mine:,.2f} | {torchs:,.1f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
