"""Penalties that a loss may have beside it: on gradients that vanish or explode on their way through time, and on
outputs that are large or jump."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.utils.rnn import PackedSequence

from .. import scan
from .layer import Layer
from .recurrent import Recurrent
from .reservoir import EchoState


@contextmanager
def norm_preserving_penalty(model: torch.nn.Module) -> Iterator[Callable[[], Tensor]]:
    """The penalty under which gradients keep their norm from step to step (Pascanu, Mikolov & Bengio 2013, 1211.5063,
    eq. 9).

        Omega = sum_t (|dL/ds_{t+1} ds_{t+1}/ds_t| / |dL/ds_{t+1}| - 1)^2

    The sum goes over all pairs of steps that follow each other in a row, in every layer and direction of the model's
    recurrent modules, and is divided by the number of rows. As in the paper its gradient is that of ds_{t+1}/ds_t
    alone: states, inputs and dL/ds_{t+1} count as constants. Where a cell has several states, s is all of them, one
    behind the other; where `truncate_gradient` cuts the gradient, the pair is left out, as are pairs to whose later
    step no gradient comes.

        with norm_preserving_penalty(model) as penalty:
            loss = criterion(model(x), y)
            loss.backward()
        (0.1 * penalty()).backward()
        optimizer.step()

    The gradients dL/ds are those that `loss.backward()` leaves behind. What the penalty adds is one more forward pass
    and one step of the cell, on all steps of all rows at once, differentiated twice by the reference.

    Args:
        model: what runs inside of the block: a module of this library, or one that holds some. An `EchoState` has no
            weights to train and is passed over.

    Yields:
        A function, to be called after the backward pass: the penalty, a scalar whose gradient flows to the weights.

    Raises:
        ValueError: the model holds no such module, or a cell asks for the number of the step.
        RuntimeError: from the function: no module ran on a scan inside of the block, or no backward pass has come
            through.
    """
    modules = [one for one in model.modules() if isinstance(one, (Layer, Recurrent)) and not isinstance(one, EchoState)]
    if not modules:
        raise ValueError(
            f"{type(model).__name__} holds no module of ostinato.nn with weights to train; `convert` turns torch's "
            "LSTM, GRU and RNN into such"
        )
    for module in modules:
        if isinstance(module, Layer) and "t" in module.cell.asks_for:
            raise ValueError(
                f"cell {module.cell.name} asks for the number of the step, and the norm-preserving penalty takes all "
                "steps at once"
            )
    counted: set[int] = set()
    with scan.record() as flows, _counting(modules, flows, counted):
        yield lambda: _penalty([flows[number] for number in sorted(counted)])


@contextmanager
def _counting(modules: Sequence[torch.nn.Module], flows: list[scan.Flow], counted: set[int]) -> Iterator[None]:
    """Put into `counted` the numbers of those flows whose scans the modules run."""
    before: list[int] = []

    def enter(*_: Any) -> None:
        before.append(len(flows))

    def leave(*_: Any) -> None:
        counted.update(range(before.pop(), len(flows)))

    with ExitStack() as hooks:
        for module in modules:
            hooks.callback(module.register_forward_pre_hook(enter, prepend=True).remove)
            hooks.callback(module.register_forward_hook(leave, always_call=True).remove)
        yield


def _penalty(flows: list[scan.Flow]) -> Tensor:
    if not flows:
        raise RuntimeError("no recurrent module ran on a scan inside of the norm_preserving_penalty block")
    reached = [flow for flow in flows if flow.gradients]
    if not reached:
        raise RuntimeError(
            "the norm-preserving penalty needs the gradients of the states; call loss.backward() before it"
        )
    # the sum needs a gradient even where no step follows another
    total = reached[0].request.x.new_zeros((), requires_grad=True)
    for flow in reached:
        request = flow.request
        with torch.autocast(request.x.device.type, enabled=False):
            states = _states(request)
            for direction in range(len(request.weights)):
                total = total + _of_direction(flow, direction, states) / request.batch
    return total


@torch.no_grad()
def _states(request: scan.Request) -> tuple[Tensor, ...]:
    """The sequence of every state, (tokens, directions * size)."""
    constant = request.bind([one.detach() for one in request.tensors()])
    every = tuple(range(len(request.cell.states)))
    found, _ = scan.run(replace(constant, outputs=every, padding="zero"))
    return tuple(_by_token(one) for one in found)


def _of_direction(flow: scan.Flow, direction: int, states: tuple[Tensor, ...]) -> Tensor:
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
    _, reached = scan.scan(
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


def _pairs(request: scan.Request, direction: int) -> tuple[Tensor, Tensor]:
    """The tokens of all steps that run after another one of their row, and the tokens of those others."""
    T, B = request.steps, request.batch
    step, row = torch.arange(T).unsqueeze(1).expand(T, B), torch.arange(B)
    if request.batch_sizes is not None:
        runs = row < request.batch_sizes.unsqueeze(1)
        token = (request.batch_sizes.cumsum(0) - request.batch_sizes).unsqueeze(1) + row
    else:
        token = step * B + row if request.layout == "time" else row * T + step
        runs = torch.ones(T, B, dtype=torch.bool)
        if request.lengths is not None:
            runs = (step if request.padded == "right" else T - 1 - step) < request.lengths
        if request.mask is not None:
            runs = request.mask.T.cpu()
    if request.reverse[direction]:
        step, token, runs = step.flip(0), token.flip(0), runs.flip(0)
    latest = torch.where(runs, torch.arange(T).unsqueeze(1), -1).cummax(0).values
    before = torch.cat([latest.new_full((1, B), -1), latest[:-1]])
    follows = runs & (before >= 0)
    before = before.clamp(min=0)
    if request.truncate:
        follows &= step // request.truncate == step.gather(0, before) // request.truncate
    return token[follows], token.gather(0, before)[follows]


def activation_penalty(
    output: Tensor | PackedSequence, mask: Tensor | None = None, *, batch_first: bool = False
) -> Tensor:
    """Activation regularisation, AR (Merity, McCann & Socher 2017, 1708.01009): the mean of the squared outputs.

    Args:
        output: of a recurrent module: (steps, batch, features), with `batch_first` (batch, steps, features), unbatched
            (steps, features), or a `PackedSequence`.
        mask: (batch, steps) bool: steps that are False are left out; unbatched (steps). A packed output has none.
        batch_first: whether the batch comes first.

    Returns:
        A scalar; 0 where nothing is counted. The paper adds it to the loss with a factor of 2 on its data, after
        dropout.

    Raises:
        ValueError: a shape does not fit.
    """
    tokens, _, _ = _tokens(output, mask, batch_first)
    return _mean_square(tokens)


def temporal_activation_penalty(
    output: Tensor | PackedSequence, mask: Tensor | None = None, *, batch_first: bool = False
) -> Tensor:
    """Temporal activation regularisation, TAR (Merity, McCann & Socher 2017, 1708.01009): the mean of the squared
    differences between the outputs of two steps that follow each other.

    Arguments, what is returned and raised are those of `activation_penalty`; a difference counts where both steps do.
    The paper's factor is 1 on its data, before dropout.
    """
    _, earlier, later = _tokens(output, mask, batch_first)
    return _mean_square(later - earlier)


def _mean_square(values: Tensor) -> Tensor:
    return values.square().sum() / max(values.numel(), 1)


def _tokens(output: Tensor | PackedSequence, mask: Tensor | None, batch_first: bool) -> tuple[Tensor, Tensor, Tensor]:
    """All outputs that count, (tokens, features), and the earlier and the later one of each two in a row."""
    if isinstance(output, PackedSequence):
        if mask is not None:
            raise ValueError("a mask was given with a packed output, which has no other steps than those that count")
        sizes = output.batch_sizes
        first, rows = sizes.cumsum(0) - sizes, torch.arange(int(sizes[0]))
        both = rows < sizes[1:].unsqueeze(1)
        earlier, later = ((one.unsqueeze(1) + rows)[both] for one in (first[:-1], first[1:]))
        return output.data, output.data[earlier], output.data[later]
    if output.dim() not in (2, 3):
        raise ValueError(f"output has the shape {tuple(output.shape)}; expected 3 dimensions, or 2 without a batch")
    by_time = output.unsqueeze(1) if output.dim() == 2 else output.transpose(0, 1) if batch_first else output
    runs = torch.ones(by_time.shape[:2], dtype=torch.bool, device=output.device)
    if mask is not None:
        expected = by_time.shape[:1] if output.dim() == 2 else (by_time.shape[1], by_time.shape[0])
        if tuple(mask.shape) != tuple(expected):
            raise ValueError(f"mask has the shape {tuple(mask.shape)}; expected (batch, steps) = {tuple(expected)}")
        runs = mask.to(torch.bool).reshape(by_time.shape[1], by_time.shape[0]).T
    both = runs[1:] & runs[:-1]
    return by_time[runs], by_time[:-1][both], by_time[1:][both]
