"""A cell's function, run on graph nodes: its forward program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

from ..cells import Cell
from .graph import LEAVES, Node, in_order, level_of, lift, node

#: The two weight matrices: W multiplies the input, U a recurrent vector.
MATRICES = ("W", "U")


@dataclass(frozen=True)
class Program:
    """One step of a cell as expressions.

    Attributes:
        cell: the cell.
        columns: the gate nodes, each one column block of the step's products, in the order of computation.
        new_states: the states after the step, in the cell's order.
        vectors: what the step computes and then feeds into a product (r * h in the reset-before GRU).
        blocks: for each matrix the names of the gates that it holds a block for, in the order of its blocks.
    """

    cell: Cell
    columns: tuple[Node, ...]
    new_states: tuple[Node, ...]
    vectors: tuple[Node, ...]
    blocks: dict[str, tuple[str, ...]]

    def terms(self, column: Node) -> list[tuple[Node, str, int]]:
        """What a column sums: (vector, matrix, index of the block in the matrix)."""
        _, sources = column.attr
        return [
            (vector, matrix, self.blocks[matrix].index(gate))
            for vector, (matrix, gate) in zip(column.args, sources, strict=True)
        ]


class _Gates:
    """What a cell's function sees as `gate`."""

    def __init__(self, cell: Cell, x: Node, h: Node, sides: tuple[str, ...] = MATRICES) -> None:
        self._cell = cell
        self._vectors = {"W": x, "U": h}
        self._sides = sides

    @property
    def x(self) -> _Gates:
        return _Gates(self._cell, self._vectors["W"], self._vectors["U"], ("W",))

    @property
    def h(self) -> _Gates:
        return _Gates(self._cell, self._vectors["W"], self._vectors["U"], ("U",))

    def using(self, h: Node) -> _Gates:
        vector = lift(h)
        if vector.op in LEAVES - {"input", "state"}:
            raise ValueError(
                f"cell {self._cell.name} multiplies a {vector.op} in gate.using; "
                "a product reads a state or what the step computes from one"
            )
        return _Gates(self._cell, self._vectors["W"], vector, self._sides)

    def __getattr__(self, name: str) -> Node:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._cell.gates:
            raise AttributeError(
                f"cell {self._cell.name} has no gate {name!r}; its gates are {', '.join(self._cell.gates)}"
            )
        label = name if self._sides == MATRICES else f"{'x' if self._sides == ('W',) else 'h'}.{name}"
        vectors = [self._vectors[side] for side in self._sides]
        return node("gate", *vectors, attr=(label, tuple((side, name) for side in self._sides)))


def _activate(symbol: str) -> Callable[[Any], Node]:
    return lambda x: node("activate", lift(x), attr=symbol)


@cache
def trace(cell: Cell) -> Program:
    """The forward program of a cell.

    Raises:
        ValueError: a declared gate is never used, or a gate's product is used in two different sums.
        TypeError: the function branches on data or combines values that are none of the graph's.
    """
    states = {name: node("state", attr=index) for index, name in enumerate(cell.states)}
    gate = _Gates(cell, node("input"), states[cell.states[0]])
    new_states = tuple(
        lift(value)
        for value in cell(
            gate=gate,
            state=SimpleNamespace(**states),
            phi=_activate("phi"),
            sigma=_activate("sigma"),
            p=SimpleNamespace(**{name: node("parameter", attr=k) for k, name in enumerate(cell.parameters)}),
            t=node("step"),
        )
    )
    order = in_order(new_states)
    found = [current for current in order if current.op == "gate"]
    products: dict[tuple[str, str], str] = {}
    for column in found:
        label, sources = column.attr
        for source in sources:
            if source in products:
                raise ValueError(
                    f"cell {cell.name} uses the product of gate {source[1]} in two sums "
                    f"({products[source]} and {label}); compute it once and use the value twice"
                )
            products[source] = label
    unused = [name for name in cell.gates if not any((matrix, name) in products for matrix in MATRICES)]
    if unused:
        raise ValueError(f"cell {cell.name} never uses its gate {unused[0]}; use it or leave it out of `gates`")
    levels = level_of(new_states)
    first_seen = {vectors: k for k, vectors in enumerate(dict.fromkeys(column.args for column in found))}
    columns = sorted(found, key=lambda c: (levels[c], first_seen[c.args], cell.gates.index(c.attr[1][0][1])))
    entering = dict.fromkeys(vector for column in columns for vector in column.args)
    return Program(
        cell=cell,
        columns=tuple(columns),
        new_states=new_states,
        vectors=tuple(vector for vector in entering if vector.op not in LEAVES),
        blocks={matrix: tuple(n for n in cell.gates if (matrix, n) in products) for matrix in MATRICES},
    )
