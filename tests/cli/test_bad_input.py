"""Bad input: one sentence on stderr, exit code 2, and nothing written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from .conftest import Call

ROWS = "".join(f"2020-{1 + day // 28:02}-{1 + day % 28:02},{day % 7}\n" for day in range(100))


def refused(ostinato: Call, sentence: str, *arguments: object) -> None:
    """Check that the command refuses its arguments with one sentence, and leaves the folder as it was."""
    before = {path: path.stat().st_mtime_ns for path in sorted(Path().rglob("*"))}
    result = ostinato(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and result.stderr.startswith("ostinato: ") and result.stderr.count("\n") == 1
    assert sentence in result.stderr
    assert {path: path.stat().st_mtime_ns for path in sorted(Path().rglob("*"))} == before


@pytest.mark.parametrize(
    ("text", "flags", "sentence"),
    [
        ("", [], "is empty; expected a header and rows"),
        ("date,y\n", [], "has a header but no rows"),
        (f"date,y\n{ROWS}", ["--target", "yy"], "has no column 'yy'; its columns are date, y; did you mean 'y'?"),
        (f"date,y\n{ROWS}", ["--date", "day"], "has no column 'day'"),
        (f"date,y\n{ROWS}", ["--covariates", "x,z"], "has no column 'x'"),
        ("date,y\n2020-01-01,a\n2020-01-02,b\n", [], "has no numeric column"),
        ("date,y\n2020-01-01,1\n2020-01-02,2\n", [], "too few for a window of"),
        (f"date,y\n{ROWS}", ["--window", 90], "too few for a window of 90"),
        (f"date,y\n{ROWS}2020-05-01,\n", [], "y is missing in 1 of 101 rows, the first row 101 (2020-05-01)"),
        (f"date,y\n{ROWS}2020-05-01,nan\n", [], "y is missing in 1 of 101 rows"),
        (f"date,y\n{ROWS}2019-05-01,1\n", [], "the dates are not in order, 2019-05-01 in row 101"),
        (f"date,y\n{ROWS}2020-04-16,1\n", [], "1 of 101 rows repeat a date, the first 2020-04-16"),
        (f"date,y\n{ROWS}tomorrow,1\n", [], "date is 'tomorrow' in row 101, which is not a date"),
        (f"date,y\n{ROWS}2020-05-01,$1\n", ["--target", "y"], "y is '$1' in row 101"),
        (f"date,y\n{ROWS}".replace(",0", ",9").replace(",1\n", ",9\n"), ["--horizon", -1], "--horizon is -1"),
        ("y\n" + "5\n" * 200, [], "y is 5 in all 136 training rows"),
        (f"date,y\n{ROWS}", ["--window", -1], "--window is -1; expected a whole number of at least 1"),
        (f"date,y\n{ROWS}", ["--units", 0], "--units is 0"),
        (f"date,y\n{ROWS}", ["--epochs", -5], "--epochs is -5"),
        (f"date,y\n{ROWS}", ["--preset", "best"], "--preset is 'best'; expected default or tutorial"),
        (f"date,y\n{ROWS}", ["--cell", "transformer"], "--cell is 'transformer'; expected lstm or gru or rnn"),
        (f"date,y\n{ROWS}", ["--window", "abc"], "--window is 'abc'; expected a whole number such as 30"),
        (f"date,y\n{ROWS}", ["--window", "3.5"], "--window is '3.5'; expected a whole number such as 30"),
        (f"date,y\n{ROWS}", ["--test-size", "many"], "--test-size is 'many'; expected a number such as 0.2"),
        (f"date,y\n{ROWS}", ["--units", "9" * 30], f"--units is '{'9' * 30}'; expected a whole number of at most"),
        (f"date,y\n{ROWS}", ["--test", "prices.csv", "--test-size", 5], "--test-size is 5, but all rows of --test"),
        (f"date,y\n{ROWS}", ["--test-size", 100], "leaves 0 to train on, 0 to stop on and 100 to test on"),
        (f"date,y\n{ROWS}", ["--test-size", 1], "--test-size leaves 1 row to test on; expected at least 2"),
        (f"date,y\n{ROWS}", ["--future", 10**9], "--future is 1000000000; expected 0 to 10000 rows"),
        (f"date,y\n{ROWS}", ["--windw", 8], "no such option: --windw"),
        (f"date,y\n{ROWS}", ["more.csv"], "unexpected extra argument"),
        (f"date,y\n{ROWS}", ["--target"], "option '--target' requires an argument"),
        (ROWS, [], "prices.csv has no header, since its first line is 2020-01-01, 0; name the columns"),
        (f"date,y\n{ROWS}", ["--log"], "y has the value 0, and logarithms need all to be above 0; pass --no-log"),
        (f"date,y\n{ROWS}", ["--output", "prices.csv"], "prices.csv exists already"),
        (f"date,y\n{ROWS}", ["--output", "prices.csv", "--overwrite"], "is not a run of this command, so it stays"),
        (f"date,y\n{ROWS}", ["--output", "prices.csv/run"], "prices.csv is a file; choose another --output"),
        (f"date,y\n{ROWS}", ["--output", "x" * 300], "cannot be written: File name too long; choose another --output"),
        (f"date,y\n{ROWS}", ["--test", "none.csv"], "none.csv does not exist"),
        (f"date,y\n{ROWS}", ["--test", "prices.csv"], "the test rows must all be later than the training rows"),
        (f"date,y\n{ROWS}", ["--test", "other.csv"], "other.csv has no column 'y'"),
    ],
)
def test_forecast(ostinato: Call, text: str, flags: list[object], sentence: str) -> None:
    Path("prices.csv").write_text(text)
    Path("other.csv").write_text("date,z\n2021-01-01,3\n")
    refused(ostinato, sentence, "forecast", "prices.csv", "--epochs", 1, "--quiet", *flags)


def test_no_file(ostinato: Call) -> None:
    refused(ostinato, "none.csv does not exist; expected a CSV file", "forecast", "none.csv")
    refused(ostinato, ". is a directory; expected a CSV file", "forecast", ".")


def test_words_that_are_no_command(ostinato: Call) -> None:
    refused(ostinato, "no such command 'forecst'; did you mean 'forecast'?; see ostinato --help", "forecst")
    refused(ostinato, "missing argument 'run'; see ostinato predict --help", "predict")


def test_binary_file(ostinato: Call) -> None:
    Path("prices.csv").write_bytes(bytes(range(256)) * 9)
    refused(ostinato, "prices.csv is not a CSV file", "forecast", "prices.csv")


def test_predict(ostinato: Call, csv: Path, quick: list[str]) -> None:
    assert ostinato("forecast", csv, "--target", "Open", *quick, "--output", "run").exit_code == 0
    assert ostinato("forecast", csv, "--target", "Open", "--log", *quick, "--output", "logs").exit_code == 0
    Path("short.csv").write_text("Date,Open\n2030-01-01,1\n")
    refused(ostinato, "is not there; expected a folder of a run", "predict", "none")
    refused(ostinato, "is a file; expected a folder of a run", "predict", csv)
    refused(ostinato, "the model needs the last 9", "predict", "run", "short.csv")
    refused(ostinato, "--future is 0; expected 1 to 10000 rows", "predict", "run", "--future", 0)
    refused(ostinato, "--future is 'x'; expected a whole number", "predict", "run", "--future", "x")
    refused(ostinato, "short.csv exists already", "predict", "run", "--output", "short.csv")
    refused(ostinato, "cannot be written", "predict", "run", "--output", "none/ahead.csv")
    refused(ostinato, "run exists already", "forecast", csv, "--target", "Open", *quick, "--output", "run")
    refused(ostinato, "knows the columns of its run", "look", "run", csv, "--columns", "High")
    frame = pd.read_csv(csv).assign(Open=range(-155, 5))
    frame.to_csv("negative.csv", index=False)
    refused(ostinato, "above 0; correct it, or train with --no-log", "predict", "logs", "negative.csv")
    config = Path("run/config.json")
    config.write_text(config.read_text().replace('"version": 1', '"version": 7'))
    refused(ostinato, "has the format version 7; expected 1", "predict", "run")
    config.write_text("{")
    refused(ostinato, "train again with ostinato forecast", "predict", "run")
