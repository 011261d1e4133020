"""`classify` and `predict` on texts and on sequences of numbers, from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ostinato.cli.app import app
from ostinato.text.made import made_reviews

from .conftest import Call
from .test_bad_input import refused

QUICK = ["--vocabulary", 300, "--embedding", 4, "--units", 4, "--epochs", 1]


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """150 made-up reviews."""
    table = made_reviews(150)
    pd.DataFrame({"review": table.texts, "mood": table.labels}).to_csv(tmp_path / "reviews.csv", index=False)
    return tmp_path / "reviews.csv"


@pytest.fixture
def waves(tmp_path: Path) -> Path:
    """60 sequences of unlike lengths and two features, of the classes slow and fast."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(6, 13, 60)
    fast = rng.random(60) < 0.5
    x = np.sin(np.arange(12)[None] * np.where(fast, 1.5, 0.4)[:, None] + rng.random((60, 1)))[..., None]
    x = np.concatenate([x, rng.normal(size=x.shape)], -1)
    np.savez(tmp_path / "waves.npz", x=x, y=np.where(fast, "fast", "slow"), lengths=lengths)
    np.savez(tmp_path / "amounts.npz", x=x, y=np.where(fast, 1.5, 0.4), lengths=lengths)
    rows = [
        {"id": f"s{row}", "step": step, "u": x[row, step, 0], "v": x[row, step, 1], "label": bool(fast[row])}
        for row in range(60)
        for step in range(lengths[row])
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "waves.csv", index=False)
    return tmp_path / "waves.npz"


def test_classify_reports_and_writes(ostinato: Call, reviews: Path) -> None:
    result = ostinato("classify", "reviews.csv", "--text", "review", "--label", "mood", *QUICK)
    assert result.exit_code == 0, result.output
    for part in (
        "reviews.csv: review, and mood of 2 classes (bad, good)",
        "train 108 | validation 12 | test 30 texts",
        "bidirectional lstm 1x4, max+mean pooling",
        "majority", "bag of n-grams", "network", "macro F1", "verdict", "McNemar",
        "ostinato predict runs/reviews-mood reviews.txt",
    ):  # fmt: skip
        assert part in result.output, part
    assert Path("runs/reviews-mood/report.html").is_file()


def test_quiet_says_only_the_verdict(ostinato: Call, reviews: Path) -> None:
    result = ostinato("classify", reviews, "--text", "review", *QUICK, "--quiet", "--output", "run")
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 1 and result.stdout.startswith("The network ")


def test_every_flag_reaches_the_model(ostinato: Call, reviews: Path) -> None:
    flags = {
        "vocabulary": 320, "subwords": "unigram", "longest": 25, "embedding": 5, "cell": "gru", "units": 3, "layers": 2,
        "pooling": "last", "input_dropout": 0.1, "dropout": 0.2, "epochs": 3, "patience": 3, "batch_size": 16,
        "learning_rate": 0.01, "schedule": "cosine", "weight_decay": 0.01, "seed": 4, "test_size": 25,
        "validation_size": 0.2,
    }  # fmt: skip
    spelled = [part for name, value in flags.items() for part in (f"--{name.replace('_', '-')}", value)]
    result = ostinato("classify", reviews, "--text", "review", *spelled, "--no-bidirectional", "--output", "run")
    assert result.exit_code == 0, result.output
    settings = json.loads(Path("run/config.json").read_text())["settings"]
    assert {name: settings[name] for name in flags} == flags and settings["bidirectional"] is False
    assert "longer than 25 subwords" in result.output


def test_without_a_file_it_says_that_the_reviews_are_made_up(ostinato: Call) -> None:
    result = ostinato("classify", *QUICK, "--test-size", 40, "--seed", 1)
    assert result.exit_code == 0, result.output
    assert "made-up reviews (not real data)" in result.output and Path("runs/made-up-reviews-label").is_dir()


