"""The batches that `benchmarks.text` trains on: film reviews where they are at hand, and made-up sequences."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import torch
from torch.nn.utils.rnn import pad_packed_sequence

from ostinato.sequences.batches import Batches
from ostinato.sequences.ragged import Ragged
from ostinato.text.settings import Settings
from ostinato.text.split import set_apart
from ostinato.text.subwords import SPECIAL, Subwords

from .problems import IMDB
from .text_networks import Batch

#: Rows of the batch that results are checked on, and its most steps: lengths as unlike as there are.
CHECKED, SHORT = 16, 60

#: One of so many film reviews is read, since encoding all of them takes a minute.
SHARE = 3

#: Training texts of the film reviews, a tenth of which is set apart.
REVIEWS = 22_500


@dataclass(frozen=True)
class Epoch:
    """What a pass over all sequences takes, and a few of its batches.

    Attributes:
        origin: where the sequences come from.
        rows, batches, steps: of the whole epoch; steps without padding.
        filled: share of the padded batches that is no padding.
        chosen: batches whose number of steps is at like distances among all; the middle one first, so that the first
            few are as well spread as all.
        check: a small batch of very unlike lengths.
    """

    origin: str
    rows: int
    batches: int
    steps: int
    filled: float
    chosen: list[Batch]
    check: Batch


def middles(count: int) -> list[int]:
    """0 ... count - 1: the middle first, then the middles of both halves, and so on."""
    order, halves = [], [(0, count)]
    while halves:
        low, high = halves.pop(0)
        if low < high:
            middle = (low + high) // 2
            order.append(middle)
            halves += [(low, middle), (middle + 1, high)]
    return order


def make_epoch(origin: str, sequences: Ragged, labels: torch.Tensor, size: int, count: int) -> Epoch:
    """Sequences in batches of like length, as `ostinato.sequences` makes them.

    Args:
        origin: said in the report.
        sequences, labels: of all rows.
        size: rows of a batch.
        count: of the batches that are to be timed, at most.
    """
    plan = list(Batches(sequences, labels, size, True, torch.Generator().manual_seed(0)))
    plan.sort(key=lambda batch: len(batch[0].batch_sizes))
    padded = sum(len(rows) * len(packed.batch_sizes) for packed, _, rows in plan)
    spread = ((np.arange(min(count, len(plan))) + 0.5) / min(count, len(plan)) * len(plan)).astype(int)
    chosen = [_padded(sequences, labels, plan[spread[number]][2]) for number in middles(len(spread))]
    by_length = sequences.lengths.argsort(descending=True, stable=True)
    sample = by_length[torch.linspace(0, len(by_length) - 1, min(CHECKED, len(by_length))).long()]
    cut = Ragged.of(
        [
            sequences[row][: max(1, min(len(sequences[row]), SHORT) * (len(sample) - place) // len(sample))]
            for place, row in enumerate(sample.tolist())
        ]
    )
    order = cut.lengths.argsort(descending=True, stable=True)
    check = _padded(cut.select(order), labels[sample][order], torch.arange(len(cut)))
    steps = int(sequences.lengths.sum())
    return Epoch(origin, len(sequences), len(plan), steps, steps / padded, chosen, check)


def _padded(sequences: Ragged, labels: torch.Tensor, rows: torch.Tensor) -> Batch:
    x, lengths = pad_packed_sequence(sequences.pack(rows), batch_first=True)
    return Batch(x.numpy(), lengths.numpy(), labels[rows].numpy())


def reviews(vocabulary: int, longest: int | None, size: int, count: int, source: Path = IMDB) -> Epoch:
    """An epoch of the film reviews as `ostinato classify` reads them; without the file, of made-up subwords.

    Args:
        vocabulary: most subwords.
        longest: subwords that are read of a text; None is all.
        size, count: see `make_epoch`.
        source: JSON lines of texts and labels, compressed. Every third of its training texts is read, for `SHARE`.
    """
    if not source.is_file():
        return made_up(vocabulary, longest, size, count)
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    classes = sorted({row["label"] for row in rows})
    stay, _ = set_apart([row["label"] for row in rows], Settings().validation_size, 0, "--validation-size")
    third = stay[::SHARE]
    texts = [rows[row]["text"] for row in third]
    sequences = Subwords.train(texts, vocabulary).encode(texts, longest)
    labels = torch.tensor([classes.index(rows[row]["label"]) for row in third])
    part = make_epoch("", sequences, labels, size, count)
    origin = "IMDB reviews, a tenth set apart; what an epoch has is estimated from one in three"
    return replace(
        part, origin=origin, rows=len(stay), batches=-(-len(stay) // size), steps=part.steps * len(stay) // len(third)
    )


def made_up(vocabulary: int, longest: int | None, size: int, count: int, rows: int = REVIEWS) -> Epoch:
    """Texts of subwords by Zipf's law, with lengths like those of film reviews: log-normal, 275 in the middle."""
    generator = np.random.default_rng(0)
    at = (generator.permutation(rows) + 0.5) / rows
    long = 275 * np.exp(0.7 * np.array([NormalDist().inv_cdf(point) for point in at]))
    lengths = np.clip(long.astype(int), 1, longest)
    ranks = np.arange(len(SPECIAL), vocabulary)
    weight = 1.0 / (1.0 + np.arange(len(ranks)))
    drawn = generator.choice(ranks, int(lengths.sum()), p=weight / weight.sum())
    sequences = Ragged(torch.from_numpy(drawn), torch.from_numpy(lengths))
    origin = "a log-normal stand-in for IMDB reviews (made-up subwords)"
    return make_epoch(origin, sequences, torch.from_numpy(generator.integers(0, 2, rows)), size, count)


def vowels(inputs: int, classes: int, size: int, count: int) -> Epoch:
    """Sequences of random numbers of the size of Japanese Vowels: 270 of 7 to 29 steps."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(7, 30, 270)
    values = generator.standard_normal((int(lengths.sum()), inputs)).astype(np.float32)
    sequences = Ragged(torch.from_numpy(values), torch.from_numpy(lengths))
    labels = torch.from_numpy(generator.integers(0, classes, len(lengths)))
    return make_epoch("random numbers of the size of Japanese Vowels", sequences, labels, size, count)
