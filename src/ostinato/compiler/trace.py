"""A cell's function, run on graph nodes: its forward program."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

from ..cells import Cell
from .graph import LEAVES, Node, in_order, level_of, lift, node
from .sizes import Sizes

#: The two weight matrices that every cell may have: W multiplies the input, U a recurrent vector.
MATRICES = ("W", "U")


@dataclass(frozen=True)
class Program:
    """One step of a cell as expressions.

    Attributes:
        cell: the cell.
        columns: the gate nodes, each one column block of the step's products, in the order of computation.
        new_states: the states after the step, in the cell's order.
        vectors: what the step computes and then feeds into a product (r * h in the reset-before GRU).
        blocks: for each matrix the names of the gates that it holds a block for, in the order of its blocks; a further
            matrix holds one block, itself.
        sizes: of every value.
    """

    cell: Cell
    columns: tuple[Node, ...]
    new_states: tuple[Node, ...]
    vectors: tuple[Node, ...]
    blocks: dict[str, tuple[str, ...]]
    sizes: Sizes

    @property
    def matrices(self) -> tuple[str, ...]:
        """Names of all matrices: W, U and the cell's further ones."""
        return (*MATRICES, *self.cell.matrices)

    def terms(self, column: Node) -> list[tuple[Node, str, int]]:
        """What a column sums: (vector, matrix, index of the block in the matrix)."""
        _, sources = column.attr
        return [
            (vector, matrix, self.blocks[matrix].index(gate))
            for vector, (matrix, gate) in zip(column.args, sources, strict=True)
        ]

    def shape(self, matrix: str) -> tuple[str, str]:
        """The sizes (rows, columns) of one block of a matrix, in letters of `cells.SPACES`."""
        if matrix in MATRICES:
            return "H", "D" if matrix == "W" else self.cell.size_of(self.cell.states[0])
        return self.cell.matrices[matrix]


def _vector(cell: Cell, value: Any) -> Node:
    """A value as something that a product may read."""
    vector = lift(value)
    if vector.op in LEAVES - {"input", "state"}:
        raise cell.error(
            f"it multiplies a {vector.op} with a matrix; a product reads the input, a state or what the step computes"
        )
    return vector


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

    def using(self, *, x: Any = None, h: Any = None) -> _Gates:
        given = {"W": x, "U": h}
        new = {m: old if given[m] is None else _vector(self._cell, given[m]) for m, old in self._vectors.items()}
        return _Gates(self._cell, new["W"], new["U"], self._sides)

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


