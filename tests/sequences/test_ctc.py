"""Connectionist temporal classification against counting every path."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.sequences import ctc
from ostinato.sequences.ragged import Ragged


def readings(log_probabilities: np.ndarray) -> dict[tuple[int, ...], float]:
    """The probability of every reading, by its paths."""
    found: dict[tuple[int, ...], float] = defaultdict(float)
    steps, labels = log_probabilities.shape
    for path in itertools.product(range(labels), repeat=steps):
        read = tuple(label for label, _ in itertools.groupby(path) if label)
        found[read] += float(np.exp(sum(log_probabilities[step, label] for step, label in enumerate(path))))
    return found


def scores(seed: int, steps: int, labels: int = 3) -> np.ndarray:
    logits = torch.randn(steps, labels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (1.5 * logits).log_softmax(1).numpy()


def test_the_loss_is_that_of_all_paths_that_read_so() -> None:
    made = [scores(0, 4), scores(1, 2), scores(2, 5)]
    texts = [(1, 1), (), (2, 1, 2)]
    expected = -sum(np.log(readings(one)[text]) for one, text in zip(made, texts, strict=True)) / 11
    batch = Ragged.of([torch.from_numpy(one) for one in made])
    targets = Ragged(torch.tensor([1, 1, 2, 1, 2]), torch.tensor([2, 0, 3]))
    assert float(ctc.loss(batch.pack(), targets)) == pytest.approx(expected)


@given(st.integers(0, 10_000), st.integers(1, 5))
@settings(deadline=None, max_examples=40)
def test_a_wide_beam_finds_the_most_probable_reading(seed: int, steps: int) -> None:
    log_probabilities = scores(seed, steps)
    expected = readings(log_probabilities)
    assert expected[ctc.beam(log_probabilities, 1000)] == pytest.approx(max(expected.values()))


def test_a_beam_may_beat_the_most_probable_path() -> None:
    # every step is most probably blank, yet some label is somewhere more probably than none
    log_probabilities = np.log(np.array([[0.6, 0.4], [0.6, 0.4]]))
    assert ctc.greedy(log_probabilities) == ()
    assert ctc.beam(log_probabilities, 4) == (1,)


def test_greedy_drops_repeats_then_blanks() -> None:
    path = [0, 1, 1, 0, 1, 2, 2, 0]
    assert ctc.greedy(np.eye(3)[path]) == (1, 1, 2)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("flaw", "lawn", 2), ("same", "same", 0)],
)
def test_edits(one: str, other: str, expected: int) -> None:
    assert ctc.edits(one, other) == ctc.edits(other, one) == expected


@pytest.mark.parametrize(("text", "steps"), [([], 0), ([1], 1), ([1, 2], 2), ([1, 1], 3), ([1, 1, 1, 2], 6)])
def test_steps_needed(text: list[int], steps: int) -> None:
    assert ctc.steps_needed(np.array(text)) == steps
