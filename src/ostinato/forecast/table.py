"""From a CSV file, or a pandas frame, to one checked series in the order of time."""

from __future__ import annotations

import difflib
import lzma
import re
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ..errors import InputError
from .frequency import ROWS, Frequency, detect

DATE_NAMES = ("date", "datetime", "timestamp", "time", "ds", "day", "week", "month", "year", "period")
#: The series that is forecast when no file is given: its name, and its target.
DEMO = "AAPL"
DEMO_TARGET = "Open"


@dataclass(frozen=True)
class Table:
    """A series and its covariates, in the order of time, without a hole.

    Attributes:
        source: where it comes from, for people.
        columns: names of the values' columns; the target first.
        values: (rows, columns) float64, all finite.
        dates: (rows) increasing, or None where there is no date column.
        date: name of the date column, or None.
        frequency: how the dates are spaced.
    """

    source: str
    columns: tuple[str, ...]
    values: np.ndarray
    dates: pd.DatetimeIndex | None
    date: str | None
    frequency: Frequency

    @property
    def target(self) -> str:
        return self.columns[0]

    @property
    def covariates(self) -> tuple[str, ...]:
        return self.columns[1:]

    def __len__(self) -> int:
        return len(self.values)

    def label(self, row: int) -> str:
        """The date of a row, or its number (from 1)."""
        return f"row {row + 1}" if self.dates is None else day(self.dates[row])

    def following(self, later: Table) -> Table:
        """This table with the rows of `later` after its own.

        Raises:
            InputError: only one of them has dates, or the later rows are spaced otherwise, or do not begin after these.
        """
        if (self.dates is None) != (later.dates is None):
            with_dates, without = (later, self) if self.dates is None else (self, later)
            raise InputError(
                f"{with_dates.source} has the date column {with_dates.date!r} and {without.source} has none; "
                "give both dates, or neither"
            )
        values = np.concatenate([self.values, later.values])
        if self.dates is None or later.dates is None:
            return Table(self.source, self.columns, values, None, None, self.frequency)
        if later.dates[0] <= self.dates[-1]:
            raise InputError(
                f"{later.source} begins at {day(later.dates[0])}, {self.source} ends at {day(self.dates[-1])}; "
                "the test rows must all be later than the training rows"
            )
        self.frequency.check(later.dates, later.source)
        dates = pd.DatetimeIndex(self.dates.append(later.dates))
        gaps = detect(dates).gaps  # one may be between them
        return Table(self.source, self.columns, values, dates, self.date, replace(self.frequency, gaps=gaps))


def day(date: pd.Timestamp) -> str:
    """A date as people write it: without the time where that is midnight."""
    return days(pd.DatetimeIndex([date]))[0]


def days(dates: pd.DatetimeIndex) -> list[str]:
    """Dates as people write them: all without the time where it is always midnight."""
    if (dates == dates.normalize()).all():
        return [str(date.date()) for date in dates]
    return [date.isoformat(sep=" ") for date in dates]


def read_csv(path: str | Path) -> pd.DataFrame:
    """The cells of a CSV file (comma, semicolon or tab; also compressed) as text.

    Raises:
        InputError: there is no such file, or it is no CSV with a header and at least one row.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a directory; expected a CSV file")
    if path == Path("-"):
        raise InputError("standard input is not read here; write the rows to a file, and name that")
    if not path.exists():
        raise InputError(f"{path} does not exist; expected a CSV file")
    frame = _parsed(path)
    if not isinstance(frame.index, pd.RangeIndex):
        raise InputError(
            f"{path} has rows with more fields than its header, {', '.join(map(str, frame.columns))!r}; "
            "remove what stands above the header, or give every column a name"
        )
    if any("\0" in str(cell) for cell in [*frame.columns, *frame.head(20).to_numpy().ravel()]):
        raise InputError(f"{path} is not a CSV file: it holds binary data")
    if frame.empty:
        raise InputError(f"{path} has a header but no rows; expected one row a date")
    frame = frame.rename(columns=lambda name: str(name).strip())
    if _is_data(list(frame.columns)):
        raise InputError(f"{path} has no header, since its first line is {', '.join(frame.columns)}; name the columns")
    return frame


def _is_data(header: list[str]) -> bool:
    """Whether all names are dates or numbers, and not just the columns' positions."""
    names = pd.Series(header)
    read = names.str.fullmatch(r"-?\d+[-/.]\d+[-/.]\d+.*") | np.isfinite(_as_numbers(names))
    positions = [[str(k + first) for k in range(len(header))] for first in (0, 1)]
    return bool(read.all()) and header not in positions


