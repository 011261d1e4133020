"""What predictions of classes are worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Bin:
    """Predictions of like confidence.

    Attributes:
        lowest, highest: the confidences that fall into it, above `lowest` up to `highest`.
        count: how many do.
        confidence: their mean confidence; 0 where there are none.
        accuracy: the share of them that is right; 0 where there are none.
    """

    lowest: float
    highest: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Whether predictions are right as often as they say.

    Attributes:
        error: the expected calibration error, the mean distance of confidence and accuracy over the bins, each weighted
            by its count, within 0..1 (Guo et al. 2017, 1706.04599).
        bins: of equal width.
    """

    error: float
    bins: tuple[Bin, ...]


def accuracy(true: np.ndarray, predicted: np.ndarray) -> float:
    """The share of predictions that are right; of rows of labels, those right in all of them."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(true, predicted))


def macro_f1(true: np.ndarray, predicted: np.ndarray) -> float:
    """The mean of the classes' F1, each class counting alike, of all classes that are true or predicted somewhere.

    Of a matrix of labels it is the mean over its columns, where one that is neither true nor predicted has the F1 0.
    """
    from sklearn.metrics import f1_score

    return float(f1_score(true, predicted, average="macro", zero_division=0.0))


def confusion(true: np.ndarray, predicted: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(classes, classes): how many of the class of the row were predicted to be of that of the column."""
    from sklearn.metrics import confusion_matrix

    return np.asarray(confusion_matrix(true, predicted, labels=classes))


def log_loss(true: np.ndarray, probabilities: np.ndarray, classes: np.ndarray) -> float:
    """The mean of -log of the probability given to what was true, in nats; `classes` are sorted."""
    from sklearn.metrics import log_loss as loss

    return float(loss(true, probabilities, labels=classes))


def calibration(true: np.ndarray, probabilities: np.ndarray, classes: np.ndarray, bins: int = 15) -> Calibration:
    """Calibration of the class that each row predicts.

    Args:
        true: (n) classes.
        probabilities: (n, classes).
        classes: what the columns stand for.
        bins: of equal width within 0..1.
    """
    confidence = probabilities.max(axis=1)
    right = classes[probabilities.argmax(axis=1)] == true
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, bins - 1)
    made = []
    for number in range(bins):
        inside = place == number
        count = int(inside.sum())
        means = (float(confidence[inside].mean()), float(right[inside].mean())) if count else (0.0, 0.0)
        made.append(Bin(float(edges[number]), float(edges[number + 1]), count, *means))
    error = sum(one.count * abs(one.confidence - one.accuracy) for one in made) / max(len(true), 1)
    return Calibration(error, tuple(made))
