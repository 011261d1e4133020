"""What predictions of classes are worth."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato.sequences import metrics

TRUE = np.array(["a", "a", "b", "b", "c"])
PREDICTED = np.array(["a", "b", "b", "b", "a"])
CLASSES = np.array(["a", "b", "c"])


def test_accuracy_and_f1_by_hand() -> None:
    assert metrics.accuracy(TRUE, PREDICTED) == pytest.approx(3 / 5)
    # a: precision 1/2, recall 1/2; b: 2/3, 1; c: never predicted
    assert metrics.macro_f1(TRUE, PREDICTED) == pytest.approx((0.5 + 0.8 + 0) / 3)


def test_macro_f1_counts_the_classes_that_are_true_or_predicted() -> None:
    # of c and d one is predicted and one true, never rightly; a third that is neither does not count
    assert metrics.macro_f1(np.array(["a", "c"]), np.array(["a", "d"])) == pytest.approx(1 / 3)
    columns = np.array([[1, 0, 0], [1, 1, 0]])  # of labels side by side, every column is one
    assert metrics.macro_f1(columns, columns) == pytest.approx(2 / 3)


def test_confusion_has_true_classes_in_rows() -> None:
    assert metrics.confusion(TRUE, PREDICTED, CLASSES).tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_log_loss_by_hand() -> None:
    probabilities = np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])
    expected = -(np.log(0.5) + np.log(0.8)) / 2
    assert metrics.log_loss(TRUE[[0, 2]], probabilities, CLASSES) == pytest.approx(expected)


def test_calibration_by_hand() -> None:
    classes = np.array([0, 1])
    # of four at 0.9 three are right, of two at 0.6 none
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.4, 0.6]] * 2)
    found = metrics.calibration(np.array([0, 0, 0, 1, 0, 0]), probabilities, classes, bins=10)
    assert found.error == pytest.approx((4 * 0.15 + 2 * 0.6) / 6)
    assert [one.count for one in found.bins] == [0, 0, 0, 0, 0, 2, 0, 0, 4, 0]
    assert (found.bins[8].lowest, found.bins[8].highest) == (pytest.approx(0.8), pytest.approx(0.9))
    assert found.bins[8].accuracy == 0.75


def test_what_is_right_as_often_as_it_says_has_no_error() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(size=100_000)
    true = (rng.uniform(size=len(p)) < p).astype(int)
    found = metrics.calibration(true, np.stack([1 - p, p], axis=1), np.array([0, 1]))
    assert found.error < 0.01
    assert sum(one.count for one in found.bins) == len(p)
