"""The forecasts without a model, against values written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.forecast.baselines import naive, seasonal_naive

SERIES = np.array([10.0, 11.0, 12.0, 20.0, 21.0, 22.0, 30.0])


def test_naive_repeats_the_last_value() -> None:
    np.testing.assert_array_equal(naive(SERIES, np.array([2, 6]), 3), [[12, 12, 12], [30, 30, 30]])


def test_seasonal_naive_repeats_the_last_season() -> None:
    expected = [[10, 11, 12, 10, 11], [12, 20, 21, 12, 20], [21, 22, 30, 21, 22]]
    np.testing.assert_array_equal(seasonal_naive(SERIES, np.array([2, 4, 6]), 5, season=3), expected)


@given(st.integers(1, 9), st.integers(1, 25))
def test_seasonal_naive_is_exact_on_a_season(season: int, horizon: int) -> None:
    series = np.tile(np.arange(season, dtype=float), 200)
    origins = np.arange(season - 1, 100)
    truth = series[origins[:, None] + np.arange(1, horizon + 1)]
    np.testing.assert_array_equal(seasonal_naive(series, origins, horizon, season), truth)


@pytest.mark.parametrize("horizon", [1, 4])
def test_season_of_one_is_naive(horizon: int) -> None:
    origins = np.array([0, 3, 5])
    np.testing.assert_array_equal(seasonal_naive(SERIES, origins, horizon, 1), naive(SERIES, origins, horizon))
