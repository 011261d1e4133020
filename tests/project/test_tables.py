"""The tables of docs/ say what the registry says."""

from __future__ import annotations

import math
import runpy
from pathlib import Path
from typing import Any

import pytest

from ostinato.cells import ACTIVATIONS, CELLS
from ostinato.compiler.graph import node

DOCS = Path(__file__).resolve().parents[2] / "docs"
tables: dict[str, Any] = runpy.run_path(str(DOCS / "tables.py"))


@pytest.mark.parametrize("document", list(tables["TABLES"]))
def test_document_equals_the_registry(document: str) -> None:
    assert (DOCS / document).read_text() == tables["written"](document), "run `make docs`"


def test_every_cell_has_its_row_and_equations() -> None:
    text = (DOCS / "cells.md").read_text()
    for cell in CELLS.values():
        assert f"| `{cell.name}` |" in text
        assert cell.description in text


FUNCTIONS = {name: getattr(math, name) for name in ("exp", "log1p", "sqrt", "tanh", "erf")}


@pytest.mark.parametrize("x", [-2.5, -0.3, 0.2, 1.7, 7.0])
@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_printed_formula_is_the_activation(name: str, x: float) -> None:
    printed = tables["formula"](ACTIVATIONS[name].value(node("input")))
    python = printed.replace(" where ", " if ").replace(", else ", " else ")
    names = {"x": x, "abs": abs, "min": min, "max": max, "sigmoid": lambda v: 1 / (1 + math.exp(-v)), **FUNCTIONS}
    assert eval(python, names) == pytest.approx(ACTIVATIONS[name].value(x), rel=1e-4, abs=1e-4)
