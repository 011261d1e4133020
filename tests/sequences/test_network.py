"""Encoders of every cell, and networks over packed sequences."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence

from ostinato.cells import CELLS
from ostinato.errors import InputError
from ostinato.sequences.network import Encoder, Network, StepNetwork, cell_of, pooled_size
from ostinato.sequences.ragged import Ragged, unpack

LENGTHS = (3, 7, 1, 7, 4)


def sequences() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(length, 3, generator=generator) for length in LENGTHS]


def network(cell: str = "lstm", pooling: str = "last+mean+max", layers: int = 1, bidirectional: bool = True) -> Network:
    torch.manual_seed(1)
    encoder = Encoder(3, cell, 8, layers, bidirectional)
    return Network(torch.nn.Identity(), encoder, pooling, torch.nn.Linear(pooled_size(encoder, pooling), 2)).eval()


def alone(model: Network) -> torch.Tensor:
    return torch.cat([model(Ragged.of([one]).pack()) for one in sequences()])


@pytest.mark.parametrize("cell", list(CELLS))
def test_every_cell_encodes_each_sequence_as_if_alone(cell: str) -> None:
    model = network(cell, layers=2)
    torch.testing.assert_close(model(Ragged.of(sequences()).pack()), alone(model), rtol=1e-4, atol=1e-5)


def test_the_order_of_a_batch_changes_nothing_but_the_order() -> None:
    model, ragged = network(), Ragged.of(sequences())
    order = torch.tensor([3, 0, 4, 2, 1])
    torch.testing.assert_close(model(ragged.select(order).pack()), model(ragged.pack())[order])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_last_is_what_a_recurrent_layer_ends_with(bidirectional: bool) -> None:
    model = network("gru", "last", bidirectional=bidirectional)
    packed = Ragged.of(sequences()).pack()
    _, states = model.encoder.stack[0](packed)
    expected = model.head(torch.cat(list(states), dim=1))
    torch.testing.assert_close(model(packed), expected)


@pytest.mark.parametrize("cell", ["lstm", "LSTM", "Lstm"])
def test_a_cell_goes_by_its_name_and_that_of_its_module(cell: str) -> None:
    assert cell_of(cell) == "lstm"


def test_an_unknown_cell_is_refused_with_those_close_to_it() -> None:
    with pytest.raises(InputError, match=r"there is no cell 'peephole_lstn'; did you mean peephole_lstm"):
        Encoder(3, "peephole_lstn")
    with pytest.raises(InputError, match="`ostinato cells` lists them all"):
        Encoder(3, "transformer?!")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"units": 0}, "units is 0; expected a whole number of at least 1"),
        ({"units": 4.5}, r"units is 4\.5; expected a whole number of at least 1"),
        ({"cell": "clockwork", "units": 7, "modules": 2}, "modules is 2; expected a divisor of the 7 units"),
        ({"heads": 2}, "the cell 'lstm' cannot be had like this: .*heads"),
    ],
)
def test_what_a_cell_cannot_have_is_refused(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Encoder(3, **arguments)  # type: ignore[arg-type]


def test_dropout_is_there_in_training_only() -> None:
    torch.manual_seed(0)
    encoder = Encoder(3, "gru", 8)
    model = Network(torch.nn.Identity(), encoder, "mean", torch.nn.Linear(16, 2), input_dropout=0.5, dropout=0.5)
    packed = Ragged.of(sequences()).pack()
    assert not torch.equal(model(packed), model(packed))
    model.eval()
    assert torch.equal(model(packed), model(packed))


def test_tokens_are_embedded() -> None:
    torch.manual_seed(0)
    embedding, encoder = torch.nn.Embedding(10, 3), Encoder(3, "gru", 8)
    model = Network(embedding, encoder, "mean", torch.nn.Linear(16, 2))
    tokens = [torch.tensor([1, 2, 3]), torch.tensor([9])]
    with_vectors = Network(torch.nn.Identity(), encoder, "mean", model.head)
    vectors = [embedding(one) for one in tokens]
    torch.testing.assert_close(model(Ragged.of(tokens).pack()), with_vectors(Ragged.of(vectors).pack()))


def test_a_step_network_answers_every_step() -> None:
    torch.manual_seed(0)
    model = StepNetwork(torch.nn.Identity(), Encoder(3, "gru", 8), torch.nn.Linear(16, 2)).eval()
    answer = model(Ragged.of(sequences()).pack())
    assert isinstance(answer, PackedSequence)
    for one, given in zip(unpack(answer), sequences(), strict=True):
        torch.testing.assert_close(one, model(Ragged.of([given]).pack()).data)
