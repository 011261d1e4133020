"""Right-angled wires between the columns of a diagram.

Between two columns every value that bends has one vertical track of its own, from which it branches off, so that wires
of different values meet at right angles only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from .figure import Box
from .layout import GRID, Item, columns

TRACK = 12

Point = tuple[float, float]


@dataclass
class Wire:
    """The way of a value from one column to the next.

    Attributes:
        source: the box whose value it is.
        paths: corner points, one list for each place that it goes to.
        ends: whether each path ends at a box, and not at a value passing by.
        dots: where it branches.
    """

    source: Box
    paths: list[list[Point]]
    ends: list[bool]
    dots: list[Point]


@dataclass
class Layout:
    """Where everything is: boxes as (x, y of the middle, width, height), wires, and the size of it all."""

    places: dict[Box, tuple[float, float, float, float]]
    marks: dict[Box, list[str]]
    wires: list[Wire]
    width: float
    height: float


@dataclass(eq=False)
class _Net:
    """A value between two columns: where it comes from and the heights and items it goes to.

    `before` is a net that brings it to `y` first, on a track further left.
    """

    item: Item
    y: int
    ends: list[tuple[int, Item]]
    before: _Net | None = None

    @property
    def heights(self) -> list[int]:
        return [y for y, _ in self.ends]

    @property
    def span(self) -> tuple[int, int]:
        return min(self.y, *self.heights), max(self.y, *self.heights)


OVERLAP = 1000


def _conflicts(left: _Net, right: _Net) -> int:
    """How often two values' wires meet if the track of one lies left of the other's; much more where they overlap."""
    if right.before is left:
        return 0
    if left.before is right:
        return OVERLAP**2
    (low, high), (lower, higher) = left.span, right.span
    crossings = sum(lower < y < higher for y in left.heights) + (low < right.y < high)
    return crossings + OVERLAP * (right.y in left.heights)


def _total(order: list[_Net]) -> int:
    return sum(_conflicts(left, right) for left, right in combinations(order, 2))


def _ordered(bent: list[_Net]) -> list[_Net]:
    """An order of the tracks from left to right with few crossings."""
    moved = True
    while moved:
        moved = False
        for k in range(len(bent)):
            for there in range(len(bent)):
                trial = bent[:k] + bent[k + 1 :]
                trial.insert(there, bent[k])
                if _total(trial) < _total(bent):
                    bent, moved = trial, True
    return bent


def _tracks(nets: list[_Net]) -> list[_Net]:
    """The values that need a vertical track, from left to right.

    Two values that change places need a third track: one of them goes halfway first, at a height that no box has.
    """
    bent = _ordered(sorted((net for net in nets if net.span[0] < net.span[1]), key=lambda net: net.y))
    for _ in range(len(nets)):
        overlapping = [pair for pair in combinations(bent, 2) if _conflicts(*pair) >= OVERLAP]
        if not overlapping:
            break
        whole = min((net for net in overlapping[0] if net.before is None), key=lambda net: len(net.ends))
        halfway = (whole.y + whole.heights[0]) // (2 * GRID) * GRID + GRID // 2
        while halfway in [net.y for net in bent]:
            halfway += GRID
        first = _Net(whole.item, whole.y, [(halfway, whole.item)])
        whole.y, whole.before = halfway, first
        bent = _ordered([first, *bent])
    return bent


def _wire(net: _Net, start: float, tracks: dict[_Net, float], stop: float) -> Wire:
    paths: list[list[Point]] = []
    for y in net.heights:
        path: list[Point] = [(start, net.y)]
        if net.before:
            first, height = tracks[net.before], net.before.y
            path = [(start, height), (first, height), (first, net.y)]
        if y != net.y:
            path += [(tracks[net], net.y), (tracks[net], y)]
        paths.append([*path, (stop, y)])
    low, high = net.span
    through = low < high and net.y in net.heights
    branches = sorted({y for y in (net.y, *net.heights) if low < y < high or (through and y == net.y)})
    ends = [item.box is not None for _, item in net.ends]
    return Wire(net.item.source, paths, ends, [(tracks[net], y) for y in branches])


def lay_out(boxes: Sequence[Box], sizes: dict[Box, tuple[int, int]]) -> Layout:
    """Places and wires for boxes of these (width, height); a column's products become equally wide."""
    table = columns(boxes, {box: height for box, (_, height) in sizes.items()})
    places: dict[Box, tuple[float, float, float, float]] = {}
    wires: list[Wire] = []
    right: dict[Item, float] = {}
    x = 0.0
    for column in table:
        nets: dict[Item, _Net] = {}
        for item in column:
            for k, entering in enumerate(item.inputs):
                nets.setdefault(entering, _Net(entering, entering.y, [])).ends.append((item.y + item.port(k), item))
        tracks = {net: x + TRACK * (k + 1) for k, net in enumerate(_tracks(list(nets.values())))}
        x += TRACK * (len(tracks) + 1) + 2 * GRID if nets else 0
        wires += [_wire(net, right[net.item], tracks, x) for net in nets.values()]
        width = max((sizes[item.box][0] for item in column if item.box), default=0)
        for item in column:
            right[item] = x
            if item.box:
                own = width if item.box.kind == "product" else sizes[item.box][0]
                places[item.box] = (x, item.y, own, item.height)
                right[item] += own
        x += width
    items = [item for column in table for item in column]
    marks = {item.box: item.marks for item in items if item.box}
    return Layout(places, marks, wires, x, max(item.y + item.height // 2 for item in items))
