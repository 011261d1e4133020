"""Batches of sequences of like length."""

from __future__ import annotations

import pytest
import torch

from ostinato.sequences.batches import Batches
from ostinato.sequences.ragged import Ragged, unpack


def numbered(lengths: list[int]) -> list[torch.Tensor]:
    """Sequences whose steps all hold the sequence's number."""
    return [torch.full((length,), number) for number, length in enumerate(lengths)]


LENGTHS = torch.randint(1, 200, (500,), generator=torch.Generator().manual_seed(0)).tolist()


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("steps", [None, 300])
def test_every_sequence_comes_once_with_its_target(shuffle: bool, steps: int | None) -> None:
    sequences = numbered(LENGTHS)
    targets = torch.arange(len(LENGTHS)) * 10
    seen: list[int] = []
    for packed, target, numbers in Batches(sequences, targets, 16, shuffle, steps=steps):
        assert isinstance(target, torch.Tensor)
        assert target.tolist() == [10 * number for number in numbers.tolist()]
        for one, number in zip(unpack(packed), numbers.tolist(), strict=True):
            assert torch.equal(one, sequences[number])
        assert len(numbers) <= 16
        assert steps is None or len(numbers) == 1 or len(numbers) * len(packed.batch_sizes) <= steps
        seen += numbers.tolist()
    assert sorted(seen) == list(range(len(LENGTHS)))


def test_a_batch_is_packed_longest_first() -> None:
    for packed, _, _ in Batches(numbered(LENGTHS), None, 16, True):
        assert packed.sorted_indices is None
        assert packed.batch_sizes.tolist() == sorted(packed.batch_sizes.tolist(), reverse=True)


def test_lengths_in_a_batch_are_alike() -> None:
    def padding(batches: list[list[int]]) -> float:
        return sum(max(one) * len(one) for one in batches) / sum(LENGTHS) - 1

    bucketed = [[LENGTHS[k] for k in numbers] for _, _, numbers in Batches(numbered(LENGTHS), None, 16, True)]
    drawn = torch.tensor(LENGTHS).split(16)
    assert padding(bucketed) < 0.1 * padding([one.tolist() for one in drawn])


def test_shuffled_passes_differ_and_repeat_with_the_generator() -> None:
    def orders() -> list[list[int]]:
        batches = Batches(numbered(LENGTHS), None, 16, True, torch.Generator().manual_seed(3))
        return [[k for _, _, numbers in batches for k in numbers.tolist()] for _ in range(2)]

    first, second = orders()
    assert first != second
    assert [first, second] == orders()


def test_batches_of_a_pass_are_not_sorted_by_length() -> None:
    longest = [len(packed.batch_sizes) for packed, _, _ in Batches(numbered(LENGTHS), None, 16, True)]
    assert longest != sorted(longest, reverse=True)


def test_targets_may_be_sequences() -> None:
    labels = [torch.arange(length) for length in (2, 3, 1)]
    (_, targets, numbers), *_ = Batches(numbered([2, 3, 1]), labels)
    assert isinstance(targets, Ragged)
    assert numbers.tolist() == [1, 0, 2]
    assert [one.tolist() for one in targets] == [[0, 1, 2], [0, 1], [0]]


def test_targets_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match="there are 2 targets for 3 sequences"):
        Batches(numbered([1, 1, 1]), torch.zeros(2))