def _parsed(path: Path) -> pd.DataFrame:
    """The cells, whatever the separator.

    Raises:
        InputError: the file is no table of text, or no archive of one.
    """
    try:
        frame = _cells(path, ",")
        for separator in (";", "\t"):
            if len(frame.columns) == 1 and separator in str(frame.columns[0]):
                frame = _cells(path, separator)
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty; expected a header and rows") from None
    except UnicodeError:
        raise InputError(f"{path} is not a CSV file in UTF-8; save the table as CSV, UTF-8") from None
    except _UNREADABLE as error:
        fields = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if fields:
            expected, line, saw = fields.groups()
            raise InputError(
                f"{path} has {saw} fields in line {line}, and {expected} in those before; the first line must be the "
                "header: remove what stands above it, or put cells with a comma in quotes"
            ) from None
        raise InputError(f"{path} is not a CSV file that can be read: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    return frame


def _cells(path: Path, separator: str) -> pd.DataFrame:
    return pd.read_csv(path, sep=separator, dtype=str, encoding="utf-8-sig", skipinitialspace=True)


def read_demo() -> pd.DataFrame:
    """Daily Apple share prices, 2000-03-01 to 2013-03-01, from the package bokeh-sampledata (public domain).

    Raises:
        InputError: the package is not installed.
    """
    try:
        stocks = resources.files("bokeh_sampledata") / "_data" / "stocks.csv.gz"
        with resources.as_file(stocks) as path:
            frame = pd.read_csv(path, dtype=str)
    except (ModuleNotFoundError, FileNotFoundError):
        raise InputError(
            "no CSV was given, and the built-in prices come from the package bokeh-sampledata, which is not here; "
            "name a CSV, or pip install 'ostinato[demo]'"
        ) from None
    return frame[frame["Ticker"] == DEMO].drop(columns="Ticker").reset_index(drop=True)


def make_table(
    frame: pd.DataFrame,
    target: str | None = None,
    *,
    source: str = "the table",
    date: str | None = None,
    covariates: Sequence[str] = (),
    sort: bool = False,
) -> Table:
    """A checked series out of the columns of a frame (of text, as `read_csv` gives it, or typed).

    Args:
        frame: one row a date. An index of dates counts as a column.
        target: the column to forecast; may be left out where only one column is numeric.
        source: where the frame comes from, for error messages.
        date: the column of dates; None looks for a column that is named like one, or else reads as one.
        covariates: further numeric columns.
        sort: put the rows into the order of their dates; otherwise they must stand in it.

    Raises:
        InputError: a column is missing, is not numeric, or has holes; dates cannot be read, repeat or go back.
    """
    if isinstance(frame.index, pd.DatetimeIndex):
        frame = frame.reset_index(names=frame.index.name or "date")
    frame = frame.rename(columns=str)
    for name in (target, date, *covariates):
        if name is not None and name not in frame.columns:
            raise InputError(_no_column(name, list(frame.columns), source))
    date = date or _find_date(frame, target)
    target = target or _only_numeric(frame, date, source)
    columns = (target, *covariates)
    if len(set(columns)) < len(columns) or date in columns:
        raise InputError(f"target, covariates and date must be different columns; got {', '.join(columns)} and {date}")

    dates = None if date is None else _read_dates(frame[date], date, source)
    order = np.arange(len(frame)) if dates is None else _in_order(dates, date or "", source, sort)
    dates = None if dates is None else dates[order]
    values = np.stack([_numbers(frame[name], name, dates, order, source) for name in columns], axis=1)
    return Table(source, columns, values, dates, date, ROWS if dates is None else detect(dates))


def _no_column(name: str, columns: list[str], source: str) -> str:
    near = difflib.get_close_matches(name.lower(), [column.lower() for column in columns], n=1, cutoff=0.6)
    match = next((column for column in columns if near and column.lower() == near[0]), None)
    hint = f"; did you mean {match!r}?" if match else ""
    return f"{source} has no column {name!r}; its columns are {', '.join(columns)}{hint}"


def _as_numbers(column: pd.Series) -> np.ndarray:
    return pd.to_numeric(column, errors="coerce").to_numpy(float, na_value=np.nan)


def _is_numeric(column: pd.Series) -> bool:
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return False
    filled = column.notna()
    return bool(filled.any()) and bool(np.isfinite(_as_numbers(column[filled])).all())


def _only_numeric(frame: pd.DataFrame, date: str | None, source: str) -> str:
    others = [name for name in frame.columns if name != date]
    # where no column is whole, one that is numeric but for some cells is meant, and what is wrong in it is said later
    numeric = [name for name in others if _is_numeric(frame[name])] or [
        name for name in others if np.isfinite(_as_numbers(frame[name])).mean() > 0.5
    ]
    if not numeric:
        raise InputError(f"{source} has no numeric column to forecast; its columns are {', '.join(frame.columns)}")
    if len(numeric) > 1:
        raise InputError(f"{source} has several numeric columns ({', '.join(numeric)}); name one with --target")
    return numeric[0]


def _find_date(frame: pd.DataFrame, target: str | None) -> str | None:
    candidates = [name for name in frame.columns if name != target]
    for name in candidates:
        named = name.strip().lower() in DATE_NAMES
        counts = named and _is_numeric(frame[name]) and parse_dates(frame[name]).isna().all()  # day 1, 2, 3 ...
        if pd.api.types.is_datetime64_any_dtype(frame[name].dtype) or (named and not counts):
            return name
    for name in candidates:
        if not _is_numeric(frame[name]) and frame[name].notna().any() and parse_dates(frame[name]).notna().all():
            return name
    return None


#: A time with its zone; the group is all but the zone.
_ZONED = r"^(.*\d\d:\d\d.*?)\s*(?:Z|[+-]\d\d:?\d\d)$"
#: What unpacking and parsing raise of a file that is something else than its name says.
_UNREADABLE = (ValueError, EOFError, ImportError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tarfile.TarError)
#: Sizes of numbers whose squares can be computed with.
_LEAST, _MOST = 1e-100, 1e100


#: Years that a date without signs between its digits, or one read by guesswork, may be of.
_YEARS = 1000, 2999

#: Such dates, by their number of digits; ten are seconds since 1970 as well, and so are left to these.
_COMPACT = {"%Y%m%d%H%M": 12, "%Y%m%d%H%M%S": 14}

#: Quarters of a year: 2000Q1, 2000-Q1, Q1 2000.
_QUARTER = r"^(?:(?P<of>\d{4})[\s/-]?Q(?P<first>[1-4])|Q(?P<second>[1-4])[\s/-]?(?P<from>\d{4}))$"

#: Months with a name and a year of two or four digits, which pandas takes for days of the year 1.
_MONTHS = ("%b-%y", "%b %y", "%b-%Y", "%b %Y", "%B %Y", "%b/%y", "%YM%m")


def parse_dates(column: pd.Series) -> pd.Series:
    """Dates out of text or numbers, without time zone; NaT where a cell is none.

    Numbers are years (1949), months (194901), days (20150102), minutes or seconds (201501021530), or
    seconds (from 1e8, of 1973, on), milli-, micro- or nanoseconds since 1970. Where 03/04/2020 can be read in both
    ways, the way that puts the rows in order wins; where both do, the one with fewer gaps, and then the month first, or
    the day where dots stand between.
    Dates with a zone keep their own clock where all show the same time of day, and are UTC otherwise.
    """
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        local: pd.Series = column.dt.tz_localize(None)
        if _one_time_of_day(local):
            return local
        return pd.to_datetime(column, utc=True).dt.tz_localize(None)
    text = column.astype("string").str.strip()
    if (named := _named(text)) is not None:
        return named
    if _is_numeric(column):
        return _numbered(text, float(np.nanmedian(_as_numbers(column))))
    clock = pd.to_datetime(text.str.extract(_ZONED, expand=False), format="ISO8601", errors="coerce")
    if _one_time_of_day(clock):
        return clock
    readings = [pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)]
    if readings[0].isna().any():
        dotted = bool(text.str.fullmatch(r"\d+\.\d+\.\d+.*").all())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pandas warns where one format does not fit all cells
            readings += [
                pd.to_datetime(text, dayfirst=first, errors="coerce", utc=True) for first in (dotted, not dotted)
            ]
    best = max(readings, key=lambda dates: (int(dates.notna().sum()), _order(dates), _evenness(dates)))
    return best.where(best.dt.year >= _YEARS[0]).dt.tz_localize(None)  # pandas gives the year 1 to what names none


