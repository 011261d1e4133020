"""How far gradients are from keeping their norm on their way through time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.linalg import vector_norm

from ..cells import Cell
from .dispatch import run, scan
from .flow import Flow
from .request import Request


def check_steps_are_alike(cell: Cell) -> None:
    """See that `norm_preserving` can take all steps of a cell at once.

    Raises:
        ValueError: the cell asks for the number of the step.
    """
    if "t" in cell.asks_for:
        raise ValueError(
            f"cell {cell.name} asks for the number of the step, and the norm-preserving penalty takes all steps at once"
        )


def norm_preserving(flows: Sequence[Flow]) -> Tensor:
    """The penalty of Pascanu, Mikolov & Bengio (2013, 1211.5063, eq. 9) of scans that a backward pass has gone through.

        Omega = sum_t (|dL/ds_{t+1} ds_{t+1}/ds_t| / |dL/ds_{t+1}| - 1)^2

    The sum goes over all pairs of steps that follow each other in a row, in every scan and direction, and is divided by
    the number of rows. States, inputs and dL/ds_{t+1} count as constants; what `truncate` cuts, and pairs to whose
    later step no gradient comes, are left out.

    Args:
        flows: at least one that a backward pass has filled; others count as nothing.

    Returns:
        A scalar whose gradient flows to the weights.

    Raises:
        ValueError: a cell asks for the number of the step.
    """
    reached = [flow for flow in flows if flow.gradients]
    # the sum needs a gradient even where no step follows another
    total = reached[0].request.x.new_zeros((), requires_grad=True)
    for flow in reached:
        request = flow.request
        check_steps_are_alike(request.cell)
        with torch.autocast(request.x.device.type, enabled=False):
            states = _states(request)
            for direction in range(len(request.weights)):
                total = total + _of_direction(flow, direction, states) / request.batch
    return total


@torch.no_grad()
def _states(request: Request) -> tuple[Tensor, ...]:
    """The sequence of every state, (tokens, directions * size)."""
    constant = request.bind([one.detach() for one in request.tensors()])
    every = tuple(range(len(request.cell.states)))
    found, _ = run(replace(constant, outputs=every, padding="zero"))
    return tuple(_by_token(one) for one in found)


def _of_direction(flow: Flow, direction: int, states: tuple[Tensor, ...]) -> Tensor:
    """The sum over all pairs of steps of one direction."""
    request = flow.request
    now, before = (one.to(request.x.device) for one in _pairs(request, direction))
    sizes = [request.state_size(k) for k in range(len(states))]

    def own(sequence: Tensor, size: int, tokens: Tensor) -> Tensor:
        return _by_token(sequence)[tokens, direction * size : (direction + 1) * size]

    # a state that nothing depends on is told no gradient
    arriving = [
        own(flow.gradients[name], size, now) if name in flow.gradients else request.x.new_zeros(len(now), size)
        for name, size in zip(request.cell.states, sizes, strict=True)
    ]
    # a ratio of norms: the scale is free, and with this one no square underflows
    largest = torch.cat(arriving, -1).abs().amax(-1, keepdim=True)
    live = largest.squeeze(-1) > 0
    now, before = now[live], before[live]
    arriving = [(one / largest)[live] for one in arriving]
    left = [own(one, size, before).requires_grad_() for one, size in zip(states, sizes, strict=True)]
    _, reached = scan(
        request.cell,
        _by_token(request.x.detach())[now].unsqueeze(1),
        [request.weights[direction]],
        [one.unsqueeze(0) for one in left],
        reverse=[False],
        activations=request.activations,
        sequences=[[_by_token(one.detach())[now].unsqueeze(1) for one in request.sequences[direction]]],
        backend="reference",
    )
    # a state that counts steps has no gradient
    pairs = [(one.squeeze(0), v) for one, v in zip(reached, arriving, strict=True) if one.requires_grad]
    handed_on = torch.autograd.grad(
        [one for one, _ in pairs], left, [v for _, v in pairs], create_graph=True, materialize_grads=True
    )
    ratio: Tensor = vector_norm(torch.cat(handed_on, -1), dim=-1) / vector_norm(torch.cat(arriving, -1), dim=-1)
    return (ratio - 1).square().sum()


def _by_token(sequence: Tensor) -> Tensor:
    """(tokens, features), whatever the layout."""
    return sequence.reshape(-1, sequence.shape[-1])


def _pairs(request: Request, direction: int) -> tuple[Tensor, Tensor]:
    """The tokens of all steps that run after another one of their row, and the tokens of those others."""
    T, B = request.steps, request.batch
    step, row = torch.arange(T, device="cpu").unsqueeze(1).expand(T, B), torch.arange(B, device="cpu")
    if request.batch_sizes is not None:
        runs = row < request.batch_sizes.unsqueeze(1)
        token = (request.batch_sizes.cumsum(0) - request.batch_sizes).unsqueeze(1) + row
    else:
        token = step * B + row if request.layout == "time" else row * T + step
        runs = torch.ones(T, B, dtype=torch.bool, device="cpu")
        if request.lengths is not None:
            runs = (step if request.padded == "right" else T - 1 - step) < request.lengths
        if request.mask is not None:
            runs = request.mask.T.cpu()
    if request.reverse[direction]:
        step, token, runs = step.flip(0), token.flip(0), runs.flip(0)
    latest = torch.where(runs, torch.arange(T, device="cpu").unsqueeze(1), -1).cummax(0).values
    before = torch.cat([latest.new_full((1, B), -1), latest[:-1]])
    follows = runs & (before >= 0)
    before = before.clamp(min=0)
    if request.truncate:
        follows &= step // request.truncate == step.gather(0, before) // request.truncate
    return token[follows], token.gather(0, before)[follows]
