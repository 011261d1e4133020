"""All that printing a cell needs: its forward and backward steps in levels, and what they keep."""

from __future__ import annotations

from ..cells import Cell
from .graph import constant, is_derived
from .levels import Step
from .reverse import gradient
from .storage import store
from .trace import trace


class Plan:
    """A cell, traced, differentiated and cut into levels.

    Attributes:
        cell: the cell.
        program: its forward program.
        storage: what the forward step keeps, and the backward step in terms of that.
        forward: the forward step of training.
        inference: the forward step that keeps nothing.
        backward: the backward step.
        derived: vectors made of the per-unit vectors alone, which a call computes once.
        sums: what one step and row add to the gradients of the trained per-unit vectors, each once: vectors that are
            added to the same value have the same gradient.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.program = trace(cell)
        self.storage = store(self.program, gradient(self.program))
        new_states, vectors = self.program.new_states, self.program.vectors
        self.forward = Step(self.storage.kept.values(), new_states, vectors)
        self.inference = Step([], new_states, vectors)
        found = self.storage.gradient
        trained = found.parameters[: len(cell.parameters)]
        self.sums = [value for value in dict.fromkeys(trained) if value is not constant(0.0)]
        results = [*found.columns, *self.sums, found.inputs, *found.sequences]
        self.backward = Step(results, found.states, overwriting=found.columns)
        steps = (self.forward, self.inference, self.backward)
        used = [value for step in steps for level in step.levels for value in level.used()]
        self.derived = [value for value in dict.fromkeys(used) if is_derived(value)]

    def sum_of(self, parameter: int) -> int:
        """Which of the sums is the gradient of a trained per-unit vector; -1 where it is zero."""
        value = self.storage.gradient.parameters[parameter]
        return self.sums.index(value) if value in self.sums else -1
