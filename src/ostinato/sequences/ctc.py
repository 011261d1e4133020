"""Connectionist temporal classification: labels without their times (Graves et al. 2006, ICML).

A network gives at every step the probability of each label and of a blank, label 0. A path of one of them a step is
read by dropping repeats, then blanks; the probability of a text is that of all paths that read so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn.functional import ctc_loss
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from .network import with_data
from .ragged import Ragged


def loss(answer: PackedSequence, targets: Ragged) -> Tensor:
    """-log of the probability of the targets, in nats a step.

    Args:
        answer: (all steps, 1 + labels), unnormalised.
        targets: labels, from 1.
    """
    # torch's loss takes padding; the network before it has computed none
    scores, lengths = pad_packed_sequence(with_data(answer, answer.data.log_softmax(1)))
    total = ctc_loss(scores, targets.values, lengths, targets.lengths, blank=0, reduction="sum")
    return total / len(answer.data)


def steps_needed(labels: np.ndarray) -> int:
    """The fewest steps that can read so: one a label, and a blank between equal neighbours."""
    return len(labels) + int((labels[1:] == labels[:-1]).sum())


def greedy(scores: np.ndarray) -> tuple[int, ...]:
    """The reading of the most probable path.

    Args:
        scores: (steps, 1 + labels) in any scale that rises with probability.
    """
    path = scores.argmax(axis=1)
    kept = path[np.diff(path, prepend=-1) != 0]
    return tuple(kept[kept != 0].tolist())


def beam(log_probabilities: np.ndarray, width: int) -> tuple[int, ...]:
    """The most probable reading found by a prefix beam search (Graves 2012, Studies in Computational Intelligence 385).

    Args:
        log_probabilities: (steps, 1 + labels).
        width: how many prefixes are followed.
    """
    # of each prefix, the log probability of the paths that read so and end in a blank, and of the others
    prefixes: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}
    for step in log_probabilities.tolist():
        found: dict[tuple[int, ...], tuple[float, float]] = {}

        def add(prefix: tuple[int, ...], blank: float, other: float, found: Any = found) -> None:
            before = found.get(prefix, (-math.inf, -math.inf))
            found[prefix] = (_either(before[0], blank), _either(before[1], other))

        for prefix, (blank, other) in prefixes.items():
            both = _either(blank, other)
            add(prefix, both + step[0], other + step[prefix[-1]] if prefix else -math.inf)
            for label in range(1, len(step)):
                repeats = bool(prefix) and label == prefix[-1]
                add((*prefix, label), -math.inf, (blank if repeats else both) + step[label])
        ranked = sorted(found.items(), key=lambda one: (-_either(*one[1]), one[0]))
        prefixes = dict(ranked[:width])
    return next(iter(prefixes))


def _either(one: float, other: float) -> float:
    """log(exp(one) + exp(other))."""
    high, low = max(one, other), min(one, other)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def edits(one: Sequence[object], other: Sequence[object]) -> int:
    """The fewest insertions, deletions and replacements that make `other` of `one` (Levenshtein 1966)."""
    row = list(range(len(other) + 1))
    for number, symbol in enumerate(one, 1):
        diagonal, row[0] = row[0], number
        for place, against in enumerate(other, 1):
            diagonal, row[place] = row[place], min(diagonal + (symbol != against), row[place] + 1, row[place - 1] + 1)
    return row[-1]
