"""`cells`: the list, one cell in full, its numbers and its picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ostinato.keras.layers
import ostinato.nn
from ostinato.cells import CELLS, Cell
from ostinato.compiler.description import arguments, count, equations, layers, title_and_paper
from ostinato.compiler.diagram import draw

from .conftest import Call


def test_list_has_a_line_a_cell(ostinato: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    result = ostinato("cells")
    assert result.exit_code == 0
    header, *rows = result.stdout.splitlines()
    assert header.split()[:4] == ["cell", "layer", "states", "parameters"] and len(rows) == len(CELLS)
    for row, cell in zip(rows, CELLS.values(), strict=True):
        title, paper = title_and_paper(cell)
        assert row.split()[0] == cell.name and row == row.rstrip()
        assert all(part in row for part in (cell.layer, " ".join(cell.states), count(cell), f"{title} ({paper})"))


def test_list_fits_into_a_narrow_terminal(ostinato: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = ostinato("cells").stdout.splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) < 4 * len(CELLS)


@pytest.mark.parametrize("cell", CELLS.values(), ids=lambda c: c.name)
def test_cell_in_full(ostinato: Call, cell: Cell) -> None:
    result = ostinato("cells", cell.name)
    assert result.exit_code == 0, result.output
    for line in equations(cell).splitlines():
        assert line.rstrip() in result.stdout
    torch_module, keras_layer = layers(cell)
    for part in (cell.name, torch_module, keras_layer, count(cell), *cell.states, *cell.vectors, *cell.matrices):
        assert part in result.stdout
    for argument in arguments(cell):
        assert argument.torch in result.stdout and argument.meaning in result.stdout


@pytest.mark.parametrize("cell", CELLS.values(), ids=lambda c: c.name)
def test_the_layers_that_are_named_exist(cell: Cell) -> None:
    torch_module, keras_layer = (name.rpartition(".")[2] for name in layers(cell))
    assert issubclass(getattr(ostinato.nn, torch_module), ostinato.nn.Layer | ostinato.nn.recurrent.Recurrent)
    assert getattr(ostinato.keras.layers, keras_layer).__module__.startswith("ostinato.keras")


def test_numbers_of_an_lstm_are_those_of_torch(ostinato: Call) -> None:
    result = ostinato("cells", "lstm", "--input-size", 64, "--units", 128)
    assert "4DH + 4H² + 4H = 98,816 with D = 64, H = 128" in result.stdout  # 4 * 128 * (64 + 128 + 1)
    assert "65,536" in result.stdout and "32,768" in result.stdout


def test_numbers_of_blocks(ostinato: Call) -> None:
    slstm = ostinato("cells", "slstm", "--input-size", 8, "--units", 8, "--heads", 4)
    assert "= 352 with D = 8, H = 8, heads = 4" in slstm.stdout  # 4 * (64 + 16 + 8)
    clockwork = ostinato("cells", "clockwork", "--input-size", 1, "--units", 64, "--modules", 8)
    assert "= 2,432 with" in clockwork.stdout  # 64 + 64 + 8 * 8 * 36


@pytest.mark.parametrize("name", ["LSTM", "PeepholeLSTM", "peephole-lstm", "SimpleRNN"])
def test_a_layer_s_name_finds_its_cell(ostinato: Call, name: str) -> None:
    result = ostinato("cells", name)
    assert result.exit_code == 0 and name.replace("-", "").lower() in result.stdout.replace("_", "").lower()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lstn"], "no cell is called 'lstn'; the nearest are lstm"),
        (["zzz"], "no cell is called 'zzz'; `ostinato cells` lists them"),
        (["lstm", "--units", 8], "a number of parameters needs both --input-size and --units"),
        (["lstm", "--input-size", -1, "--units", 8], "--input-size is -1; expected at least 1"),
        (["lstm", "--heads", 2], "--heads is 2, but cell lstm has no heads"),
        (["slstm", "--input-size", 8, "--units", 8, "--heads", 3], "--heads is 3; expected a divisor of the 8 units"),
        (["projected_lstm", "--input-size", 8, "--units", 8], "needs --projection within 1..8, the units; got 0"),
        (["lstm", "--projection", 2], "--projection is 2, but cell lstm has no projection"),
        (["rg_lru", "--input-size", 8, "--units", 9], "needs an input as wide as its units"),
        (["--units", 8], "--units says something about one cell; name it"),
        (["lstm", "--diagram", "no/such/folder.svg"], "no/such/folder.svg cannot be written"),
    ],
)
def test_bad_words_are_answered_in_a_sentence(ostinato: Call, words: list[object], sentence: str) -> None:
    result = ostinato("cells", *words)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("ostinato: ") and sentence in result.stderr and result.stderr.count("\n") == 1


def test_diagram_is_written_and_not_replaced(ostinato: Call, tmp_path: Path) -> None:
    assert ostinato("cells", "gru", "--diagram", "gru.svg").exit_code == 0
    assert (tmp_path / "gru.svg").read_text(encoding="utf-8") == draw(CELLS["gru"])
    refused = ostinato("cells", "lstm", "--diagram", "gru.svg")
    assert refused.exit_code == 2 and "gru.svg exists already" in refused.stderr
    assert ostinato("cells", "lstm", "--diagram", "gru.svg", "--overwrite").exit_code == 0
    assert (tmp_path / "gru.svg").read_text(encoding="utf-8") == draw(CELLS["lstm"])


def test_the_list_loads_no_framework() -> None:
    program = "import sys; from ostinato.cli.app import app; app(['cells'], standalone_mode=False); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"torch", "keras", "pandas", "numpy"}.isdisjoint(run.stdout.splitlines()[-1].split())
