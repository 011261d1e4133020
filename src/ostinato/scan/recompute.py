"""Less memory for more time: of a scan the states at some steps are kept, and the steps between are run again.

The forward pass goes through the sequence in pieces and keeps the states that each begins with. The backward pass takes
the pieces from the last to the first: it runs one again from its states, this time keeping what the gradients need, and
brings the gradients back through it to the states of its beginning, where the piece before it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import _engine
from .call import Caller, Gradients, ask_for_weights, matrix

#: For each direction and each state those that the pieces begin with, in the order of running: (pieces, batch, size).
Starts = list[list[Tensor]]


def forward(caller: Caller, found: Sequence[Tensor], finals: Sequence[Tensor]) -> Starts:
    """Fill output sequences and final states; the states that the pieces begin with."""
    request, starts = caller.request, []
    for direction in range(len(request.weights)):
        pieces = _pieces(caller, direction)
        begin = [request.x.new_zeros(len(pieces), *final.shape[1:]) for final in finals]
        for held, initial in zip(begin, request.initial_state or (), strict=False):
            held[0] = initial[direction]
        # keeping, though nobody looks at it: the step that keeps may round in another way than the one that does not
        lease = caller.lease(pieces)
        call = caller.call(direction, found, lease)
        for number, piece in enumerate(pieces):
            part = call.piece(*piece)
            for s, held in enumerate(begin):
                part.set_initial(s, matrix(held[number]))
                part.set_final(s, matrix(held[number + 1] if number + 1 < len(pieces) else finals[s][direction]))
            _engine.forward(part)
        lease.release()
        starts.append(begin)
    return starts


def backward(
    caller: Caller, outputs: Sequence[Tensor], starts: Starts, y_gradients: Sequence[Tensor | None],
    final_gradients: Sequence[Tensor | None], wanted: Sequence[bool],
) -> list[Tensor | None]:  # fmt: skip
    """The gradients of `request.tensors()`, None where not wanted.

    Running again writes the outputs where they are, the same ones.
    """
    into = caller.gradients(wanted)
    leases = [caller.lease(_pieces(caller, direction)) for direction in range(len(starts))]
    for direction, call in enumerate(caller.backward_calls(outputs, leases, y_gradients, into)):
        states = [
            torch.zeros_like(held[0])
            if gradient is None
            else gradient[direction].clone(memory_format=torch.contiguous_format)
            for held, gradient in zip(starts[direction], final_gradients, strict=True)
        ]
        _one_direction(caller, direction, call, starts[direction], states, into)
        for gradient, state in zip(into.states, states, strict=False):
            if gradient is not None:
                gradient[direction] = state
        leases[direction].release()
    return into.tensors


def _one_direction(
    caller: Caller, direction: int, call: Any, starts: list[Tensor], states: list[Tensor], into: Gradients
) -> None:
    """Take `states`, the gradients of the final states, back to the initial ones, and add up those of the weights."""
    weights, totals = caller.request.weights[direction], into.weights[direction]
    ours = [None if total is None else torch.empty_like(total) for total in totals]
    for total in totals:
        if total is not None:
            total.zero_()
    for number, piece in reversed([*enumerate(_pieces(caller, direction))]):
        part = call.piece(*piece)
        for s, (held, state) in enumerate(zip(starts, states, strict=True)):
            part.set_initial(s, matrix(held[number]))
            part.set_final_gradient(s, matrix(state))
            part.set_initial_gradient(s, matrix(state))
        ask_for_weights(part, weights, ours)
        _engine.forward(part)
        _engine.backward(part)
        for total, one in zip(totals, ours, strict=True):
            if total is not None and one is not None:
                total.add_(one)


def _pieces(caller: Caller, direction: int) -> list[tuple[int, int]]:
    """First step and number of steps of each piece, in the order of running."""
    steps, length = caller.request.steps, caller.request.recompute
    found = [(first, min(length, steps - first)) for first in range(0, steps, length)]
    return found[::-1] if caller.request.reverse[direction] else found
