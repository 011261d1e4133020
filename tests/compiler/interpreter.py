"""Programs of the compiler, run node by node on float64 tensors: the oracle for what is printed as C++."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ostinato.cells import ACTIVATIONS, Activation, ops
from ostinato.compiler import Program, levels
from ostinato.compiler.graph import Node, in_order, node
from ostinato.compiler.reverse import Gradient, slope_of
from ostinato.compiler.storage import Storage
from ostinato.scan import Weights

Values = dict[Node, Tensor]

_ARITHMETIC: dict[str, Callable[..., Tensor]] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "neg": torch.neg,
}  # fmt: skip


@dataclass
class Step:
    """One step of one direction: what its nodes read. H units, B rows.

    Attributes:
        x: (B, D) the input.
        states: (B, H) each, before the step.
        number: of the step.
        activations: name of each run-time activation by its symbol.
    """

    program: Program
    weights: Weights
    x: Tensor
    states: tuple[Tensor, ...]
    number: int
    activations: Mapping[str, str]

    @property
    def units(self) -> int:
        return self.states[0].shape[-1]

    def block(self, matrix: str, index: int) -> Tensor:
        tensor = self.weights.W if matrix == "W" else self.weights.U
        return tensor[index * self.units : (index + 1) * self.units]

    def bias(self, matrix: str, index: int) -> Tensor | float:
        tensor = self.weights.b if matrix == "W" else self.weights.b_u
        return 0.0 if tensor is None else tensor[index * self.units : (index + 1) * self.units]

    def leaf(self, value: Node) -> Tensor | None:
        if value.op == "input":
            return self.x
        if value.op == "state":
            return self.states[value.attr]
        if value.op == "parameter":
            return self.weights.parameters[value.attr]
        if value.op in ("step", "constant"):
            number = self.number if value.op == "step" else value.attr
            return torch.tensor(float(number), dtype=torch.float64)
        return None

    def apply(self, value: Node, args: list[Tensor]) -> Tensor:
        """What one node makes of its arguments."""
        if value.op == "gate":
            terms = self.program.terms(value)
            return sum(
                a @ self.block(matrix, k).T + self.bias(matrix, k)
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
    """The gradients of one step: of x, of the states before it, and of the weights by name."""

    x: Tensor
    states: list[Tensor]
    weights: dict[str, Tensor]


def _come_back(step: Step, gradient: Gradient, vector: Node, columns: list[Tensor]) -> Tensor:
    """What the products that `vector` entered bring back to it."""
    entered = gradient.returns.get(vector, [])
    width = step.x.shape[-1] if vector.op == "input" else step.units
    zero = step.x.new_zeros(step.x.shape[0], width)
    return sum((columns[index] @ step.block(matrix, k) for index, matrix, k in entered), zero)


def _collect(
    step: Step, gradient: Gradient, columns: list[Tensor], states: list[Tensor], parameters: list[Tensor],
    vectors: Mapping[Node, Tensor],
) -> Back:  # fmt: skip
    """The gradients outside the step, from those of its columns, as the engine's products make them."""
    found: dict[str, Tensor] = {}
    for name in ("W", "U", "b", "b_u"):
        if (tensor := getattr(step.weights, name)) is not None:
            found[name] = torch.zeros_like(tensor)
    for vector, entered in gradient.returns.items():
        for index, matrix, k in entered:
            rows = slice(k * step.units, (k + 1) * step.units)
            found[matrix][rows] += columns[index].T @ vectors[vector]
            bias = "b" if matrix == "W" else "b_u"
            if bias in found:
                found[bias][rows] += columns[index].sum(0)
    for name, amount in zip(step.program.cell.parameters, parameters, strict=True):
        found[name] = amount.sum(0)
    for index in range(len(states)):
        states[index] = states[index] + _come_back(step, gradient, node("state", attr=index), columns)
    return Back(_come_back(step, gradient, node("input"), columns), states, found)


def _full(step: Step, value: Tensor) -> Tensor:
    return value.expand(step.x.shape[0], step.units)


