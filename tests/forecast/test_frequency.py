"""Frequencies, and the dates that follow."""

from __future__ import annotations

import pandas as pd
import pytest

from ostinato.errors import InputError
from ostinato.forecast.frequency import ROWS, detect


@pytest.mark.parametrize(
    ("dates", "name", "season"),
    [
        (pd.bdate_range("2020-01-01", periods=30), "business-daily", 5),
        (pd.date_range("2020-01-01", periods=30), "daily", 7),
        (pd.date_range("2020-01-05", periods=30, freq="7D"), "weekly", 52),
        (pd.date_range("2020-01-01", periods=30, freq="MS"), "monthly", 12),
        (pd.date_range("2020-01-01", periods=30, freq="ME"), "monthly", 12),
        (pd.date_range("2020-01-15", periods=9, freq=pd.DateOffset(months=3)), "quarterly", 4),
        (pd.date_range("1900-01-01", periods=9, freq="YS"), "yearly", 1),
        (pd.date_range("2020-01-01", periods=30, freq="BME"), "monthly", 12),
        (pd.date_range("2020-01-01", periods=30, freq="BMS"), "monthly", 12),
        (pd.date_range("2020-01-01", periods=30, freq="BQE"), "quarterly", 4),
        (pd.date_range("2000-01-01", periods=20, freq="BYE"), "yearly", 1),
        (pd.date_range("2020-01-01", periods=60, freq="h"), "hourly", 24),
        (pd.date_range("2020-01-01", periods=60, freq="30min"), "every 30 minutes", 48),
        (pd.date_range("2020-01-01", periods=60, freq="10D"), "every 10 days", 1),
    ],
)
def test_regular_dates(dates: pd.DatetimeIndex, name: str, season: int) -> None:
    found = detect(dates[:-4])
    assert (found.name, found.season, found.gaps) == (name, season, 0)
    assert list(found.after(dates[-5], 4)) == list(dates[-4:])


def test_missing_rows_are_gaps() -> None:
    hours = pd.date_range("2020-01-01", periods=60, freq="h")
    assert detect(hours.delete([10, 11, 30])).gaps == 2
    assert detect(pd.date_range("2020-01-01", periods=30, freq="MS").delete(7)).gaps == 1


@pytest.mark.parametrize(("step", "name", "rows"), [("30min", "every 30 minutes", 13), ("h", "hourly", 7)])
def test_a_season_is_a_day_of_trade(step: str, name: str, rows: int) -> None:
    hours = pd.date_range("2024-01-01 09:30", "2024-03-01 16:00", freq=step)
    open_ = hours[(hours.day_of_week < 5) & (hours.hour * 60 + hours.minute >= 570) & (hours.hour < 16)]
    found = detect(open_[3:-2])
    assert (found.name, found.season) == (name, rows)


def test_holidays_are_no_gaps() -> None:
    days = pd.bdate_range("2020-01-01", periods=60)
    assert detect(days.delete([10, 11])).gaps == 0
    assert detect(days.delete([10, 11, 12])).gaps == 1


def test_irregular_dates() -> None:
    days = pd.to_datetime("2020-01-01") + pd.to_timedelta([0, 1, 3, 7, 8, 12, 20, 22, 29], unit="D")
    found = detect(days)
    assert (found.name, found.season) == ("irregular", 1)
    assert found.after(days[-1], 1)[0] > days[-1]


def test_holidays_move_the_first_day_of_trade() -> None:
    firsts = pd.date_range("2020-01-01", periods=30, freq="BMS")
    moved = pd.DatetimeIndex([day + pd.offsets.BDay(1) if day.month == 1 else day for day in firsts])
    found = detect(moved)
    assert (found.name, found.gaps) == ("monthly", 0)
    assert list(found.after(moved[-1], 3)) == list(pd.date_range(moved[-1] + pd.offsets.BDay(1), periods=3, freq="BMS"))


def test_too_few_dates_to_tell() -> None:
    assert detect(pd.date_range("2020-01-01", periods=2)) == ROWS


@pytest.mark.parametrize("step", ["D", "B", "YS", "ME", "7D"])
def test_dates_end(step: str) -> None:
    dates = pd.date_range("9900-01-01", periods=20, freq=step)
    assert len(detect(dates).after(dates[-1], 9)) == 9
    with pytest.raises(InputError, match="go beyond the year 9999; ask for fewer with --future"):
        detect(dates).after(dates[-1], 100_000)
