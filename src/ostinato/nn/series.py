"""The batches of `Streams` as tensors, for a training loop in PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..series import Streams


class SeriesBatches:
    """An iterable of (x, y, mask, carry), the batches of long series for truncated backpropagation.

    x is (B, k, F), y (B, k, G), mask (B, k) bool and carry (B,) of 0 and 1, see `ostinato.series.Batch`; the state
    that the loop carries is to be detached and multiplied by `carry[:, None]` before every batch. Iterating again
    starts another epoch.

    Attributes:
        streams: the plan.
    """

    def __init__(self, *args: Any, device: torch.device | str | None = None, **kwargs: Any) -> None:
        """The batches of `streams`, or of the `Streams` that the arguments make.

        Args:
            args, kwargs: one `Streams`, or the arguments of one.
            device: where the tensors go.

        Raises:
            ValueError, FileNotFoundError: as `Streams`.
        """
        given = len(args) == 1 and not kwargs and isinstance(args[0], Streams)
        self.streams: Streams = args[0] if given else Streams(*args, **kwargs)
        self.device = device

    def __len__(self) -> int:
        """The number of batches of an epoch."""
        return len(self.streams)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        for batch in self.streams:
            x, y, mask, carry = (torch.from_numpy(part).to(self.device) for part in batch)
            yield x, y, mask, carry
