"""The whole way on small series: what is learned, what is not seen, what comes out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ostinato.forecast import Forecast, InputError, Settings, forecast, make_plan, preset


def weights(result: Forecast) -> list[np.ndarray]:
    return list(result.model.get_weights())


def test_rows_and_scores(wave: pd.DataFrame, small: Settings) -> None:
    result = forecast(wave, "value", settings=replace(small, horizon=3, season=16), future=5)
    split = result.plan.split
    assert (split.train, split.validation, split.test) == (109, 19, 32)
    rows, test = result.rows, result.rows[:32]
    assert list(rows.columns) == ["date", "actual", "prediction", "naive"] and len(rows) == 37
    np.testing.assert_array_equal(test["actual"], wave["value"][-32:])
    np.testing.assert_array_equal(test["naive"], np.repeat(wave["value"].to_numpy()[127:159:3], 3)[:32])
    assert rows["actual"][32:].isna().all() and rows["prediction"].notna().all()
    assert list(rows["date"][32:]) == list(pd.date_range(wave["date"].iloc[-1], periods=6)[1:])
    assert [score.name for score in result.scores] == ["naive", "seasonal naive", "model"]
    assert result.scores[-1].rmse == pytest.approx(np.sqrt(np.mean((test["actual"] - test["prediction"]) ** 2)))
    assert result.scores[0].rmse == pytest.approx(np.sqrt(np.mean((test["actual"] - test["naive"]) ** 2)))


def test_a_wave_is_learned(wave: pd.DataFrame) -> None:
    settings = Settings(window=16, units=8, epochs=60, learning_rate=0.01, horizon=4)
    result = forecast(wave, "value", settings=settings, future=20)
    assert result.scores[-1].against["naive"].low > 0.7
    assert result.verdict.startswith("The model is better than naive: skill +")
    assert not result.lag.follows
    days = np.arange(160, 180)
    np.testing.assert_allclose(result.rows["prediction"][-20:], 10 + np.sin(2 * np.pi * days / 16), atol=0.35)


def test_a_random_walk_is_left_to_naive(small: Settings) -> None:
    walk = pd.DataFrame({"y": 500 + np.cumsum(np.random.default_rng(0).normal(size=400))})
    result = forecast(walk, "y", settings=replace(small, epochs=15, patience=4))
    assert not result.scores[-1].against["naive"].better
    assert "no better than naive" in result.verdict
    assert result.lag.follows and "they follow the last value" in str(result.lag)


def test_a_network_that_does_not_fit_in_memory(wave: pd.DataFrame, small: Settings) -> None:
    units = 10**14  # whose first matrix fits into no address space, so that nothing is allocated
    with pytest.raises(InputError, match=f"does not fit in memory with 1 x {units} units"):
        forecast(wave, "value", settings=replace(small, units=units))


@pytest.mark.parametrize("name", ["default", "tutorial"])
def test_test_rows_are_not_seen(wave: pd.DataFrame, name: str) -> None:
    settings = preset(name, window=8, units=3, layers=1, epochs=2)
    other = wave.assign(value=np.where(np.arange(160) < 128, wave["value"], 1000 - wave["value"]))
    first, second = (forecast(frame, "value", settings=settings) for frame in (wave, other))
    assert first.plan.transformation == second.plan.transformation
    for one, two in zip(weights(first), weights(second), strict=True):
        np.testing.assert_array_equal(one, two)
    # the first test row is predicted from rows before it alone
    assert first.rows["prediction"][0] == second.rows["prediction"][0]
    assert not np.allclose(first.rows["prediction"][1:], second.rows["prediction"][1:])


def test_validation_rows_are_not_scaled_by(wave: pd.DataFrame, small: Settings) -> None:
    other = wave.assign(value=np.where(np.arange(160) < 109, wave["value"], 1000.0 + np.arange(160)))
    first, second = (make_plan(frame, "value", settings=small) for frame in (wave, other))
    assert first.transformation == second.transformation
    np.testing.assert_array_equal(first.examples(0, 109)[0], second.examples(0, 109)[0])
    np.testing.assert_array_equal(first.examples(0, 109)[1], second.examples(0, 109)[1])


def test_examples_stay_within_their_rows(wave: pd.DataFrame, small: Settings) -> None:
    planned = make_plan(wave, "value", settings=replace(small, horizon=3, log=False))
    inputs, targets = planned.examples(109, 128)
    assert len(inputs) == len(targets) == 19 - 3 + 1  # windows reach back into the training rows, answers do not
    first = (planned.series[109:112] - planned.series[108]) / planned.transformation.lead  # type: ignore[attr-defined]
    np.testing.assert_allclose(targets[0], first, rtol=1e-5)


def test_same_seed_same_numbers(wave: pd.DataFrame, small: Settings) -> None:
    settings = replace(small, dropout=0.3)
    first, again = (forecast(wave, "value", settings=settings) for _ in range(2))
    pd.testing.assert_frame_equal(first.rows, again.rows)
    assert first.training.history == again.training.history and first.scores == again.scores
    other = forecast(wave, "value", settings=replace(settings, seed=1))
    assert other.training.history != first.training.history


def test_covariates_are_learned_from(small: Settings) -> None:
    clue = np.random.default_rng(0).normal(size=400)
    frame = pd.DataFrame({"y": 100 + np.cumsum(np.roll(clue, 1)), "clue": clue})  # each clue tells the next step
    settings = replace(small, epochs=40, learning_rate=0.01)
    alone = forecast(frame, "y", settings=settings)
    informed = forecast(frame, "y", settings=settings, covariates=["clue"])
    assert informed.scores[-1].rmse < 0.5 * alone.scores[-1].rmse


def test_separate_test_file(wave: pd.DataFrame, small: Settings) -> None:
    result = forecast(wave[:130], "value", settings=small, test=wave[130:])
    assert (result.plan.split.test, result.plan.test_start) == (30, 130)
    np.testing.assert_array_equal(result.rows["naive"][:30], wave["value"][129:159])


@pytest.mark.parametrize(
    ("rows", "arguments", "sentence"),
    [
        (30, {"settings": {"window": 40}}, "has 30 rows, which leaves 20 to train on, 4 to stop on and 6 to test on"),
        (3, {}, "too few for a window of"),
        (160, {"settings": {"horizon": 30}}, "19 rows to stop on; expected at least 30"),
        (160, {"settings": {"test_size": 1}}, "leaves 1 row to test on; expected at least 2"),
        (160, {"settings": {"test_size": 500}}, "leaves 0 to train on"),
        (
            160,
            {"settings": {"season": 150}},
            "--season is 150, and the 128 rows before the test rows are less than two",
        ),
        (160, {"settings": {"season": 65}}, "--season is 65, and the 128 rows"),
        (160, {"future": -1}, "--future is -1"),
        (160, {"future": 3, "covariates": ["other"]}, "--future is 3, but with covariates"),
    ],
)
def test_impossible_plans(wave: pd.DataFrame, rows: int, arguments: dict[str, Any], sentence: str) -> None:
    arguments = {**arguments, "settings": Settings(**arguments.get("settings", {}))}
    with pytest.raises(InputError, match=sentence):
        make_plan(wave[:rows], "value", **arguments)


def test_constant_series(small: Settings) -> None:
    with pytest.raises(InputError, match="y is 3 in all 68 training rows; there is nothing to learn"):
        make_plan(pd.DataFrame({"y": np.full(100, 3.0)}), "y", settings=small)


def test_test_rows_that_never_change(wave: pd.DataFrame, small: Settings) -> None:
    flat = wave.assign(value=np.where(np.arange(160) < 127, wave["value"], 10.0))
    assert forecast(flat, "value", settings=small).verdict.startswith("The test rows never change")


@pytest.mark.parametrize("name", ["default", "tutorial"])
def test_training_that_diverges_is_told(wave: pd.DataFrame, name: str) -> None:
    settings = preset(name, window=8, units=3, layers=1, epochs=3, learning_rate=1e30)
    with pytest.raises(InputError, match="training diverged"):
        forecast(wave, "value", settings=settings)


def tutorial(shared_data: Path, **changes: Any) -> Forecast:
    folder = shared_data / "fb"
    settings = preset("tutorial", **changes)
    return forecast(folder / "FB_training_data.csv", "Open", settings=settings, test=folder / "FB_test_data.csv")


def test_tutorial_reads_splits_and_predicts(shared_data: Path) -> None:
    result = tutorial(shared_data, epochs=2)
    split = result.plan.split
    assert (split.train, split.validation, split.test) == (1258, 0, 21)
    january = result.rows[:21]
    assert [str(january["date"].iloc[k].date()) for k in (0, 20)] == ["2020-01-02", "2020-01-31"]
    assert january["actual"].iloc[0] == 206.75
    naive = result.scores[0]
    assert (naive.rmse, naive.mape) == pytest.approx((4.38, 1.27), abs=0.005)
    assert january["prediction"].between(100, 300).all()  # dollars


@pytest.mark.slow
def test_tutorial_at_full_length(shared_data: Path) -> None:
    result = tutorial(shared_data)
    losses = [epoch.loss for epoch in result.training.history]
    assert len(losses) == 100
    assert 0.02 < losses[0] < 0.09 and 0.001 < losses[-1] < 0.0025
    assert result.scores[-1].mape < 5
    assert not result.scores[-1].against["naive"].better
