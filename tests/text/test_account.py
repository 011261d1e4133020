"""The account: against scipy-like oracles by hand, and in words that fit the numbers."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from ostinato.text.account import BAG, MAJORITY, NETWORK, account, mcnemar, wilson
from ostinato.text.regression import regression


def probabilities(chosen: list[int], classes: int = 2, sure: float = 0.9) -> np.ndarray:
    found = np.full((len(chosen), classes), (1 - sure) / (classes - 1))
    found[np.arange(len(chosen)), chosen] = sure
    return found


@pytest.mark.parametrize(("first", "second"), [(0, 0), (5, 0), (0, 6), (7, 3), (12, 12), (40, 20)])
def test_mcnemar_is_the_sign_test(first: int, second: int) -> None:
    right = (
        np.array([True] * first + [False] * second + [True] * 4),
        np.array([False] * first + [True] * second + [True] * 4),
    )
    count, fewer = first + second, min(first, second)
    expected = min(1.0, 2 * sum(comb(count, k) for k in range(fewer + 1)) / 2**count)
    found = mcnemar(*right)
    assert (found.only_first, found.only_second) == (first, second)
    assert found.p == pytest.approx(expected, abs=1e-15)
    assert found.better == (expected < 0.05 and first > second) and found.worse == (expected < 0.05 and first < second)


def test_mcnemar_of_many_rows_does_not_overflow() -> None:
    right = np.repeat([True, False], [6000, 5800])
    assert mcnemar(right, ~right).p == pytest.approx(0.0671, abs=0.002)  # by the normal distribution: z = 1.83


@pytest.mark.parametrize("count", [10, 1000])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_wilson_solves_its_equation(share: float, count: int) -> None:
    """The ends are the shares p with |share - p| = z sqrt(p (1 - p) / n)."""
    for end in wilson(share, count):
        assert 0 <= end <= 1
        assert abs(share - end) == pytest.approx(1.959964 * np.sqrt(end * (1 - end) / count), abs=1e-6)


def verdict_of(network: list[int], bag: list[int], true: list[int]) -> str:
    found = {MAJORITY: probabilities([0] * len(true)), BAG: probabilities(bag), NETWORK: probabilities(network)}
    return account(np.array(true), found, ["no", "yes"], False).verdict


def test_verdicts() -> None:
    true = [0, 1] * 50
    wrong = [1 - one for one in true]
    half = true[:50] + wrong[50:]
    assert verdict_of(true, half, true).startswith(
        "The network is better than the bag of n-grams: 100.0% against 50.0%"
    )
    assert verdict_of(half, true, true).startswith("The network is worse than the bag of n-grams: 50.0% against 100.0%")
    assert "It cannot be told apart from the majority (50.0%)" in verdict_of(half, true, true)
    almost = [wrong[0], *true[1:]]
    assert verdict_of(true, almost, true).startswith("The network cannot be told apart from the bag of n-grams")
    assert verdict_of(true, true, true).startswith("The network and the bag of n-grams are right about the same texts")


def test_account_by_hand() -> None:
    true = np.array([0, 0, 1, 2])
    network = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1], [0.95, 0.03, 0.02]])
    found = account(true, {MAJORITY: probabilities([0] * 4, 3), NETWORK: network}, ["a", "b", "c"], False)
    assert found.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert found.scores[-1].accuracy == 0.5
    assert [(one.row, one.true, one.predicted, one.probability) for one in found.mistakes] == [
        (3, "c", "a", 0.95), (1, "a", "b", 0.6),
    ]  # fmt: skip
    f1 = np.mean([2 / 4, 2 / 3, 0])  # a: 1 right of 2 predicted and 2 true; b: 1 of 2 and 1; c: none
    assert found.scores[-1].macro_f1 == pytest.approx(f1)


def test_several_labels_by_hand() -> None:
    true = np.array([[1, 0], [1, 1], [0, 0]])
    network = np.array([[0.9, 0.2], [0.7, 0.1], [0.1, 0.8]])
    found = account(true, {MAJORITY: network * 0, NETWORK: network}, ["a", "b"], True)
    assert found.scores[-1].accuracy == pytest.approx(1 / 3)  # the first row only has all labels right
    assert found.confusion.tolist() == [[1, 0, 0, 2], [1, 1, 1, 0]]
    assert [(one.true, one.predicted, one.probability) for one in found.mistakes] == [
        ("a, b", "a", 0.9), ("none", "b", 0.8),
    ]  # fmt: skip


def test_permuting_rows_changes_no_score() -> None:
    rng = np.random.default_rng(0)
    true, raw = rng.integers(0, 3, 60), rng.random((2, 60, 3))
    made = raw / raw.sum(2, keepdims=True)
    order = rng.permutation(60)
    one, other = (
        account(true[rows], {MAJORITY: made[0][rows], NETWORK: made[1][rows]}, ["a", "b", "c"], False)
        for rows in (np.arange(60), order)
    )
    assert one.verdict == other.verdict and one.against == other.against
    for first, second in zip(one.scores, other.scores, strict=True):
        assert first.accuracy == second.accuracy and first.macro_f1 == pytest.approx(second.macro_f1)
        assert first.calibration_error == pytest.approx(second.calibration_error)


def test_regression_in_words() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=200)
    close, far = true + 0.1 * rng.normal(size=200), true + rng.normal(size=200)
    names = ("mean", "summary statistics", "network")
    for chosen, word in (
        ((far, close), "is better than"),
        ((close, far), "is worse than"),
        ((far, far), "cannot be told"),
    ):
        found = regression(true, dict(zip(names, (true * 0, *chosen), strict=True)), "network", 0)
        assert word in found.verdict
    assert found.scores[0].r2 == pytest.approx(-((true.mean()) ** 2) / true.var())
    exact = [one.rmse for one in found.scores]
    same = np.sqrt(((far - true) ** 2).mean())
    assert exact == pytest.approx([np.sqrt((true**2).mean()), same, same])
