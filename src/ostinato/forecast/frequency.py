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
#: So many rows show how they are spaced, and steps that differ by this factor are others.
FEWEST, WIDER = 6, 1.5


@dataclass(frozen=True)
class Frequency:
    """The spacing of a series.

    Attributes:
        name: for people: "business-daily", "monthly", "irregular", "by row" ...
        season: steps of the season that such data usually have (Monday to Friday, January to December); 1 is none.
        gaps: how many times the next row comes later than expected. Rows are taken as consecutive all the same.
        business: whether only weekdays count: steps go from one to the next, or months begin or end with one.
        months: calendar months a step, or 0.
        seconds: seconds a step where it is of fixed length; of "irregular" the median; otherwise 0.
        month_end: whether dates are the last days, or weekdays, of their months.
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
        return self.months * 30.44 * DAY or (DAY if self.business else self.seconds)

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
        if self.months:
            dates = pd.DatetimeIndex([last + pd.DateOffset(months=self.months * k) for k in range(1, count + 1)])
            if self.business:
                return (_last_weekdays if self.month_end else _first_weekdays)(dates)
            return dates + pd.offsets.MonthEnd(0) if self.month_end else dates
        if self.business:
            return pd.bdate_range(last + pd.offsets.BDay(1), periods=count)
        return pd.DatetimeIndex([last + pd.Timedelta(seconds=self.seconds * k) for k in range(1, count + 1)])

    def check(self, later: pd.DatetimeIndex, source: str) -> None:
        """See that later rows, if they are enough to tell, are spaced alike.

        Raises:
            InputError: they are spaced otherwise.
        """
        if len(later) < FEWEST or self.name == "irregular" or not self.step:
            return
        found = detect(later)
        if not 1 / WIDER < found.step / self.step < WIDER:
            raise InputError(
                f"{source} has {found.name} rows, and the model is for {self.name} ones; "
                "give rows with the same time between them"
            )


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
    if median < 28 * DAY:
        return None
    month_end = bool((dates.day == dates.days_in_month).all())
    business = False
    if not (month_end or dates.day.nunique() == 1):
        month_end = _nearly(dates, _last_weekdays(dates))
        business = month_end or _nearly(dates, _first_weekdays(dates))
        if not business:
            return None
    steps = np.diff(dates.year * 12 + dates.month)
    months = int(np.median(steps))
    season = 12 // months if months < 12 and 12 % months == 0 else 1
    name = MONTHS.get(months, f"every {months} months")
    return Frequency(name, season, int((steps > months).sum()), business, months, month_end=month_end)


def _first_weekdays(dates: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """The first weekday of each date's month."""
    first = dates.normalize() - pd.to_timedelta(dates.day - 1, unit="D")
    return first + pd.to_timedelta(np.where(first.day_of_week > 4, 7 - first.day_of_week, 0), unit="D")


def _last_weekdays(dates: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """The last weekday of each date's month."""
    last = dates.normalize() + pd.to_timedelta(dates.days_in_month - dates.day, unit="D")
    return last - pd.to_timedelta(np.maximum(last.day_of_week - 4, 0), unit="D")


def _nearly(dates: pd.DatetimeIndex, expected: pd.DatetimeIndex) -> bool:
    """Whether dates are as expected, but for some that holidays move."""
    days = np.abs(np.busday_count(dates.to_numpy("datetime64[D]"), expected.to_numpy("datetime64[D]")))
    return bool((dates.day_of_week < 5).all() and (days <= HOLIDAYS).all() and np.mean(days == 0) >= 0.8)


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
