"""The tables of docs/ say what the registry says."""

from __future__ import annotations

import math
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ostinato.cells import ACTIVATIONS, CELLS, Cell
from ostinato.cli.app import app
from ostinato.compiler.description import count, equations, stored, title_and_paper
from ostinato.compiler.graph import node
from ostinato.scan import lowest

DOCS = Path(__file__).resolve().parents[2] / "docs"
tables: dict[str, Any] = runpy.run_path(str(DOCS / "tables.py"))


@pytest.mark.parametrize("document", list(tables["TABLES"]))
def test_document_equals_the_registry(document: str) -> None:
    assert (DOCS / document).read_text(encoding="utf-8") == tables["written"](document), "run `make docs`"


def test_every_cell_has_its_row() -> None:
    text = (DOCS / "cells.md").read_text(encoding="utf-8")
    for cell in CELLS.values():
        assert f"| [`{cell.name}`](cells/{cell.name}.md) | `{cell.layer}` |" in text


def test_pages_equal_the_registry() -> None:
    made = tables["pages"]()
    assert {path.name for path in tables["PAGES"].iterdir()} == set(made), "run `make docs`"
    stale = [name for name, text in made.items() if (tables["PAGES"] / name).read_text(encoding="utf-8") != text]
    assert stale == [], "run `make docs`"


@pytest.mark.parametrize("cell", CELLS.values(), ids=lambda c: c.name)
def test_page_tells_all_of_a_cell(cell: Cell) -> None:
    text = tables["page"](cell)
    title, paper = title_and_paper(cell)
    for part in (f"# {title}\n", paper, equations(cell), f"({cell.name}.svg)", count(cell)):
        assert part in text
    for one in stored(cell):
        assert f"| `{one.name}` | `{tables['names_in_torch'](one, cell)}` |" in text and one.letters in text
    (command,) = re.findall(r"`ostinato (cells .*)` counts", text)
    told = CliRunner().invoke(app, command.split())
    assert told.exit_code == 0 and f"{count(cell)} = " in told.stdout, told.output


@pytest.mark.parametrize("cell", CELLS.values(), ids=lambda c: c.name)
def test_programs_of_a_page_run_and_store_what_it_says(cell: Cell) -> None:
    in_torch, in_keras = re.findall(r"```python\n(.*?)```", tables["page"](cell), re.DOTALL)
    names: dict[str, Any] = {}
    exec(in_torch, names)
    steps = (4, 20, 16 if "P" in count(cell) else 32)
    assert names["output"].shape == steps
    # a cell that reads the layer below stands above another one
    stacked = lowest(cell) if cell.sequences else cell
    told = {tables["names_in_torch"](one, stacked) for one in stored(stacked)}
    told |= {"bias_hh_l0"} if cell.layer in tables["SECOND_BIAS"] else set()
    assert set(names["layer"].state_dict()) == told
    exec(in_keras, names)
    assert names["output"].shape == steps
    told = {tables["names_in_keras"](one) for one in stored(cell)} - {""}
    assert {weight.name for weight in names["layer"].weights} == told


FUNCTIONS = {name: getattr(math, name) for name in ("exp", "log1p", "sqrt", "tanh", "erf")}


@pytest.mark.parametrize("x", [-2.5, -0.3, 0.2, 1.7, 7.0])
@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_printed_formula_is_the_activation(name: str, x: float) -> None:
    printed = tables["formula"](ACTIVATIONS[name].value(node("input")))
    python = printed.replace(" where ", " if ").replace(", else ", " else ")
    names = {"x": x, "abs": abs, "min": min, "max": max, "sigmoid": lambda v: 1 / (1 + math.exp(-v)), **FUNCTIONS}
    assert eval(python, names) == pytest.approx(ACTIVATIONS[name].value(x), rel=1e-4, abs=1e-4)
