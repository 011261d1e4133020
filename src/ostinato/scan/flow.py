"""What a backward pass brings to the states of a scan, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor

from ..cells import Cell


@dataclass(eq=False)
class Flow:
    """The gradients of one scan's states along its sequence, filled by every backward pass through it.

    Attributes:
        cell: whose states these are.
        directions: K, 1 or 2.
        layout: "batch", "time" or "packed": that of the scan's input.
        gradients: by state the gradient of the loss with respect to the state after each step, from all later steps and
            from the output at this one. The states of a step are taken for independent: the gradient of an LSTM's c
            does not hold what the same step's h makes of c. Laid out as the scan's input, with K * (size of the state)
            features, zeros at steps beyond a row's length. Empty until a backward pass has come through.
    """

    cell: Cell
    directions: int
    layout: str
    gradients: dict[str, Tensor] = field(default_factory=dict)


_recorders: list[list[Flow]] = []


@contextmanager
def record() -> Iterator[list[Flow]]:
    """Collect a `Flow` of every scan that runs inside the `with` block; their backward passes may run later."""
    taken: list[Flow] = []
    _recorders.append(taken)
    try:
        yield taken
    finally:
        _recorders.remove(taken)


def recorded(cell: Cell, directions: int, layout: str) -> Flow | None:
    """A new flow for all that record now; None where nobody does."""
    if not _recorders:
        return None
    flow = Flow(cell, directions, layout)
    for taken in _recorders:
        taken.append(flow)
    return flow
