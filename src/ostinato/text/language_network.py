"""The network of a language model: embedding, recurrent layers whose states are carried, and the embedding again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout
from torch.nn.functional import embedding as look_up

from .. import nn
from ..errors import InputError
from ..sequences.network import CELLS, Encoder, cell_of
from .language_settings import LanguageSettings

#: The states of every layer: of each, one tensor (1, batch, size) a state.
States = list[tuple[Tensor, ...]]


@dataclass(frozen=True)
class Reading:
    """What a network makes of a stretch of text.

    Attributes:
        output: (batch, steps, E): what scores are made of, with dropout in training.
        last: (batch, steps, H): what the last layer put out, before dropout.
        dropped: the same behind it.
        states: after the last step.
    """

    output: Tensor
    last: Tensor
    dropped: Tensor
    states: States


class LanguageNetwork(torch.nn.Module):
    """A unit's successor, told from the units before it.

    The weights of the output are those of the embedding (Press & Wolf 2017, 1608.05859; Inan et al. 2017, 1611.01462),
    behind a linear map where the last layer is not as wide as that.

    Attributes:
        embedding: (vocabulary, E).
        layers: one `Encoder` of one layer each, so that dropout between them can be the same at every step.
        bias: (vocabulary) of the scores.
    """

    def __init__(self, vocabulary: int, settings: LanguageSettings) -> None:
        """
        Raises:
            InputError: the cell cannot be had with these sizes.
        """
        super().__init__()
        _check_cell(settings)
        self.settings = settings
        self.embedding = torch.nn.Embedding(vocabulary, settings.embedding)
        torch.nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        width, layers = settings.embedding, []
        for _ in range(settings.layers):
            layers.append(Encoder(width, settings.cell, settings.units, bidirectional=False))
            width = layers[-1].output_size
        self.layers = torch.nn.ModuleList(layers)
        same = width == settings.embedding
        self.map: torch.nn.Module = torch.nn.Identity() if same else torch.nn.Linear(width, settings.embedding)
        self.bias = torch.nn.Parameter(torch.zeros(vocabulary))

    def forward(self, tokens: Tensor, states: States | None = None) -> Reading:
        """Read on from where the states are.

        Args:
            tokens: (batch, steps).
            states: None begins anew.
        """
        chosen = self.settings
        x = self._locked(self._embedded(tokens), chosen.input_dropout)
        after: States = []
        last = x
        for number, encoder in enumerate(self.layers):
            below = self._locked(last, chosen.hidden_dropout) if number else x
            last, state = self._run(encoder, below, states[number] if states else None)  # type: ignore[arg-type]
            after.append(state)
        dropped = self._locked(last, chosen.dropout)
        return Reading(self.map(dropped), last, dropped, after)

    def scores(self, output: Tensor) -> Tensor:
        """(..., E) -> (..., vocabulary)."""
        found: Tensor = output @ self.embedding.weight.T + self.bias
        return found

    def _embedded(self, tokens: Tensor) -> Tensor:
        """(batch, steps, E). In training some units are zeros wherever they stand, and the others are larger for it."""
        weight = self.embedding.weight
        rate = self.settings.embedding_dropout
        if not self.training or not rate:
            return look_up(tokens, weight)
        kept = torch.rand(len(weight), device=weight.device) >= rate
        return look_up(tokens, weight) * (kept[tokens] / (1 - rate)).unsqueeze(-1)

    def _locked(self, x: Tensor, rate: float) -> Tensor:
        """Dropout that is the same at every step of a row."""
        if not self.training or not rate:
            return x
        return x * dropout(x.new_ones(len(x), 1, x.shape[-1]), rate)

    def _run(self, encoder: Encoder, x: Tensor, state: tuple[Tensor, ...] | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One layer on (batch, steps, ...): its outputs and its states after the last step."""
        recurrent: Any = encoder.stack[0]
        given: Any = state if state is None or len(state) > 1 else state[0]
        arguments = (encoder.maps[0](x).transpose(0, 1), given)
        rate = self.settings.weight_dropout
        if self.training and rate:
            weights = {name: dropout(w, rate) for name, w in recurrent.named_parameters() if name[:9] == "weight_hh"}
            y, hidden = torch.func.functional_call(recurrent, weights, arguments)
        else:
            y, hidden = recurrent(*arguments)
        return y.transpose(0, 1), hidden if isinstance(hidden, tuple) else (hidden,)


def carried(states: States, rows: Tensor) -> States:
    """States without their past: of rows that are 1 as they are, of those that are 0 anew."""
    return [tuple(state.detach() * rows[:, None] for state in layer) for layer in states]


def _check_cell(settings: LanguageSettings) -> None:
    """
    Raises:
        InputError: the cell needs more than its layer has.
    """
    cell = nn.gallery.LAYERS[CELLS[cell_of(settings.cell)]].cell
    if len(cell.sequences) > 0 and settings.layers > 1:
        raise InputError(f"the cell {cell.name!r} reads the layer below, which it cannot here; use --layers 1")
