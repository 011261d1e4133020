"""Reading: what is understood, and the sentence that answers what is not."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ostinato.forecast import InputError, Table, make_table, read_csv, read_demo

DAYS = ["2020-01-02", "2020-01-03", "2020-01-06"]


def table(text: str, folder: Path, **reading: object) -> Table:
    path = folder / "prices.csv"
    path.write_text(text)
    return make_table(read_csv(path), source="prices.csv", **reading)  # type: ignore[arg-type]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_and_dates(tmp_path: Path, separator: str) -> None:
    text = "Date,Open, High\n2020-01-02,1.5,3\n2020-01-03,2.5,4\n2020-01-06,-1e1,5\n".replace(",", separator)
    read = table(text, tmp_path, target="Open", covariates=("High",))
    np.testing.assert_array_equal(read.values, [[1.5, 3], [2.5, 4], [-10, 5]])
    assert read.dates is not None
    assert (read.columns, read.date, list(read.dates)) == (("Open", "High"), "Date", list(pd.to_datetime(DAYS)))


def test_only_numeric_column_is_the_target(tmp_path: Path) -> None:
    assert table("when,who,price\n2020-01-02,a,1\n2020-01-03,b,2\n", tmp_path).columns == ("price",)


def test_rows_without_dates(tmp_path: Path) -> None:
    read = table("price\n1\n2\n", tmp_path)
    assert (read.dates, read.frequency.name, read.label(1)) == (None, "by row", "row 2")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["2020-01-02", "2020-01-03", "2020-01-06"], DAYS),
        (["01/02/2020", "01/03/2020", "01/06/2020"], DAYS),
        (["02/01/2020", "03/01/2020", "13/01/2020"], ["2020-01-02", "2020-01-03", "2020-01-13"]),
        (["02/01/2020", "01/02/2020", "06/02/2020"], ["2020-01-02", "2020-02-01", "2020-02-06"]),  # in order day first
        (["Jan 2, 2020", "Jan 3, 2020", "Jan 6, 2020"], DAYS),
        (["20200102", "20200103", "20200106"], DAYS),
        (["1949", "1950", "1951"], ["1949-01-01", "1950-01-01", "1951-01-01"]),
        (["1577923200", "1578009600", "1578268800"], DAYS),
        (["1577923200000", "1578009600000", "1578268800000"], DAYS),
        (["2020-01-02T00:00:00Z", "2020-01-03T00:00:00Z", "2020-01-06T00:00:00Z"], DAYS),
        (["1577923200000000", "1578009600000000", "1578268800000000"], DAYS),
        (["1577923200000000000", "1578009600000000000", "1578268800000000000"], DAYS),
        (["2020-01-02 00:00:00-05:00", "2020-01-03 00:00:00-05:00", "2020-01-06 00:00:00-04:00"], DAYS),
        (["2020-01-02T00:00+01:00", "2020-01-03T00:00+01:00", "2020-01-06T00:00+02:00"], DAYS),
        (["2020-01-02T01:00+01:00", "2020-01-03T02:00+02:00", "2020-01-06T00:00Z"], DAYS),  # other times of day: UTC
        ([f"01.{month:02}.2020" for month in range(1, 9)], [f"2020-{month:02}-01" for month in range(1, 9)]),
        ([f"{month:02}/01/2020" for month in range(1, 9)], [f"2020-{month:02}-01" for month in range(1, 9)]),
        (["02.01.2020", "03.02.2020"], ["2020-01-02", "2020-02-03"]),  # nothing tells but the dots
        (["01/02/2020", "02/03/2020"], ["2020-01-02", "2020-02-03"]),
        (["02/01/2020", "01/02/2020"], ["2020-01-02", "2020-02-01"]),  # the other way they fall
        (["15000000000", "15100000000"], ["2445-05-01 02:40:00", "2448-07-01 12:26:40"]),
        (["2020-01", "2020-02", "2020-03"], ["2020-01-01", "2020-02-01", "2020-03-01"]),
    ],
)
def test_spellings_of_dates(tmp_path: Path, cells: list[str], expected: list[str]) -> None:
    rows = "".join(f'"{cell}",{number}\n' for number, cell in enumerate(cells))
    read = table(f"date,y\n{rows}", tmp_path, target="y")
    assert read.dates is not None
    assert list(read.dates) == list(pd.to_datetime(expected))


def test_frames_with_an_index_of_dates() -> None:
    read = make_table(pd.DataFrame({"y": [1, 2, 3]}, index=pd.to_datetime(DAYS)), "y")
    assert read.dates is not None and list(read.dates) == list(pd.to_datetime(DAYS))


def test_sort_puts_rows_in_order(tmp_path: Path) -> None:
    read = table("date,y\n2020-01-06,3\n2020-01-02,1\n2020-01-03,2\n", tmp_path, sort=True)
    assert read.values[:, 0].tolist() == [1, 2, 3]
    assert read.dates is not None and read.dates.is_monotonic_increasing


@pytest.mark.parametrize(
    ("text", "reading", "sentence"),
    [
        ("", {}, "prices.csv is empty; expected a header and rows"),
        ("date,y\n", {}, "prices.csv has a header but no rows"),
        ("date,y\n2020-01-02,1\n", {"target": "z"}, "has no column 'z'; its columns are date, y"),
        ("date,Open\n2020-01-02,1\n", {"target": "open"}, "did you mean 'Open'?"),
        ("date,Open\n2020-01-02,1\n", {"target": "Opne"}, "did you mean 'Open'?"),
        ("date,y\n2020-01-02,1\n", {"date": "day"}, "has no column 'day'"),
        ("date,y\n2020-01-02,1\n", {"covariates": ["x"]}, "has no column 'x'"),
        ("date,y\n2020-01-02,a\n", {}, "has no numeric column to forecast; its columns are date, y"),
        ("date,y,x\n2020-01-02,1,2\n", {}, r"has several numeric columns \(y, x\); name one with --target"),
        ("date,y\n2020-01-02,1\n2020-01-03,\n", {}, r"y is missing in 1 of 2 rows, the first row 2 \(2020-01-03\)"),
        ("date,y\n2020-01-02,1\n2020-01-03,nan\n", {}, "y is missing in 1 of 2 rows"),
        ("date,y\n2020-01-02,1\n2020-01-03,inf\n", {"target": "y"}, "y is 'inf' in row 2"),
        ('date,y\n2020-01-02,1\n2020-01-03,"1,234"\n', {"target": "y"}, "y is '1,234' in row 2 .*thousands separators"),
        ("date;y\n2020-01-02;1,5\n", {"target": "y"}, "y is '1,5' in row 1 .*with a decimal point"),
        ("date,y\n2020-01-02,red\n", {"target": "y"}, "y is 'red' in row 1 .*choose another column"),
        ("2020-01-02,1.5\n2020-01-03,2.5\n", {}, "has no header, since its first line is 2020-01-02, 1.5; name"),
        ("date,y\n20.5,1\n21.5,2\n", {"target": "y", "date": "date"}, "date is '20.5' in row 1, which is not a date"),
        ("date,y\n2020-01-02,$3\n", {"target": "y"}, "y is '\\$3' in row 1"),
        ("date,y\n2020-01-03,1\n2020-01-02,2\n", {}, "not in order, 2020-01-02 in row 2 comes after 2020-01-03"),
        ("date,y\n2020-01-03,1\n2020-01-03,2\n", {}, "1 of 2 rows repeat a date, the first 2020-01-03"),
        ("date,y\n2020-01-03,1\nsoon,2\n", {}, "date is 'soon' in row 2, which is not a date"),
        ("date,y\n2020-01-03,1\n,2\n", {}, "date is empty in row 2, which is not a date"),
        ("date,y\n2020-01-02,1\n2020-01-03,-1e200\n", {}, r"largest number of y is -1e\+200, in row 2 \(2020-01-03\)"),
        ("date,y\n2020-01-02,1e-300\n2020-01-03,2e-300\n", {}, "largest number of y is 2e-300, in row 2"),
        ("date,y\n2020-01-02,1\n", {"target": "y", "date": "y"}, "must be different columns"),
        ("date,y\n2020-01-02,1\n", {"target": "y", "covariates": ["y"]}, "must be different columns"),
        ("date,y\n2020-01-02,1\n2020-01-03,$3\n2020-01-04,2\n", {}, "y is '\\$3' in row 2 .*without currency"),
        ("date,y,x\n2020-01-02,1,2\n2020-01-03,2,3\n2020-01-04,n/d,-\n", {}, r"several numeric columns \(y, x\)"),
        ("date,y\n2020-01-02,1,5\n", {}, "rows with more fields than its header, 'date, y'; remove"),
        ("date,y\n2020-01-02,1\n2020-01-03,1,5\n", {}, "has 3 fields in line 3, and 2 in those before"),
        (
            "# prices\n# of a day\ndate,y\n2020-01-02,1\n",
            {},
            "has 2 fields in line 3, and 1 .*remove what stands above",
        ),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, reading: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        table(text, tmp_path, **reading)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "day", "time"])
def test_numbered_rows_are_no_dates(tmp_path: Path, name: str) -> None:
    read = table(f"{name},y\n1,5\n2,6\n3,7\n", tmp_path, target="y")
    assert (read.dates, read.frequency.name) == (None, "by row")


def test_columns_called_by_their_positions(tmp_path: Path) -> None:
    assert table("0,1\n5,6\n7,8\n", tmp_path, target="1").values.tolist() == [[6], [8]]


def test_other_encodings(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_bytes("date,größe\n2020-01-02,1\n".encode("latin-1"))
    with pytest.raises(InputError, match="is not a CSV file in UTF-8; save the table as CSV, UTF-8"):
        read_csv(tmp_path / "prices.csv")
    (tmp_path / "prices.csv").write_bytes("date,größe\n2020-01-02,1\n".encode("utf-8-sig"))
    assert list(read_csv(tmp_path / "prices.csv")) == ["date", "größe"]


@pytest.mark.parametrize("content", [bytes(range(256)) * 20, b"PK\x03\x04\0\0\0", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" * 9])
def test_binary_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "prices.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a CSV file"):
        read_csv(path)


def test_broken_archive(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv.gz"
    path.write_bytes(b"no archive at all")
    with pytest.raises(InputError, match=r"prices\.csv\.gz cannot be read"):
        read_csv(path)


@pytest.mark.parametrize("ending", ["zip", "xz", "bz2", "tar", "gz"])
def test_archives_that_are_none_or_cut_short(tmp_path: Path, ending: str) -> None:
    whole, path = tmp_path / f"whole.csv.{ending}", tmp_path / f"prices.csv.{ending}"
    rows = pd.DataFrame(
        {"date": pd.date_range("2020-01-01", periods=500), "y": np.random.default_rng(0).normal(size=500)}
    )
    rows.to_csv(whole, index=False)
    for content in (b"no archive at all", whole.read_bytes()[: whole.stat().st_size // 2]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"prices\.csv\.\w+ (cannot be read|is not a CSV file)"):
            read_csv(path)


def test_archive_of_several_files(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a.csv", "b.csv"):
            archive.writestr(name, "date,y\n2020-01-02,1\n")
    with pytest.raises(InputError, match="is not a CSV file that can be read: Multiple files found in ZIP"):
        read_csv(path)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; expected a CSV file"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(InputError, match="standard input is not read here"):
        read_csv("-")
    with pytest.raises(InputError, match="is a directory; expected a CSV file"):
        read_csv(tmp_path)


def test_later_rows_must_be_later(tmp_path: Path) -> None:
    first = table("date,y\n2020-01-02,1\n2020-01-03,2\n", tmp_path)
    later = table("date,y\n2020-01-06,3\n", tmp_path)
    assert first.following(later).values[:, 0].tolist() == [1, 2, 3]
    with pytest.raises(InputError, match="must all be later than the training rows"):
        later.following(first)
    with pytest.raises(InputError, match="give both dates, or neither"):
        first.following(table("y\n1\n", tmp_path))


def test_later_rows_are_spaced_alike_and_a_gap_before_them_is_counted() -> None:
    def daily(first: str, freq: str = "D") -> Table:
        return make_table(pd.DataFrame({"y": range(20)}, index=pd.date_range(first, periods=20, freq=freq)), "y")

    assert daily("2020-01-01").following(daily("2020-01-21")).frequency.gaps == 0
    assert daily("2020-01-01").following(daily("2020-03-01")).frequency.gaps == 1
    with pytest.raises(InputError, match="has weekly rows, and the model is for daily ones"):
        daily("2020-01-01").following(daily("2020-01-21", "7D"))


def test_built_in_prices() -> None:
    read = make_table(read_demo(), "Open")
    assert (len(read), read.frequency.name, read.label(0), read.values[0, 0]) == (
        3270,
        "business-daily",
        "2000-03-01",
        118.56,
    )


def test_built_in_prices_need_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bokeh_sampledata", None)
    with pytest.raises(InputError, match=r"pip install 'ostinato\[demo\]'"):
        read_demo()


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["Jan-13", "Feb-13", "Mar-13"], ["2013-01-01", "2013-02-01", "2013-03-01"]),
        (["Dec 99", "Jan 00"], ["1999-12-01", "2000-01-01"]),
        (["January 2013", "February 2013"], ["2013-01-01", "2013-02-01"]),
        (["202001010000", "202001010100"], ["2020-01-01 00:00", "2020-01-01 01:00"]),
        (["20200101000000", "20200101000030"], ["2020-01-01 00:00", "2020-01-01 00:00:30"]),
        (["1577836800000", "1577923200000"], ["2020-01-01", "2020-01-02"]),
        (["194911", "194912", "195001"], ["1949-11-01", "1949-12-01", "1950-01-01"]),
        (["2000M11", "2000M12", "2001M01"], ["2000-11-01", "2000-12-01", "2001-01-01"]),
        (["2000Q3", "2000Q4", "2001Q1"], ["2000-07-01", "2000-10-01", "2001-01-01"]),
        (["Q3 2000", "Q4 2000", "Q1 2001"], ["2000-07-01", "2000-10-01", "2001-01-01"]),
    ],
    ids=str,
)
def test_short_and_compact_dates(tmp_path: Path, cells: list[str], expected: list[str]) -> None:
    rows = "".join(f"{cell},{number}\n" for number, cell in enumerate(cells))
    read = table(f"when,price\n{rows}", tmp_path, date="when", target="price")
    assert read.dates is not None and list(read.dates) == list(pd.to_datetime(expected, format="ISO8601"))


@pytest.mark.parametrize(
    "cells",
    [
        ["01/13", "02/13"],
        ["04-Jan", "05-Jan"],
        ["Jan 30", "Jan 31", "Feb 01"],
        ["08:00", "08:01"],
        ["194913", "194914"],
    ],
)
def test_what_names_no_year_or_no_day_is_no_date(tmp_path: Path, cells: list[str]) -> None:
    rows = "".join(f"{cell},{number}\n" for number, cell in enumerate(cells))
    with pytest.raises(InputError, match="is not a date"):
        table(f"when,price\n{rows}", tmp_path, date="when", target="price")
