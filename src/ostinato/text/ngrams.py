"""Logistic regression on the words of texts and pairs of neighbours, weighed by how they part the classes.

Wang & Manning 2012 ("Baselines and bigrams: simple, good sentiment and topic classification", their NB-SVM): an n-gram
counts as the logarithm of the ratio of its shares in the two classes, so that the regression begins at naive Bayes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

#: Places that n-grams are hashed to: 25,000 film reviews have 1.2 million different ones.
PLACES = 2**22


def ngrams(texts: Sequence[str]) -> Any:
    """(n, PLACES), sparse: 1 where a text has the word or the pair of neighbours that is hashed to there.

    Single letters count, and so do marks, as words of languages that do not part words with spaces do.
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(
        n_features=PLACES, ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]",
        binary=True, alternate_sign=False, norm=None, dtype=np.float32,
    ).transform(texts)  # fmt: skip


class NGrams:
    """One regression for each class against all others, of two classes one only; or one for each of several labels.

    With p the n-grams' counts in the texts of a class, plus one, and q those in all others, the ratios are
    log(p / |p|) - log(q / |q|); the features of a text are the ratios of its n-grams, divided by their norm.

    Attributes:
        several: whether a text may have several labels.
        strength: of regularisation, scikit-learn's C: the larger, the weaker.
        known: (k) places of the n-grams that the training texts have.
        ratios, weights: (regressions, k).
        intercepts: (regressions).
    """

    def __init__(
        self,
        several: bool,
        strength: float | np.ndarray,
        known: np.ndarray,
        ratios: np.ndarray,
        weights: np.ndarray,
        intercepts: np.ndarray,
    ) -> None:
        self.several, self.strength = several, float(strength)
        self.known, self.ratios, self.weights, self.intercepts = known, ratios, weights, intercepts

    @classmethod
    def fit(cls, x: Any, wanted: np.ndarray, classes: int, several: bool, strength: float) -> NGrams:
        """
        Args:
            x: (n, PLACES) as of `ngrams`.
            wanted: (n) numbers of classes, or (n, classes) of 0 and 1.
            classes: how many there are.
            strength: see there.
        """
        marks = wanted if several else wanted[:, None] == (np.arange(classes) if classes > 2 else [1])
        known = np.unique(x.indices)
        found = [_regression(x[:, known], column, strength) for column in marks.T.astype(bool)]
        ratios, weights, intercepts = (np.array(part, np.float32) for part in zip(*found, strict=True))
        return cls(several, strength, known.astype(np.int32), ratios, weights, intercepts)

    def probabilities(self, x: Any) -> np.ndarray:
        """(n, PLACES) -> (n, classes)."""
        x = x[:, self.known]
        norms = np.sqrt(x @ np.square(self.ratios).T)
        odds = x @ (self.ratios * self.weights).T / np.where(norms > 0, norms, 1) + self.intercepts
        found: np.ndarray = 1 / (1 + np.exp(-odds.astype(float)))
        if self.several:
            return found
        if found.shape[1] == 1:
            return np.concatenate([1 - found, found], 1)
        return np.asarray(found / found.sum(1, keepdims=True))

    def arrays(self) -> dict[str, np.ndarray]:
        """What it is made of, but for `several`: further arguments of another one like it."""
        return {name: np.asarray(value) for name, value in vars(self).items() if name != "several"}


def _regression(x: Any, y: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray, float]:
    """The ratios, the weights and the intercept of one class, of the rows where `y` is true, against all others."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import normalize

    if y.all() or not y.any():  # a label that all texts have, or none, needs no regression
        zeros = np.zeros(x.shape[1])
        return zeros, zeros, float(np.log((y.sum() + 0.5) / ((~y).sum() + 0.5)))
    inside, outside = (np.asarray(x[rows].sum(0), dtype=float).ravel() + 1 for rows in (y, ~y))
    ratios = np.log(inside / inside.sum()) - np.log(outside / outside.sum())
    model = LogisticRegression(C=strength, solver="liblinear").fit(normalize(x.multiply(ratios).tocsr()), y)
    return ratios, model.coef_[0], float(model.intercept_[0])