class _Named(SimpleNamespace):
    """What a cell's function sees as `state`, `p` and so on: a value a name."""

    def __init__(self, cell: Cell, kind: str, values: dict[str, Any]) -> None:
        super().__init__(**values)
        self._told = (cell, kind, values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        cell, kind, values = self._told
        raise AttributeError(f"cell {cell.name} has no {kind} {name!r}; it has {', '.join(values) or 'none'}")


@dataclass(frozen=True)
class _Matrix:
    """What a cell's function sees as `matrix.name`."""

    cell: Cell
    name: str

    def __matmul__(self, vector: Any) -> Node:
        return node("gate", _vector(self.cell, vector), attr=(self.name, ((self.name, self.name),)))


def _activate(symbol: str) -> Callable[[Any], Node]:
    return lambda x: node("activate", lift(x), attr=symbol)


def _run(cell: Cell) -> tuple[Node, ...]:
    """The new states as nodes; an error of the function names the line where it arose."""

    def leaves(op: str, names: tuple[str, ...], first: int = 0) -> dict[str, Node]:
        return {name: node(op, attr=first + k) for k, name in enumerate(names)}

    states = leaves("state", cell.states)
    available = {
        "x": node("input"),
        "gate": _Gates(cell, node("input"), states[cell.states[0]]),
        "state": _Named(cell, "state", states),
        "phi": _activate("phi"),
        "sigma": _activate("sigma"),
        "p": _Named(cell, "parameter", leaves("parameter", cell.parameters)),
        "constant": _Named(cell, "constant", leaves("parameter", tuple(cell.constants), len(cell.parameters))),
        "matrix": _Named(cell, "matrix", {name: _Matrix(cell, name) for name in cell.matrices}),
        "sequence": _Named(cell, "sequence", leaves("sequence", cell.inputs)),
        "t": node("step"),
    }
    try:
        return tuple(lift(value) for value in cell(**available))
    except (TypeError, ValueError, AttributeError, ArithmeticError, LookupError, NameError) as error:
        file = cell.step.__code__.co_filename
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        # an AttributeError would be taken for one of a module, wherever a property leads here
        kind = TypeError if isinstance(error, TypeError) else ValueError
        if frames:
            raise kind(f"{_sentence(cell, error)}\n  {file}, line {frames[-1].lineno}: {frames[-1].line}") from error
        if isinstance(error, ValueError):
            raise  # `Cell.error` has named the place
        raise kind(f"{_sentence(cell, error)}\n  {file}, line {cell.step.__code__.co_firstlineno}") from error


def _sentence(cell: Cell, error: Exception) -> str:
    """What went wrong in a cell's function; of what Python says itself, which cell's."""
    if isinstance(error, (ArithmeticError, LookupError, NameError)) and not isinstance(error, AttributeError):
        return f"cell {cell.name}: {type(error).__name__}: {error}"
    return str(error)


def _check_clock(cell: Cell, new_states: tuple[Node, ...]) -> None:
    """Whether units keep their states where the clock says so: the engine leaves out their products."""
    if cell.clock is None:
        return
    time, period = cell.clock
    waiting = node(
        "remainder",
        node("state", attr=cell.states.index(time)),
        node("parameter", attr=cell.vectors.index(period)),
    )
    for index, (name, new) in enumerate(zip(cell.states, new_states, strict=True)):
        old = node("state", attr=index)
        if name == time:
            if any(value.op in ("gate", "row_mean") for value in in_order([new])):
                raise cell.error(f"its clock {time} depends on a product or a mean; a clock counts by itself")
        elif new is not old and (new.op != "select" or new.args[:2] != (waiting, old)):
            raise cell.error(
                f"its state {name} does not wait for its clock; "
                f"expected select(remainder(state.{time}, constant.{period}), state.{name}, ...)"
            )


@cache
def trace(cell: Cell) -> Program:
    """The forward program of a cell.

    Raises:
        ValueError: a declared gate or matrix is never used, a product is used in two different sums, a state does not
            wait for the clock, or sizes do not fit together; or the function names something that the cell does not
            declare, or fails in another way.
        TypeError: the function branches on data or combines values that are none of the graph's.
    """
    new_states = _run(cell)
    order = in_order(new_states)
    found = [current for current in order if current.op == "gate"]
    products: dict[tuple[str, str], str] = {}
    for column in found:
        label, sources = column.attr
        for source in sources:
            if source in products:
                raise cell.error(
                    f"it uses the product of gate {source[1]} in two sums "
                    f"({products[source]} and {label}); compute it once and use the value twice"
                )
            products[source] = label
    names = (*cell.gates, *cell.matrices)
    for kind, declared in (("gate", cell.gates), ("matrix", tuple(cell.matrices))):
        used = {name for matrix, name in products if (matrix in MATRICES) == (kind == "gate")}
        unused = [name for name in declared if name not in used]
        if unused:
            raise cell.error(f"it never uses its {kind} {unused[0]}; use it or do not declare it")
    _check_clock(cell, new_states)
    levels = level_of(new_states)
    first_seen = {vectors: k for k, vectors in enumerate(dict.fromkeys(column.args for column in found))}
    columns = sorted(found, key=lambda c: (levels[c], first_seen[c.args], names.index(c.attr[1][0][1])))
    entering = dict.fromkeys(vector for column in columns for vector in column.args)
    blocks = {matrix: tuple(n for n in cell.gates if (matrix, n) in products) for matrix in MATRICES}
    blocks.update({matrix: (matrix,) for matrix in cell.matrices})
    return Program(
        cell=cell,
        columns=tuple(columns),
        new_states=new_states,
        vectors=tuple(vector for vector in entering if vector.op not in LEAVES),
        blocks=blocks,
        sizes=Sizes(cell, order, new_states),
    )
