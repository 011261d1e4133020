"""One vector of a sequence's vectors, made from packed sequences without padding."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..errors import InputError
from .ragged import packed_lengths

#: What a pooling is made of; several are joined by "+", and their vectors stand beside each other.
POOLINGS = ("last", "mean", "max")


def pieces(pooling: str) -> tuple[str, ...]:
    """What a pooling is made of.

    Raises:
        InputError: there is no such pooling.
    """
    found = tuple(pooling.split("+"))
    if not set(found) <= set(POOLINGS) or len({*found}) < len(found):
        raise InputError(
            f"the pooling is {pooling!r}; expected one or several of {', '.join(POOLINGS)}, "
            "each once, joined by + as in 'max+mean'"
        )
    return found


def pool(packed: PackedSequence, pooling: str, directions: int = 1) -> Tensor:
    """One vector a sequence.

    "last" is what a recurrent layer ends with: of the backward direction that is its output at the first step. "max" is
    the largest of each entry over all steps, "mean" their mean (concatenated pooling: Howard & Ruder 2018, 1801.06146).

    Args:
        packed: data (all steps, features).
        pooling: "last", "mean", "max", or several joined by "+".
        directions: 2 where the second half of the features comes from a layer that runs backwards.

    Returns:
        (batch, features * pieces) in the order given.

    Raises:
        InputError: there is no such pooling.
    """
    made = {"last": lambda: _last(packed, directions), "mean": lambda: _mean(packed), "max": lambda: _max(packed)}
    pooled = torch.cat([made[piece]() for piece in pieces(pooling)], dim=1)
    return pooled if packed.unsorted_indices is None else pooled[packed.unsorted_indices]


def _last(packed: PackedSequence, directions: int) -> Tensor:
    data, batch_sizes = packed.data, packed.batch_sizes
    lengths = _sorted_lengths(packed)
    first_rows = batch_sizes.cumsum(0) - batch_sizes
    last = (first_rows[lengths - 1] + torch.arange(len(lengths))).to(data.device)
    if directions == 1:
        return data[last]
    half = data.shape[1] // 2
    return torch.cat([data[last, :half], data[: len(lengths), half:]], dim=1)


def _mean(packed: PackedSequence) -> Tensor:
    total = _reduce(packed, lambda steps: steps.sum(0), torch.add)
    return total / _sorted_lengths(packed).to(total).unsqueeze(1)


def _max(packed: PackedSequence) -> Tensor:
    return _reduce(packed, lambda steps: steps.amax(0), torch.maximum)


def _sorted_lengths(packed: PackedSequence) -> Tensor:
    return packed_lengths(PackedSequence(packed.data, packed.batch_sizes))


def _reduce(
    packed: PackedSequence, over_steps: Callable[[Tensor], Tensor], two: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """A reduction over the steps of each row, rows in the order of packing.

    Neighbouring steps that hold the same rows are one block, (steps, rows, features), and are reduced at once; a batch
    of like lengths has few blocks.
    """
    rows, steps = packed.batch_sizes.unique_consecutive(return_counts=True)
    blocks = packed.data.split((rows * steps).tolist())
    found: Tensor | None = None
    for block, height in zip(reversed(blocks), reversed(rows.tolist()), strict=True):
        reduced = over_steps(block.view(-1, height, block.shape[1]))
        if found is not None:  # the rows that go on after this block
            here, shorter = reduced.split([len(found), height - len(found)])
            reduced = torch.cat([two(here, found), shorter])
        found = reduced
    assert found is not None
    return found
