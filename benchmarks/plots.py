"""Plots: ratios by work and peer, and deltaprop's cost against size."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

from benchmarks.peers import OURS, PEERS
from benchmarks.report import Results
from benchmarks.scaling import Law
from benchmarks.works import Product, Serving, Training

mpl.use("Agg")

# Okabe and Ito's colours, safe for colour-blind readers.
COLOURS = ("#000000", "#56b4e9", "#d55e00", "#0072b2", "#e69f00", "#009e73", "#cc79a7")
STYLE = {
    name: (colour, marker) for name, colour, marker in zip(PEERS, COLOURS, "*XsoDv^", strict=True)
}
KINDS = ((Training, "training step"), (Serving, "serving"), (Product, "products"))


def ratios(results: Results, path: Path) -> None:
    """Plot each peer's time as a multiple of deltaprop's, with a row of panels per kind of work."""
    kinds = [k for k in KINDS if any(results.of(k[0], n) for n in results.threads())]
    columns = results.threads()
    labels = [
        list(dict.fromkeys(str(work) for n in columns for work, _ in results.of(kind, n)))
        for kind, _ in kinds
    ]
    heights = list(map(len, labels))
    figure, panels = plt.subplots(
        len(kinds),
        len(columns),
        figsize=(4 + 4.5 * len(columns), 1.5 + 0.3 * sum(heights) + 0.6 * len(kinds)),
        height_ratios=[h + 0.5 for h in heights],
        sharey="row",
        sharex="row",
        squeeze=False,
        layout="constrained",
    )
    shown: dict[str, Any] = {}
    for row, names, (kind, title) in zip(panels, labels, kinds, strict=True):
        for panel, threads in zip(row, columns, strict=True):
            measured = results.of(kind, threads)
            for work, timings in measured:
                y = names.index(str(work))
                for i, timing in enumerate(timings):
                    if timing.peer != OURS and not timing.why_not:
                        colour, marker = STYLE[timing.peer]
                        (shown[timing.peer],) = panel.plot(
                            timing.ratio,
                            y + 0.09 * (i - len(timings) / 2),
                            marker,
                            color=colour,
                            ms=6,
                            alpha=0.85,
                            mec="white",
                            mew=0.5,
                        )
            panel.axvline(1, color="black", lw=1)
            panel.axvspan(1e-9, 1, color="0.93", zorder=0)
            panel.set(xscale="log", title=f"{title}, {threads} thread{'s' * (threads > 1)}")
            values = [
                t.ratio
                for n in columns
                for _, ts in results.of(kind, n)
                for t in ts
                if not t.why_not
            ]
            panel.set_xlim(min(0.5, *values) / 1.3, max(2, *values) * 1.3)
            panel.set_ylim(len(names) - 0.5, -0.5)
            panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            panel.xaxis.set_minor_formatter("")
            panel.grid(axis="both", color="0.85", lw=0.5)
            panel.set_axisbelow(True)
        row[0].set_yticks(range(len(names)), names, fontsize=8)
    order = [name for name in PEERS if name in shown]
    figure.legend(
        [shown[n] for n in order],
        order,
        loc="outside upper center",
        ncols=len(order),
        frameon=False,
    )
    figure.supxlabel("time of the peer / time of deltaprop (grey: the peer is faster)", fontsize=10)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def laws(series: list[Law], path: Path) -> None:
    """Plot the series with their fitted lines."""
    figure, panels = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    for panel, law in zip(panels.flat, series, strict=True):
        x = np.geomspace(law.amounts[0], law.amounts[-1], 100)
        panel.loglog(x, law.fixed + law.each * x, color="#0072b2", lw=1)
        panel.loglog(law.amounts, law.micros, "o", color="#d55e00", ms=5)
        panel.set(
            title=f"{law.name}: {law.fixed:.3g} + {law.each:.3g} n (within {abs(law.off):.0%})",
            xlabel=law.quantity,
            ylabel="microseconds",
        )
        panel.grid(color="0.85", lw=0.5)
    figure.savefig(path, dpi=130)
    plt.close(figure)
