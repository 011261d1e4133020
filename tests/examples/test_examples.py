"""Every program of examples/ runs at small size, and what it reports is better than chance."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Program = Callable[[str], Callable[[list[str]], Any]]


@pytest.fixture(scope="module")
def program(project: Path) -> Program:
    """The `main` of a program, by its name."""
    return lambda name: runpy.run_path(str(project / "examples" / f"{name}.py"))["main"]


def test_every_program_is_tested(project: Path) -> None:
    source = Path(__file__).read_text()
    programs = [path.stem for path in (project / "examples").glob("*.py")]
    assert programs
    assert [name for name in programs if f'program("{name}")' not in source] == []


def test_keras_lstm_classifier(program: Program) -> None:
    found = program("keras_lstm_classifier")(["--epochs", "15"])
    assert found[2] > 0.75
    assert found[3] > 0.55


def test_keras_gru_classifier(program: Program) -> None:
    found = program("keras_gru_classifier")(["--epochs", "15"])
    assert found[2] > 0.75
    assert found[4] > 0.5


def test_keras_stacked_lstm(program: Program) -> None:
    assert program("keras_stacked_lstm")(["--epochs", "6"]) > 0.2


def test_torch_lstm(program: Program) -> None:
    error, naive = program("torch_lstm")(["--epochs", "3"])
    assert error < naive / 2


def test_stock_price_on_embedded_data(program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "plot.png"
    error, naive = program("stock_price")(["--epochs", "2", "--rows", "200", "--plot", str(plot)])
    assert np.isfinite(error)
    assert 0 < naive < error * 20
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert f"network {error:.2f}, repeating yesterday {naive:.2f}" in capsys.readouterr().out


def test_stock_price_on_two_files(program: Program, tmp_path: Path) -> None:
    rows = ["Date,Open"] + [f"2024-01-{1 + day % 28:02d},{100 + 10 * np.sin(day / 5)}" for day in range(150)]
    for name, part in (("training.csv", rows[:131]), ("test.csv", [rows[0], *rows[131:]])):
        (tmp_path / name).write_text("\n".join(part))
    arguments = [str(tmp_path / "training.csv"), str(tmp_path / "test.csv"), "--plot", str(tmp_path / "plot.png")]
    _, naive = program("stock_price")([*arguments, "--epochs", "1"])
    series = 100 + 10 * np.sin(np.arange(129, 150) / 5)
    assert naive == pytest.approx(np.sqrt(np.mean(np.diff(series) ** 2)))


def test_endless_series(program: Program) -> None:
    error, forgetting, mean = program("endless_series")(["--epochs", "4"])
    assert error < forgetting / 2 < mean / 2


def test_normalisation(program: Program) -> None:
    found = program("normalisation")(["--epochs", "4", "--seeds", "1"])
    assert list(found) == ["none", "batch", "layer"]
    assert found["layer"][0] > found["none"][0] > 0.3


def test_sequence_to_sequence(program: Program, tmp_path: Path) -> None:
    plot = tmp_path / "attention.png"
    size = ["--epochs", "3", "--rows", "1500", "--batch", "32", "--rate", "1e-2", "--beam", "2", "--plot", str(plot)]
    shares = program("sequence_to_sequence")(size)
    assert min(shares) > 0.05
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_sequence_to_sequence_of_other_making(program: Program, tmp_path: Path) -> None:
    plot = tmp_path / "attention.png"
    size = ["--epochs", "1", "--rows", "100", "--hidden", "8", "--cell", "lstm", "--plot", str(plot)]
    shares = program("sequence_to_sequence")(["--task", "addition", "--reverse", "--no-attention", *size])
    assert max(shares) < 0.1
    assert not plot.exists()


def test_sequence_to_sequence_refuses_what_cannot_be(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        program("sequence_to_sequence")(["--hidden", "7"])
    assert "--hidden is even" in capsys.readouterr().err
