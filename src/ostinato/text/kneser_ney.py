"""What a language model has to beat: n-grams, with the smoothing that has held its ground longest.

Interpolated Kneser-Ney smoothing with three discounts an order (Chen & Goodman 1999, Computer Speech and Language 13).
The libraries that have it want a compiler and files of their own (KenLM), or look every n-gram up in Python's
dictionaries (NLTK), which takes minutes where arrays take a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class _Order:
    """The n-grams of one length, as they stand in a text.

    Attributes:
        grams: (units of the text) the number of the n-gram that ends there; -1 where none does.
        contexts: likewise of the n-gram without its last unit.
    """

    grams: np.ndarray
    contexts: np.ndarray


def log_probabilities(learnt: np.ndarray, told: np.ndarray, vocabulary: int, longest: int) -> Iterator[np.ndarray]:
    """The logarithm of the probability of each unit, given those before it, for n-grams of 1, 2, ... `longest` units.

    Args:
        learnt: (n) numbers of units that n-grams are counted in.
        told: (m) units to predict, which go on from `learnt`.
        vocabulary: how many units there are; those that `learnt` has not seen share a uniform distribution with the
            others.

    Yields:
        (m), natural logarithms.
    """
    text = np.concatenate([learnt, told]).astype(np.int64)
    orders = list(_orders(text, longest, vocabulary))
    below = np.full(len(told), 1 / vocabulary)
    # of the orders below the highest, an n-gram counts once for each unit that it has followed
    for order, above in zip(orders, [*orders[1:], None], strict=True):
        yield np.log(_interpolated(order, _occurrences(order, len(learnt)), below, len(learnt)))
        if above is not None:
            below = _interpolated(order, _continuations(order, above, len(learnt)), below, len(learnt))


def _orders(text: np.ndarray, longest: int, vocabulary: int) -> Iterator[_Order]:
    contexts = np.zeros(len(text), np.int64)
    for _ in range(longest):
        pairs = np.where(contexts < 0, -1, contexts * vocabulary + text)
        grams = np.unique(pairs, return_inverse=True)[1].astype(np.int64)
        if len(pairs) and pairs.min() < 0:
            grams -= 1  # the smallest of all pairs is -1, that of no n-gram
        yield _Order(grams, contexts)
        contexts = np.concatenate([[-1], grams[:-1]])


def _occurrences(order: _Order, learnt: int) -> np.ndarray:
    """(n-grams): how often each stands in what was learnt."""
    seen = order.grams[:learnt]
    return np.bincount(seen[seen >= 0], minlength=int(order.grams.max(initial=0)) + 1)


def _continuations(order: _Order, above: _Order, learnt: int) -> np.ndarray:
    """(n-grams): how many units each has followed in what was learnt."""
    longer, first = np.unique(above.grams[:learnt], return_index=True)
    ends = order.grams[first[longer >= 0]]
    return np.bincount(ends, minlength=int(order.grams.max(initial=0)) + 1)


def _interpolated(order: _Order, counts: np.ndarray, below: np.ndarray, learnt: int) -> np.ndarray:
    """(told): the probability of each unit told, a discounted share of its context and the rest of the order below."""
    grams, place = np.unique(order.grams[:learnt], return_index=True)
    present = (grams >= 0) & (counts[np.maximum(grams, 0)] > 0)
    grams, contexts = grams[present], order.contexts[place[present]]
    number = int(order.contexts.max(initial=0)) + 1
    discounts = _discounts(counts[grams])
    taken = discounts[np.minimum(counts[grams], 3)]
    total = np.bincount(contexts, weights=counts[grams], minlength=number)
    spared = np.bincount(contexts, weights=taken, minlength=number)

    gram, context = order.grams[learnt:], order.contexts[learnt:]
    known = (gram >= 0) & (total[np.maximum(context, 0)] > 0)
    count, here = counts[np.maximum(gram, 0)], total[np.maximum(context, 0)]
    own = np.maximum(count - discounts[np.minimum(count, 3)], 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mixed = (own + spared[np.maximum(context, 0)] * below) / here
    return np.where(known, mixed, below)


def _discounts(counts: np.ndarray) -> np.ndarray:
    """What is taken from a count of 0, 1, 2, and 3 or more (Chen & Goodman 1999, eq. 26)."""
    n1, n2, n3, n4 = (int((counts == k).sum()) for k in (1, 2, 3, 4))
    if not n1 or not n2:
        return np.array([0, 0.5, 0.5, 0.5])  # too few to tell by
    share = n1 / (n1 + 2 * n2)
    found = [
        k - (k + 1) * share * more / fewer if fewer else k * share
        for k, fewer, more in ((1, n1, n2), (2, n2, n3), (3, n3, n4))
    ]
    return np.array([0, *np.clip(found, 0.05, [1, 2, 3])])