def backward(step: Step, gradient: Gradient, incoming: Iterable[Tensor]) -> Back:
    """The gradient program as mathematics: every value may be computed from every other."""
    known = {node("gradient", attr=index): value for index, value in enumerate(incoming)}
    program = step.program
    for current in in_order([*gradient.columns, *gradient.states, *gradient.parameters]):
        if current.op == "returned":
            vector = program.vectors[current.attr]
            columns = [torch.empty(0)] * len(gradient.columns)
            for index, _, _ in gradient.returns[vector]:
                columns[index] = _full(step, compute([gradient.columns[index]], known, step)[0])
            known[current] = _come_back(step, gradient, vector, columns)
    columns = [_full(step, value) for value in compute(gradient.columns, known, step)]
    states = [_full(step, value) for value in compute(gradient.states, known, step)]
    parameters = [_full(step, value) for value in compute(gradient.parameters, known, step)]
    vectors = dict(zip(gradient.returns, compute(gradient.returns, {}, step), strict=True))
    return _collect(step, gradient, columns, states, parameters, vectors)


@dataclass
class Machine:
    """The step as the printed code runs it: level by level, every value found in a slot, a carry, a mean or a leaf.

    A value that an earlier level computed is there only if that level exported it; a slot holds what was written
    last. So a slot that is read after it was overwritten gives wrong gradients here too.
    """

    step: Step
    storage: Storage
    slots: dict[int, Tensor] = field(default_factory=dict)
    _carried: Values = field(default_factory=dict)

    def _level(self, part: levels.Level, known: Values) -> Values:
        found = {**known, **{value: self._carried[value] for value in part.imports}}
        saved = [n for n in in_order(part.roots()) if n.op == "saved" and n.attr in self.slots]
        found.update({n: self.slots[n.attr] for n in saved})
        roots = part.roots()
        values = dict(zip(roots, compute(roots, found, self.step), strict=True))
        self._carried.update({value: values[value] for value in part.exports})
        known.update({mean: values[mean.args[0]].mean(-1, keepdim=True) for mean in part.means})
        return values

    def forward(self) -> tuple[Tensor, ...]:
        """The states after the step; fills the slots."""
        program, kept = self.step.program, self.storage.kept
        known: Values = {}
        for part in levels.Step(kept.values(), program.new_states, program.vectors).levels:
            values = self._level(part, known)
            self.slots.update({slot: values[v] for slot, v in kept.items() if v in values})
        assert set(self.slots) == set(kept), "a kept value was never computed"
        self._carried = {}
        return tuple(values[new] for new in program.new_states)

    def infer(self) -> tuple[Tensor, ...]:
        """The states after the step; keeps nothing."""
        program = self.step.program
        known: Values = {}
        for part in levels.Step([], program.new_states, program.vectors).levels:
            values = self._level(part, known)
        self._carried = {}
        return tuple(values[new] for new in program.new_states)

    def backward(self, incoming: Iterable[Tensor]) -> Back:
        """The gradients, from the slots; the gradient of column k ends up in slot k."""
        step, gradient = self.step, self.storage.gradient
        program = step.program
        known = {node("gradient", attr=index): value for index, value in enumerate(incoming)}
        vectors = dict(zip(program.vectors, (self.slots[k] for k in self.storage.vectors), strict=True))
        vectors.update({v: step.leaf(v) for v in gradient.returns if v not in vectors})
        written: set[int] = set()
        parameters: dict[Node, Tensor] = {}
        for part in levels.Step([*gradient.columns, *gradient.parameters], gradient.states).levels:
            for current in in_order(part.roots()):
                if current.op == "returned" and current not in known:
                    vector = program.vectors[current.attr]
                    columns = [index for index, _, _ in gradient.returns[vector]]
                    assert written.issuperset(columns), "a product reads a column's gradient before it is there"
                    known[current] = _come_back(step, gradient, vector, self._columns(written))
            values = self._level(part, known)
            parameters.update({v: _full(step, values[v]) for v in gradient.parameters if v in values})
            for index, column in enumerate(gradient.columns):
                if column in part.results and index not in written:
                    self.slots[index] = _full(step, values[column])
                    written.add(index)
        states = [_full(step, values[value]) for value in gradient.states]
        amounts = [parameters[value] for value in gradient.parameters]
        return _collect(step, gradient, self._columns(written), states, amounts, vectors)

    def _columns(self, written: set[int]) -> list[Tensor]:
        return [self.slots[k] if k in written else torch.empty(0) for k in range(len(self.step.program.columns))]
