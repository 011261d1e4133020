"""Batches of sequences of like length, packed: padding is never computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from .ragged import Ragged

#: Batches whose sequences are sorted by length together where they are shuffled: enough for like lengths, few enough
#: that every epoch mixes other sequences.
POOL = 50

#: What goes with a batch: rows of a tensor, the sequences of labels, or nothing.
Targets = Tensor | Ragged | None


class Batches:
    """Iterates over (packed sequences, their targets, their numbers), longest first within a batch.

    Shuffled, every pass is another: sequences are drawn into pools, sorted by length within a pool, cut into batches,
    and these come in random order. Otherwise the longest come first, so that too large a batch is known at once.

    Attributes:
        sequences: all of them.
        targets: all of them, in the order of the sequences.
        size: most sequences in a batch.
        shuffle: whether the order is drawn anew in every pass.
        generator: of the order; None is torch's.
        steps: most steps in a batch, its longest sequence times its rows; None is no limit. A longer sequence has a
            batch of its own.
    """

    def __init__(
        self,
        sequences: Ragged | Sequence[Any],
        targets: Tensor | Ragged | Sequence[Any] | None = None,
        size: int = 64,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
        steps: int | None = None,
    ) -> None:
        """
        Args:
            sequences: `Ragged`, or tensors or arrays (steps, ...).
            targets: a tensor (sequences, ...); `Ragged`, or a list of as many tensors or arrays, are labels a sequence
                of their own: a label a step, or a text to be aligned.

        Raises:
            InputError: a sequence is empty.
            ValueError: there are not as many targets as sequences, or a size is below 1.
        """
        self.sequences = Ragged.of(sequences)
        self.sequences.check_steps()
        self.targets: Targets = targets if targets is None or isinstance(targets, Tensor) else Ragged.of(targets)
        if self.targets is not None and len(self.targets) != len(self.sequences):
            raise ValueError(f"there are {len(self.targets)} targets for {len(self.sequences)} sequences")
        for name, number in (("size", size), ("steps", steps)):
            if number is not None and number < 1:
                raise ValueError(f"{name} is {number}; expected at least 1")
        self.size, self.shuffle, self.generator, self.steps = size, shuffle, generator, steps

    def __iter__(self) -> Iterator[tuple[PackedSequence, Targets, Tensor]]:
        for numbers in self._plan():
            targets = self.targets
            if targets is not None:
                targets = targets.select(numbers) if isinstance(targets, Ragged) else targets[numbers]
            yield self.sequences.pack(numbers), targets, numbers

    def _plan(self) -> list[Tensor]:
        """The numbers of the sequences of each batch."""
        lengths = self.sequences.lengths
        if not self.shuffle:
            return self._cut(lengths.argsort(descending=True, stable=True))
        drawn = torch.randperm(len(lengths), generator=self.generator)
        batches: list[Tensor] = []
        for pool in drawn.split(self.size * POOL):
            batches += self._cut(pool[lengths[pool].argsort(descending=True, stable=True)])
        return [batches[k] for k in torch.randperm(len(batches), generator=self.generator).tolist()]

    def _cut(self, numbers: Tensor) -> list[Tensor]:
        """Sequences, longest first, as batches."""
        if self.steps is None:
            return list(numbers.split(self.size)) if len(numbers) else []
        longest = self.sequences.lengths[numbers].tolist()
        cut, start = [], 0
        while start < len(numbers):
            rows = min(self.size, max(1, self.steps // longest[start]))
            cut.append(numbers[start : start + rows])
            start += rows
        return cut
