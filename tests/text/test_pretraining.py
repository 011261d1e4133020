"""Pretraining: the encoder of a classifier learns a language, and sees nothing that it is asked for."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence

from ostinato.errors import InputError
from ostinato.sequences.network import Encoder, Network, pooled_size
from ostinato.sequences.ragged import Ragged
from ostinato.text.pretraining import Neighbours, Pretraining, Surprise, following, pieces, pretrain

TOKENS = 12


def network(cell: str = "lstm", layers: int = 1, bidirectional: bool = True, tokens: int = TOKENS) -> Network:
    torch.manual_seed(0)
    encoder = Encoder(6, cell, 8, layers, bidirectional)
    head = torch.nn.Linear(pooled_size(encoder, "max"), 1)
    return Network(torch.nn.Embedding(tokens, 6), encoder, "max", head)


def cycle(count: int = 60, length: int = 20) -> list[torch.Tensor]:
    """Texts in which every token says which comes next and which came before: 4, 5, 6, ... over and over."""
    return [torch.arange(start, start + length) % TOKENS for start in range(count)]


def texts(*lengths: int) -> Ragged:
    generator = torch.Generator().manual_seed(1)
    return Ragged.of([torch.randint(TOKENS, (length,), generator=generator) for length in lengths])


@pytest.mark.parametrize(("cell", "bidirectional"), [("lstm", True), ("gru", False)])
def test_it_learns_what_follows(cell: str, bidirectional: bool) -> None:
    classifier = network(cell, bidirectional=bidirectional)
    how = Pretraining(epochs=10, batch_size=6, learning_rate=0.03, dropout=0.0, held_out=0.1)
    training = pretrain(classifier, cycle(), how)
    assert training.history[-1].val_loss < 1 < training.history[0].val_loss  # type: ignore[operator]


def test_the_right_places_are_compared() -> None:
    """In a text of the same tokens throughout no place is like another, so the places themselves are looked at."""
    packed = texts(5, 2, 3).pack()
    earlier, later = following(packed.batch_sizes)
    rows = [[*range(5)], [0, 1, 2], [0, 1]]
    step_and_row = [(step, row) for step, size in enumerate(packed.batch_sizes.tolist()) for row in range(size)]
    pairs = [(step_and_row[i], step_and_row[j]) for i, j in zip(earlier.tolist(), later.tolist(), strict=True)]
    expected = {((step, row), (step + 1, row)) for row, steps in enumerate(rows) for step in steps[:-1]}
    assert set(pairs) == expected
    assert len(pairs) == len(expected)


def told(neighbours: Neighbours, packed: PackedSequence) -> torch.Tensor:
    with torch.no_grad():
        return neighbours(packed)


def test_no_direction_sees_what_it_is_asked_for() -> None:
    """What is wanted is exchanged behind the encoder's back: only its own cost may change, not the vectors' that guess
    it. So the cost of a token, summed over all tokens it might be, is a probability distribution."""
    neighbours = Neighbours(network(), torch.ones(TOKENS), Pretraining()).eval()
    text = texts(6)[0]
    at = 3
    n = len(text) - 1
    forward, backward = [], []
    for token in range(TOKENS):
        changed = text.clone()
        changed[at] = token
        nats = told(neighbours, Ragged.of([changed]).pack())
        forward.append(nats[at - 1])
        backward.append(nats[n + at])
    for costs in (forward, backward):
        assert torch.stack(costs).neg().exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_candidates_estimate_the_whole_softmax() -> None:
    counts = torch.tensor([1000.0, *range(1, 200)])
    classifier = network(tokens=200)
    packed = Ragged.of([torch.arange(1, 60), torch.arange(100, 140)]).pack()
    sampled = Neighbours(classifier, counts, Pretraining(candidates=150, dropout=0.0)).train()
    with torch.no_grad():
        draws = torch.stack([sampled(packed) for _ in range(60)])
        whole = sampled.eval()(packed)
    assert draws.std(0).min() > 0
    assert torch.allclose(draws.mean(0), whole, atol=0.1)


def test_a_surprise_is_the_cross_entropy_of_all_side_by_side() -> None:
    right, guess, weight, bias = (
        torch.randn(*size, dtype=torch.float64, requires_grad=True) for size in ((9,), (9, 4), (5, 4), (5,))
    )
    left_out = torch.tensor([0, 3, 8]), torch.tensor([1, 1, 4])

    def plain(right: torch.Tensor, guess: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        others = (guess @ weight.T + bias).index_put(left_out, torch.tensor(-math.inf, dtype=torch.float64))
        both = torch.cat([right[:, None], others], 1)
        return torch.nn.functional.cross_entropy(both, torch.zeros(9, dtype=torch.long), reduction="none")

    found = Surprise.apply(right, guess, weight, bias, left_out)
    torch.testing.assert_close(found, plain(right, guess, weight, bias))
    assert torch.autograd.gradcheck(lambda *given: Surprise.apply(*given, left_out), (right, guess, weight, bias))


def test_as_many_candidates_as_tokens_are_the_whole_softmax() -> None:
    neighbours = Neighbours(network(), torch.ones(TOKENS), Pretraining(candidates=TOKENS, dropout=0.0))
    packed = texts(9, 4).pack()
    assert torch.allclose(neighbours.train()(packed), neighbours.eval()(packed))


def test_padding_and_order_change_nothing() -> None:
    neighbours = Neighbours(network(), torch.ones(TOKENS), Pretraining()).eval()
    several = texts(7, 3, 5)
    together = told(neighbours, several.pack()).double().sum()
    alone = sum(told(neighbours, Ragged.of([one]).pack()).double().sum() for one in several)
    assert together.item() == pytest.approx(float(alone), rel=1e-6)


def test_long_texts_are_cut_and_single_tokens_left_out() -> None:
    parts = pieces(texts(10, 1, 4), 4)
    assert [len(part) for part in parts] == [4, 3, 3, 4]


def test_embedding_and_encoder_are_trained_and_the_head_is_not() -> None:
    classifier = network()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    pretrain(classifier, cycle(12), Pretraining(epochs=1, batch_size=4))
    changed = {name for name, value in classifier.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if not name.startswith("head")}
    assert not classifier.training


def test_the_seed_decides() -> None:
    def weights(seed: int) -> torch.Tensor:
        classifier = network()
        pretrain(classifier, cycle(12), Pretraining(epochs=1, batch_size=4, candidates=5, seed=seed))
        return classifier.embedding.weight  # type: ignore[return-value]

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_perplexity_of_held_out_texts_is_that_of_the_whole_vocabulary() -> None:
    epochs: list[Any] = []
    pretrain(network(), texts(*[30] * 40), Pretraining(epochs=1, learning_rate=1e-6, held_out=0.2), epochs.append)
    assert math.exp(epochs[0].val_loss) == pytest.approx(TOKENS, rel=0.1)  # random texts: nothing to learn


def test_layers_that_run_both_ways_are_refused() -> None:
    with pytest.raises(InputError, match="2 layers that run both ways"):
        pretrain(network(layers=2), cycle())
    pretrain(network(layers=2, bidirectional=False), cycle(12), Pretraining(epochs=1, batch_size=4))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 0}, "epochs"), ({"longest": 1}, "longest"), ({"candidates": -1}, "candidates"),
        ({"dropout": 1.0}, "dropout"), ({"held_out": -0.1}, "held_out"), ({"learning_rate": 0.0}, "learning_rate"),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Pretraining(**changes)


def test_texts_without_neighbours_and_other_embeddings_are_refused() -> None:
    with pytest.raises(InputError, match="two tokens"):
        pretrain(network(), texts(1, 1, 1))
    numbers = Network(torch.nn.Identity(), Encoder(6, "gru", 4), "max", torch.nn.Linear(8, 1))
    with pytest.raises(TypeError, match="Embedding"):
        pretrain(numbers, texts(4, 4))
