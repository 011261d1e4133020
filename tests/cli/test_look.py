"""`ostinato look`, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from ostinato.keras import layers, models

from .conftest import Call
from .test_bad_input import refused


@pytest.fixture
def model(ostinato: Call) -> Path:
    """A saved network from (N, 9, 2) to (N, 1), whose optimizer has not begun."""
    made = models.Sequential([layers.Input((9, 2)), layers.GRU(3), layers.Dense(1)])
    made.compile("adam", "mse")
    made.save("net.keras")
    return Path("net.keras")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are empty: what they show has tests of its own."""
    monkeypatch.setattr("ostinato.inspect.report.png", lambda figure: b"")


def content(folder: str) -> Any:
    return json.loads(Path(folder, "report.json").read_text())


@pytest.mark.usefixtures("drawn")
def test_arrays(ostinato: Call, model: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 300, 9, 2))[0], np.zeros((300, 1))
    np.savez("data.npz", x=x, y=y)
    result = ostinato("look", model, "data.npz", "--threshold", 0.02)
    assert result.exit_code == 0, result.output
    assert "This network remembers" in result.stdout and "looks/net/report.html" in result.stdout
    found = content("looks/net")
    assert found["model"] == "net.keras" and found["settings"]["targets"] and found["settings"]["threshold"] == 0.02
    assert found["settings"]["sequences"] == 256 and np.shape(found["data"]["attribution"]["gradient"]) == (256, 9, 2)
    np.save("x.npy", x[:4])
    assert ostinato("look", model, "x.npy", "--sequences", 3, "--quiet").stdout == ""
    assert content("looks/net-2")["settings"] == {
        **found["settings"],
        "sequences": 3,
        "targets": False,
        "threshold": 0.01,
    }


@pytest.mark.usefixtures("drawn")
def test_a_csv_is_cut_into_windows(ostinato: Call, model: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 3))
    pd.DataFrame(rows, columns=["a", "b", "c"]).assign(word="x").to_csv("rows.csv")
    result = ostinato("look", model, "rows.csv", "--columns", "c,a", "--output", "out")
    assert result.exit_code == 0, result.output
    found = content("out")
    assert found["settings"]["sequences"] == 12 and found["settings"]["features"] == ["c", "a"]
    np.testing.assert_allclose(found["data"]["attribution"]["input"][5], rows[5:14, [2, 0]], rtol=1e-6)


@pytest.mark.usefixtures("drawn")
def test_a_forecast_is_looked_at_with_its_csv(ostinato: Call, csv: Path, quick: list[str]) -> None:
    assert (
        ostinato("forecast", csv, "--target", "Open", "--covariates", "High", "--output", "run", *quick).exit_code == 0
    )
    result = ostinato("look", "run", csv, "--output", "out")
    assert result.exit_code == 0, result.output
    found = content("out")
    # 160 rows, less a window of 8 and the row that its first step is from, less the one that follows
    assert found["settings"]["sequences"] == 151 and found["settings"]["targets"]
    assert found["settings"]["features"] == ["Open step", "Open level", "High step", "High level"]
    assert [one["layer"] for one in found["data"]["gradient_flow"]] == [found["data"]["gradient_flow"][0]["layer"]] * 2


