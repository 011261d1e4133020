"""`forecast` and `predict` from end to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from .conftest import Call


def test_forecast_reports_and_writes(ostinato: Call, csv: Path, quick: list[str], tmp_path: Path) -> None:
    flags = ["--target", "Open", *quick, "--horizon", 3, "--future", 4, "--output", "run"]
    result = ostinato("forecast", csv.name, *flags)
    assert result.exit_code == 0, result.output
    for part in (
        "160 rows, business-daily, 0 gaps, 0 duplicates, 2020-01-01 to 2020-08-11",
        "train 109 | validation 19 | test 32",
        "LSTM 1x4 + linear, window 8, horizon 3",
        "skill vs naive",
        "seasonal naive (5)",
        "lag check",
    ):
        assert part in result.output
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files == {"config.json", "forecast.csv", "forecast.png", "metrics.json", "model.keras"}
    assert (tmp_path / "run" / "forecast.png").read_bytes().startswith(b"\x89PNG")
    rows = pd.read_csv(tmp_path / "run" / "forecast.csv")
    assert len(rows) == 32 + 4 and rows["actual"].isna().sum() == 4 and rows["date"].iloc[-1] == "2020-08-17"


def test_predict_prints_and_writes_the_same_future(ostinato: Call, csv: Path, quick: list[str], tmp_path: Path) -> None:
    assert ostinato("forecast", csv, "--target", "Open", *quick, "--output", "run", "--quiet").exit_code == 0
    future = pd.read_csv(tmp_path / "run" / "forecast.csv").query("actual.isna()")
    for arguments in (["run"], ["run", csv]):
        result = ostinato("predict", *arguments, "--output", "ahead.csv", "--overwrite")
        assert result.exit_code == 0, result.output
        predicted = pd.read_csv(tmp_path / "ahead.csv")
        assert predicted["date"].tolist() == future["date"].tolist()
        assert predicted["prediction"].tolist() == future["prediction"].tolist()
        assert predicted["date"].iloc[0] in result.output and "ahead.csv" in result.output
    assert ostinato("predict", "run", "--future", 2, "--quiet").output == ""
    assert len(pd.read_csv(tmp_path / "run" / "prediction.csv")) == 2


def test_predict_writes_through_a_link(ostinato: Call, csv: Path, quick: list[str], tmp_path: Path) -> None:
    assert ostinato("forecast", csv, "--target", "Open", *quick, "--output", "run", "--quiet").exit_code == 0
    (tmp_path / "there").mkdir()
    (tmp_path / "link.csv").symlink_to(tmp_path / "there" / "ahead.csv")
    assert ostinato("predict", "run", "--output", "link.csv").exit_code == 0
    assert (tmp_path / "link.csv").is_symlink() and len(pd.read_csv(tmp_path / "there" / "ahead.csv")) == 5
    os.mkfifo(tmp_path / "pipe")
    for place, kind in (("pipe", "no file"), ("there", "a directory")):
        result = ostinato("predict", "run", "--output", place, "--overwrite")
        assert result.exit_code == 2 and f"{place} is {kind}, so it stays" in result.output


def test_dollars_in_a_name_are_no_mathematics(ostinato: Call, csv: Path, quick: list[str], tmp_path: Path) -> None:
    renamed = tmp_path / "a $b_$ c.csv"
    renamed.write_text(csv.read_text().replace("Open", r"Cost $\frac$", 1))
    result = ostinato("forecast", renamed, "--target", r"Cost $\frac$", *quick, "--output", "run", "--quiet")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "forecast.png").exists()


def test_letters_that_a_terminal_lacks() -> None:
    told = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "ostinato", "cells", "slstm"], check=False, env=told, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_quiet_says_only_the_verdict(ostinato: Call, csv: Path, quick: list[str]) -> None:
    result = ostinato("forecast", csv, "--target", "Open", *quick, "--quiet")
    assert result.stdout.startswith("The model is ") and len(result.stdout.splitlines()) == 1


def test_runs_are_numbered(ostinato: Call, csv: Path, quick: list[str], tmp_path: Path) -> None:
    for _ in range(2):
        assert ostinato("forecast", csv, "--target", "Open", *quick, "--quiet").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["prices-Open", "prices-Open-2"]


def test_built_in_prices(ostinato: Call, quick: list[str]) -> None:
    result = ostinato("forecast", *quick, "--epochs", 1)
    assert result.exit_code == 0, result.output
    assert "AAPL: 3270 rows, business-daily" in result.output and "runs/AAPL-Open" in result.output


def test_every_flag_reaches_the_model(ostinato: Call, csv: Path, tmp_path: Path) -> None:
    flags = {
        "window": 9, "horizon": 2, "units": 3, "layers": 2, "cell": "gru", "dropout": 0.1, "epochs": 3,
        "batch_size": 16, "learning_rate": 0.01, "test_size": 20, "validation_size": 0.1, "season": 16, "seed": 5,
        "patience": 7, "scaling": "steps",
    }  # fmt: skip
    spelled = [part for name, value in flags.items() for part in (f"--{name.replace('_', '-')}", value)]
    columns = ["--target", "Open", "--date", "Date", "--covariates", "High"]
    result = ostinato("forecast", csv, *columns, *spelled, "--no-log", "--future", 1, "--output", "run")
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert {name: config["settings"][name] for name in flags} == flags
    assert (config["settings"]["log"], config["columns"], config["future"]) == (False, ["Open", "High"], 1)


def test_train_on_one_file_and_test_on_another(ostinato: Call, csv: Path, quick: list[str], tmp_path: Path) -> None:
    lines = csv.read_text().splitlines(keepends=True)
    (tmp_path / "train.csv").write_text("".join(lines[:131]))
    (tmp_path / "test.csv").write_text("".join(lines[:1] + lines[131:]))
    result = ostinato("forecast", "train.csv", "--target", "Open", "--test", "test.csv", *quick, "--preset", "tutorial")
    assert result.exit_code == 0, result.output
    assert "train.csv, then test.csv: 160 rows" in result.output
    assert "train 130 | validation 0 | test 30" in result.output and "LSTM 4x4, window 8" in result.output


def test_help_and_version(ostinato: Call) -> None:
    assert "forecast" in ostinato("--help").output
    assert ostinato("--version").output.startswith("ostinato 0.")
    nothing = ostinato()
    assert nothing.exit_code == 2 and "forecast" in nothing.stdout


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interruption_leaves_nothing(csv: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "ostinato", "forecast", csv, "--target", "Open", "--epochs", "100000"]
    command += ["--patience", "100000", "--output", "out/run"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("out/.run.*/new")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert list(tmp_path.glob("out/.run.*/new")), "training never began"
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert "Traceback" not in errors
    assert list((tmp_path / "out").iterdir()) == []


def test_one_sentence_from_the_real_command(csv: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ostinato", "forecast", csv, "--target", "Opne"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "did you mean 'Open'?" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["prices.csv"]


def test_predict_goes_on_counting_rows_without_dates(
    ostinato: Call, csv: Path, quick: list[str], tmp_path: Path
) -> None:
    pd.read_csv(csv)[["Open"]].to_csv(csv, index=False)
    assert ostinato("forecast", csv, "--output", "run", *quick).exit_code == 0
    assert ostinato("predict", "run", "--future", 2).exit_code == 0
    assert pd.read_csv(tmp_path / "run" / "prediction.csv")["row"].tolist() == [161, 162]
    newer = pd.DataFrame({"Date": pd.date_range("2021-03-01", periods=30), "Open": np.arange(30.0)})
    newer.to_csv(tmp_path / "newer.csv", index=False)
    assert ostinato("predict", "run", "newer.csv", "--future", 2, "--overwrite").exit_code == 0
    assert pd.read_csv(tmp_path / "run" / "prediction.csv")["date"].tolist() == ["2021-03-31", "2021-04-01"]


def test_what_is_predicted_from_stays(ostinato: Call, csv: Path, quick: list[str], tmp_path: Path) -> None:
    assert ostinato("forecast", csv, "--output", "run", *quick, "--target", "Open").exit_code == 0
    for place in (csv, "run/config.json", "run/model.keras"):
        before = (tmp_path / place).read_bytes()
        found = ostinato("predict", "run", csv, "--output", place, "--overwrite")
        assert found.exit_code == 2 and "is what is predicted from, so it stays" in found.stderr
        assert (tmp_path / place).read_bytes() == before
    assert ostinato("predict", "run", csv, "--output", "run/prediction.csv", "--overwrite").exit_code == 0


def test_what_is_written_can_be_scored_again(ostinato: Call, csv: Path, quick: list[str], tmp_path: Path) -> None:
    given = pd.read_csv(csv)
    given["Open"] = 1e8 + given["Open"].round(3)
    given.to_csv(csv, index=False)
    assert ostinato("forecast", csv, "--output", "run", *quick, "--target", "Open").exit_code == 0
    written = pd.read_csv(tmp_path / "run" / "forecast.csv").dropna(subset="actual")
    np.testing.assert_array_equal(written["actual"], given["Open"].tail(len(written)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_where_python_ignores_it_comes_again(number: int) -> None:
    """An exception in `__del__` is printed and forgotten."""
    code = (
        "import os, signal, time\nfrom ostinato import cli\n"
        f"signal.signal({int(number)}, cli.end)\n"
        "class Held:\n"
        f"    def __del__(self): os.kill(os.getpid(), {int(number)}); sum(range(1000))\n"
        "held = Held()\ndel held\n"
        "try: time.sleep(20)\nexcept BaseException as error: print(type(error).__name__)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.stdout, ran.stderr) == ("KeyboardInterrupt\n" if number == signal.SIGINT else "SystemExit\n", "")
