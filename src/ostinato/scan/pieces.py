"""Less memory for a scan: it goes through its steps in pieces, and keeps the states that each of them begins with.

What else the gradients need is either made again from these, by running the piece again (`recompute`), or kept in half
the bits (`saved_dtype`). The forward pass goes through the pieces; the backward pass takes them from the last to the
first, has what the steps of one kept, and brings the gradients back to its beginning, where the piece before it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import _engine
from .call import Caller, Gradients, ask_for_weights, matrix, readable
from .saved import Saved
from .workspace import Lease

#: The rows and steps of a piece whose values are saved: so many that a piece is worth its three products, and so few
#: that it stays in a cache on its way to where it is kept.
_TOKENS = 2048


@dataclass(frozen=True)
class Kept:
    """What one direction keeps between the passes.

    Attributes:
        starts: for each state those that the pieces begin with, in the order of running: (pieces, batch, size).
        saved: what the steps kept; None where they run again.
    """

    starts: list[Tensor]
    saved: Saved | None


def forward(caller: Caller, found: Sequence[Tensor], finals: Sequence[Tensor]) -> list[Kept]:
    """Fill output sequences and final states; what each direction keeps."""
    request, kept = caller.request, []
    for direction in range(len(request.weights)):
        pieces = _pieces(caller, direction)
        begin = [request.x.new_zeros(len(pieces), *final.shape[1:]) for final in finals]
        for held, initial in zip(begin, request.initial_state or (), strict=False):
            held[0] = initial[direction]
        saved = caller.saved()
        # keeping, even where nobody looks: the step that keeps may round in another way than the one that does not
        lease = caller.lease(pieces)
        call = caller.call(direction, found, lease)
        for number, piece in enumerate(pieces):
            part = call.piece(*piece)
            for s, held in enumerate(begin):
                part.set_initial(s, *matrix(held, number))
                following = number + 1 < len(pieces)
                part.set_final(s, *(matrix(held, number + 1) if following else matrix(finals[s], direction)))
            _engine.forward(part)
            if saved is not None:
                saved.take(lease, caller.tokens_of(0, piece[0]), caller.tokens_of(*piece))
        lease.release()
        kept.append(Kept(begin, saved))
    return kept


def backward(
    caller: Caller, outputs: Sequence[Tensor], kept: Sequence[Kept], y_gradients: Sequence[Tensor | None],
    final_gradients: Sequence[Tensor | None], wanted: Sequence[bool],
) -> list[Tensor | None]:  # fmt: skip
    """The gradients of `request.tensors()`, None where not wanted.

    Running again writes the outputs where they are, the same ones.
    """
    into, y_gradients = caller.gradients(wanted), readable(y_gradients)
    leases = [caller.lease(_pieces(caller, direction)) for direction in range(len(kept))]
    for direction, call in enumerate(caller.backward_calls(outputs, leases, y_gradients, into)):
        states = [
            torch.zeros_like(held[0])
            if gradient is None
            else gradient[direction].clone(memory_format=torch.contiguous_format)
            for held, gradient in zip(kept[direction].starts, final_gradients, strict=True)
        ]
        _one_direction(caller, direction, call, leases[direction], kept[direction], states, into)
        for gradient, state in zip(into.states, states, strict=False):
            if gradient is not None:
                gradient[direction] = state
        leases[direction].release()
    return into.tensors


def _one_direction(
    caller: Caller, direction: int, call: Any, lease: Lease, kept: Kept, states: list[Tensor], into: Gradients
) -> None:
    """Take `states`, the gradients of the final states, back to the initial ones, and add up those of the weights."""
    weights, totals = caller.request.weights[direction], into.weights[direction]
    ours = [None if total is None else torch.empty_like(total) for total in totals]
    for total in totals:
        if total is not None:
            total.zero_()
    for number, piece in reversed([*enumerate(_pieces(caller, direction))]):
        part = call.piece(*piece)
        for s, (held, state) in enumerate(zip(kept.starts, states, strict=True)):
            part.set_initial(s, *matrix(held, number))
            part.set_final_gradient(s, *matrix(state))
            part.set_initial_gradient(s, *matrix(state))
        ask_for_weights(part, weights, ours)
        if kept.saved is None:
            _engine.forward(part)
        else:
            kept.saved.put(lease, caller.tokens_of(0, piece[0]), caller.tokens_of(*piece))
        _engine.backward(part)
        for total, one in zip(totals, ours, strict=True):
            if total is not None and one is not None:
                total.add_(one)


def _pieces(caller: Caller, direction: int) -> list[tuple[int, int]]:
    """First step and number of steps of each piece, in the order of running."""
    request = caller.request
    length = request.recompute or -(-_TOKENS // request.batch)
    found = [(first, min(length, request.steps - first)) for first in range(0, request.steps, length)]
    return found[::-1] if request.reverse[direction] else found
