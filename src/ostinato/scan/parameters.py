"""What one layer of a cell stores: names, shapes and initial values, and how the weights of a scan are made of it.

The front-ends store U compactly where it is made of blocks, and biases for those gates that have one; the scan takes U
dense, with the range that each unit reads, and one bias entry a row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from ..cells import Cell
from ..cells.cell import Initial
from ..compiler import Program, trace
from .request import Weights

#: A per-unit value that is not trained: one number for all units, or one a unit.
Values = float | Sequence[float]


@dataclass(frozen=True)
class Parameter:
    """One stored tensor of a layer.

    Attributes:
        name: "W", "U", "b", "b_u", or the name of a per-unit vector or of a further matrix.
        shape: as stored; H units, D input size, P projection size, O = P for a projection, else H.
            W (gates * H, D); U (gates * H, O), with heads (gates * H, H / heads), with g modules of k units
            (gates * k, k * g * (g + 1) / 2), where the block (k, (g - m) * k) of module m stands before that of module
            m + 1; b and b_u (gates * H); vectors (H); further matrices as the cell declares them.
        initial: of a bias one entry a gate, None where the cell names no value; of a trained vector a number or
            bounds; of a vector that is not trained a number or H numbers; None for matrices. None leaves it to the
            initializer of the front-end.
        trained: whether a gradient flows to it.
        gates: of W, U, b and b_u the names of the gates that it holds a block for, in the order of the blocks.
    """

    name: str
    shape: tuple[int, ...]
    initial: Initial | tuple[Initial | None, ...] | None
    trained: bool
    gates: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[Initial | None, ...]:
        """`initial` of each of the equal parts, one behind the other, that a vector or bias is made of."""
        several = self.gates or not self.trained
        return self.initial if several and isinstance(self.initial, tuple) else (self.initial,)  # type: ignore[return-value]


def projects(cell: Cell) -> bool:
    """Whether a cell has values of the projection size."""
    return bool(cell.projected) or any("P" in shape for shape in cell.matrices.values())


@dataclass(frozen=True)
class Structure:
    """The checked sizes of one layer and direction of a cell.

    Attributes:
        cell: the equations.
        input_size: D.
        units: H.
        projection: P, 1..H; 0 for a cell without projection.
        bias: whether the gates have their biases.
        heads: of a cell with heads: how many diagonal blocks U has; it divides the units.
        modules: of a clockwork cell: how many groups of units there are; it divides the units.
        periods: of a clockwork cell: the period of each module, rising integers; () is 1, 2, 4, ...
        fixed: values of per-unit vectors that are not to be trained, by name.
        constants: other values than the cell's of its constants, by name.

    Raises:
        ValueError: naming the value that does not fit, and the rule.
    """

    cell: Cell
    input_size: int
    units: int
    projection: int = 0
    bias: bool = True
    heads: int = 1
    modules: int = 1
    periods: tuple[int, ...] = ()
    fixed: Mapping[str, Values] = field(default_factory=dict)
    constants: Mapping[str, Values] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cell, units = self.cell, self.units
        for what, size in (("input size", self.input_size), ("number of units", units)):
            if size < 1:
                raise ValueError(f"the {what} of cell {cell.name} is {size}; expected at least 1")
        if self.program.sizes.same and self.input_size != units:
            raise ValueError(
                f"cell {cell.name} needs an input as wide as its units; got input size {self.input_size}, {units} units"
            )
        self._check_projection()
        self._check_blocks()
        for kind, given, known in (
            ("parameter", self.fixed, cell.parameters), ("constant", self.constants, tuple(cell.constants)),
        ):  # fmt: skip
            for name, values in given.items():
                if name not in known:
                    raise ValueError(f"cell {cell.name} has no {kind} {name!r}; it has {', '.join(known) or 'none'}")
                self._check_values(name, values)

    def _check_projection(self) -> None:
        cell = self.cell
        if projects(cell) and not 0 < self.projection <= self.units:
            raise ValueError(
                f"the projection size of cell {cell.name} is {self.projection}; expected 1..{self.units}, the units"
            )
        if self.projection and not projects(cell):
            raise ValueError(f"the projection size is {self.projection}, but cell {cell.name} has no projection")

    def _check_blocks(self) -> None:
        cell, units = self.cell, self.units
        for kind, count, blocks in (("heads", self.heads, "heads"), ("modules", self.modules, "clockwork")):
            if count < 1 or units % count:
                raise ValueError(f"{kind} is {count}; expected a divisor of the {units} units of cell {cell.name}")
            if count != 1 and cell.blocks != blocks:
                raise ValueError(f"{kind} is {count}, but cell {cell.name} has no {kind}")
        if cell.blocks != "full" and self.program.shape("U")[1] != "H":
            raise cell.error("its U is made of blocks, but reads a projection; only a U that reads the units may be")
        if cell.blocks != "clockwork":
            if self.periods:
                raise ValueError(f"periods is {self.periods}, but cell {cell.name} has no modules")
            return
        if cell.clock is None:
            raise cell.error("its U is a clockwork's, but it names no clock; name its step and its period")
        if cell.clock[1] in self.constants:
            raise ValueError(f"the {cell.clock[1]} of cell {cell.name} follows from periods; give those")
        periods = self.periods
        whole = all(isinstance(one, int) and not isinstance(one, bool) and one >= 1 for one in periods)
        if not whole or any(a >= b for a, b in pairwise(periods)):
            raise ValueError(f"periods is {periods}; expected integers from 1 that rise")
        if periods and len(periods) != self.modules:
            raise ValueError(f"periods is {periods}; expected one for each of {self.modules} modules")

    def _check_values(self, name: str, values: Values) -> None:
        listed = list(values) if isinstance(values, Sequence) else [values]
        if isinstance(values, Sequence) and len(listed) != self.units:
            raise ValueError(
                f"{name} has {len(listed)} values; expected one number, or one for each of {self.units} units"
            )
        for value in listed:
            if not math.isfinite(value):
                raise ValueError(f"{name} holds {value}; expected finite numbers")
            if self.cell.clock and name == self.cell.clock[1] and (value < 1 or value != int(value)):
                raise ValueError(f"{name} holds {value}; expected integers from 1")

    @property
    def program(self) -> Program:
        return trace(self.cell)

    def size(self, letter: str) -> int:
        """The number that a letter of `cells.SPACES` stands for."""
        return {"D": self.input_size, "H": self.units, "P": self.projection}[letter]

    def state_size(self, state: str) -> int:
        """How many entries a state has."""
        return self.size(self.cell.size_of(state))

    @property
    def output_size(self) -> int:
        """How many entries the output, the first state, has."""
        return self.state_size(self.cell.states[0])

    def parameters(self) -> tuple[Parameter, ...]:
        """Everything stored: W, U, b, b_u as far as the cell has them, then vectors, constants and further matrices."""
        return self._parameters

    @cached_property
    def _parameters(self) -> tuple[Parameter, ...]:
        cell, blocks = self.cell, self.program.blocks
        found = []
        for matrix in ("W", "U"):
            if blocks[matrix]:
                found.append(Parameter(matrix, self._shape(matrix), None, True, blocks[matrix]))
        named = dict(cell.initial)
        for name, matrix, biased in (("b", "W", cell.bias), ("b_u", "U", cell.recurrent_bias)):
            gates = tuple(gate for gate in blocks[matrix] if gate in biased)
            if gates and self.bias:
                initial = tuple(named.get(f"b_{gate}") for gate in gates)
                # of a gate with two biases, the second leaves the sum as the cell names it
                named.update({f"b_{gate}": 0.0 for gate in gates if f"b_{gate}" in named})
                found.append(Parameter(name, (len(gates) * self.units,), initial, True, gates))
        for name in cell.parameters:
            initial = _frozen(self.fixed[name]) if name in self.fixed else cell.initial.get(name, 0.0)  # type: ignore[assignment]
            found.append(Parameter(name, (self.units,), initial, name not in self.fixed))
        for name, default in cell.constants.items():
            found.append(Parameter(name, (self.units,), self._constant(name, default), False))
        for name, (rows, columns) in cell.matrices.items():
            found.append(Parameter(name, (self.size(rows), self.size(columns)), None, True))
        names = [one.name for one in found]
        for name in names:
            if names.count(name) > 1:
                raise cell.error(f"{name!r} names two of its tensors; rename one")
        return tuple(found)

    def _shape(self, matrix: str) -> tuple[int, int]:
        gates, modules = len(self.program.blocks[matrix]), self.modules
        if matrix == "W":
            return gates * self.units, self.input_size
        if self.cell.blocks == "clockwork":
            k = self.units // modules
            return gates * k, k * modules * (modules + 1) // 2
        return gates * self.units, self.output_size // self.heads

    def _constant(self, name: str, default: float) -> float | tuple[float, ...]:
        if self.cell.blocks == "clockwork" and self.cell.clock and name == self.cell.clock[1]:
            periods = self.periods or tuple(2**m for m in range(self.modules))
            return tuple(float(period) for period in periods for _ in range(self.units // self.modules))
        return _frozen(self.constants.get(name, default))

    def count(self) -> int:
        """How many numbers are trained."""
        return sum(math.prod(one.shape) for one in self.parameters() if one.trained)

    def weights(self, tensors: Mapping[str, Tensor]) -> Weights:
        """The weights of a scan, made of the stored tensors by differentiable operations.

        Args:
            tensors: one of the stored shape for each of `parameters()`, by name.
        """
        blocked = self.heads > 1 or self.modules > 1
        U = tensors.get("U")
        return Weights(
            W=tensors.get("W"),
            U=self._dense(U) if blocked and U is not None else U,
            b=self._full(tensors, "b", "W"),
            b_u=self._full(tensors, "b_u", "U"),
            parameters=tuple(tensors[name] for name in self.cell.vectors),
            matrices=tuple(tensors[name] for name in self.cell.matrices),
            reach=self._reach if blocked and U is not None else None,
        )

    def _full(self, tensors: Mapping[str, Tensor], bias: str, matrix: str) -> Tensor | None:
        """A bias with an entry for every row of its matrix."""
        stored = tensors.get(bias)
        gates = next((one.gates for one in self.parameters() if one.name == bias), ())
        if stored is None or gates == self.program.blocks[matrix]:
            return stored
        found = dict(zip(gates, stored.split(self.units), strict=True))
        return torch.cat([found.get(gate, stored.new_zeros(self.units)) for gate in self.program.blocks[matrix]])

    def recurrent_blocks(self, U: Tensor) -> list[Tensor]:
        """The parts of U as stored, each a view: gate by gate, and in a gate head by head or module
        by module."""
        blocks = list(U.chunk(len(self.program.blocks["U"])))
        if self.cell.blocks == "heads":
            return [part for block in blocks for part in block.chunk(self.heads)]
        if self.cell.blocks == "clockwork":
            k = self.units // self.modules
            widths = [self.units - m * k for m in range(self.modules)]
            return [part for block in blocks for part in block.split(widths, -1)]
        return blocks

    def forget_biases(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        """The stored biases, each a view, of the gate that makes the cell remember: those beside W and U, or else the
        vector that the cell itself adds to the gate, named after it ("b_f").

        Raises:
            ValueError: the cell has no such gate, or the layer stores no bias of it.
        """
        gate = (self.cell.forget or "").lstrip("-")
        if not gate:
            raise ValueError(f"cell {self.cell.name} has no gate whose bias makes it remember")
        biases = [one for one in self.parameters() if one.name in ("b", "b_u") and gate in one.gates]
        found = [tensors[one.name].split(self.units)[one.gates.index(gate)] for one in biases]
        if not found and f"b_{gate}" in self.cell.parameters:
            found = [tensors[f"b_{gate}"]]
        if not found:
            raise ValueError(f"gate {gate} of cell {self.cell.name}, which makes it remember, has no bias here")
        return found

    def _dense(self, U: Tensor) -> Tensor:
        groups = self.heads * self.modules
        k = self.units // groups
        rows = []
        for number, block in enumerate(self.recurrent_blocks(U)):
            first = number % groups * k
            rows.append(torch.nn.functional.pad(block, (first, self.units - first - block.shape[1])))
        return torch.cat(rows)

    @cached_property
    def _reach(self) -> Tensor:
        """(H, 2): the first entry that each unit reads through U, and the one behind the last."""
        H = self.units
        k = H // (self.heads * self.modules)
        first = torch.arange(H, device="cpu") // k * k
        last = first + k if self.cell.blocks == "heads" else torch.full_like(first, H)
        return torch.stack([first, last], 1)


def _frozen(values: Values) -> float | tuple[float, ...]:
    return tuple(map(float, values)) if isinstance(values, Sequence) else float(values)
