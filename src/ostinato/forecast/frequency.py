"""How the dates of a series are spaced: its name, its season, and which dates come next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import InputError

DAY = 86400.0
#: Steps of a season by the length of a step in seconds, where it is not simply one day.
SEASONS = {7 * DAY: 52, DAY: 7, 60.0: 60, 1.0: 60}
NAMES = {7 * DAY: "weekly", DAY: "daily", 3600.0: "hourly", 60.0: "every minute", 1.0: "every second"}
MONTHS = {1: "monthly", 3: "quarterly", 12: "yearly"}
#: Up to so many weekdays in a row without a value are holidays; more are a gap.
HOLIDAYS = 2


@dataclass(frozen=True)
class Frequency:
    """The spacing of a series.

    Attributes:
        name: for people: "business-daily", "monthly", "irregular", "by row" ...
        season: steps of the season that such data usually have (Monday to Friday, January to December); 1 is none.
        gaps: how many times the next row comes later than expected. Rows are taken as consecutive all the same.
        business: whether steps go from weekday to weekday.
        months: calendar months a step, or 0.
        seconds: seconds a step where it is of fixed length; of "irregular" the median; otherwise 0.
        month_end: whether dates are the last days of their months.
    """

    name: str
    season: int = 1
    gaps: int = 0
    business: bool = False
    months: int = 0
    seconds: float = 0.0
    month_end: bool = False

    @property
    def step(self) -> float:
        """Seconds from row to row, about; 0 of rows without dates."""
        return DAY if self.business else self.months * 30.44 * DAY or self.seconds

    def after(self, last: pd.Timestamp, count: int) -> pd.DatetimeIndex:
        """The `count` dates that follow `last`.

        Raises:
            InputError: they go beyond the year 9999.
        """
        try:
            dates = self._after(last, count)
        except (ValueError, OverflowError):
            dates = None  # where months are counted, no such date can be made
        if dates is None or (count and dates[-1].year > 9999):
            raise InputError(
                f"{count} rows after {last.date()}, {self.name}, go beyond the year 9999; ask for fewer with --future"
            )
        return dates

    def _after(self, last: pd.Timestamp, count: int) -> pd.DatetimeIndex:
        if self.business:
            return pd.bdate_range(last + pd.offsets.BDay(1), periods=count)
        if self.months:
            dates = [last + pd.DateOffset(months=self.months * k) for k in range(1, count + 1)]
            return pd.DatetimeIndex([date + pd.offsets.MonthEnd(0) for date in dates] if self.month_end else dates)
        return pd.DatetimeIndex([last + pd.Timedelta(seconds=self.seconds * k) for k in range(1, count + 1)])


#: Rows without dates.
ROWS = Frequency("by row")


def detect(dates: pd.DatetimeIndex) -> Frequency:
    """The frequency of increasing dates.

    A step must hold for four fifths of the rows to be called regular; the rest are gaps.
    """
    if len(dates) < 3:
        return ROWS
    seconds = np.diff(dates.to_numpy("datetime64[us]").astype("int64")) / 1e6
    median = float(np.median(seconds))
    daily = median == DAY and bool((dates == dates.normalize()).all())
    if daily and bool((dates.day_of_week < 5).all()) and len(dates) > 5:
        days = dates.to_numpy("datetime64[D]")
        weekdays = np.busday_count(days[:-1], days[1:])
        return Frequency("business-daily", 5, int((weekdays > HOLIDAYS + 1).sum()), business=True)
    return _monthly(dates, median) or _regular(dates, seconds, median)


def _monthly(dates: pd.DatetimeIndex, median: float) -> Frequency | None:
    month_end = bool((dates.day == dates.days_in_month).all())
    if median < 28 * DAY or not (month_end or dates.day.nunique() == 1):
        return None
    steps = np.diff(dates.year * 12 + dates.month)
    months = int(np.median(steps))
    season = 12 // months if months < 12 and 12 % months == 0 else 1
    name = MONTHS.get(months, f"every {months} months")
    return Frequency(name, season, int((steps > months).sum()), months=months, month_end=month_end)


def _regular(dates: pd.DatetimeIndex, seconds: np.ndarray, median: float) -> Frequency:
    if np.mean(np.abs(seconds - median) <= 0.01 * median) < 0.8:
        return Frequency("irregular", seconds=median)
    season = SEASONS.get(median, _rows_a_day(dates, median))
    length = pd.Timedelta(seconds=median)
    name = NAMES.get(median, f"every {median / 60:g} minutes" if median < DAY else f"every {length.days} days")
    return Frequency(name, season, int((seconds > 1.5 * median).sum()), seconds=median)


def _rows_a_day(dates: pd.DatetimeIndex, step: float) -> int:
    """Rows of a whole day, or of most days where the night has none; 1 where days do not have the same hours."""
    per_day = DAY / step
    if per_day < 2 or not per_day.is_integer():
        return 1
    _, rows = np.unique(dates.normalize(), return_counts=True)
    inner = rows[1:-1]  # the first day and the last may be begun
    return int(np.median(inner)) if len(inner) > 1 else int(per_day)
