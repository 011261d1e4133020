"""Boxes in columns.

The layout of Sugiyama, Tagawa and Toda (1981, IEEE Transactions SMC 11, 109-125): every box stands in a column right of
its inputs, barycentres order the columns so that few wires cross, and heights straighten the wires.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice, pairwise, permutations

from .figure import Box

#: All heights are multiples of this; two neighbouring inputs of a box lie 2 GRID apart.
GRID = 8
GAP = 2 * GRID
SWEEPS = 12
ORDERS = 24


@dataclass(eq=False)
class Item:
    """What stands in a column: a box, or a value passing by on its way to a later column."""

    source: Box
    box: Box | None
    height: int
    inputs: list[Item] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    consumers: list[Item] = field(default_factory=list)
    y: int = 0

    def port(self, k: int) -> int:
        """The height of input k relative to the item's middle."""
        return (2 * k - len(self.inputs) + 1) * GRID

    def ports(self, source: Item) -> list[int]:
        return [self.port(k) for k, item in enumerate(self.inputs) if item is source]


def columns_of(boxes: Sequence[Box]) -> dict[Box, int]:
    """The column of every box: right of its inputs, and where the wires are shortest."""
    column: dict[Box, int] = {}
    consumers: dict[Box, list[Box]] = {box: [] for box in boxes}
    for box in boxes:
        column[box] = max((column[entering] + 1 for entering in box.inputs), default=0)
        for entering in box.inputs:
            consumers[entering].append(box)
    last = max(column[box] for box in boxes if box.kind != "new") + 1
    column.update({box: last for box in boxes if box.kind == "new"})

    def length(box: Box) -> int:
        return max((column[user] for user in consumers[box]), default=column[box]) - column[box]

    moved = True
    while moved:
        moved = False
        for box in reversed(boxes):
            if box.kind in ("input", "state", "sequence", "new") or not consumers[box]:
                continue
            concerned = {box, *box.inputs}
            here, before = column[box], sum(map(length, concerned))
            for there in range(here + 1, min(column[user] for user in consumers[box])):
                column[box] = there
                if sum(map(length, concerned)) < before:
                    here, before, moved = there, sum(map(length, concerned)), True
            column[box] = here
    return column


def _items(boxes: Sequence[Box], heights: dict[Box, int]) -> list[list[Item]]:
    """The columns, with an item wherever a value passes by."""
    column = columns_of(boxes)
    table: list[list[Item]] = [[] for _ in range(max(column.values()) + 1)]
    last: dict[Box, list[Item]] = {}
    for box in sorted(boxes, key=lambda b: column[b]):
        item = Item(box, box, heights[box])
        for entering, mark in zip(box.inputs, box.marks, strict=True):
            chain = last[entering]
            while len(chain) < column[box] - column[entering]:
                passing = Item(entering, None, 0, [chain[-1]], [""])
                table[column[entering] + len(chain)].append(passing)
                chain.append(passing)
            item.inputs.append(chain[column[box] - column[entering] - 1])
            item.marks.append(mark)
        last[box] = [item]
        table[column[box]].append(item)
    for items in table:
        for item in items:
            for source in dict.fromkeys(item.inputs):
                source.consumers.append(item)
    return table


def _crossings(table: list[list[Item]]) -> int:
    found = 0
    place = {item: k for column in table for k, item in enumerate(column)}
    for items in table[1:]:
        edges = [(place[e], place[item], k) for item in items for k, e in enumerate(item.inputs)]
        found += sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in combinations(edges, 2))
    return found


def _mean(places: list[float], otherwise: float) -> float:
    return sum(places) / len(places) if places else otherwise


def _order(table: list[list[Item]]) -> None:
    """Put every column into the order with the fewest crossings that barycentres find from a few first orders."""
    best: tuple[int, list[list[Item]]] | None = None
    for first in islice(permutations(table[0]), ORDERS):
        trial = [list(first), *(list(column) for column in table[1:])]
        for sweep in range(SWEEPS):
            place = {item: float(n) for column in trial for n, item in enumerate(column)}
            backward = sweep % 2
            for column in reversed(trial[:-1]) if backward else trial[1:]:
                near = {
                    item: _mean([place[n] for n in (item.consumers if backward else item.inputs)], place[item])
                    for item in column
                }
                column.sort(key=near.__getitem__)
                place.update({item: float(n) for n, item in enumerate(column)})
            found = _crossings(trial)
            if best is None or found < best[0]:
                best = found, [list(column) for column in trial]
    assert best is not None
    table[:] = best[1]


