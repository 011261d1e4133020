"""The cell of a stack's first layer, which has no layer below it."""

from __future__ import annotations

from functools import cache

from ..cells import CELLS, Cell
from ..compiler import trace
from ..compiler.graph import Node, constant, in_order, node, rebuild


@cache
def lowest(cell: Cell) -> Cell:
    """The cell of the first layer of a stack of `cell`.

    A cell that reads the states of the layer below, by its further sequences, has none to read there. With zeros in
    their place its equations are those of a simpler cell: where that one is registered, it makes the first layer and
    stores nothing that the equations would not use (the depth-gated LSTM's first layer is a peephole LSTM). In all
    other cases it is `cell` itself.
    """
    if not cell.sequences:
        return cell
    equations = _equations(cell)
    simpler = (other for other in CELLS.values() if not other.sequences and other.states == cell.states)
    return next((other for other in simpler if _equations(other) == equations), cell)


def _equations(cell: Cell) -> tuple[tuple[Node, ...], object]:
    """The new states of a step with zeros in its further sequences and names in the place of numbers, and what else
    two cells must share so that one can stand for the other."""
    made: dict[Node, Node] = {}
    states = trace(cell).new_states
    for old in in_order(states):
        if old.op == "sequence":
            name = cell.inputs[old.attr]
            made[old] = constant(0.0) if name in cell.sequences else node("sequence", attr=name)
        elif old.op == "parameter":
            made[old] = node("parameter", attr=cell.vectors[old.attr])
        else:
            made[old] = rebuild(old, [made[arg] for arg in old.args])
    shared = (cell.projected, cell.activations, cell.constants, cell.masks, cell.matrices, cell.blocks, cell.clock)
    equations = tuple(made[state] for state in states)
    return equations, (*shared, *_stored(cell, equations))


def _stored(cell: Cell, equations: tuple[Node, ...]) -> tuple[object, ...]:
    """How a layer holds the gates and vectors that equations use, and where it starts them."""
    used: set[str] = set()
    for value in in_order(equations):
        if value.op == "gate":
            used |= {gate for _, gate in value.attr[1]}
        elif value.op == "parameter":
            used.add(value.attr)
    order = [tuple(name for name in names if name in used) for names in (cell.gates, cell.bias, cell.recurrent_bias)]
    initial = {name: value for name, value in cell.initial.items() if name.removeprefix("b_") in used}
    return *order, cell.forget, initial