def _named(text: pd.Series) -> pd.Series | None:
    """Quarters, and months with their names in order; no dates of times alone, which pandas takes for today's."""
    quarters = text.str.extract(_QUARTER)
    if len(text) and quarters.notna().any(axis=1).all():
        written = quarters["of"].fillna(quarters["from"]) + "Q" + quarters["first"].fillna(quarters["second"])
        return pd.Series(pd.PeriodIndex(written, freq="Q").to_timestamp(), text.index)
    if text.str.fullmatch(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?(\s*[AaPp][Mm])?").all():
        return pd.Series(pd.NaT, text.index)
    for form in _MONTHS:
        found = pd.to_datetime(text, format=form, errors="coerce")
        if len(found) and found.notna().all() and _order(found):
            return found
    return None


def _numbered(text: pd.Series, middle: float) -> pd.Series:
    """Dates out of numbers, of which `middle` is the median."""
    digits = text.str.replace(r"\.0*$", "", regex=True)
    if 1000 <= middle < 3000:
        return pd.to_datetime(digits, format="%Y", errors="coerce")
    if 1e5 < middle < 1e6:  # and 991231, whose year has two digits, is none
        found = pd.to_datetime(digits.where(digits.str.len() == 6), format="%Y%m", errors="coerce")
        orderly = found.notna().all() and found.dt.year.between(*_YEARS).all() and _order(found)
        return found if orderly else pd.Series(pd.NaT, text.index)
    if 1e7 < middle < 1e8:
        return pd.to_datetime(digits, format="%Y%m%d", errors="coerce")
    if middle < 1e8:
        return pd.Series(pd.NaT, text.index)
    for form, length in _COMPACT.items():
        found = pd.to_datetime(digits.where(digits.str.len() == length), format=form, errors="coerce")
        if found.notna().all() and found.dt.year.between(*_YEARS).all():
            return found
    unit: Literal["s", "ms", "us", "ns"] = (
        "s" if middle < 1e11 else "ms" if middle < 1e14 else "us" if middle < 1e17 else "ns"
    )
    return pd.to_datetime(pd.to_numeric(text), unit=unit, errors="coerce")


def _one_time_of_day(dates: pd.Series) -> bool:
    return bool(dates.notna().all()) and (dates - dates.dt.normalize()).nunique() == 1


def _order(dates: pd.Series) -> int:
    """2 where the earliest row is the first, 1 where it is the last, else 0."""
    return 2 if dates.is_monotonic_increasing else 1 if dates.is_monotonic_decreasing else 0


def _evenness(dates: pd.Series) -> float:
    """The share of rows that follow without a gap; 0 of irregular ones, and of too few to tell."""
    if len(dates) < 6:
        return 0.0
    found = detect(pd.DatetimeIndex(dates.dropna().drop_duplicates().sort_values().dt.tz_localize(None)))
    return 0.0 if found.name in ("irregular", ROWS.name) else 1 - found.gaps / len(dates)


def _read_dates(column: pd.Series, name: str, source: str) -> pd.DatetimeIndex:
    dates = parse_dates(column)
    unread = np.flatnonzero(dates.isna().to_numpy())
    if len(unread):
        cell = column.iloc[unread[0]]
        given = "is empty" if pd.isna(cell) else f"is {str(cell)!r}"
        raise InputError(
            f"{source}: {name} {given} in row {unread[0] + 1}, which is not a date; "
            "write dates as 2020-01-31, or name another column with --date"
        )
    return pd.DatetimeIndex(dates)


def _in_order(dates: pd.DatetimeIndex, name: str, source: str, sort: bool) -> np.ndarray:
    order = np.argsort(dates.to_numpy(), kind="stable") if sort else np.arange(len(dates))
    steps = np.diff(dates[order].to_numpy())
    twice = dates[dates.duplicated()]
    if len(twice):
        raise InputError(
            f"{source}: {len(twice)} of {len(dates)} rows repeat a date, the first {day(twice[0])}; "
            f"keep one row a date of {name}"
        )
    back = np.flatnonzero(steps < np.timedelta64(0))
    if len(back):
        row = int(back[0]) + 1
        raise InputError(
            f"{source}: the dates are not in order, {day(dates[row])} in row {row + 1} comes after "
            f"{day(dates[row - 1])}; put the earliest row first, or pass --sort"
        )
    return order


def _numbers(
    column: pd.Series, name: str, dates: pd.DatetimeIndex | None, order: np.ndarray, source: str
) -> np.ndarray:
    column = column.iloc[order]
    values = _as_numbers(column)
    missing = np.flatnonzero(column.isna().to_numpy())
    wrong = np.flatnonzero(~np.isfinite(values) & column.notna().to_numpy())

    def where(row: int) -> str:
        return f"row {order[row] + 1}" + ("" if dates is None else f" ({day(dates[row])})")

    if len(wrong):
        cell = str(column.iloc[wrong[0]])
        advice = (
            "write plain numbers such as 1234.5, with a decimal point, without currency or thousands separators"
            if any(letter.isdigit() for letter in cell)
            else "fill that value in, or choose another column"
        )
        raise InputError(f"{source}: {name} is {cell!r} in {where(wrong[0])}, which is not a finite number; {advice}")
    if len(missing):
        raise InputError(
            f"{source}: {name} is missing in {len(missing)} of {len(values)} rows, the first {where(missing[0])}; "
            "fill those values in, or remove the rows"
        )
    largest = int(np.argmax(np.abs(values)))
    if values[largest] != 0 and not _LEAST < abs(values[largest]) < _MOST:
        raise InputError(
            f"{source}: the largest number of {name} is {values[largest]:g}, in {where(largest)}; expected one between "
            f"{_LEAST:g} and {_MOST:g}: correct it, or change the unit"
        )
    return values