def test_predict_takes_files_and_standard_input(ostinato: Call, reviews: Path) -> None:
    assert ostinato("classify", reviews, "--text", "review", *QUICK, "--output", "run", "--quiet").exit_code == 0
    texts = pd.read_csv(reviews)["review"][:4]
    Path("new.txt").write_text("\n\n".join(texts) + "\n")
    texts.to_frame("review").to_csv("new.csv", index=False)
    found = []
    for arguments in (["new.txt"], ["new.csv"], ["-"], []):
        piped = "\n".join(texts) if arguments in (["-"], []) else None
        command = ["predict", "run", *arguments, "--output", "out.csv", "--overwrite"]
        result = CliRunner().invoke(app, command, input=piped, prog_name="ostinato")
        assert result.exit_code == 0, result.output
        assert "out.csv" in result.output and "p(good)" in result.output
        rows = pd.read_csv("out.csv")
        assert rows["row"].tolist() == ([1, 3, 5, 7] if arguments == ["new.txt"] else [1, 2, 3, 4])
        found.append(rows.drop(columns="row"))
    assert all(rows.equals(found[0]) for rows in found)
    tested = pd.read_csv("run/predictions.csv").merge(found[0], on="text", suffixes=("", " again"))
    assert (tested["predicted"] == tested["predicted again"]).all()
    quiet = CliRunner().invoke(app, ["predict", "run", "new.txt", "--quiet"])
    assert quiet.output == "" and quiet.exit_code == 0


def test_several_labels(ostinato: Call, reviews: Path) -> None:
    frame = pd.read_csv(reviews)
    frame["tags"] = ["|".join(word for word in ("plot", "music") if word in text) for text in frame["review"]]
    frame.to_csv("tags.csv", index=False)
    flags = ["--text", "review", "--label", "tags", "--multi-label", *QUICK, "--output", "run"]
    result = ostinato("classify", "tags.csv", *flags)
    assert result.exit_code == 0, result.output
    assert "tags of 2 classes (music, plot)" in result.output


def test_tutorial(ostinato: Call, reviews: Path) -> None:
    flags = ["--text", "review", "--preset", "tutorial", "--epochs", 1, "--output", "run"]
    result = ostinato("classify", reviews, *flags)
    assert result.exit_code == 0, result.output
    assert "523,840" in result.output and "598,209 parameters" in result.output
    result = ostinato("predict", "run", reviews, "--text", "review")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(("file", "flags"), [("waves.npz", []), ("waves.csv", ["--id", "id", "--step", "step"])])
def test_sequences(ostinato: Call, waves: Path, file: str, flags: list[Any]) -> None:
    result = ostinato("classify", file, *flags, "--units", 8, "--epochs", 3, "--output", "run")
    assert result.exit_code == 0, result.output
    for part in ("60 sequences of 6 to 12 steps, 2 features", "summary statistics", "majority", "verdict"):
        assert part in result.output
    result = ostinato("predict", "run", file, "--output", "out.csv")
    assert result.exit_code == 0, result.output
    rows = pd.read_csv("out.csv")
    assert len(rows) == 60 and rows.columns[:2].tolist() == ["sequence", "predicted"]
    page = Path("run/report.html").read_text()
    assert page.count("data:image/png") == 6 and "test sequence" in page


