"""Sequences of numbers: what their summary is, and that the network is told from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.text.account import NETWORK
from ostinato.text.numbers import SUMMARY, Source, execute, make_plan, predict, save, summary
from ostinato.text.regression import regression


def archive(path: Path, x: np.ndarray, **others: Any) -> Source:
    np.savez(path, x=x, **others)
    return Source(path)


def test_summary_by_hand() -> None:
    (row,) = summary([np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 6.0]])])
    deviations = [np.sqrt(2 / 3), np.sqrt(8)]
    assert row == pytest.approx([2, 2, *deviations, 1, 0, 3, 6, 1, 0, 2, 6, 3])


def ordered(count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Sequences with a bump in the middle, up before down or down before up: alike in every statistic."""
    rng = np.random.default_rng(0)
    up = rng.random(count) < 0.5
    x = 0.05 * rng.normal(size=(count, 14, 1))
    x[:, 4, 0] += np.where(up, 1, -1)
    x[:, 9, 0] -= np.where(up, 1, -1)
    return x, np.where(up, "up", "down")


def test_order_is_learned_and_a_summary_cannot_tell_it(tmp_path: Path) -> None:
    x, y = ordered()
    plan = make_plan(archive(tmp_path / "x.npz", x, y=y), parameters={"units": 8, "epochs": 15, "learning_rate": 0.02})
    result = execute(plan)
    scores = {score.name: score.accuracy for score in result.account.scores}
    assert scores[NETWORK] > 0.95 and scores[SUMMARY] < 0.75
    assert "is better than the summary statistics" in result.account.verdict
    (tmp_path / "run").mkdir()
    save(result, tmp_path / "run")
    rows = predict(tmp_path / "run", tmp_path / "x.npz")
    assert (rows["predicted"] == y).mean() > 0.95


def test_a_summary_suffices_where_it_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 8, 2))
    parameters = {"units": 4, "epochs": 2}
    result = execute(make_plan(archive(tmp_path / "x.npz", x, y=x[:, -1, 0]), None, "regress", parameters=parameters))
    fits = {fit.name: fit for fit in result.account.scores}
    assert fits[SUMMARY].rmse < 0.05 < fits["mean"].rmse and fits[SUMMARY].r2 > 0.99
    assert "is worse than the summary statistics" in result.account.verdict


@pytest.mark.parametrize(
    ("others", "task", "sentence"),
    [
        ({}, "classify", "has no labels; expected y"),
        ({"y": np.zeros(40)}, "classify", "all sequences have the label '0.0'; expected at least two"),
        ({"y": np.linspace(0, 1, 40)}, "classify", "40 different labels for 40 sequences"),
        ({"y": np.array(["a", "b"] * 20)}, "regress", "the labels are no numbers but 'a'"),
        ({"y": np.full(40, 2.5)}, "regress", "all labels are 2.5; expected numbers that differ"),
    ],
)
def test_bad_labels(tmp_path: Path, others: dict[str, Any], task: Any, sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        make_plan(archive(tmp_path / "x.npz", np.zeros((40, 5, 1)), **others), None, task)
    assert sentence in str(raised.value)


def test_labels_of_a_file_of_their_own_do_not_go_with_another(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 5, 1))
    for name, array in (("x", x), ("y", np.arange(40) % 2), ("x2", x[:10])):
        np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(InputError, match=r"x2\.npy has no labels"):
        make_plan(Source(tmp_path / "x.npy", label=str(tmp_path / "y.npy")), tmp_path / "x2.npy")


def test_targets_that_are_not_finite(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 5, 1))
    y = np.r_[np.nan, x[1:, 0, 0]]
    with pytest.raises(InputError, match="1 of the labels are not finite"):
        make_plan(archive(tmp_path / "x.npz", x, y=y), None, "regress")


def test_a_feature_that_is_constant_but_for_rounding(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(200, 9, 1)), np.full((200, 9, 1), 0.1)], -1)
    y = (x[:, :, 0].mean(1) > 0).astype(int)
    further = np.concatenate([x[:60, :, :1], np.full((60, 9, 1), 0.11)], -1)
    archive(tmp_path / "test.npz", further, y=y[:60])
    result = execute(
        make_plan(archive(tmp_path / "x.npz", x, y=y), tmp_path / "test.npz", parameters={"units": 4, "epochs": 1})
    )
    assert {score.name: score.accuracy for score in result.account.scores}[SUMMARY] > 0.9


def test_predictions_name_their_sequences(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(50, 5, 1))
    y = x[:, 0, 0].round(6)
    plan = make_plan(archive(tmp_path / "x.npz", x, y=y), None, "regress", parameters={"units": 4, "epochs": 1})
    rows = execute(plan).predictions
    assert rows["label"].tolist() == y[rows["sequence"]].tolist()


def test_few_test_rows_have_no_interval() -> None:
    true = np.arange(8.0)
    found = regression(true, {SUMMARY: true + 1.0, NETWORK: true + 0.1}, NETWORK, 0)
    assert "cannot be told apart from" in found.verdict and "8 test rows are too few for an interval" in found.verdict
    many = np.arange(40.0)
    assert "is better than" in regression(many, {SUMMARY: many + 1.0, NETWORK: many + 0.1}, NETWORK, 0).verdict
