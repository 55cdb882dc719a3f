"""Layered layout of a graph: columns from left to right, few crossings, straight edges.

The method of Sugiyama, Tagawa and Toda (1981): assign boxes to columns by the longest path, insert
bends where an edge passes a column, order each column to reduce crossings, and choose vertical
positions that keep the edges straight.
"""

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_SWEEPS = 12
_ROUNDS = 50
_STRAIGHT = 30.0  # weight of edges that neither fork nor join, which should be straightest


@dataclass
class Layout:
    """Positions of boxes and bends; bends are numbered after the boxes.

    Attributes
    ----------
    columns : list of list of int
        Boxes and bends of each column, top to bottom; columns from left to right.
    column : list of int
        Column of each box and bend.
    y : list of float
        Vertical centre of each box and bend; the top of the highest one is at 0.
    sources : list of list of int
        For each box and bend, the sources of its incoming edges in the previous column.
    """

    columns: list[list[int]]
    column: list[int]
    y: list[float]
    sources: list[list[int]]


def layout(sources: Sequence[Sequence[int]], heights: Sequence[float], bend: float) -> Layout:
    """Return positions of boxes such that every edge points to the right.

    Parameters
    ----------
    sources : sequence of sequence of int
        For each box, the sources of its incoming edges, top to bottom. Sources precede their
        targets, and every box leads to the last one.
    heights : sequence of float
        Heights of the boxes, margins included.
    bend : float
        Height of a bend, margins included.
    """
    distance = [0] * len(sources)
    for i in reversed(range(len(sources))):
        for source in sources[i]:
            distance[source] = max(distance[source], distance[i] + 1)
    farthest = max(distance)
    column = [farthest - d for d in distance]
    # Edges from the same box share one bend in each column that they pass.
    before: list[list[int]] = [[] for _ in sources]
    bends: dict[tuple[int, int], int] = {}
    for i, above in enumerate(sources):
        for source in above:
            last = source
            for passed in range(column[source] + 1, column[i]):
                if (source, passed) not in bends:
                    bends[source, passed] = len(before)
                    column.append(passed)
                    before.append([last])
                last = bends[source, passed]
            before[i].append(last)
    columns = _ordered(before, column, root=len(sources) - 1)
    high = [*heights, *[bend] * len(bends)]
    y = _heights(before, columns, high)
    top = min(middle - room / 2 for middle, room in zip(y, high, strict=True))
    return Layout(columns, column, [middle - top for middle in y], before)


def _ordered(before: list[list[int]], column: list[int], root: int) -> list[list[int]]:
    """Return the columns ordered by barycentre sweeps; the order with the fewest crossings wins."""
    after: list[list[int]] = [[] for _ in before]
    for i, above in enumerate(before):
        for source in above:
            after[source].append(i)
    columns: list[list[int]] = [[] for _ in range(max(column) + 1)]
    # Depth-first order draws a tree without crossings.
    stack, visited = [root], set()
    while stack:
        i = stack.pop()
        if i not in visited:
            visited.add(i)
            columns[column[i]].append(i)
            stack += reversed(before[i])

    best, fewest = columns, _crossings(columns, before)
    for sweep in range(_SWEEPS):
        if fewest == 0:
            break
        to_the_right = sweep % 2 == 1
        neighbours = before if to_the_right else after
        columns = [list(c) for c in columns]
        rank = {i: k for c in columns for k, i in enumerate(c)}
        for c in columns if to_the_right else reversed(columns):
            c.sort(
                key=lambda i: (
                    sum(rank[n] for n in neighbours[i]) / len(neighbours[i])
                    if neighbours[i]
                    else rank[i]
                )
            )
            rank.update((i, k) for k, i in enumerate(c))
        crossings = _crossings(columns, before)
        if crossings < fewest:
            best, fewest = columns, crossings
    return best


def _crossings(columns: list[list[int]], before: list[list[int]]) -> int:
    rank = {i: k for c in columns for k, i in enumerate(c)}
    count = 0
    for c in columns:
        ends: list[int] = []
        for i in c:
            starts = [rank[source] for source in before[i]]
            count += sum(len(ends) - bisect_right(ends, start) for start in starts)
            for start in starts:
                insort(ends, start)
    return count


def _heights(before: list[list[int]], columns: list[list[int]], high: list[float]) -> list[float]:
    """Return vertical centres, minimising weighted squared edge heights column by column."""
    links: list[list[tuple[int, float]]] = [[] for _ in before]
    forks = Counter(source for above in before for source in above)
    for i, above in enumerate(before):
        for source in above:
            weight = _STRAIGHT if len(above) == forks[source] == 1 else 1.0
            links[i].append((source, weight))
            links[source].append((i, weight))
    weights = [sum(w for _, w in link) for link in links]
    y = [0.0] * len(before)
    for round_ in range(_ROUNDS):
        for c in columns if round_ % 2 else reversed(columns):
            ideal = [sum(y[n] * w for n, w in links[i]) / weights[i] for i in c]
            centres = _separate(ideal, [weights[i] for i in c], [high[i] for i in c])
            for i, value in zip(c, centres, strict=True):
                y[i] = value
    return y


def _separate(ideal: list[float], weights: list[float], high: list[float]) -> list[float]:
    """Return the centres closest to the ideal ones such that boxes do not overlap.

    After subtracting the heights of the boxes above, centres must not decrease: isotonic
    regression, by pooling adjacent violators.
    """
    offsets = [high[0] / 2]
    for i in range(1, len(high)):
        offsets.append(offsets[-1] + (high[i - 1] + high[i]) / 2)
    pools: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight, offset in zip(ideal, weights, offsets, strict=True):
        mean, total, length = value - offset, weight, 1
        while pools and pools[-1][0] > mean:
            other, more, count = pools.pop()
            mean = (mean * total + other * more) / (total + more)
            total, length = total + more, length + count
        pools.append((mean, total, length))
    means = [mean for mean, _, length in pools for _ in range(length)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
