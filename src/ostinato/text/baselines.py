"""What needs no network: the majority, and logistic regression on a bag of n-grams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .labels import Labels, keys, targets

#: The strengths of regularisation that the validation texts choose from; the larger, the weaker.
STRENGTHS = (3.0, 10.0, 30.0)


@dataclass(frozen=True)
class Bag:
    """Logistic regression on a bag of n-grams: which words and pairs of neighbours a text has, and not in what order.

    Attributes:
        strength: as the validation texts chose it.
        ngrams: how many different words and pairs it knows.
        probabilities: (n, classes) of the test texts.
    """

    strength: float
    ngrams: int
    probabilities: np.ndarray


def majority(labels: Labels, classes: np.ndarray, several: bool, count: int) -> np.ndarray:
    """(count, classes): the shares of the classes among the training labels, whatever the text.

    Where there may be several labels: certainty about the most frequent set of them.
    """
    if several:
        most, _ = Counter(keys(labels)).most_common(1)[0]
        return np.tile(np.isin(classes, most).astype(float), (count, 1))
    shares = Counter(keys(labels))
    return np.tile([shares[one] / len(labels) for one in classes.tolist()], (count, 1))


def bag_of_ngrams(
    train: tuple[Sequence[str], Labels],
    validation: tuple[Sequence[str], Labels],
    test: Sequence[str],
    classes: np.ndarray,
    several: bool,
) -> Bag:
    """Logistic regression on the tf-idf of words and of pairs of neighbours: a strong one (Wang & Manning 2012).

    The validation texts choose the strength of regularisation; with it the model is fitted on training and validation
    texts together, which is the most that can be had of them.

    Raises:
        InputError: a label is none of the classes.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    wanted = [targets(labels, classes, several).numpy() for _, labels in (train, validation)]
    # single letters count, and so do marks, as words of languages that do not part words with spaces do
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]", dtype=np.float32)
    learned, watched = vectorizer.fit_transform(train[0]), vectorizer.transform(validation[0])
    chosen = best_strength((learned, wanted[0]), (watched, wanted[1]), len(classes), several)
    everything = vectorizer.fit_transform([*train[0], *validation[0]])
    model = fitted(everything, np.concatenate(wanted), chosen, several)
    found = probabilities(model, vectorizer.transform(test), len(classes), several)
    return Bag(chosen, len(vectorizer.vocabulary_), found)


def best_strength(
    train: tuple[Any, np.ndarray], validation: tuple[Any, np.ndarray], classes: int, several: bool
) -> float:
    """The one of `STRENGTHS` with which a model of the training rows is right about most validation rows; of equals the
    strongest regularisation."""

    def right(strength: float) -> float:
        model = fitted(*train, strength, several)
        found = probabilities(model, validation[0], classes, several)
        if several:
            return float(((found > 0.5) == validation[1]).mean())
        return float((found.argmax(1) == validation[1]).mean())

    return max(STRENGTHS, key=lambda strength: (right(strength), -strength))


def fitted(x: Any, wanted: np.ndarray, strength: float, several: bool) -> Any:
    """Logistic regressions, one for each class against all others; one only where there are two classes."""
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    if several:  # a label that all rows have, or none, needs no regression
        one = LogisticRegression(C=strength, solver="liblinear")
        return [
            (one if 0 < column.sum() < len(column) else DummyClassifier()).__sklearn_clone__().fit(x, column)
            for column in wanted.T.astype(int)
        ]
    return OneVsRestClassifier(LogisticRegression(C=strength, solver="liblinear")).fit(x, wanted)


def probabilities(model: Any, x: Any, classes: int, several: bool) -> np.ndarray:
    """(rows, classes); classes that the model has never seen have none."""
    found = np.zeros((x.shape[0], classes))
    if several:
        for column, one in enumerate(model):
            found[:, column] = one.predict_proba(x) @ one.classes_
        return found
    found[:, model.classes_] = model.predict_proba(x)
    return found
