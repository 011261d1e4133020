"""A scan's request row by row: whatever its layout, as a batch of padded rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from .. import scan
from ..errors import InputError


def by_row(request: scan.Request, sequence: Tensor) -> Tensor:
    """A sequence laid out as the request's input, as (batch, steps, features); zeros behind the end of packed rows."""
    if request.batch_sizes is not None:
        padded: Tensor = pad_packed_sequence(PackedSequence(sequence, request.batch_sizes), batch_first=True)[0]
        return padded
    return sequence.transpose(0, 1) if request.layout == "time" else sequence


def running(request: scan.Request) -> Tensor:
    """(batch, steps) bool: the steps that run."""
    if request.mask is not None:
        return request.mask.cpu()
    steps = torch.arange(request.steps)
    if request.lengths is None:
        return torch.ones(request.batch, request.steps, dtype=torch.bool)
    alive = steps < request.lengths.unsqueeze(1)
    return alive.flip(1) if request.padded == "left" else alive


def reaching(request: scan.Request) -> Tensor:
    """(batch, steps) bool: the steps at which a state is of any consequence: those that run, and holes of a mask."""
    if request.mask is not None:
        return torch.ones(request.batch, request.steps, dtype=torch.bool)
    return running(request)


def as_rows(request: scan.Request, rows: Sequence[int]) -> scan.Request:
    """Some rows of a request, any of them more than once, cut off from what they were computed of.

    The layout is "batch", the sequences of all states are asked for, states are carried through steps that do not run,
    and no gradient is cut, clipped or rounded.
    """
    chosen = torch.as_tensor(rows, dtype=torch.int64)
    here = chosen.to(request.x.device)
    lengths, mask, initial = request.lengths, request.mask, request.initial_state
    return replace(
        request,
        x=by_row(request, request.x.detach())[here],
        weights=tuple(one.bind(iter([tensor.detach() for tensor in one.tensors()])) for one in request.weights),
        sequences=tuple(tuple(by_row(request, one.detach())[here] for one in given) for given in request.sequences),
        initial_state=None if initial is None else tuple(state.detach()[:, here] for state in initial),
        layout="batch",
        lengths=None if lengths is None else lengths[chosen],
        batch_sizes=None,
        mask=None if mask is None else mask[here.to(mask.device)],
        padding="repeat",
        outputs=tuple(range(len(request.cell.states))),
        truncate=0,
        clip=0.0,
        recompute=0,
        saved_dtype=None,
        flow=None,
        batch=len(chosen),
    )


def states(request: scan.Request) -> dict[str, Tensor]:
    """By state its values after every step, (directions, batch, steps, size), of a request made by `as_rows`."""
    with torch.no_grad():
        found, _ = scan.run(request)
    directions = len(request.weights)
    return {
        request.cell.states[number]: by_direction(one, directions)
        for number, one in zip(request.outputs, found, strict=True)
    }


def by_direction(sequence: Tensor, directions: int) -> Tensor:
    """(directions, batch, steps, size) out of (batch, steps, directions * size)."""
    return torch.stack(sequence.chunk(directions, -1))


def check_count(name: str, given: Any, least: int = 1) -> None:
    """See that a number counts something.

    Raises:
        InputError: it is no whole number, or below the least.
    """
    if isinstance(given, bool) or not isinstance(given, Integral) or given < least:
        raise InputError(f"{name} is {given!r}; expected a whole number of at least {least}")


def array(tensor: Tensor) -> Any:
    """A tensor as a float64 array."""
    return tensor.detach().cpu().double().numpy()
