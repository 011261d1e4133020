"""The forms in which torch's recurrent modules take sequences and states, and a stack of scans over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence

from .. import scan
from ..scan.request import Layout

States = tuple[Tensor, ...]

#: The scan of one layer, asked for with the output of the layer below and further sequences of its states.
Ask = Callable[[Tensor, tuple[Tensor, ...]], scan.Request]


class Form:
    """One input of a module, as a scan takes it.

    Attributes:
        x: (steps, batch, features), with `batch_first` (batch, steps, features), or packed (tokens, features).
        layout: which of them x is.
        batch_sizes: of a packed input, else None.
        batch_dim: the dimension of the batch in x, if it is not packed.
    """

    def __init__(self, input: Tensor | PackedSequence, batch_first: bool) -> None:
        self._input = input
        self.batch_sizes: Tensor | None = None
        self._order: Tensor | None = None
        self.batch_dim = 0 if batch_first else 1
        if isinstance(input, PackedSequence):
            self.x, self.batch_sizes, self._order = input.data, input.batch_sizes, input.sorted_indices
            self.layout: Layout = "packed"
        else:
            self.x = input
            self.layout = "batch" if batch_first else "time"
        self.unbatched = self.batch_sizes is None and self.x.dim() == 2
        if self.unbatched:
            self.x = self.x.unsqueeze(self.batch_dim)

    @property
    def batch(self) -> int:
        """The number of rows."""
        return int(self.x.shape[self.batch_dim] if self.batch_sizes is None else self.batch_sizes[0])

    def batched(self, states: States) -> States:
        """Initial states with a batch dimension."""
        return tuple(state.unsqueeze(1) for state in states) if self.unbatched else states

    def sorted(self, states: States) -> States:
        """Batched initial states in the order of the rows of x."""
        return states if self._order is None else tuple(state.index_select(1, self._order) for state in states)

    def output(self, y: Tensor) -> Any:
        """An output laid out as x, in the form of the input."""
        if isinstance(self._input, PackedSequence):
            return PackedSequence(y, *self._input[1:])
        return y.squeeze(self.batch_dim) if self.unbatched else y

    def finals(self, states: States) -> States:
        """Final states in the form of the initial states that go with the input."""
        if isinstance(self._input, PackedSequence):
            order = self._input.unsorted_indices
            return states if order is None else tuple(state.index_select(1, order) for state in states)
        return tuple(state.squeeze(1) for state in states) if self.unbatched else states


def autocasts(x: Tensor) -> bool:
    device = x.device.type
    return x.is_floating_point() and device != "meta" and torch.is_autocast_enabled(device)


def rounded_by_autocast(x: Tensor) -> torch.dtype | None:
    """What autocast has the numbers of products rounded to; None is to nothing."""
    return torch.get_autocast_dtype(x.device.type) if autocasts(x) else None


def in_dtype(x: Tensor, states: States, dtype: torch.dtype) -> tuple[Tensor, States]:
    """Under autocast, input and states in the dtype of the weights: a recurrence adds up what each step rounds off."""
    return (x.to(dtype), tuple(state.to(dtype) for state in states)) if autocasts(x) else (x, states)


def run_stack(
    x: Tensor, layers: Iterable[Ask], probability: float, training: bool, backend: scan.Backend | None
) -> tuple[Tensor, States]:
    """Every layer on the output of the one before, with dropout in between: the last output and all final states."""
    finals: list[States] = []
    found: tuple[Tensor, ...] = (x,)
    if autocasts(x):
        narrow = rounded_by_autocast(x)
        with torch.autocast(x.device.type, enabled=False):
            return run_stack(x, (_rounding(ask, narrow) for ask in layers), probability, training, backend)
    for number, ask in enumerate(layers):
        below = dropout(found[0], probability, training) if number and probability else found[0]
        found, final = scan.run(ask(below, found[1:]), backend)
        finals.append(final)
    return found[0], finals[0] if len(finals) == 1 else tuple(torch.cat(state) for state in zip(*finals, strict=True))


def _rounding(ask: Ask, dtype: torch.dtype | None) -> Ask:
    return lambda x, below: ask(x, below).rounding(dtype)


def by_layer(states: States, layers: int) -> list[States | None]:
    """The initial states of each layer, or None for zeros."""
    if not states:
        return [None] * layers
    return list(zip(*(state.chunk(layers) for state in states), strict=True))
