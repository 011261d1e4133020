"""Diagrams: they say what the equations say, and nothing in them lies upon anything else."""

from __future__ import annotations

import re
from functools import cache
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest
import torch

from ostinato.cells import ACTIVATIONS, Cell, cell, ops
from ostinato.compiler import diagram, trace
from ostinato.compiler.figure import Box, figure, written
from ostinato.compiler.graph import LEAVES, Node, in_order, node
from ostinato.compiler.notation import as_printed
from ostinato.compiler.wires import Layout, Wire, lay_out

from .cells import EVERY
from .interpreter import _ARITHMETIC as ARITHMETIC

SVG = "{http://www.w3.org/2000/svg}"


def values_of(roots: list[Node], own: Cell) -> list[torch.Tensor]:
    """Every root's value for random leaves; a product with a matrix is one with a random vector."""
    rows, units = 3, 5
    order = in_order(roots)
    known: dict[Node, torch.Tensor] = {}

    def random(name: object) -> torch.Tensor:
        generator = torch.Generator().manual_seed(sum(map(ord, str(name))))
        return torch.rand((rows, units), generator=generator, dtype=torch.float64) + 0.25

    def computed(value: Node) -> torch.Tensor:
        args = [known[arg] for arg in value.args]
        if value.op == "constant":
            return torch.full((rows, units), value.attr, dtype=torch.float64)
        if value.op in LEAVES:
            return random((value.op, value.attr))
        if value.op == "gate":
            products = [random(source) * arg for source, arg in zip(value.attr[1], args, strict=True)]
            return torch.stack(products).sum(0)
        if value.op == "normalize":
            together = torch.cat([known[one] for one in members(value)], 1)
            return (args[0] - together.mean(1, keepdim=True)) / torch.sqrt(together.var(1, False, keepdim=True) + 1e-5)
        if value.op in ("activate", "named"):
            name = own.activations[value.attr] if value.op == "activate" else value.attr
            result: torch.Tensor = ACTIVATIONS[name].value(args[0])
            return result
        return ARITHMETIC.get(value.op, getattr(ops, value.op, None))(*args)  # type: ignore[misc]

    def members(value: Node) -> list[Node]:
        """What a normalization is over: the products of the named gates with the same vector, or one value."""
        (block,) = value.args
        products = [one for one in order if one.op == "gate" and one.args == block.args]
        return [one for one in products if one.attr[1][0][1] in value.attr] or [block]

    for value in order:
        for member in members(value) if value.op == "normalize" else []:
            known[member] = computed(member)
        known[value] = computed(value)
    return [known[root] for root in roots]


@pytest.mark.parametrize("own", EVERY, ids=lambda c: c.name)
def test_what_is_drawn_equals_the_equations(own: Cell) -> None:
    """Mixtures with two weights, named activations and normalizations have the value of what they stand for."""
    new_states = trace(own).new_states
    for drawn, computed in zip(values_of(as_printed(new_states), own), values_of(list(new_states), own), strict=True):
        torch.testing.assert_close(drawn, computed, rtol=1e-12, atol=1e-12)


def test_layer_normalization_is_recognized() -> None:
    x = node("input")
    centred = x - node("row_mean", x)
    spread = node("sqrt", node("row_mean", centred * centred) + 1e-5)
    (found,) = as_printed((centred / spread,))
    assert (found.op, found.args) == ("normalize", (x,))
    (plain,) = as_printed((x / node("sqrt", node("row_mean", x * x) + 1e-5),))
    assert (plain.op, plain.args) == ("rms_normalize", (x,))
    other = x / node("sqrt", node("row_mean", centred * centred) + 1e-5)  # not of the vector that it scales
    assert [value.op for value in in_order(as_printed((other,))) if "normalize" in value.op] == []


def test_mixture_is_drawn_with_both_weights() -> None:
    z, h, n = (node("state", attr=k) for k in range(3))
    assert as_printed((n + z * (h - n),)) == [z * h + (1.0 - z) * n]
    assert as_printed((h - z * (h - n),)) == [(1.0 - z) * h + z * n]
    assert as_printed((n + z * (h - z),)) == [n + z * (h - z)]


@cache
def laid_out(own: Cell) -> tuple[list[Box], Layout]:
    boxes = figure(own)
    return boxes, lay_out(boxes, {box: diagram._size(box) for box in boxes})