def test_regression(ostinato: Call, waves: Path) -> None:
    flags = ["--task", "regress", "--units", 8, "--epochs", 2, "--output", "run"]
    result = ostinato("classify", "amounts.npz", *flags)
    assert result.exit_code == 0, result.output
    assert "RMSE" in result.output and "the network" in result.output.lower()
    assert {"predictions.png", "predictions-dark.png", "report.html", "model"} <= {
        p.name for p in Path("run").iterdir()
    }
    assert ostinato("predict", "run", "amounts.npz").exit_code == 0


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["more.csv"], "which column holds the labels is not plain; its columns are review, mood, day; name one"),
        (["reviews.csv", "--text", "reveiw"], "has no column 'reveiw'; its columns are review, mood; did you mean"),
        (["none.csv"], "none.csv does not exist; expected a file of texts"),
        (["."], ". is a directory; expected .csv"),
        (["reviews.csv", "--text", "review", "--cell", "transformer"], "there is no cell 'transformer'"),
        (["reviews.csv", "--text", "review", "--epochs", 0], "--epochs is 0; expected a whole number"),
        (["reviews.csv", "--text", "review", "--pooling", "sum"], "the pooling is 'sum'"),
        (["reviews.csv", "--text", "review", "--task", "regress"], "--task regress is for sequences of numbers"),
        (["reviews.csv", "--text", "review", "--task", "rank"], "--task is 'rank'; expected classify or regress"),
        (["reviews.csv", "--text", "review", "--preset", "tutorial", "--cell", "gru"], "--cell is no choice of"),
        (["reviews.csv", "--text", "review", "--output", "reviews.csv"], "reviews.csv exists already"),
        (["reviews.csv", "--text", "review", "--output", "reviews.csv", "--overwrite"], "so it stays"),
        (["binary.csv"], "is a binary file"),
        (["latin.csv"], "is not in UTF-8: line 2"),
        (["--text", "review"], "no file of texts was given"),
        (["one.csv"], "all texts have the label 'a'; expected at least two classes"),
        (["waves.npz", "--longest", 9], "--longest is for texts; waves.npz holds sequences of numbers"),
        (["waves.npz", "--preset", "tutorial"], "--preset is for texts"),
        (["waves.npz", "--test", "waves.npz", "--test-size", 0.3], "--test-size is 0.3, but all rows of --test"),
        (["waves.npz", "--task", "regress"], "the labels are no numbers but '"),
        (["amounts.npz", "--units", 0], "--units is 0; expected a whole number of at least 1"),
        (["broken.npz"], "broken.npz cannot be read"),
    ],
)  # fmt: skip
def test_bad_input(ostinato: Call, reviews: Path, waves: Path, flags: list[Any], sentence: str) -> None:
    Path("binary.csv").write_bytes(bytes(range(256)) * 9)
    Path("latin.csv").write_bytes("text,label\ncafé,a\n".encode("latin-1"))
    Path("one.csv").write_text("text,label\n" + "x,a\ny,a\n" * 20)
    Path("broken.npz").write_bytes(b"PK broken")
    Path("more.csv").write_text("review,mood,day\nx,a,1\n")
    refused(ostinato, sentence, "classify", *flags)


def test_a_network_that_does_not_fit_in_memory(ostinato: Call, waves: Path) -> None:
    result = ostinato("classify", waves, "--units", 2**31, "--output", "run")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert "this does not fit in memory; use fewer --units" in result.stderr and not Path("run").exists()


def test_predict_refuses(ostinato: Call, reviews: Path, waves: Path) -> None:
    assert ostinato("classify", reviews, "--text", "review", *QUICK, "--output", "run", "--quiet").exit_code == 0
    assert ostinato("classify", waves, "--units", 4, "--epochs", 1, "--output", "seq", "--quiet").exit_code == 0
    Path("empty.txt").write_text("\n\n")
    Path("other").mkdir()
    Path("other/config.json").write_text('{"format": "something else"}')
    refused(ostinato, "empty.txt is empty", "predict", "run", "empty.txt")
    refused(ostinato, "standard input is empty", "predict", "run", "-")
    refused(ostinato, "--future is for a run of forecast", "predict", "run", "--future", 3)
    refused(ostinato, "--text is for a run on texts", "predict", "seq", waves, "--text", "review")
    refused(ostinato, "name a file of them", "predict", "seq")
    refused(ostinato, "config.json is something else", "predict", "other", "empty.txt")
    refused(ostinato, "reviews.csv exists already", "predict", "run", reviews, "--output", reviews)
    refused(ostinato, "no column 'txt'", "predict", "run", reviews, "--text", "txt")
    Path("run/model.safetensors").write_bytes(b"no")
    refused(ostinato, "model.safetensors is damaged", "predict", "run", reviews)
