"""Which values of a step have the input's size D, the units' H or the projection's P, and that they fit together."""

from __future__ import annotations

from collections.abc import Iterable

from ..cells import Cell
from .graph import Node


class Sizes:
    """The size of every node of a program, a letter of `cells.SPACES`; None is a single number, which fits any.

    Attributes:
        same: whether input and units must be of one size, because the step combines x with the units entry by entry.
        of_input: whether a value other than x has the input's size.
    """

    def __init__(self, cell: Cell, order: Iterable[Node], new_states: tuple[Node, ...]) -> None:
        self._cell = cell
        self._of: dict[Node, str | None] = {}
        self.same = False
        for current in order:
            self._of[current] = self._size(current)
        for name, new in zip(cell.states, new_states, strict=True):
            found, declared = self._of[new], cell.size_of(name)
            if found not in (None, declared) and not self._equal({found, declared}):
                raise cell.error(f"its state {name} is declared with the size {declared}, but its value has {found}")
        self.of_input = any(size == "D" and value.op != "input" for value, size in self._of.items())

    def __getitem__(self, value: Node) -> str | None:
        return self._of[value]

    def _equal(self, sizes: Iterable[str | None]) -> bool:
        """Whether these sizes may be one; D and H may, and from then on must."""
        if set(sizes) <= {"D", "H"}:
            self.same = True
            return True
        return False

    def _size(self, value: Node) -> str | None:
        cell = self._cell
        if value.op == "input":
            return "D"
        if value.op == "state":
            return cell.size_of(cell.states[value.attr])
        if value.op in ("parameter", "sequence"):
            return "H"
        if value.op == "gate":
            return self._product(value)
        sizes = {self._of[arg] for arg in value.args} - {None}
        if len(sizes) > 1 and not self._equal(sizes):
            raise cell.error(f"it combines values of the sizes {' and '.join(sorted(map(str, sizes)))} entry by entry")
        size = "H" if "H" in sizes else next(iter(sizes), None)
        if value.op == "row_mean":
            if size not in ("H", None):
                raise cell.error(f"it takes the mean of a value of the size {size}; row_mean reads values of size H")
            return None
        return size

    def _product(self, value: Node) -> str:
        cell = self._cell
        rows = "H"
        for vector, (matrix, _) in zip(value.args, value.attr[1], strict=True):
            rows, columns = cell.matrices.get(matrix, ("H", "D" if matrix == "W" else cell.size_of(cell.states[0])))
            found = self._of[vector]
            if found not in (None, columns) and not self._equal({found, columns}):
                raise cell.error(f"{matrix} has the shape ({rows}, {columns}) but multiplies a vector of size {found}")
        return rows
