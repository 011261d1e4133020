"""`write` from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Call

RHYME = "one for sorrow, two for joy, three for a girl, four for a boy; five for silver.\n"
QUICK = ["--embedding", 8, "--units", 8, "--steps", 16, "--batch-size", 4, "--epochs", 2, "--vocabulary", 300]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "rhyme.txt"
    path.write_text(RHYME * 40)
    return path


@pytest.mark.parametrize("unit", ["subword", "word", "character"])
def test_write_reports_writes_and_goes_on(ostinato: Call, corpus: Path, tmp_path: Path, unit: str) -> None:
    result = ostinato("write", corpus.name, "--unit", unit, *QUICK)
    assert result.exit_code == 0, result.output
    for part in ("3,200 characters", "lstm 1x8", "unigram", "Kneser-Ney", f"perplexity per {unit}", "verdict"):
        assert part in result.output
    run = tmp_path / "runs" / f"rhyme-{unit}s"
    vocabulary = "tokenizer.json" if unit == "subword" else "vocabulary.json"
    files = {"config.json", "metrics.json", "model.safetensors", "learning.png", "sample.txt", vocabulary}
    assert {path.name for path in run.iterdir()} == files
    flags = ["--prompt", "two for", "--length", 20, "--temperature", 0.8, "--top-p", 0.9, "--top-k", 50]
    told = [ostinato("write", run, *flags, "--seed", seed) for seed in (0, 0, 1)]
    assert all(one.exit_code == 0 and one.stdout.startswith("two for") for one in told)
    assert told[0].stdout == told[1].stdout != told[2].stdout
    result = ostinato("write", run, "--epochs", 3)
    assert result.exit_code == 2 and "--epochs is for training" in result.stderr


def test_every_flag_reaches_the_model(ostinato: Call, corpus: Path, tmp_path: Path) -> None:
    flags = {
        "unit": "word", "vocabulary": 50, "cell": "gru", "embedding": 6, "units": 5, "layers": 2, "dropout": 0.11,
        "input_dropout": 0.12, "embedding_dropout": 0.13, "weight_dropout": 0.14, "steps": 9, "batch_size": 3,
        "epochs": 2, "patience": 4, "learning_rate": 0.01, "test_size": 0.2, "validation_size": 0.15, "seed": 7,
    }  # fmt: skip
    spelled = [part for name, value in flags.items() for part in (f"--{name.replace('_', '-')}", value)]
    result = ostinato("write", corpus, *spelled, "--output", "run", "--quiet")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("The model needs ") and len(result.stdout.splitlines()) == 1
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert {name: config["settings"][name] for name in flags} == flags


def test_a_prompt_is_gone_on_from_after_training(ostinato: Call, corpus: Path) -> None:
    result = ostinato("write", corpus, *QUICK, "--unit", "character", "--prompt", "one for", "--length", 5, "--quiet")
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()[-1]) >= 7 and "one for" in result.stdout


def test_texts_of_a_table(ostinato: Call, tmp_path: Path) -> None:
    rows = [json.dumps({"id": k, "review": RHYME.strip()}) for k in range(40)]
    (tmp_path / "reviews.jsonl").write_text("\n".join(rows))
    result = ostinato("write", "reviews.jsonl", "--text", "review", *QUICK, "--quiet")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.txt"], "none.txt does not exist"),
        (["rhyme.txt", "--unit", "letter"], "--unit is 'letter'"),
        (["rhyme.txt", "--cell", "lstn"], "did you mean"),
        (["rhyme.txt", "--top-p", "2"], "--top-p is 2"),
        (["rhyme.txt", "--text", "review"], "is no table"),
        (["rhyme.txt", "--epochs", "many"], "--epochs"),
        (["short.txt"], "expected at least 2000"),
        (["empty"], "is not a folder of a language model"),
        (["empty", "--epochs", "3"], "is not a folder of a language model"),
        (["rhyme.txt", "--output", "empty"], "exists already"),
    ],
)
def test_what_does_not_do_is_told_in_a_sentence(
    ostinato: Call, corpus: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "short.txt").write_text("too short")
    result = ostinato("write", *arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr and len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()
