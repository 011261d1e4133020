"""All that printing a cell needs: its forward and backward steps in levels, and what they keep."""

from __future__ import annotations

from ..cells import Cell
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
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.program = trace(cell)
        self.storage = store(self.program, gradient(self.program))
        new_states, vectors = self.program.new_states, self.program.vectors
        self.forward = Step(self.storage.kept.values(), new_states, vectors)
        self.inference = Step([], new_states, vectors)
        found = self.storage.gradient
        results = [*found.columns, *found.parameters, found.inputs, *found.sequences]
        self.backward = Step(results, found.states)
