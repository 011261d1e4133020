"""A task that the project makes itself, for who gives no file: one where the order of the words is everything."""

from __future__ import annotations

import numpy as np

from .table import Table

SOURCE = "made-up reviews"
#: What is said of them wherever they are used.
ABOUT = (
    "no file was given, so these are made-up reviews (not real data): each says as much good as bad, "
    "and what it says last is its label; words and pairs of words cannot tell, only their order can"
)
COUNT, SEED = 4000, 0

_GOOD = ("wonderful", "moving", "clever", "funny", "beautiful", "gripping", "charming", "brilliant")
_BAD = ("dull", "clumsy", "boring", "awful", "tiresome", "shallow", "noisy", "predictable")
_THINGS = ("plot", "cast", "music", "ending", "camera work", "dialogue", "pace", "humour", "set", "opening")
_ASIDES = (
    "i saw it on a sunday .",
    "it runs for two hours .",
    "my friends came along .",
    "the cinema was half empty .",
    "it is based on a novel .",
    "we sat in the third row .",
)


def made_reviews(count: int = COUNT, seed: int = SEED) -> Table:
    """Reviews of one good and one bad opinion, or of two each, among asides; "good" or "bad" as the last opinion is.

    For each of them the same sentences in another order have the other label as often.
    """
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(count):
        pairs = int(rng.integers(1, 3))
        good = rng.permutation(np.repeat([True, False], pairs))
        words = [str(rng.choice(_GOOD if one else _BAD)) for one in good]
        things = rng.choice(_THINGS, len(good), replace=False)
        sentences = [f"the {thing} was {word} ." for thing, word in zip(things, words, strict=True)]
        for aside in rng.choice(_ASIDES, int(rng.integers(1, 4)), replace=False):
            sentences.insert(int(rng.integers(0, len(sentences) + 1)), str(aside))
        texts.append(" ".join(sentences))
        labels.append("good" if good[-1] else "bad")
    return Table(SOURCE, texts, labels, "text", "label", np.arange(count) + 1)
