"""The measures against values worked out by hand, and the interval against what is known of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ostinato.forecast import metrics

ACTUAL = np.array([1.0, 2.0, 4.0, 8.0])
FORECAST = np.array([2.0, 2.0, 1.0, 8.0])


def test_root_mean_squared_error() -> None:
    assert metrics.rmse(ACTUAL, FORECAST) == pytest.approx(math.sqrt((1 + 0 + 9 + 0) / 4))


def test_mean_absolute_error() -> None:
    assert metrics.mae(ACTUAL, FORECAST) == pytest.approx((1 + 0 + 3 + 0) / 4)


def test_mean_absolute_percentage_error() -> None:
    assert metrics.mape(ACTUAL, FORECAST) == pytest.approx(100 * (1 / 1 + 0 + 3 / 4 + 0) / 4)
    assert metrics.mape(-ACTUAL, -FORECAST) == pytest.approx(100 * (1 / 1 + 0 + 3 / 4 + 0) / 4)


def test_no_percentage_of_zero() -> None:
    assert math.isnan(metrics.mape(np.array([0.0, 1.0]), np.array([1.0, 1.0])))


@pytest.mark.parametrize(("season", "scale"), [(1, (1 + 2 + 4) / 3), (2, (3 + 6) / 2)])
def test_seasonal_scale(season: int, scale: float) -> None:
    assert metrics.seasonal_scale(ACTUAL, season) == pytest.approx(scale)


def test_mean_absolute_scaled_error() -> None:
    assert metrics.mase(ACTUAL, FORECAST, 0.5) == pytest.approx(2.0)
    assert math.isnan(metrics.mase(ACTUAL, FORECAST, 0.0))


def test_skill_by_hand() -> None:
    reference = np.array([3.0, 2.0, 4.0, 2.0])  # squared errors 4 and 36
    assert metrics.skill(ACTUAL, FORECAST, reference).value == pytest.approx(1 - math.sqrt(10 / 40))


def test_skill_against_itself_is_exactly_none() -> None:
    assert metrics.skill(ACTUAL, FORECAST, FORECAST) == metrics.Skill(0.0, 0.0, 0.0)


def test_skill_of_half_the_error_is_certain() -> None:
    errors = np.random.default_rng(0).normal(size=200)
    found = metrics.skill(np.zeros(200), errors / 2, errors)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert found.better and not found.worse


def test_no_skill_where_the_reference_makes_no_error() -> None:
    assert math.isnan(metrics.skill(ACTUAL, FORECAST, ACTUAL).value)


def test_interval_holds_the_true_skill_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        model, reference = generator.normal(size=(2, 150))
        found = metrics.skill(np.zeros(150), 0.8 * model, reference)
        held += found.low <= 0.2 <= found.high
    assert 0.88 <= held / 200 <= 0.99


def test_longer_blocks_widen_the_interval_of_errors_that_hang_together() -> None:
    generator = np.random.default_rng(0)
    model, reference = np.repeat(generator.normal(size=(2, 30)), 20, axis=1)
    short, long = (metrics.skill(np.zeros(600), model, reference, block) for block in (1, 40))
    assert long.high - long.low > 1.3 * (short.high - short.low)


@pytest.mark.parametrize(("rows", "horizon"), [(8, 8), (16, 8), (2, 1), (4, 2)])
def test_too_few_rows_have_no_interval(rows: int, horizon: int) -> None:
    model, reference = np.random.default_rng(0).normal(size=(2, rows))
    found = metrics.skill(np.zeros(rows), model, reference, horizon)
    assert math.isfinite(found.value) and math.isnan(found.low) and math.isnan(found.high)
    assert not found.better and not found.worse


@pytest.mark.parametrize(("rows", "horizon"), [(6, 1), (16, 1), (24, 8), (48, 12), (120, 12)])
def test_forecasts_that_are_as_good_are_seldom_told_apart(rows: int, horizon: int) -> None:
    generator = np.random.default_rng(1)
    told = 0
    for _ in range(150):
        made = generator.normal(size=(2, rows + horizon - 1))
        model, reference = (np.convolve(one, np.ones(horizon), "valid") for one in made)  # as errors of a horizon do
        found = metrics.skill(np.zeros(rows), model, reference, horizon)
        told += found.better or found.worse
    assert told / 150 <= 0.14


@pytest.mark.parametrize(("freedom", "point"), [(2, 4.3027), (3, 3.1824), (5, 2.5706), (10, 2.2281), (30, 2.0423)])
def test_students_distribution(freedom: int, point: float) -> None:
    assert metrics._student(freedom) == pytest.approx(point, rel=0.035)
