"""The programs in the documents run, and what they quote is in the sources."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.main import get_command

from ostinato.cells import CELLS
from ostinato.cli.app import app
from ostinato.compiler.cpp import print_cell
from ostinato.scan import Weights, scan

PROJECT = Path(__file__).resolve().parents[2]
tables: dict[str, Any] = runpy.run_path(str(PROJECT / "docs" / "tables.py"))


def programs(document: str) -> list[str]:
    """The Python blocks of a document."""
    blocks = re.findall(r"^( *)```python\n(.*?)^\1```", (PROJECT / document).read_text(), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(text) for _, text in blocks]


def quotes(document: str) -> list[str]:
    return [text for text in programs(document) if text.startswith("@register")]


#: The documents each of whose programs stands by itself.
DOCUMENTS = [
    "README.md",
    *(
        f"docs/{name}.md"
        for name in ("torch", "keras", "training", "forecasting", "series", "streaming", "text", "language")
    ),
]

RUNNABLE = [
    pytest.param(text, id=f"{document}-{number}")
    for document in DOCUMENTS
    for number, text in enumerate(programs(document))
    if not text.startswith("@register")
]


@pytest.fixture(autouse=True)
def precision() -> Iterator[None]:
    """What a program sets PyTorch's switch to is gone behind it."""
    switch = getattr(torch.backends.mkldnn, "rnn", None)
    before = switch and switch.fp32_precision
    yield
    if switch:
        switch.fp32_precision = before


@pytest.mark.parametrize("text", RUNNABLE)
def test_program_runs(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "a document's program", "exec"), {})


def test_programs_that_build_on_each_other_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, text in enumerate(programs("docs/own-cells.md")):
        exec(compile(text, f"docs/own-cells.md, program {number}", "exec"), names)
    assert (tmp_path / "slow_mean.svg").exists() and names["ours"] > 0


def commands() -> list[str]:
    """Every `ostinato ...` command in the documents' code."""
    text = "\n".join(path.read_text() for path in [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")])
    blocks = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE) + re.findall(r"`(ostinato [^`\n]+)`", text)
    return sorted({line for line in "\n".join(blocks).splitlines() if line.startswith("ostinato ")})


@pytest.mark.parametrize("text", quotes("README.md"))
def test_quoted_cell_is_the_source(text: str) -> None:
    name = re.findall(r"^def (\w+)", text, re.MULTILINE)[0]
    source = (PROJECT / "src" / "ostinato" / "cells" / f"{name}.py").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("def ")]
    assert [line for line in lines if line not in source.splitlines()] == []


@pytest.mark.parametrize("line", commands())
def test_command_is_understood(line: str) -> None:
    _, name, *words = line.split()
    command: Any = vars(get_command(app))["commands"][name]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert [word for word in words if word.startswith("--") and word not in known] == []


def test_the_readme_quotes_a_cell() -> None:
    assert len(quotes("README.md")) == 1


def test_the_readme_calls_cells_by_the_names_of_their_layers() -> None:
    named = re.findall(r"\[`(\w+)`\]\(docs/cells/(\w+)\.md\)", (PROJECT / "README.md").read_text())
    assert named and [(layer, name) for layer, name in named if CELLS[name].layer != layer] == []


@pytest.fixture
def walked_through() -> Any:
    """The cell that CONTRIBUTING.md adds."""
    (text,) = [text for text in programs("CONTRIBUTING.md") if "@register" in text]
    before = set(CELLS)
    exec(compile(text, "CONTRIBUTING.md", "exec", dont_inherit=True), {"__package__": "ostinato.cells"})
    (name,) = set(CELLS) - before
    yield CELLS[name]
    del CELLS[name]


def test_the_cell_of_the_walk_through_works(walked_through: Any) -> None:
    H, D, B, T = 3, 2, 2, 4
    shapes = ((B, T, D), (3 * H, D), (2 * H, H), (3 * H,))
    x, W, U, b = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    b[2 * H :] = 0
    y, (last, cells) = scan(walked_through, x, [Weights(W, U, b)], backend="reference")
    h = c = torch.zeros(B, H, dtype=torch.float64)
    for t in range(T):
        a = x[:, t] @ W.T + b
        i, f = torch.sigmoid(a[:, : 2 * H] + h @ U.T).chunk(2, 1)
        c = f * c + i * a[:, 2 * H :]
        h = torch.tanh(c)
        torch.testing.assert_close(y[:, t], h)
    torch.testing.assert_close(last[0], h)
    torch.testing.assert_close(cells[0], c)
    assert "struct ran" in print_cell(walked_through)
    assert "# Recurrent additive network" in tables["page"](walked_through)


def test_printing_stops_with_its_reader() -> None:
    """`python -m ostinato.compiler lstm | head` ends without a word about the broken pipe."""
    command = [sys.executable, "-m", "ostinato.compiler", "lstm", "gru", "elman"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