def _apart(upper: Item, lower: Item) -> int:
    """How far apart the middles of two neighbours of a column must lie."""
    space = (upper.height + lower.height) / 2 + GAP
    return GRID * -int(-space // GRID)


def _settle(column: list[Item], wanted: list[float], weights: list[float]) -> None:
    """The heights nearest to the wanted ones that keep neighbours apart (isotonic regression)."""
    offsets = [0]
    for upper, lower in pairwise(column):
        offsets.append(offsets[-1] + _apart(upper, lower))
    blocks: list[list[float]] = []  # mean, weight, count
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        blocks.append([want - offset, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, total, count = blocks.pop()
            below = blocks[-1]
            below[0] = (below[0] * below[1] + mean * total) / (below[1] + total)
            below[1] += total
            below[2] += count
    means = [mean for mean, _, count in blocks for _ in range(int(count))]
    for item, mean, offset in zip(column, means, offsets, strict=True):
        item.y = GRID * round(mean / GRID) + offset


def _ends(item: Item) -> list[tuple[int, int]]:
    """For every wire end of an item: where the other end would have the item, and the weight of a straight wire."""
    found = []
    for k, entering in enumerate(item.inputs):
        found.append((entering.y - item.port(k), 4 if item.box is None or len(item.inputs) == 1 else 2))
    for user in item.consumers:
        found += [(user.y + port, 4 if user.box is None and item.box is None else 2) for port in user.ports(item)]
    return found


def _sort_ports(column: list[Item]) -> None:
    for item in column:
        pairs = sorted(zip(item.inputs, item.marks, strict=True), key=lambda pair: pair[0].y)
        item.inputs = [entering for entering, _ in pairs]
        item.marks = [mark for _, mark in pairs]


def _straight(item: Item) -> Iterator[Item]:
    """What a straight wire joins to an item."""
    yield from (entering for k, entering in enumerate(item.inputs) if entering.y == item.y + item.port(k))
    yield from (user for user in item.consumers if item.y in [user.y + port for port in user.ports(item)])


def _groups(item: Item) -> Iterator[set[Item]]:
    """What may move together: the item alone, a value passing by from column to column, everything joined straight."""
    yield {item}
    for whole in (False, True):
        found, waiting = {item}, [item]
        while waiting:
            for other in _straight(waiting.pop()):
                if other not in found and (whole or other.box is None):
                    found.add(other)
                    waiting.append(other)
        yield found


def _cost(group: set[Item]) -> float:
    ends = [(end, weight, item.y) for item in group for end, weight in _ends(item)]
    return sum(weight * (abs(end - y) + 24 * (end != y)) for end, weight, y in ends)


def _straighten(table: list[list[Item]]) -> bool:
    """Move items within the room they have, wherever that straightens wires."""
    place = {item: (column, k) for column in table for k, item in enumerate(column)}

    def fits(group: set[Item]) -> bool:
        for item in group:
            column, k = place[item]
            for upper, lower in pairwise(column[max(k - 1, 0) : k + 2]):
                if lower.y - upper.y < _apart(upper, lower):
                    return False
        return True

    moved = False
    for item in place:
        for group in _groups(item):
            for shift in sorted({end - one.y for one in group for end, _ in _ends(one)} - {0}):
                before = _cost(group)
                for one in group:
                    one.y += shift
                if fits(group) and _cost(group) < before:
                    moved = True
                    break
                for one in group:
                    one.y -= shift
    return moved


def _place(table: list[list[Item]]) -> None:
    for column in table:
        _settle(column, [0.0] * len(column), [1.0] * len(column))
    for sweep in range(4 * SWEEPS):
        for column in table if sweep % 2 else table[::-1]:
            _sort_ports(column)
            ends = [_ends(item) for item in column]
            weights = [float(sum(weight for _, weight in found)) or 1e-3 for found in ends]
            wanted = [
                sum(end * weight for end, weight in found) / total if found else float(item.y)
                for item, found, total in zip(column, ends, weights, strict=True)
            ]
            _settle(column, wanted, weights)
    for _ in range(4 * SWEEPS):
        for column in table:
            _sort_ports(column)
        if not _straighten(table):
            break


def columns(boxes: Sequence[Box], heights: dict[Box, int]) -> list[list[Item]]:
    """The items of every column from top to bottom, with their heights; the uppermost reaches up to 0."""
    table = _items(boxes, heights)
    _order(table)
    _place(table)
    top = min(item.y - item.height // 2 for column in table for item in column)
    for column in table:
        for item in column:
            item.y -= top
    return table
