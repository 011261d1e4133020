"""N-grams: against the formulas read off dictionaries, and as probabilities."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from ostinato.text.kneser_ney import log_probabilities

VOCABULARY = 6


def drawn(count: int, seed: int = 0) -> np.ndarray:
    """Units some of which are much more frequent, and depend on the one before."""
    generator = np.random.default_rng(seed)
    found = [0]
    for _ in range(count - 1):
        found.append(int((found[-1] * 2 + generator.choice(4, p=[0.6, 0.2, 0.15, 0.05])) % 5))
    return np.array(found)


def oracle(learnt: list[int], text: list[int], longest: int) -> float:
    """The probability of the last unit of `text`, after the others (Chen & Goodman 1999, eqs. 22 to 26)."""

    def grams(n: int) -> Counter[tuple[int, ...]]:
        return Counter(tuple(learnt[i : i + n]) for i in range(len(learnt) - n + 1))

    def counts(n: int) -> Counter[tuple[int, ...]]:
        return grams(n) if n == longest else Counter(gram[1:] for gram in grams(n + 1))

    def discount(n: int, count: int) -> float:
        n1, n2, n3, n4 = (sum(c == k for c in counts(n).values()) for k in (1, 2, 3, 4))
        if not n1 or not n2:
            return 0.5 if count else 0
        y = n1 / (n1 + 2 * n2)
        raw = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3 if n3 else 3 * y]
        return 0 if not count else float(np.clip(raw[min(count, 3) - 1], 0.05, min(count, 3)))

    def probability(n: int) -> float:
        if n == 0:
            return 1 / VOCABULARY
        context = tuple(text[len(text) - n : -1])
        after: defaultdict[int, int] = defaultdict(int)
        for gram, count in counts(n).items():
            if gram[:-1] == context:
                after[gram[-1]] += count
        if not after:
            return probability(n - 1)
        total = sum(after.values())
        spared = sum(discount(n, count) for count in after.values()) / total
        count = after[text[-1]]
        return max(count - discount(n, count), 0) / total + spared * probability(n - 1)

    return probability(longest)


@pytest.mark.parametrize("longest", [1, 2, 3])
def test_agrees_with_the_formulas(longest: int) -> None:
    learnt, told = drawn(200), drawn(12, seed=1)
    found = list(log_probabilities(learnt, told, VOCABULARY, longest))[longest - 1]
    whole = [*learnt.tolist(), *told.tolist()]
    expected = [oracle(learnt.tolist(), whole[: len(learnt) + i + 1], longest) for i in range(len(told))]
    assert np.exp(found) == pytest.approx(expected, rel=1e-9)


def test_probabilities_add_up_to_one() -> None:
    learnt, before = drawn(150), drawn(4, seed=2)
    each = [list(log_probabilities(learnt, np.append(before, unit), VOCABULARY, 4)) for unit in range(VOCABULARY)]
    for order in range(4):
        assert sum(np.exp(one[order][-1]) for one in each) == pytest.approx(1, abs=1e-12)


def test_what_was_never_seen_has_a_probability() -> None:
    (unigram, bigram) = log_probabilities(drawn(50), np.array([5, 5, 0]), VOCABULARY, 2)
    assert np.isfinite(unigram).all() and np.isfinite(bigram).all()


def test_only_what_was_learnt_is_counted() -> None:
    """What is told may not teach: the same unit at the same place costs the same whatever comes later."""
    learnt, told = drawn(100), drawn(30, seed=3)
    alone = list(log_probabilities(learnt, told[:10], VOCABULARY, 3))
    longer = list(log_probabilities(learnt, told, VOCABULARY, 3))
    for one, other in zip(alone, longer, strict=True):
        assert one == pytest.approx(other[:10], rel=1e-12)


def test_longer_n_grams_know_more_of_a_text_with_structure() -> None:
    learnt, told = drawn(3000), drawn(500, seed=4)
    unigram, bigram = (float(one.mean()) for one in log_probabilities(learnt, told, VOCABULARY, 2))
    assert bigram > unigram + 0.2