@pytest.mark.parametrize("own", EVERY, ids=lambda c: c.name)
def test_all_that_enters_and_leaves_is_there(own: Cell) -> None:
    boxes, layout = laid_out(own)
    assert [box.state for box in boxes if box.kind == "new"] == list(range(len(own.states)))
    text = " ".join(box.label for box in boxes)
    for name in (*own.vectors, *own.matrices, *own.inputs):
        assert re.search(rf"(?<!\w){re.escape(written(name))}(?![\w_])", text), name
    program = trace(own)
    for matrix in ("W", "U"):
        assert len(re.findall(rf"{matrix}(?=[_ ])", text)) == len(program.blocks[matrix])
    left = min(place[0] for place in layout.places.values())
    right = max(place[0] for place in layout.places.values())
    for box in boxes:
        assert (layout.places[box][0] == right) == (box.kind == "new")
        assert (layout.places[box][0] == left) == (not box.inputs)


@pytest.mark.parametrize("own", EVERY, ids=lambda c: c.name)
def test_boxes_and_wires_do_not_touch(own: Cell) -> None:
    _, layout = laid_out(own)
    places = list(layout.places.values())
    for (x, y, w, h), (x2, y2, w2, h2) in combinations(places, 2):
        assert x + w <= x2 or x2 + w2 <= x or y + h / 2 < y2 - h2 / 2 or y2 + h2 / 2 < y - h / 2
    for wire in layout.wires:
        for a, b in segments(wire):
            for x, y, w, h in places:
                crosses = min(a[0], b[0]) < x + w and max(a[0], b[0]) > x
                assert not (crosses and min(a[1], b[1]) < y + h / 2 and max(a[1], b[1]) > y - h / 2)
    for one, other in combinations(layout.wires, 2):
        for p in segments(one):
            for q in segments(other):
                assert one.source is other.source or not overlap(p, q)


Segment = tuple[tuple[float, float], tuple[float, float]]


def segments(wire: Wire) -> list[Segment]:
    return [pair for path in wire.paths for pair in pairwise(path)]


def overlap(p: Segment, q: Segment) -> bool:
    """Whether two segments have more than a point in common."""
    for axis in (0, 1):
        if p[0][axis] == p[1][axis] == q[0][axis] == q[1][axis]:
            (a, b), (c, d) = (sorted(end[1 - axis] for end in segment) for segment in (p, q))
            return max(a, c) < min(b, d)
    return False


@pytest.mark.parametrize("own", EVERY, ids=lambda c: c.name)
def test_every_wire_joins_its_box_with_the_boxes_that_read_it(own: Cell) -> None:
    boxes, layout = laid_out(own)
    for box in boxes:
        x, y, width, _ = layout.places[box]
        reached = [path for wire in layout.wires if wire.source is box for path in wire.paths]
        if any(box in user.inputs for user in boxes):
            assert (x + width, y) in [path[0] for path in reached]
        for user in boxes:
            left, middle, _, height = layout.places[user]
            ends = {path[-1] for path in reached if path[-1][0] == left and abs(path[-1][1] - middle) < height / 2}
            assert len(ends) == user.inputs.count(box)
    starts = {path[0] for wire in layout.wires for path in wire.paths}
    for wire in layout.wires:  # a value that passes by a column goes on behind it
        for path, ends_here in zip(wire.paths, wire.ends, strict=True):
            assert ends_here or any(start[1] == path[-1][1] and start[0] >= path[-1][0] for start in starts)


@pytest.mark.parametrize("own", EVERY, ids=lambda c: c.name)
def test_picture_is_well_formed_and_named(own: Cell) -> None:
    picture = ElementTree.fromstring(diagram.draw(own))
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    title = picture.find(f"{SVG}title")
    assert title is not None and own.name in (title.text or "")
    (group,) = picture.findall(f"{SVG}g")
    for rectangle in group.findall(f"{SVG}rect"):
        x, y, w, h = (float(rectangle.attrib[name]) for name in ("x", "y", "width", "height"))
        assert x >= 0 and x + w + 2 * diagram.MARGIN <= width + 1
        assert y >= 0 and y + h + 2 * diagram.MARGIN <= height + 1
    shown = "".join(group.itertext())
    assert "_{" not in shown and "}" not in shown


def test_labels_are_escaped_and_fit() -> None:
    @cell(gates="a", states="h", parameters="a_rather_long_name")
    def choosing(gate: object, state: object, p: object) -> object:
        return ops.select(gate.a, state.h * p.a_rather_long_name, state.h)  # type: ignore[attr-defined]

    text = diagram.draw(choosing)
    assert "a &gt; 0" in text and "a &gt; 0" not in "".join(ElementTree.fromstring(text).itertext())
    boxes, layout = laid_out(choosing)
    for box in boxes:
        assert diagram._width(box.label, diagram.FONT) < layout.places[box][2] or box.kind in ("operation", "product")
