"""Sequences of differing lengths as one long array: no padding, and a batch of any of them is one selection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..errors import InputError


@dataclass(frozen=True)
class Ragged:
    """Sequences, one after the other.

    Attributes:
        values: (all steps, ...): vectors (all steps, features), or whole numbers (all steps), such as tokens.
        lengths: (sequences) int64.
    """

    values: Tensor
    lengths: Tensor

    def __post_init__(self) -> None:
        """
        Raises:
            ValueError: the lengths do not add up to the values.
        """
        if int(self.lengths.sum()) != len(self.values):
            raise ValueError(f"lengths add up to {int(self.lengths.sum())}; expected {len(self.values)}, all steps")

    @cached_property
    def starts(self) -> Tensor:
        """(sequences): where each begins."""
        return self.lengths.cumsum(0) - self.lengths

    @classmethod
    def of(cls, sequences: Ragged | Sequence[Any]) -> Ragged:
        """Tensors or arrays (steps, ...), or lists, that differ in their steps only."""
        if isinstance(sequences, Ragged):
            return sequences
        tensors = [torch.as_tensor(one) for one in sequences]
        lengths = torch.tensor([len(one) for one in tensors], dtype=torch.int64)
        return cls(torch.cat(tensors) if tensors else torch.empty(0), lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> Tensor:
        """(steps, ...): one sequence."""
        start = int(self.starts[number])
        return self.values[start : start + int(self.lengths[number])]

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.values.split(self.lengths.tolist()))

    def select(self, numbers: Tensor | np.ndarray) -> Ragged:
        """Some of the sequences, in the order given."""
        chosen = torch.as_tensor(numbers)
        lengths = self.lengths[chosen]
        first = lengths.cumsum(0) - lengths
        steps = torch.arange(int(lengths.sum())) - first.repeat_interleave(lengths)
        return Ragged(self.values[self.starts[chosen].repeat_interleave(lengths) + steps], lengths)

    def check_steps(self) -> None:
        """See that each sequence has a step, as a packed one must.

        Raises:
            InputError: one has none.
        """
        if len(self) and int(self.lengths.min()) < 1:
            number = int(self.lengths.argmin())
            raise InputError(f"sequence {number} has no steps; expected at least 1; leave it out")

    def pack(self, numbers: Tensor | None = None) -> PackedSequence:
        """Sequences packed for a recurrent layer: of the first step all rows, of the second all that have one, ...

        Args:
            numbers: of the sequences, longest first; None takes all, in any order.

        Raises:
            InputError: a sequence is empty.
        """
        self.check_steps()
        if numbers is None:
            order = self.lengths.argsort(descending=True, stable=True)
            packed = self.pack(order)
            return PackedSequence(packed.data, packed.batch_sizes, order, order.argsort())
        lengths, starts = self.lengths[numbers], self.starts[numbers]
        rows = packed_rows(batch_sizes := _conjugate(lengths))
        steps = torch.arange(len(batch_sizes)).repeat_interleave(batch_sizes)
        return PackedSequence(self.values[starts[rows] + steps], batch_sizes)


def packed_rows(batch_sizes: Tensor) -> Tensor:
    """(all steps): the row, in the order of packing, to which each step of a packed batch belongs."""
    first = batch_sizes.cumsum(0) - batch_sizes
    return torch.arange(int(batch_sizes.sum())) - first.repeat_interleave(batch_sizes)


def packed_lengths(packed: PackedSequence) -> Tensor:
    """(batch): how many steps each sequence has, in the order given."""
    lengths = _conjugate(packed.batch_sizes)
    return lengths if packed.unsorted_indices is None else lengths[packed.unsorted_indices.cpu()]


def unpack(packed: PackedSequence) -> Ragged:
    """The sequences of a packed batch, in the order given."""
    rows = packed_rows(packed.batch_sizes)
    if packed.sorted_indices is not None:
        rows = packed.sorted_indices.cpu()[rows]
    # the steps of a row stand in the order of time already
    return Ragged(packed.data[rows.argsort(stable=True)], packed_lengths(packed))


def _conjugate(falling: Tensor) -> Tensor:
    """Of falling numbers, how many are above 0, above 1, ...: makes batch sizes of lengths, and lengths of those."""
    return torch.bincount(falling - 1).flip(0).cumsum(0).flip(0)
