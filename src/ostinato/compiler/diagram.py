"""A cell's step drawn as a circuit: SVG, from the equations alone.

Read from left to right: the input and the states before the step enter on the left, the states after it leave on the
right; every value keeps to one wire, which branches at dots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape

from ..cells import Cell
from .figure import Box, figure
from .layout import GRID
from .wires import Layout, Point, Wire, lay_out

MARGIN = 24
FONT = 14
SMALL = 12

#: The classes of wires that hold x and a state. The colours are ones that people with colour-blindness tell apart
#: (Okabe & Ito 2008), darker and lighter for the two grounds.
INPUT = "x"
STATES = ("s0", "s1", "s2", "s3", "s4")

STYLE = """
text { font-family: Helvetica, Arial, 'DejaVu Sans', sans-serif; font-size: 14px; fill: #1b1f24; }
text.formula { font-size: 12px; fill: #4a5159; }
text.mark { font-size: 12px; fill: #1b1f24; }
text.title { font-weight: bold; }
.ground { fill: #fdfdfc; stroke: #d5d9de; }
.box { stroke: #6b737c; stroke-width: 1.2; fill: #ffffff; }
.product { fill: #e9eef5; }
.function { fill: #fbf1cd; }
.operation { fill: #ffffff; }
.vector { fill: #e4f1e6; }
.wire { fill: none; stroke-width: 1.8; }
.plain { stroke: #6b737c; } .plain-tip { fill: #6b737c; }
.x { stroke: #b97a00; } .x-tip { fill: #b97a00; }
.s0 { stroke: #0072b2; } .s0-tip { fill: #0072b2; }
.s1 { stroke: #d55e00; } .s1-tip { fill: #d55e00; }
.s2 { stroke: #00805c; } .s2-tip { fill: #00805c; }
.s3 { stroke: #b0518b; } .s3-tip { fill: #b0518b; }
.s4 { stroke: #7a5230; } .s4-tip { fill: #7a5230; }
"""

#: What changes where the reader prefers a dark page.
DARK = """
text { fill: #e8eaed; } text.formula { fill: #b4bac2; } text.mark { fill: #e8eaed; }
.ground { fill: #16191d; stroke: #363c43; }
.box { stroke: #8c949e; fill: #1f2329; } .product { fill: #26303d; } .function { fill: #453a14; }
.operation { fill: #16191d; } .vector { fill: #1f3a2a; }
.plain { stroke: #99a1ab; } .plain-tip { fill: #99a1ab; }
.x { stroke: #e69f00; } .x-tip { fill: #e69f00; } .s0 { stroke: #56b4e9; } .s0-tip { fill: #56b4e9; }
.s1 { stroke: #f0803c; } .s1-tip { fill: #f0803c; } .s2 { stroke: #2fc297; } .s2-tip { fill: #2fc297; }
.s3 { stroke: #df8fc0; } .s3-tip { fill: #df8fc0; }
.s4 { stroke: #c9a27e; } .s4-tip { fill: #c9a27e; }
"""


def _runs(text: str) -> Iterator[tuple[str, bool]]:
    """The parts of a label, and whether each is a subscript."""
    for part in re.split(r"(_\{[^}]*\})", text):
        if part:
            yield (part[2:-1], True) if part.startswith("_{") else (part, False)


def _width(text: str, size: int) -> float:
    """About how wide a label is, in a wide font."""
    hundredths = (46 if small else 34 if letter in " ,.|" else 64 for part, small in _runs(text) for letter in part)
    return size * sum(hundredths) / 100


def _text(label: str, x: float, y: float, kind: str = "", size: int = FONT, anchor: str = "middle") -> str:
    spans, sunk = [], False
    for part, small in _runs(label):
        shift = f' dy="{(0.3 if small else -0.3) * size:.1f}"' if small != sunk else ""
        spans.append(f'<tspan{shift} font-size="{size * (0.72 if small else 1):.1f}">{escape(part)}</tspan>')
        sunk = small
    css = f' class="{kind}"' if kind else ""
    return f'<text{css} x="{x:.1f}" y="{y + 0.35 * size:.1f}" text-anchor="{anchor}">{"".join(spans)}</text>'


def _function_width(box: Box) -> float:
    return max(30.0, _width(box.function, FONT) + 12) if box.function else 0.0


def _size(box: Box) -> tuple[int, int]:
    ports = 2 * GRID * len(box.inputs)
    if box.kind == "operation":
        return (5 if any(box.marks) else 4) * GRID, max(4 * GRID, ports)
    if box.kind == "product":
        inside = max(_width(box.label, SMALL), _width(box.title, FONT))
        return int(inside + 20 + 24 * any(box.marks) + _function_width(box)), max(
            6 * GRID if box.title else 4 * GRID, ports
        )
    room = 12 if any(box.marks) else 0
    return int(max(36, _width(box.label, FONT) + 20 + room)), max(4 * GRID, ports)


def _hue(box: Box, new: dict[Box, int]) -> str:
    if box.kind == "input":
        return INPUT
    state = box.state if box.state is not None else new.get(box)
    return "plain" if state is None else STATES[state % len(STATES)]


def _path(points: list[Point], sharp: set[Point]) -> str:
    """A path with round corners, except where the wire branches."""
    text = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        if corner in sharp:
            text.append(f"L{corner[0]:.1f} {corner[1]:.1f}")
            continue
        entry, leave = (_towards(corner, other) for other in (before, after))
        text.append(f"L{entry[0]:.1f} {entry[1]:.1f}Q{corner[0]:.1f} {corner[1]:.1f} {leave[0]:.1f} {leave[1]:.1f}")
    return "".join([*text, f"L{points[-1][0]:.1f} {points[-1][1]:.1f}"])


def _towards(corner: Point, other: Point, by: float = 5.0) -> Point:
    distance = abs(other[0] - corner[0]) + abs(other[1] - corner[1])
    share = min(by, distance / 2) / distance if distance else 0.0
    return corner[0] + share * (other[0] - corner[0]), corner[1] + share * (other[1] - corner[1])


def _wire(wire: Wire, hue: str) -> Iterator[str]:
    dots = set(wire.dots)
    for path in wire.paths:
        yield f'<path class="wire {hue}" d="{_path(path, dots)}"/>'
    for path, ends in zip(wire.paths, wire.ends, strict=True):
        if ends:
            x, y = path[-1]
            yield f'<path class="{hue}-tip" d="M{x:.1f} {y:.1f}l-8 -4v8z"/>'
    for x, y in wire.dots:
        yield f'<circle class="{hue}-tip" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'


def _box(box: Box, layout: Layout, hue: str) -> Iterator[str]:
    x, y, width, height = layout.places[box]
    top = y - height / 2
    corner = {"product": 6, "operation": 16}.get(box.kind, 14)
    frame = f'x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{corner}"'
    coloured = hue if box.kind in ("input", "state", "new") else ""
    yield f'<rect class="box {box.kind} {coloured}" {frame}/>'
    middle = x + width / 2
    if box.kind == "product":
        own = _function_width(box)
        if own:
            edge = x + width - own
            yield (
                f'<path class="box function" d="M{edge:.1f} {top:.1f}h{own - 6:.1f}a6 6 0 0 1 6 6v{height - 12:.1f}'
                f'a6 6 0 0 1 -6 6h-{own - 6:.1f}z"/>'
            )
            yield _text(box.function, x + width - own / 2, y)
            middle = x + (width - own) / 2
        if box.title:
            yield _text(box.title, middle, y - 10, "title")
        yield _text(box.label, middle, y + (11 if box.title else 0), "formula", SMALL)
    else:
        yield _text(box.label, middle + (5 if any(box.marks) else 0), y)
    ports = [y + (2 * k - len(box.inputs) + 1) * GRID for k in range(len(box.inputs))]
    for port, mark in zip(ports, layout.marks[box], strict=True):
        if mark:
            yield _text(mark, x + 9, port, "mark", SMALL)


def draw(cell: Cell) -> str:
    """A cell's step as an SVG picture.

    Raises:
        ValueError: the cell's equations do not fit together (see `compiler.trace`).
    """
    boxes = figure(cell)
    layout = lay_out(boxes, {box: _size(box) for box in boxes})
    new = {
        entering: box.state for box in boxes if box.kind == "new" for entering in box.inputs if box.state is not None
    }
    width, height = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN
    title = " ".join(cell.description.partition("\n\n")[0].split()) or cell.name
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-labelledby="title">',
        f'<title id="title">One step of the cell {escape(cell.name)}: {escape(title)}</title>',
        f"<style>{STYLE}@media (prefers-color-scheme: dark) {{{DARK}}}\n</style>",
        f'<rect class="ground" x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1:.0f}" rx="8"/>',
        f'<g transform="translate({MARGIN} {MARGIN})">',
    ]
    for wire in layout.wires:
        lines += _wire(wire, _hue(wire.source, new))
    for box in boxes:
        lines += _box(box, layout, _hue(box, new))
    return "\n".join([*lines, "</g>", "</svg>", ""])
