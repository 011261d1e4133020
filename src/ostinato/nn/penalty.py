"""Penalties that a loss may have beside it: on gradients that vanish or explode on their way through time, and on
outputs that are large or jump."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
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
        if isinstance(module, Layer):
            scan.check_steps_are_alike(module.cell)
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
    if not any(flow.gradients for flow in flows):
        raise RuntimeError(
            "the norm-preserving penalty needs the gradients of the states; call loss.backward() before it"
        )
    return scan.norm_preserving(flows)


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
        first, rows = sizes.cumsum(0) - sizes, torch.arange(int(sizes[0]), device="cpu")
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
