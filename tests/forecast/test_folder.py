"""Runs on disk: whole or not at all, read back to the same numbers, and refused when they are not whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ostinato.errors import InputError
from ostinato.forecast import Forecast, Settings, forecast, load, predict, save
from ostinato.forecast.folder import RUN
from ostinato.report.folder import staged

Frame = pd.DataFrame


@pytest.fixture(scope="module")
def result() -> Forecast:
    days = np.arange(160)
    value = 10 + np.sin(2 * np.pi * days / 16) + 0.02 * np.random.default_rng(1).normal(size=160)
    frame = pd.DataFrame({"date": pd.date_range("2020-01-01", periods=160), "value": value})
    return forecast(frame, "value", settings=Settings(window=8, units=4, epochs=8, horizon=2), future=5)


@pytest.fixture
def run(result: Forecast, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    with staged(folder, RUN) as whole:
        save(result, whole)
    return folder


def test_files(run: Path, result: Forecast) -> None:
    assert sorted(path.name for path in run.iterdir()) == ["config.json", "forecast.csv", "metrics.json", "model.keras"]
    written = pd.read_csv(run / "forecast.csv", parse_dates=["date"])
    pd.testing.assert_frame_equal(written, result.rows, rtol=1e-9, check_dtype=False)
    assert (run / "forecast.csv").read_text().splitlines()[1].startswith("2020-05-08,")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["verdict"] == result.verdict
    assert [score["rmse"] for score in metrics["scores"]] == [score.rmse for score in result.scores]


def test_predict_repeats_the_future(run: Path, result: Forecast) -> None:
    again = predict(run)
    assert list(again["date"]) == list(result.rows["date"][-5:])
    np.testing.assert_array_equal(again["prediction"], result.rows["prediction"][-5:])
    np.testing.assert_array_equal(predict(run, count=2)["prediction"], again["prediction"][:2])


def test_predict_from_newer_rows(run: Path, result: Forecast) -> None:
    table = result.plan.table
    assert table.dates is not None
    whole = Frame({"date": table.dates, "value": table.values[:, 0]})
    np.testing.assert_array_equal(predict(run, whole)["prediction"], predict(run)["prediction"])
    # two rows that follow those of the run are enough, and move the forecast on
    more = Frame({"date": pd.date_range("2020-06-09", periods=2), "value": [9.5, 9.4]})
    joined = predict(run, more)
    assert list(joined["date"]) == list(pd.date_range("2020-06-11", periods=5))
    np.testing.assert_array_equal(joined["prediction"], predict(run, pd.concat([whole, more]))["prediction"])


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (Frame({"date": ["2021-01-01"], "value": [1.0]}), "has 1 row; the model needs the last 9, or rows that go on"),
        (Frame({"date": ["2020-06-09"], "price": [1.0]}), "has no column 'value'"),
        (Frame({"value": [1.0]}), "has no column 'date'"),
        (
            Frame({"date": pd.date_range("2021-01-01", periods=20, freq="7D"), "value": range(20)}),
            "has weekly rows, and the model is for daily ones; give rows with the same time between them",
        ),
    ],
)
def test_newer_rows_that_do_not_fit(run: Path, frame: Frame, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        predict(run, frame)


@pytest.mark.parametrize("count", [0, -2, 10**9])
def test_predict_nothing(run: Path, count: int) -> None:
    with pytest.raises(InputError, match=f"--future is {count}; expected 1 to 10000 rows"):
        predict(run, count=count)


def test_covariates_bound_the_future(wave: Frame, small: Settings, tmp_path: Path) -> None:
    informed = forecast(wave, "value", settings=replace(small, horizon=2), covariates=["other"])
    with staged(tmp_path / "run", RUN) as whole:
        save(informed, whole)
    np.testing.assert_array_equal(predict(tmp_path / "run")["prediction"], informed.rows["prediction"][-2:])
    with pytest.raises(InputError, match="only its horizon of 2 ahead"):
        predict(tmp_path / "run", count=3)


def test_weights_of_another_network_are_not_left_at_random(run: Path) -> None:
    """Keras only warns where a file does not hold all layers."""
    import keras

    keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]).save(run / "model.keras")
    with pytest.raises(InputError, match=r"model\.keras is damaged"):
        load(run)


def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        config = json.loads((run / "config.json").read_text())
        change(config)
        (run / "config.json").write_text(json.dumps(config))

    return damage


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (shutil.rmtree, "is not there; expected a folder of a run"),
        (lambda run: (run / "config.json").unlink(), "is not a folder of a run: it has no config.json"),
        (lambda run: (run / "config.json").write_text("{"), "config.json is damaged"),
        (lambda run: (run / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json is damaged"),
        (lambda run: (run / "config.json").write_text("[]"), "config.json is something else"),
        (edit(lambda config: config.update(format="other")), "config.json is something else"),
        (edit(lambda config: config.update(version=99)), "has the format version 99; expected 1"),
        (edit(lambda config: config.pop("settings")), "config.json is damaged"),
        (edit(lambda config: config["settings"].update(units="many")), "config.json is damaged"),
        (edit(lambda config: config["settings"].update(colour=1)), "config.json is damaged"),
        (edit(lambda config: config.update(settings=[])), "config.json is damaged"),
        (edit(lambda config: config.update(tail=None)), "config.json is damaged"),
        (edit(lambda config: config["tail"]["values"].pop()), "config.json is damaged"),
        (edit(lambda config: config["tail"].update(values=[[1.0]], dates=["2020-01-01"])), "config.json is damaged"),
        (edit(lambda config: config["transformation"].update(step=[])), "config.json is damaged"),
        (edit(lambda config: config["frequency"].update(name=1, pace=2)), "config.json is damaged"),
        (edit(lambda config: config["frequency"].update(seconds="a day")), "config.json is damaged"),
        (edit(lambda config: config["frequency"].update(seconds=0)), "config.json is damaged"),
        (edit(lambda config: config["tail"]["dates"].reverse()), "config.json is damaged"),
        (edit(lambda config: config["settings"].update(units=5)), "model.keras is damaged"),
        (lambda run: (run / "model.keras").unlink(), "model.keras is missing"),
        (lambda run: (run / "model.keras").write_bytes(b"PK\3\4 not a model"), "model.keras is damaged"),
        (lambda run: (run / "model.keras").write_bytes((run / "model.keras").read_bytes()[:4000]), "is damaged"),
    ],
)
def test_folders_that_are_no_runs(run: Path, damage: Callable[[Path], object], sentence: str) -> None:
    damage(run)
    with pytest.raises(InputError, match=sentence) as caught:
        predict(run)
    assert "\n" not in str(caught.value)


def test_a_file_is_no_folder(run: Path) -> None:
    with pytest.raises(InputError, match="is a file; expected a folder of a run"):
        load(run / "config.json")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), staged(tmp_path / "runs" / "run", RUN) as whole:
        (whole / "config.json").write_text("half")
        raise error
    assert list((tmp_path / "runs").iterdir()) == []


def test_failure_keeps_the_older_run(run: Path) -> None:
    before = (run / "config.json").read_bytes()
    with pytest.raises(KeyboardInterrupt), staged(run, RUN, overwrite=True) as whole:
        (whole / "config.json").write_text("half")
        raise KeyboardInterrupt
    assert (run / "config.json").read_bytes() == before
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_overwriting_replaces_the_whole(run: Path) -> None:
    with staged(run, RUN, overwrite=True) as whole:
        (whole / "config.json").write_text("new")
        assert (run / "model.keras").exists()  # until the new one is whole
    assert [path.name for path in run.iterdir()] == ["config.json"]
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_failed_exchange_brings_the_older_run_back(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if target == run and path.name == "new":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    with pytest.raises(InputError, match="No space left on device"), staged(run, RUN, overwrite=True) as whole:
        (whole / "config.json").write_text("new")
        monkeypatch.setattr(Path, "rename", refuse)
    assert (run / "model.keras").exists()
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_only_runs_are_overwritten(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exists already; choose another --output, or pass --overwrite"):
        staged(run, RUN).__enter__()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("ten years of work")
    (mine / "config.json").write_text('{"name": "thesis"}')
    with pytest.raises(InputError, match="is not a run of this command, so it stays"):
        staged(mine, RUN, overwrite=True).__enter__()
    assert (mine / "thesis.txt").exists()


def test_output_under_a_file(run: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        staged(run / "config.json" / "new", RUN).__enter__()


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    for name in ("old", "new"):
        for overwrite in (False, True):
            with staged(tmp_path / name, RUN, overwrite) as whole:
                (whole / "config.json").write_text(json.dumps({"format": RUN.format, "again": overwrite}))
        assert json.loads((tmp_path / name / "config.json").read_text())["again"]
