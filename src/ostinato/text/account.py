"""The account of a classifier: beside what needs no network, and what that means in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..sequences import metrics
from ..sequences.metrics import Calibration

MAJORITY, BAG, NETWORK, BOTH = "majority", "bag of n-grams", "network", "network with n-grams"
#: A difference that chance makes less often than this is one.
LEVEL = 0.05
#: How many mistakes are shown.
WORST = 10


@dataclass(frozen=True)
class Score:
    """How one classifier did on the test rows.

    Attributes:
        name: of the classifier.
        accuracy: the share of rows that are right; where there may be several labels, in all of them.
        low, high: its 95% interval.
        macro_f1: the mean of the classes' F1.
        calibration_error: expected calibration error.
    """

    name: str
    accuracy: float
    low: float
    high: float
    macro_f1: float
    calibration_error: float


@dataclass(frozen=True)
class Comparison:
    """Two classifiers on the same rows.

    Attributes:
        only_first, only_second: rows that only one of them has right.
        p: how often chance alone parts them as far (McNemar's exact test).
    """

    only_first: int
    only_second: int
    p: float

    @property
    def better(self) -> bool:
        """Whether the first is, beyond chance."""
        return self.p < LEVEL and self.only_first > self.only_second

    @property
    def worse(self) -> bool:
        return self.p < LEVEL and self.only_first < self.only_second


@dataclass(frozen=True)
class Mistake:
    """A row that the network is wrong about.

    Attributes:
        row: number of the test row, from 0.
        true, predicted: labels, as words.
        probability: what it gave to the label predicted; where there may be several labels, to the one that it is most
            sure of and wrong about.
    """

    row: int
    true: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class Account:
    """What a classifier is worth.

    Attributes:
        classes: (classes) labels.
        several: whether a row may have several.
        count: test rows.
        scores: the majority's, those of others, that of the strongest baseline, and last that of the classifier which
            the account is of: the network, perhaps with n-grams.
        against: it beside each of the others, by name.
        confusion: (classes, classes): rows of the class of the row, predicted to be of that of the column; with several
            labels (classes, 4): right without, wrongly given, missed, right with the label.
        calibration: of the classifier.
        mistakes: the ones that it is surest of.
        verdict: a plain sentence or two.
    """

    classes: tuple[str, ...]
    several: bool
    count: int
    scores: tuple[Score, ...]
    against: Mapping[str, Comparison]
    confusion: np.ndarray
    calibration: Calibration
    mistakes: tuple[Mistake, ...]
    verdict: str


def account(
    true: np.ndarray, found: Mapping[str, np.ndarray], classes: Sequence[Any], several: bool, what: str = "texts"
) -> Account:
    """The account of probabilities of the same test rows.

    Args:
        true: (n) numbers of classes, or (n, classes) of 0 and 1.
        found: (n, classes) probabilities by name: the majority's first, those of the strongest baseline last but one,
            and last those of the classifier that the account is of.
        classes: labels.
        what: the rows are.
    """
    right = {name: _right(true, one, several) for name, one in found.items()}
    scores = tuple(_score(name, true, one, right[name], several) for name, one in found.items())
    *others, judged = found
    against = {name: mcnemar(right[judged], right[name]) for name in others}
    network = found[judged]
    names = tuple(str(one) for one in classes)
    return Account(
        names,
        several,
        len(true),
        scores,
        against,
        _confusion(true, network, several),
        _calibration(true, network, several),
        _mistakes(true, network, names, several),
        verdict(scores, against, len(true), what),
    )


def _decided(probabilities: np.ndarray, several: bool) -> np.ndarray:
    return (probabilities > 0.5).astype(int) if several else probabilities.argmax(1)


def _right(true: np.ndarray, probabilities: np.ndarray, several: bool) -> np.ndarray:
    same = np.asarray(_decided(probabilities, several) == true)
    return np.asarray(same.all(1)) if several else same


def _score(name: str, true: np.ndarray, probabilities: np.ndarray, right: np.ndarray, several: bool) -> Score:
    error = _calibration(true, probabilities, several).error
    share = float(right.mean())
    return Score(
        name, share, *wilson(share, len(right)), metrics.macro_f1(true, _decided(probabilities, several)), error
    )


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95% interval of a share of `count` rows (Wilson 1927)."""
    z = 1.959964
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def mcnemar(first: np.ndarray, second: np.ndarray) -> Comparison:
    """Whether two classifiers differ, by the rows that only one has right (McNemar 1947, the exact test of both sides).

    Args:
        first, second: (n) which rows each has right.
    """
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    count, fewer = only_first + only_second, min(only_first, only_second)
    ways, term = 0, 1
    for k in range(fewer + 1):
        ways += term
        term = term * (count - k) // (k + 1)
    # whole numbers too large for a float, divided before they become one
    return Comparison(only_first, only_second, min(1.0, float((2 * ways * 10**18 >> count) / 10**18)))


def _calibration(true: np.ndarray, probabilities: np.ndarray, several: bool) -> Calibration:
    if several:  # every label of every row is a question of its own
        flat = probabilities.ravel()
        return metrics.calibration(true.ravel().astype(int), np.stack([1 - flat, flat], 1), np.arange(2))
    return metrics.calibration(true, probabilities, np.arange(probabilities.shape[1]))


def _confusion(true: np.ndarray, probabilities: np.ndarray, several: bool) -> np.ndarray:
    decided = _decided(probabilities, several)
    if not several:
        return metrics.confusion(true, decided, np.arange(probabilities.shape[1]))
    code = 2 * true.astype(int) + decided
    return np.stack([(code == kind).sum(0) for kind in range(4)], 1)


def _mistakes(true: np.ndarray, probabilities: np.ndarray, names: Sequence[str], several: bool) -> tuple[Mistake, ...]:
    decided = _decided(probabilities, several)
    sure = np.maximum(probabilities, 1 - probabilities) if several else probabilities
    wrong = (decided != true) if several else (np.arange(len(names)) == decided[:, None]) & (decided != true)[:, None]
    surest = np.where(wrong, sure, -1.0).max(1)
    rows = [int(row) for row in np.argsort(-surest, kind="stable")[:WORST] if surest[row] >= 0]

    def words(labels: np.ndarray) -> str:
        if several:
            return ", ".join(names[int(k)] for k in np.flatnonzero(labels)) or "none"
        return names[int(labels)]

    return tuple(Mistake(row, words(true[row]), words(decided[row]), float(surest[row])) for row in rows)


def percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def verdict(scores: Sequence[Score], against: Mapping[str, Comparison], count: int, what: str) -> str:
    """What the scores mean, in a sentence or two. The judged one is the last; the strongest baseline's before it."""
    network, other = scores[-1], scores[-2]
    both = f"{percent(network.accuracy)} against {percent(other.accuracy)} of {count:,} test {what}"
    beside = against[other.name]
    said = _said(beside, other.name)
    sentence = f"The {network.name} {said}: {both} right."
    if beside.only_first + beside.only_second == 0:
        sentence = f"The {network.name} and the {other.name} are right about the same {what}: {both}."
    chance = against[MAJORITY]
    if not chance.better and other.name != MAJORITY:
        told = f"{_said(chance, MAJORITY)} ({percent(scores[0].accuracy)})"
        sentence += f" It {told}: these {what} do not show that it has learned anything."
    return sentence


def _said(beside: Comparison, name: str) -> str:
    if beside.better:
        return f"is better than the {name}"
    if beside.worse:
        return f"is worse than the {name}"
    return f"cannot be told apart from the {name}"


def explained(beside: Comparison, judged: str, name: str, what: str) -> str:
    """The numbers behind a verdict."""
    chance = f"p = {beside.p:.2g}" if beside.p >= 1e-4 else "p < 0.0001"
    return (
        f"{beside.only_first:,} {what} are right in the {judged} only, {beside.only_second:,} in the {name} only "
        f"(McNemar, {chance})"
    )
