"""A cell's equations as the loop that a good PyTorch programmer would write, for any cell.

What reads the input alone is multiplied for all steps at once, before the loop. In the loop, gates that read the same
vectors share one matrix product, which starts from what was multiplied before. The input is taken apart by `unbind`,
whose gradient is one `stack`: that of an index per step is a tensor as large as the input each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ostinato.cells import Cell, activation
from ostinato.compiler import Program, trace
from ostinato.compiler.graph import Node
from ostinato.scan import Weights

#: Names (matrix, gate) of the products that a column sums.
Sources = tuple[tuple[str, str], ...]

#: Activations that PyTorch has a function of its own for; the others are their formula.
OWN = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu}


class _Group:
    """Columns that read the same vectors: one product of their stacked weights with each vector.

    Attributes:
        ahead: for each step what the product with the input came to, or None if the input is not among the vectors.
        rest: the other vectors' stacked weights, transposed; None at the place of the input.
        bias: of all columns, unless `ahead` has it, or they have none.
        sizes: of the columns.
    """

    def __init__(self, program: Program, columns: Sequence[Node], weights: Mapping[str, Any], x: Tensor) -> None:
        terms = [program.terms(column) for column in columns]
        self.sizes = [weights[matrix][0][block].shape[0] for (_, matrix, block), *_ in terms]
        self.bias = _bias(terms, weights)
        self.ahead: Sequence[Tensor] | None = None
        self.rest: list[Tensor | None] = []
        for vector, *same in zip(columns[0].args, *terms, strict=True):
            stacked = torch.cat([weights[matrix][0][block] for _, matrix, block in same])
            if vector.op == "input":
                self.ahead = torch.nn.functional.linear(x, stacked, self.bias).unbind()
                self.rest.append(None)
            else:
                self.rest.append(stacked.T)

    def product(self, t: int, vectors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The columns at step t."""
        found = self.bias if self.ahead is None else self.ahead[t]
        for vector, matrix in zip(vectors, self.rest, strict=True):
            if matrix is not None:
                found = vector @ matrix if found is None else torch.addmm(found, vector, matrix)
        assert found is not None
        columns: tuple[Tensor, ...] = found.split(self.sizes, -1)
        return columns


def _bias(terms: Sequence[Sequence[tuple[Node, str, int]]], weights: Mapping[str, Any]) -> Tensor | None:
    """The biases of all columns, one behind the other, each the sum of its terms'."""
    parts = [
        [weights[matrix][1][block] for _, matrix, block in column if weights[matrix][1] is not None] for column in terms
    ]
    return torch.cat([sum(part[1:], part[0]) for part in parts]) if all(parts) else None


class _Step:
    """The products of one step, each group's made when the first of its columns is asked for."""

    def __init__(self, groups: Mapping[Sources, tuple[_Group, int]], t: int) -> None:
        self._groups = groups
        self._t = t
        self._made: dict[_Group, tuple[Tensor, ...]] = {}

    def column(self, sources: Sources, vectors: Sequence[Tensor]) -> Tensor:
        group, place = self._groups[sources]
        if group not in self._made:
            self._made[group] = group.product(self._t, vectors)
        return self._made[group][place]


class _Gates:
    """`gate` of one step."""

    def __init__(self, step: _Step, vectors: Mapping[str, Tensor], sides: tuple[str, ...] = ("W", "U")) -> None:
        self._step, self._vectors, self._sides = step, vectors, sides

    @property
    def x(self) -> _Gates:
        return _Gates(self._step, self._vectors, ("W",))

    @property
    def h(self) -> _Gates:
        return _Gates(self._step, self._vectors, ("U",))

    def using(self, *, x: Tensor | None = None, h: Tensor | None = None) -> _Gates:
        given = {matrix: vector for matrix, vector in (("W", x), ("U", h)) if vector is not None}
        return _Gates(self._step, {**self._vectors, **given}, self._sides)

    def __getattr__(self, name: str) -> Tensor:
        sources = tuple((side, name) for side in self._sides)
        return self._step.column(sources, [self._vectors[side] for side in self._sides])


class _Matrix:
    """`matrix.name` of one step."""

    def __init__(self, step: _Step, name: str) -> None:
        self._step, self._name = step, name

    def __matmul__(self, vector: Tensor) -> Tensor:
        return self._step.column(((self._name, self._name),), [vector])


def _groups(program: Program, weights: Weights, x: Tensor) -> dict[Sources, tuple[_Group, int]]:
    """For every column its group, and its place there."""
    cut: dict[str, Any] = {}
    for name, matrix, bias in (("W", weights.W, weights.b), ("U", weights.U, weights.b_u)):
        if matrix is not None:
            units = matrix.shape[0] // len(program.blocks[name])
            cut[name] = (matrix.split(units), None if bias is None else bias.split(units))
    for name, matrix in zip(program.cell.matrices, weights.matrices, strict=True):
        cut[name] = ((matrix,), None)
    found: dict[Sources, tuple[_Group, int]] = {}
    for vectors in dict.fromkeys(column.args for column in program.columns):
        columns = [column for column in program.columns if column.args == vectors]
        group = _Group(program, columns, cut, x)
        found.update({column.attr[1]: (group, place) for place, column in enumerate(columns)})
    return found


def loop(cell: Cell, x: Tensor, weights: Weights, sequences: Sequence[Tensor], sizes: Mapping[str, int]) -> Tensor:
    """The outputs (T, B, ...) of a cell that starts from zeros, by differentiable torch operations.

    Args:
        cell: the equations, with their own activations.
        x: (T, B, D).
        weights: of one direction, in the cell's own order of gates.
        sequences: the cell's further input sequences and masks, (T, B, H) each.
        sizes: of the states, by the letters of `cells.SPACES`.
    """
    program = trace(cell)
    groups = _groups(program, weights, x)
    vectors = SimpleNamespace(**dict(zip(cell.vectors, weights.parameters, strict=True)))
    functions = {symbol: OWN.get(name, activation(name).value) for symbol, name in cell.activations.items()}
    states = tuple(x.new_zeros(x.shape[1], sizes[cell.size_of(state)]) for state in cell.states)
    inputs = zip(*(sequence.unbind() for sequence in sequences), strict=True) if sequences else [()] * len(x)
    outputs = []
    for t, (x_t, further) in enumerate(zip(x.unbind(), inputs, strict=True)):
        step = _Step(groups, t)
        states = cell(
            x=x_t,
            gate=_Gates(step, {"W": x_t, "U": states[0]}),
            state=SimpleNamespace(**dict(zip(cell.states, states, strict=True))),
            p=vectors,
            constant=vectors,
            matrix=SimpleNamespace(**{name: _Matrix(step, name) for name in cell.matrices}),
            sequence=SimpleNamespace(**dict(zip(cell.inputs, further, strict=True))),
            t=t,
            **functions,
        )
        outputs.append(states[0])
    return torch.stack(outputs)
