"""Programs of the compiler, run node by node on float64 tensors: the oracle for what is printed as C++."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ostinato.cells import ACTIVATIONS, Activation, ops
from ostinato.compiler import Program, levels
from ostinato.compiler.graph import Node, in_order, node
from ostinato.compiler.plan import Plan
from ostinato.compiler.reverse import Gradient, slope_of
from ostinato.scan import Weights

Values = dict[Node, Tensor]

_ARITHMETIC: dict[str, Callable[..., Tensor]] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "neg": torch.neg,
}  # fmt: skip


@dataclass
class Step:
    """One step of one direction: what its nodes read. B rows; D input size, H units, P projection size.

    Attributes:
        sizes: the numbers that D, H and P stand for.
        x: (B, D) the input.
        sequences: (B, H) each, the further input sequences and masks.
        states: (B, H) or (B, P) each, before the step.
        number: of the step.
        activations: name of each run-time activation by its symbol.
    """

    program: Program
    weights: Weights
    sizes: Mapping[str, int]
    x: Tensor
    sequences: tuple[Tensor, ...]
    states: tuple[Tensor, ...]
    number: int
    activations: Mapping[str, str]

    def rows(self, index: int) -> slice:
        """Where a block of W or U stands."""
        return slice(index * self.sizes["H"], (index + 1) * self.sizes["H"])

    def block(self, matrix: str, index: int) -> Tensor:
        if matrix in ("W", "U"):
            return getattr(self.weights, matrix)[self.rows(index)]
        return self.weights.matrices[list(self.program.cell.matrices).index(matrix)]

    def bias(self, matrix: str, index: int) -> Tensor | float:
        held = {"W": self.weights.b, "U": self.weights.b_u}.get(matrix)
        return 0.0 if held is None else held[self.rows(index)]

    def size(self, value: Node) -> int:
        """How many entries a row of a value of the forward step has."""
        if value.op == "input":
            return self.sizes["D"]
        if value.op == "state":
            return self.states[value.attr].shape[-1]
        return self.sizes[self.program.sizes[value] or "H"]

    def full(self, value: Tensor, size: int) -> Tensor:
        """A value that may be a single number, as (B, size)."""
        return value.expand(self.x.shape[0], size)

    def leaf(self, value: Node) -> Tensor | None:
        if value.op == "input":
            return self.x
        if value.op == "state":
            return self.states[value.attr]
        if value.op == "parameter":
            return self.weights.parameters[value.attr]
        if value.op == "sequence":
            return self.sequences[value.attr]
        if value.op in ("step", "constant"):
            number = self.number if value.op == "step" else value.attr
            return torch.tensor(float(number), dtype=torch.float64)
        return None

    def apply(self, value: Node, args: list[Tensor]) -> Tensor:
        """What one node makes of its arguments."""
        if value.op == "gate":
            terms = self.program.terms(value)
            return sum(
                self.full(a, self.block(matrix, k).shape[1]) @ self.block(matrix, k).T + self.bias(matrix, k)
                for a, (_, matrix, k) in zip(args, terms, strict=True)
            )
        if value.op in _ARITHMETIC:
            return _ARITHMETIC[value.op](*args)
        if value.op in ops.FUNCTIONS:
            return getattr(ops, value.op)(*args)
        return self.activation(value.op, ACTIVATIONS[self.activations[value.attr]], args)

    def activation(self, part: str, one: Activation, args: list[Tensor]) -> Tensor:
        """One part of a run-time activation; kept is its output, or its input where the slope needs that."""
        if part == "keep":
            return args[1] if one.slope else args[0]
        if part == "activate" or (part == "reload" and not one.slope):
            return one.value(args[0])
        if part == "reload":
            return args[0]
        assert part == "slope", part
        if one.slope:
            return torch.as_tensor(one.slope(args[0]), dtype=torch.float64)
        x = node("input")
        return compute([slope_of(one.value, x)], {x: args[0]}, self)[0]


def compute(roots: Iterable[Node], known: Values, step: Step) -> list[Tensor]:
    """The values of `roots`; a node in `known` is not computed."""
    roots, values = list(roots), dict(known)
    wanted, stack = set(), list(roots)
    while stack:
        current = stack.pop()
        if current not in wanted:
            wanted.add(current)
            stack.extend(() if current in values else current.args)
    for current in in_order(roots):
        if current in wanted and current not in values:
            leaf = step.leaf(current)
            values[current] = step.apply(current, [values[arg] for arg in current.args]) if leaf is None else leaf
    return [values[root] for root in roots]


def forward(step: Step) -> tuple[Tensor, ...]:
    """The states after the step."""
    return tuple(compute(step.program.new_states, {}, step))


@dataclass
class Back:
    """The gradients of one step: of x, the sequences, the states before it, and the weights by name."""

    x: Tensor
    sequences: list[Tensor]
    states: list[Tensor]
    weights: dict[str, Tensor]


def _come_back(step: Step, gradient: Gradient, vector: Node, columns: list[Tensor]) -> Tensor:
    """What the products that `vector` entered bring back to it."""
    zero = step.x.new_zeros(step.x.shape[0], step.size(vector))
    entered = gradient.returns.get(vector, [])
    return sum((columns[index] @ step.block(matrix, k) for index, matrix, k in entered), zero)


def _collect(
    step: Step,
    gradient: Gradient,
    columns: list[Tensor],
    amounts: Mapping[Node, Tensor],
    vectors: Mapping[Node, Tensor],
) -> Back:
    """The gradients outside the step, from those of its columns, as the engine's products make them; `amounts` are the
    elementwise parts."""
    cell = step.program.cell
    found = {
        name: torch.zeros_like(tensor)
        for name in ("W", "U", "b", "b_u")
        if (tensor := getattr(step.weights, name)) is not None
    }
    found.update({name: torch.zeros_like(step.block(name, 0)) for name in cell.matrices})
    for vector, entered in gradient.returns.items():
        for index, matrix, k in entered:
            bias = {"W": "b", "U": "b_u"}.get(matrix)
            rows = slice(None) if bias is None else step.rows(k)
            whole = step.full(vectors[vector], found[matrix].shape[1])
            found[matrix][rows] += columns[index].T @ whole
            if bias in found:
                found[bias][rows] += columns[index].sum(0)
    units = step.sizes["H"]
    for name, value in zip(cell.parameters, gradient.parameters, strict=True):
        found[name] = step.full(amounts[value], units).sum(0)

    def with_products(value: Node, vector: Node) -> Tensor:
        return step.full(amounts[value], step.size(vector)) + _come_back(step, gradient, vector, columns)

    return Back(
        x=with_products(gradient.inputs, node("input")),
        sequences=[step.full(amounts[value], units) for value in gradient.sequences],
        states=[with_products(value, node("state", attr=k)) for k, value in enumerate(gradient.states)],
        weights=found,
    )


def _elementwise(gradient: Gradient) -> list[Node]:
    """What the backward step computes beside the gradients of its columns."""
    return [*gradient.parameters, gradient.inputs, *gradient.sequences, *gradient.states]


def backward(step: Step, gradient: Gradient, incoming: Iterable[Tensor]) -> Back:
    """The gradient program as mathematics: every value may be computed from every other."""
    known = {node("gradient", attr=index): value for index, value in enumerate(incoming)}
    program = step.program

    def of_column(index: int) -> Tensor:
        (value,) = compute([gradient.columns[index]], known, step)
        return step.full(value, step.size(program.columns[index]))

    for current in in_order([*gradient.columns, *_elementwise(gradient)]):
        if current.op == "returned":
            vector = program.vectors[current.attr]
            columns = [torch.empty(0)] * len(gradient.columns)
            for index, _, _ in gradient.returns[vector]:
                columns[index] = of_column(index)
            known[current] = _come_back(step, gradient, vector, columns)
    columns = [of_column(index) for index in range(len(gradient.columns))]
    values = _elementwise(gradient)
    amounts = dict(zip(values, compute(values, known, step), strict=True))
    vectors = dict(zip(gradient.returns, compute(gradient.returns, {}, step), strict=True))
    return _collect(step, gradient, columns, amounts, vectors)


@dataclass
class Machine:
    """The step as the printed code runs it: level by level, every value found in a slot, a carry, a mean or a leaf.

    A value that an earlier level computed is there only if that level exported it; a slot holds what was written
    last. So a slot that is read after it was overwritten gives wrong gradients here too.
    """

    step: Step
    plan: Plan
    slots: dict[int, Tensor] = field(default_factory=dict)
    _carried: dict[int, Tensor] = field(default_factory=dict)

    def _level(self, run: levels.Step, part: levels.Level, known: Values) -> Values:
        found = {**known, **{value: self._carried[run.carries[value]] for value in part.imports}}
        leaves = [n for n in in_order(part.roots()) if n.op in ("saved", "saved_row") and n.attr in self.slots]
        found.update({n: self.slots[n.attr] for n in leaves if n.op == "saved"})
        found.update({n: self.slots[n.attr][:, :1] for n in leaves if n.op == "saved_row"})
        roots = part.roots()
        values = dict(zip(roots, compute(roots, found, self.step), strict=True))
        self._carried.update({run.carries[value]: values[value] for value in part.exports})
        known.update({mean: values[mean.args[0]].mean(-1, keepdim=True) for mean in part.means})
        return values

    def _run(self, step: levels.Step) -> tuple[Tensor, ...]:
        known: Values = {}
        kept = self.plan.storage.kept if step is self.plan.forward else {}
        for part in step.levels:
            values = self._level(step, part, known)
            self.slots.update({slot: values[v] for slot, v in kept.items() if v in values})
        assert set(self.slots) >= set(kept), "a kept value was never computed"
        self._carried = {}
        return tuple(values[new] for new in self.plan.program.new_states)

    def forward(self) -> tuple[Tensor, ...]:
        """The states after the step; fills the slots."""
        return self._run(self.plan.forward)

    def infer(self) -> tuple[Tensor, ...]:
        """The states after the step; keeps nothing."""
        return self._run(self.plan.inference)

    def backward(self, incoming: Iterable[Tensor]) -> Back:
        """The gradients, from the slots; the gradient of column k ends up in slot k."""
        step, storage = self.step, self.plan.storage
        gradient, program = storage.gradient, step.program
        known = {node("gradient", attr=index): value for index, value in enumerate(incoming)}
        vectors = dict(zip(program.vectors, (self.slots[k] for k in storage.vectors), strict=True))
        vectors.update({v: step.leaf(v) for v in gradient.returns if v not in vectors})
        written: set[int] = set()
        amounts: dict[Node, Tensor] = {}
        for part in self.plan.backward.levels:
            for current in in_order(part.roots()):
                if current.op == "returned" and current not in known:
                    vector = program.vectors[current.attr]
                    columns = [index for index, _, _ in gradient.returns[vector]]
                    assert written.issuperset(columns), "a product reads a column's gradient before it is there"
                    known[current] = _come_back(step, gradient, vector, self._columns(written))
            values = self._level(self.plan.backward, part, known)
            amounts.update({v: values[v] for v in _elementwise(gradient) if v in values})
            for index, column in enumerate(gradient.columns):
                if column in part.results and index not in written:
                    self.slots[index] = step.full(values[column], step.size(program.columns[index]))
                    written.add(index)
        return _collect(step, gradient, self._columns(written), amounts, vectors)

    def _columns(self, written: set[int]) -> list[Tensor]:
        return [self.slots[k] if k in written else torch.empty(0) for k in range(len(self.step.program.columns))]
