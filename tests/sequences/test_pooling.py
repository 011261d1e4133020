"""One vector of a sequence's vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import InputError
from ostinato.sequences.pooling import pool
from ostinato.sequences.ragged import Ragged, packed_lengths, unpack

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=8)


def of(lengths: list[int], features: int = 4, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, features, generator=generator, dtype=torch.float64) for length in lengths]


def by_hand(one: torch.Tensor) -> torch.Tensor:
    last = torch.cat([one[-1, :2], one[0, 2:]])
    return torch.cat([last, one.mean(0), one.amax(0)])


@given(LENGTHS)
@settings(deadline=None)
def test_pooling_is_that_of_each_sequence_alone(lengths: list[int]) -> None:
    sequences = of(lengths)
    pooled = pool(Ragged.of(sequences).pack(), "last+mean+max", directions=2)
    torch.testing.assert_close(pooled, torch.stack([by_hand(one) for one in sequences]))


@given(LENGTHS)
@settings(deadline=None)
def test_gradients_are_those_of_each_sequence_alone(lengths: list[int]) -> None:
    sequences = [one.requires_grad_() for one in of(lengths)]
    weights = torch.randn(len(lengths), 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    packed = pool(Ragged.of(sequences).pack(), "last+mean+max", directions=2)
    got = torch.autograd.grad((packed * weights).sum(), sequences)
    alone = torch.stack([by_hand(one) for one in sequences])
    for one, other in zip(got, torch.autograd.grad((alone * weights).sum(), sequences), strict=True):
        torch.testing.assert_close(one, other)


@given(LENGTHS)
@settings(deadline=None)
def test_packing_and_unpacking_are_inverse_and_agree_with_torch(lengths: list[int]) -> None:
    sequences = of(lengths)
    packed = Ragged.of(sequences).pack()
    expected = torch.nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False)
    assert torch.equal(packed.batch_sizes, expected.batch_sizes)
    assert packed_lengths(packed).tolist() == lengths
    for one, other, again in zip(unpack(packed), unpack(expected), sequences, strict=True):
        assert torch.equal(one, again)
        assert torch.equal(other, again)


def test_a_sequence_may_be_any_selection_of_others() -> None:
    sequences = of([3, 1, 4, 1, 5])
    chosen = Ragged.of(sequences).select(np.array([4, 0, 0]))
    assert [one.tolist() for one in chosen] == [sequences[k].tolist() for k in (4, 0, 0)]


@pytest.mark.parametrize("pooling", ["", "median", "max+max", "max,mean"])
def test_other_poolings_are_refused(pooling: str) -> None:
    with pytest.raises(InputError, match="expected one or several of last, mean, max"):
        pool(Ragged.of(of([1])).pack(), pooling)


def test_a_sequence_without_steps_is_refused() -> None:
    with pytest.raises(InputError, match="sequence 1 has no steps"):
        Ragged.of([torch.zeros(2, 3), torch.zeros(0, 3)]).pack()
