"""Networks over packed sequences: vectors, a recurrent encoder of any cell, a head of the whole or of every step."""

from __future__ import annotations

import difflib
import inspect
import operator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence

from .. import nn
from ..errors import InputError
from .pooling import pieces, pool

#: Name of a cell -> name of its module in `ostinato.nn`.
CELLS: dict[str, str] = {layer.cell.name: name for name, layer in nn.gallery.LAYERS.items()}


def cell_of(name: str) -> str:
    """The name of a cell, given it or that of its module, in whatever case.

    Raises:
        InputError: there is no such cell.
    """
    known = {key.lower(): cell for cell, module in CELLS.items() for key in (cell, module)}
    if name.lower() in known:
        return known[name.lower()]
    close = [known[key] for key in difflib.get_close_matches(name.lower(), list(known), n=3, cutoff=0.5)]
    near = f"did you mean {' or '.join(dict.fromkeys(close))}?" if close else "`ostinato cells` lists them all"
    raise InputError(f"there is no cell {name!r}; {near}")


class Encoder(torch.nn.Module):
    """A stack of recurrent layers over packed vectors.

    A cell that needs its input as wide as its units gets it through a linear map, and a projected LSTM has half as many
    outputs as units unless `proj_size` says otherwise.

    Attributes:
        output_size: features of every step that comes out.
        directions: 1, or 2: then the second half of the features runs from the last step to the first.
    """

    def __init__(
        self,
        inputs: int,
        cell: str = "lstm",
        units: int = 64,
        layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        """
        Args:
            inputs: features of every step that goes in.
            cell: any name of `ostinato.cells.CELLS`, or of its module in `ostinato.nn`.
            units: of each direction of each layer.
            layers: one upon the other.
            bidirectional: whether a second direction runs from the last step to the first.
            dropout: share of each layer's outputs that the next does not see in training.
            options: further arguments of the module.

        Raises:
            InputError: there is no such cell, or it does not go with these arguments.
        """
        super().__init__()
        cell = cell_of(cell)
        module = getattr(nn, CELLS[cell])
        self.directions = 2 if bidirectional else 1
        self.dropout = dropout
        try:
            for name, count in (("inputs", inputs), ("units", units), ("layers", layers)):
                if not hasattr(count, "__index__") or count < 1:
                    raise ValueError(f"{name} is {count!r}; expected a whole number of at least 1")
            inputs, units, layers = map(operator.index, (inputs, units, layers))
            if cell == "projected_lstm":
                options = {"proj_size": max(units // 2, 1), **options}
            self.output_size = self.directions * int(options.get("proj_size") or units)
            as_wide = _as_wide_as_units(module)
            maps, stack = [], []
            if as_wide or issubclass(module, nn.EchoState):  # a stack of reservoirs has no dropout of its own
                for width in [inputs] + [self.output_size] * (layers - 1):
                    maps.append(torch.nn.Linear(width, units) if as_wide else torch.nn.Identity())
                    stack.append(module(units if as_wide else width, units, bidirectional=bidirectional, **options))
            else:
                between = {"dropout": dropout} if layers > 1 and dropout else {}
                maps.append(torch.nn.Identity())
                stack.append(module(inputs, units, layers, bidirectional=bidirectional, **between, **options))
        except (ValueError, TypeError) as error:
            raise InputError(f"the cell {cell!r} cannot be had like this: {error}") from None
        self.maps, self.stack = torch.nn.ModuleList(maps), torch.nn.ModuleList(stack)

    def forward(self, packed: PackedSequence) -> PackedSequence:
        """(all steps, inputs) -> (all steps, output_size), packed alike."""
        for number, (map_, recurrent) in enumerate(zip(self.maps, self.stack, strict=True)):
            x = dropout(packed.data, self.dropout, self.training) if number else packed.data
            output: PackedSequence = recurrent(with_data(packed, map_(x)))[0]
            packed = output
        return packed


class _Stem(torch.nn.Module):
    """Embedding and encoder, with dropout between them."""

    def __init__(self, embedding: torch.nn.Module, encoder: Encoder, input_dropout: float) -> None:
        super().__init__()
        self.embedding, self.encoder, self.input_dropout = embedding, encoder, input_dropout

    def encode(self, packed: PackedSequence) -> PackedSequence:
        """(all steps, ...) -> (all steps, features of the encoder), packed alike."""
        vectors = self.embedding(packed.data)
        encoded: PackedSequence = self.encoder(with_data(packed, dropout(vectors, self.input_dropout, self.training)))
        return encoded


class Network(_Stem):
    """One answer a sequence: embedding -> encoder -> pooling -> head.

    Attributes:
        embedding, encoder, head: modules.
        pooling: see `pooling.pool`.
        input_dropout: share of the embedding's numbers that training drops.
        dropout: share of the pooled numbers that training drops.
    """

    def __init__(
        self,
        embedding: torch.nn.Module,
        encoder: Encoder,
        pooling: str,
        head: torch.nn.Module,
        *,
        input_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        """
        Args:
            embedding: from the data of packed sequences to (all steps, inputs of the encoder): `torch.nn.Embedding` for
                tokens, `torch.nn.Identity` for vectors.
            encoder: of the vectors.
            pooling: "last", "mean", "max", or several joined by "+".
            head: from (batch, `pooled_size(encoder, pooling)`) to (batch, outputs).
            input_dropout, dropout: see there.

        Raises:
            InputError: there is no such pooling.
        """
        pieces(pooling)
        super().__init__(embedding, encoder, input_dropout)
        self.pooling, self.head, self.dropout = pooling, head, dropout

    def forward(self, packed: PackedSequence) -> Tensor:
        """Packed sequences -> (batch, outputs), in the order given."""
        pooled = pool(self.encode(packed), self.pooling, self.encoder.directions)
        answer: Tensor = self.head(dropout(pooled, self.dropout, self.training))
        return answer


class StepNetwork(_Stem):
    """One answer a step: embedding -> encoder -> head.

    Attributes:
        embedding, encoder, head, input_dropout: as in `Network`; the head is from (all steps, `encoder.output_size`).
        dropout: share of the encoder's numbers that training drops.
    """

    def __init__(
        self,
        embedding: torch.nn.Module,
        encoder: Encoder,
        head: torch.nn.Module,
        *,
        input_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(embedding, encoder, input_dropout)
        self.head, self.dropout = head, dropout

    def forward(self, packed: PackedSequence) -> PackedSequence:
        """Packed sequences -> (all steps, outputs), packed alike."""
        encoded = self.encode(packed)
        return with_data(encoded, self.head(dropout(encoded.data, self.dropout, self.training)))


def pooled_size(encoder: Encoder, pooling: str) -> int:
    """Features of a pooled sequence.

    Raises:
        InputError: there is no such pooling.
    """
    return encoder.output_size * len(pieces(pooling))


def with_data(packed: PackedSequence, data: Tensor) -> PackedSequence:
    """Sequences packed alike, of other data."""
    return PackedSequence(data, *packed[1:])


def _as_wide_as_units(module: Any) -> bool:
    """Whether a cell's equations add its input to what the units hold, so that both need one size."""
    if not issubclass(module, nn.Layer) or "proj_size" in inspect.signature(module).parameters:
        return False
    return bool(module(1, 1).structures[0].program.sizes.same)
