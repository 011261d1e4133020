"""What the forward step keeps for the backward step, and where.

Each row and step owns a few slots of H numbers. Slot k < columns ends up holding the gradient of column k, which the
weights' gradients are products of; until the backward step gets there, the same slot holds a value that the forward
step kept. So training costs no more memory than the kept gates.

Kept are the values that are dear to compute again (products, activations); what else is made of them is recomputed,
exponentials and quotients among it, for a number that is kept is written, fetched and read, which takes as long. Of
values that all units of a row share only the reductions are kept, as the first number of their slot.
The states after the first always stand in a slot of their own (their history); the first is the layer's output.
"""

from __future__ import annotations

from dataclasses import dataclass

from .graph import LEAVES, Node, in_order, is_derived, is_row_constant, level_of, node, rebuild
from .reverse import Gradient
from .trace import Program

DEAR = {"gate", "activate", "keep", "log1p", "erf", "tanh", "sigmoid", "row_mean"}


@dataclass(frozen=True)
class Storage:
    """The backward step in terms of slots.

    Attributes:
        slots: how many slots a row and step has.
        kept: what the forward step writes: {slot: value}.
        rows: the slots of which only the first number is written.
        history: for each state the slot of its value after the step; None for the first (it is the output).
        vectors: the slot of each vector that entered a product.
        gradient: the backward step, reading `saved` slots and states only.
    """

    slots: int
    kept: dict[int, Node]
    rows: frozenset[int]
    history: tuple[int | None, ...]
    vectors: tuple[int, ...]
    gradient: Gradient


class _Keeper:
    """Rewrites forward values as what the backward step can still get at; numbers what must be kept."""

    def __init__(self, program: Program) -> None:
        self.forward = set(in_order(program.new_states))
        self.kept: dict[Node, Node] = {}
        self.history = {new: index for index, new in enumerate(program.new_states) if index > 0}
        self._vectors = set(program.vectors)
        self._memo: dict[Node, Node] = {}

    def _saved(self, value: Node) -> Node:
        # a vector that enters a product is read from its slot by the product, whole
        op = "saved_row" if is_row_constant(value) and value not in self._vectors else "saved"
        return self.kept.setdefault(value, node(op, attr=("value", len(self.kept))))

    def __call__(self, value: Node) -> Node:
        if value not in self._memo:
            self._memo[value] = self._available(value)
        return self._memo[value]

    def _available(self, value: Node) -> Node:
        if value.op in LEAVES and value.op != "saved":
            return value
        if value in self.history:
            return node("saved", attr=("history", self.history[value]))
        if is_derived(value):
            return value
        if is_row_constant(value) and value.op != "row_mean":
            return rebuild(value, [self(arg) for arg in value.args])
        if value.op == "activate" and value.args[0] not in self.history:
            return node("reload", self(node("keep", value.args[0], value, attr=value.attr)), attr=value.attr)
        if value.op == "keep" and value.args[0] in self.history:
            return rebuild(value, [self(arg) for arg in value.args])
        if (value in self.forward or value.op == "keep") and value.op in DEAR and value.op != "activate":
            return self._saved(value)
        return rebuild(value, [self(arg) for arg in value.args])


def _last_uses(roots: list[Node]) -> dict[Node, int]:
    """The last level that reads each value."""
    levels = level_of(roots)
    last: dict[Node, int] = {root: levels[root] for root in roots}
    for user in reversed(levels):
        # what is one number a row is computed again wherever it is used, from the same arguments: see `levels`
        again = is_row_constant(user) and user.op != "row_mean"
        for arg in user.args:
            last[arg] = max(last.get(arg, 0), levels[user], last.get(user, 0) if again else 0)
    return last


def store(program: Program, gradient: Gradient) -> Storage:
    """Decide what is kept, give it slots, and rewrite the backward step to read them."""
    keeper = _Keeper(program)
    columns = [keeper(value) for value in gradient.columns]
    states = [keeper(value) for value in gradient.states]
    parameters = [keeper(value) for value in gradient.parameters]
    inputs = keeper(gradient.inputs)
    sequences = [keeper(value) for value in gradient.sequences]

    roots = [*columns, *states, *parameters, inputs, *sequences]
    levels, last = level_of(roots), _last_uses(roots)
    alone = {value: saved for value, saved in keeper.kept.items() if value not in program.vectors}
    free = dict(alone)
    slot_of: dict[Node, int] = {}
    for index, column in enumerate(program.columns):
        fitting = [value for value, saved in free.items() if last.get(saved, 0) <= levels[columns[index]]]
        own = [value for value in fitting if value is column or column in value.args]
        if fitting:
            chosen = (own or fitting)[0]
            slot_of[free.pop(chosen)] = index

    slots = len(program.columns)
    for saved in free.values():
        slot_of[saved] = slots
        slots += 1
    history: list[int | None] = [None]
    for index in range(1, len(program.new_states)):
        slot_of[node("saved", attr=("history", index))] = slots
        history.append(slots)
        slots += 1
    vectors = []
    for vector in program.vectors:
        if vector in keeper.kept:
            slot_of[keeper.kept[vector]] = slots
        vectors.append(slots)
        slots += 1

    rows = frozenset(slot_of[saved] for saved in alone.values() if saved.op == "saved_row")
    memo: dict[Node, Node] = {}

    def placed(value: Node) -> Node:
        for current in in_order([value]):
            if current not in memo and current in slot_of:
                memo[current] = node(current.op, attr=slot_of[current])
            elif current not in memo:
                memo[current] = rebuild(current, [memo[arg] for arg in current.args])
        return memo[value]

    kept = {slot_of[saved]: value for value, saved in keeper.kept.items()}
    kept.update(dict(zip(vectors, program.vectors, strict=True)))
    for index, slot in enumerate(history):
        if slot is not None:
            kept[slot] = program.new_states[index]
    return Storage(
        slots=slots,
        kept=kept,
        rows=rows,
        history=tuple(history),
        vectors=tuple(vectors),
        gradient=Gradient(
            columns=tuple(placed(value) for value in columns),
            states=tuple(placed(value) for value in states),
            parameters=tuple(placed(value) for value in parameters),
            inputs=placed(inputs),
            sequences=tuple(placed(value) for value in sequences),
            returns=gradient.returns,
        ),
    )