def test_pictures_and_page_are_written(ostinato: Call, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save("x.npy", np.random.default_rng(0).normal(size=(3, 9, 2)))
    assert ostinato("look", model, "x.npy", "--output", "out").exit_code == 0
    page = Path("out/report.html").read_text()
    assert page.count("data:image/png;base64,iVBORw0KGgo") == 14
    assert len(list(Path("out").glob("*.png"))) == 14
    before = Path("out/report.html").stat().st_mtime_ns
    refused(ostinato, "out exists already", "look", model, "x.npy", "--output", "out")
    monkeypatch.setattr("ostinato.inspect.report.png", lambda figure: b"")
    assert ostinato("look", model, "x.npy", "--output", "out", "--overwrite").exit_code == 0
    assert Path("out/report.html").stat().st_mtime_ns > before


def test_what_is_refused(ostinato: Call, model: Path, csv: Path) -> None:
    np.save("x.npy", np.random.default_rng(0).normal(size=(3, 9, 2)))
    np.save("same.npy", np.ones((3, 9, 2)))
    np.savez("unknown.npz", x=np.zeros((3, 9, 2)), y=np.full((3, 1), np.nan))
    np.savez("shape.npz", x=np.random.default_rng(0).normal(size=(3, 9, 2)), y=np.ones((3, 4, 5)))
    np.save("wide.npy", np.zeros((3, 9, 4)))
    np.save("flat.npy", np.zeros((3, 9)))
    np.save("nan.npy", np.full((3, 9, 2), np.nan))
    np.save("words.npy", np.array(["a", "b"]))
    np.save("objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    np.savez("two.npz", a=np.zeros(2), b=np.zeros(2))
    np.savez("unlike.npz", x=np.zeros((4, 5, 2)), y=np.zeros(3))
    Path("broken.npz").write_bytes(b"PK\x03\x04 and no more")
    Path("broken.keras").write_bytes(b"no zip")
    torch.save(torch.nn.Linear(1, 1), "whole.pt")
    dense = models.Sequential([layers.Input((9, 2)), layers.Dense(1)])
    dense.save("dense.keras")
    Path("empty").mkdir()
    for sentence, *arguments in (
        ("nowhere.keras is not there; expected a .keras file", "nowhere.keras", "x.npy"),
        ("whole.pt is a pickle, and loading one runs whatever program is in it", "whole.pt", "x.npy"),
        ("x.npy ends in .npy; expected a .keras file", "x.npy", "x.npy"),
        ("broken.keras cannot be loaded", "broken.keras", "x.npy"),
        ("has no recurrent layer of this library", "dense.keras", "x.npy"),
        ("empty is not a folder of a run", "empty", csv),
        ("x holds the same numbers at every step", model, "same.npy"),
        ("y holds 3 numbers that are not finite", model, "unknown.npz"),
        ("net.keras cannot be run on shape.npz (", model, "shape.npz"),
        ("nowhere.npy is not there; expected .npy, .npz or CSV", model, "nowhere.npy"),
        ("empty is a folder; expected .npy, .npz or CSV", model, "empty"),
        ("x has the shape (3, 9, 4); expected (any, 9, 2)", model, "wide.npy"),
        ("x has the shape (3, 9); expected (N, T, F)", model, "flat.npy"),
        ("x holds 54 numbers that are not finite", model, "nan.npy"),
        ("expected an array of numbers", model, "words.npy"),
        ("objects.npy is no file of arrays of numbers", model, "objects.npy"),
        ("two.npz holds a, b; expected x, and y if there are targets", model, "two.npz"),
        ("unlike.npz holds x of the shape (4, 5, 2) and y of (3,); expected one y for each x", model, "unlike.npz"),
        ("broken.npz is no file of arrays of numbers", model, "broken.npz"),
        ("--columns names columns of a CSV file; x.npy holds arrays", model, "x.npy", "--columns", "a"),
        ("prices.csv has no column 'Low'; its columns are Date, Open, High", model, csv, "--columns", "Open,Low"),
        ("prices.csv has 1 columns of numbers (Open), and the model takes 2", model, csv, "--columns", "Open"),
        ("column 'Date' of", model, csv, "--columns", "Date,Open"),
        ("--sequences is 0; expected at least 1", model, "x.npy", "--sequences", 0),
        ("--threshold is 2; expected above 0 and below 1", model, "x.npy", "--threshold", 2),
        ("--threshold is 'a'; expected a number", model, "x.npy", "--threshold", "a"),
        ("x.npy/out cannot be written", model, "x.npy", "--output", "x.npy/out"),
        ("x.npy exists and is not a report of this command", model, "x.npy", "--output", "x.npy", "--overwrite"),
        ("missing argument 'data'", model),
    ):
        refused(ostinato, sentence, "look", *arguments)


def test_a_forecast_with_too_few_rows(ostinato: Call, csv: Path, quick: list[str]) -> None:
    assert ostinato("forecast", csv, "--target", "Open", "--output", "run", *quick).exit_code == 0
    pd.read_csv(csv).head(9).to_csv("few.csv", index=False)
    refused(ostinato, "few.csv has 9 rows; the model needs 10, a window and what follows it", "look", "run", "few.csv")
