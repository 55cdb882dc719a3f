"""Where the boxes of a drawn graph stand: in columns from left to right, with few crossings.

The steps are those of Sugiyama, Tagawa and Toda (1981): columns by the longest path, bends where a
line passes a column, an order within each column that crosses few lines, and heights that keep the
lines straight.
"""

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_SWEEPS = 12
_ROUNDS = 50
_STRAIGHT = 30.0  # how much straighter lines are to be where they neither fork nor join


@dataclass
class Layout:
    """Where each box is, and each bend; bends are numbered after the boxes.

    Attributes
    ----------
    columns : list of list of int
        The boxes and bends of each column from the left, top to bottom.
    column : list of int
        Of each box and bend.
    y : list of float
        The middle of each box and bend; the topmost edge is at 0.
    sources : list of list of int
        For each box and bend those in the column before it that lines come from.
    """

    columns: list[list[int]]
    column: list[int]
    y: list[float]
    sources: list[list[int]]


def layout(sources: Sequence[Sequence[int]], heights: Sequence[float], bend: float) -> Layout:
    """Return where to draw boxes so that every line goes to the right.

    Parameters
    ----------
    sources : sequence of sequence of int
        For each box those that lines come from, top to bottom, each before it in the sequence. All
        of them lead to the last box.
    heights : sequence of float
        Of the boxes with the room around them.
    bend : float
        Of a line's bend with the room around it.
    """
    distance = [0] * len(sources)
    for i in reversed(range(len(sources))):
        for source in sources[i]:
            distance[source] = max(distance[source], distance[i] + 1)
    farthest = max(distance)
    column = [farthest - d for d in distance]
    # Lines from the same box that pass a column bend together there.
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
    """Return the columns, in the order of the fewest crossings that sweeps to and fro find."""
    after: list[list[int]] = [[] for _ in before]
    for i, above in enumerate(before):
        for source in above:
            after[source].append(i)
    columns: list[list[int]] = [[] for _ in range(max(column) + 1)]
    # A tree in the order of a walk from its root has no crossings at all.
    found, seen = [root], set()
    while found:
        i = found.pop()
        if i not in seen:
            seen.add(i)
            columns[column[i]].append(i)
            found += reversed(before[i])

    best, fewest = columns, _crossings(columns, before)
    for sweep in range(_SWEEPS):
        if fewest == 0:
            break
        to_the_right = sweep % 2 == 1
        neighbours = before if to_the_right else after
        columns = [list(c) for c in columns]
        place = {i: k for c in columns for k, i in enumerate(c)}
        for c in columns if to_the_right else reversed(columns):
            c.sort(
                key=lambda i: (
                    sum(place[n] for n in neighbours[i]) / len(neighbours[i])
                    if neighbours[i]
                    else place[i]
                )
            )
            place.update((i, k) for k, i in enumerate(c))
        crossings = _crossings(columns, before)
        if crossings < fewest:
            best, fewest = columns, crossings
    return best


def _crossings(columns: list[list[int]], before: list[list[int]]) -> int:
    place = {i: k for c in columns for k, i in enumerate(c)}
    count = 0
    for c in columns:
        ends: list[int] = []
        for i in c:
            starts = [place[source] for source in before[i]]
            count += sum(len(ends) - bisect_right(ends, start) for start in starts)
            for start in starts:
                insort(ends, start)
    return count


def _heights(before: list[list[int]], columns: list[list[int]], high: list[float]) -> list[float]:
    """Return the middles with the least sum of squared steps along lines, column after column."""
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
            wanted = [sum(y[n] * w for n, w in links[i]) / weights[i] for i in c]
            placed = _spread(wanted, [weights[i] for i in c], [high[i] for i in c])
            for i, value in zip(c, placed, strict=True):
                y[i] = value
    return y


def _spread(wanted: list[float], weights: list[float], high: list[float]) -> list[float]:
    """Return the middles nearest to the wanted ones that leave each box its room.

    Less the room of the boxes above they may not fall: an isotonic regression, by pooling adjacent
    violators.
    """
    offsets = [high[0] / 2]
    for i in range(1, len(high)):
        offsets.append(offsets[-1] + (high[i - 1] + high[i]) / 2)
    pools: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, total, length = value - offset, weight, 1
        while pools and pools[-1][0] > mean:
            other, more, count = pools.pop()
            mean = (mean * total + other * more) / (total + more)
            total, length = total + more, length + count
        pools.append((mean, total, length))
    means = [mean for mean, _, length in pools for _ in range(length)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
