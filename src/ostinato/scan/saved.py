"""What the steps of a scan keep for its backward pass, in half the bits.

The kernels compute in float32, and so do the products that the weights' gradients are: they see a piece of the sequence
in float32, and between the passes its values stand here, rounded to the nearest number of 16 bits, ties to even. States
are not rounded: a state may count steps, and a rounded count is another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .workspace import Lease


class Saved:
    """What one direction keeps of all its tokens, the pairs of a row and a step, for as long as somebody holds it.

    Args:
        shape: tokens, the slots of each, and the numbers in a slot, as the engine lays them out.
        history: the slots of states; they stand behind each other.
        dtype: of 16 bits; what all other slots are rounded to.
    """

    def __init__(self, shape: tuple[int, int, int], history: Sequence[int], dtype: torch.dtype) -> None:
        tokens, self._slots, self._width = shape
        first = min(history, default=self._slots)
        self._states = slice(first, first + len(history))
        self._rounded = Lease(tokens * (self._slots - len(history)) * self._width, dtype)
        self._exact = Lease(tokens * len(history) * self._width, torch.float32)
        self._dtype = dtype

    def take(self, panel: Lease, first: int, count: int) -> None:
        """Keep what stands in `panel`: the tokens first..first + count - 1."""
        for here, there in self._places(panel, first, count):
            here.copy_(there)

    def put(self, panel: Lease, first: int, count: int) -> None:
        """Put it into `panel` again."""
        for here, there in self._places(panel, first, count):
            there.copy_(here)

    def _places(self, panel: Lease, first: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Here and in the panel, the same values."""
        states, last = self._states, first + count
        exact = self._exact.tensor((last, states.stop - states.start, self._width), torch.float32)[first:]
        rounded = self._rounded.tensor((last, self._slots - exact.shape[1], self._width), self._dtype)[first:]
        there = panel.tensor((count, self._slots, self._width), torch.float32)
        yield exact, there[:, states]
        yield rounded[:, : states.start], there[:, : states.start]
        yield rounded[:, states.start :], there[:, states.stop :]
