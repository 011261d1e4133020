"""What needs no network: the majority, and logistic regression on a bag of n-grams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from .labels import Labels, keys, targets
from .ngrams import NGrams, ngrams

#: The strengths of regularisation that the validation texts choose from; the larger, the weaker.
STRENGTHS = (3.0, 10.0, 30.0)

Model = TypeVar("Model")


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
    classes: np.ndarray,
    several: bool,
) -> tuple[NGrams, np.ndarray]:
    """Logistic regression on the words of texts and pairs of neighbours, as strongly held back as the validation texts
    choose; and then fitted to training and validation texts together, which is the most that can be had of them.

    Returns:
        It; and (validation texts, classes) the probabilities that it gave when it had seen the training texts only.

    Raises:
        InputError: a label is none of the classes.
    """
    from scipy.sparse import vstack

    (x, wanted), (watched, true) = (
        (ngrams(texts), targets(labels, classes, several).numpy()) for texts, labels in (train, validation)
    )

    def fitted(x: Any, wanted: np.ndarray, strength: float) -> NGrams:
        return NGrams.fit(x, wanted, len(classes), several, strength)

    tried = best(
        lambda strength: fitted(x, wanted, strength),
        lambda model: right(model.probabilities(watched), true, several),
    )
    both = fitted(vstack([x, watched], "csr"), np.concatenate([wanted, true]), tried.strength)
    return both, tried.probabilities(watched)


def best(made: Callable[[float], Model], worth: Callable[[Model], float]) -> Model:
    """The model of the one of `STRENGTHS` that is worth most; of equals the strongest regularisation."""
    models = [made(strength) for strength in STRENGTHS]
    return max(models, key=worth)


def right(found: np.ndarray, wanted: np.ndarray, several: bool) -> float:
    """The share of rows, or of labels where a row may have several, that probabilities are right about."""
    return float(((found > 0.5) == wanted).mean() if several else (found.argmax(1) == wanted).mean())


def fitted(x: Any, wanted: np.ndarray, strength: float, several: bool) -> Any:
    """Logistic regressions, one for each class against all others; one only where there are two classes."""
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    one = LogisticRegression(C=strength, solver="liblinear")
    if several:  # a label that all rows have, or none, needs no regression
        return [
            (one if 0 < column.sum() < len(column) else DummyClassifier()).__sklearn_clone__().fit(x, column)
            for column in wanted.T.astype(int)
        ]
    return OneVsRestClassifier(one).fit(x, wanted)


def probabilities(model: Any, x: Any, classes: int, several: bool) -> np.ndarray:
    """(rows, classes); classes that the model has never seen have none."""
    found = np.zeros((x.shape[0], classes))
    if several:
        for column, one in enumerate(model):
            found[:, column] = one.predict_proba(x) @ one.classes_
        return found
    found[:, model.classes_] = model.predict_proba(x)
    return found
