"""The overhead of `LiveView` in a Jupyter kernel.

``python -m benchmarks.live [--seconds 4]`` starts a kernel, as a notebook does, and trains each
network in turns without and with the view, for about `seconds` per fit. It prints the minimum CPU
times of both, on one thread and including the kernel's work to send the output, and the overhead of
the view. ipykernel is part of the extra ``test``.
"""

import argparse
import math
import time
from itertools import pairwise
from typing import Any

import numpy as np

from deltaprop import LiveView, nn, optim, set_num_threads

TURNS = 5
# Widths, rows of data, batch size.
WORKS = (
    ((1, 20, 1), 2000, 32),
    ((64, 128, 64, 10), 1797, 32),
    ((784, 256, 128, 10), 6000, 128),
    ((1024, 1024, 1024, 10), 2048, 256),
)


def fit(widths: tuple[int, ...], rows: int, batch: int, epochs: int, **options: Any) -> float:
    """Train a new network and return the CPU seconds."""
    rng = np.random.default_rng(0)
    layers: list[nn.Layer] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    net = nn.Sequential(*layers[:-1], seed=0)
    X = rng.normal(size=(rows, widths[0])).astype(np.float32)
    y = rng.normal(size=(rows, widths[-1])).astype(np.float32)
    adam = optim.Adam(net.parameters())
    options |= {"loss": nn.MSELoss(), "batch_size": batch}
    start = time.process_time()
    net.fit(X, y, optimizer=adam, epochs=epochs, **options)
    return time.process_time() - start


def measure(seconds: float) -> None:
    """Print the table; runs in a kernel."""
    set_num_threads(1)
    print("| network | epoch, ms | fit, s | with the view, s | slower by |")
    print("|---|---|---|---|---|")
    for widths, rows, batch in WORKS:
        epoch = min(fit(widths, rows, batch, 10) for _ in range(3)) / 10
        epochs = max(1, round(seconds / epoch))
        without, viewed = math.inf, math.inf
        for _ in range(TURNS):
            without = min(without, fit(widths, rows, batch, epochs))
            viewed = min(viewed, fit(widths, rows, batch, epochs, callbacks=[LiveView()]))
        print(
            f"| {'-'.join(map(str, widths))} | {epoch * 1e3:.2f} | {without:.2f} | {viewed:.2f} "
            f"| {viewed / without - 1:.1%} |",
            flush=True,
        )


def main() -> None:
    """Run `measure` in a kernel and print its output."""
    from jupyter_client.manager import start_new_kernel

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds per fit")
    seconds = parser.parse_args().seconds
    drawings = 0

    def show(message: Any) -> None:
        nonlocal drawings
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "stream":
            print(content["text"], end="", flush=True)
        elif kind == "error":
            raise SystemExit("\n".join(content["traceback"]))
        drawings += kind in ("display_data", "update_display_data")

    manager, client = start_new_kernel()
    try:
        code = f"from benchmarks.live import measure; measure({seconds})"
        client.execute_interactive(code, output_hook=show)
    finally:
        manager.shutdown_kernel()
    print(f"\n{drawings} drawings received")


if __name__ == "__main__":
    main()
