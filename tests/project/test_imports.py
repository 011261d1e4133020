"""The house: which folder may import which, and what `import ostinato` may load."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "ostinato"

#: For each folder of the package the other folders, and the packages beside the standard library, it may import.
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    "cells": (set(), set()),
    "compiler": ({"cells"}, set()),
    "scan": ({"cells", "compiler"}, {"torch", "numpy"}),
    "report": (set(), {"numpy", "matplotlib"}),
    "series": (set(), {"numpy"}),
    "faults": (set(), {"torch"}),
    "nn": ({"cells", "scan", "series", "faults"}, {"torch"}),
    "keras": ({"cells", "scan", "series", "faults"}, {"torch", "keras", "numpy"}),
    "inspect": ({"nn", "keras", "scan", "report"}, {"torch", "keras", "numpy", "matplotlib"}),
    "forecast": (
        {"keras", "nn", "inspect", "report"},
        {"torch", "keras", "numpy", "pandas", "matplotlib", "safetensors", "sklearn", "bokeh_sampledata"},
    ),
    "sequences": (
        {"nn", "report"},
        {"torch", "numpy", "pandas", "safetensors", "sklearn"},
    ),
    "text": (
        {"keras", "nn", "report", "sequences"},
        {"torch", "keras", "numpy", "pandas", "matplotlib", "safetensors", "scipy", "sklearn", "tokenizers"},
    ),
    # cells and compiler: `ostinato cells` describes a cell without loading torch
    "cli": (
        {"forecast", "sequences", "text", "inspect", "report", "cells", "compiler"},
        {"numpy", "pandas", "typer", "rich"},
    ),
}

#: What the modules beside the folders may import: `python -m ostinato` is the command.
ALLOWED_OUTSIDE: tuple[set[str], set[str]] = ({"cli"}, set())


def imported(source: str, package: list[str]) -> Iterator[str]:
    """The full name of every module that `source`, a module of `package`, imports anywhere in it."""
    for statement in ast.walk(ast.parse(source)):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            base = package[: len(package) - statement.level + 1] if statement.level else []
            base = base + (statement.module or "").split(".") if statement.module else base
            # `from .. import scan` imports the module scan, `from ..scan import run` the module ..scan
            yield from (".".join([*base, alias.name]) for alias in statement.names)


def violations(source: str, package: list[str]) -> list[str]:
    """The imports of `source` that the table does not allow."""
    folder = package[1] if len(package) > 1 else None
    folders, packages = ALLOWED[folder] if folder else ALLOWED_OUTSIDE
    found = []
    for name in imported(source, package):
        root, _, rest = name.partition(".")
        inside = rest.split(".")[0]
        if root == "ostinato":
            own = inside == folder or inside not in ALLOWED
            if not own and inside not in folders:
                found.append(name)
        elif root not in sys.stdlib_module_names and root not in packages:
            found.append(name)
    return found


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_imports_what_its_folder_may(module: Path) -> None:
    package = ["ostinato", *module.relative_to(PACKAGE).parent.parts]
    assert violations(module.read_text(), package) == []


def test_every_folder_is_in_the_table() -> None:
    assert {path.relative_to(PACKAGE).parts[0] for path in MODULES if path.parent != PACKAGE} <= set(ALLOWED)


@pytest.mark.parametrize(
    ("source", "package", "expected"),
    [
        ("import torch", "ostinato.cells", ["torch"]),
        ("def f():\n    import torch.nn", "ostinato.compiler", ["torch.nn"]),
        ("from ..scan import run", "ostinato.compiler", ["ostinato.scan.run"]),
        ("from .. import scan", "ostinato.cells", ["ostinato.scan"]),
        ("from ..forecast import read", "ostinato.text", ["ostinato.forecast.read"]),
        ("import keras", "ostinato.nn", ["keras"]),
        ("from ..cells import CELLS\nfrom .trace import trace\nimport ast", "ostinato.compiler", []),
        ("from .. import __version__", "ostinato.forecast", []),
        ("import torch", "ostinato", ["torch"]),
    ],
)
def test_the_scan_finds_violations(source: str, package: str, expected: list[str]) -> None:
    assert violations(source, package.split(".")) == expected


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import ostinato", {"keras", "triton", "pandas", "matplotlib", "typer"}),
        ("import ostinato.nn", {"keras", "pandas", "matplotlib"}),
        ("import ostinato.sequences", {"keras", "pandas", "matplotlib", "sklearn", "tokenizers"}),
        ("import ostinato.compiler", {"torch", "numpy", "keras"}),
        ("import ostinato.keras", {"tensorflow", "jax", "triton"}),
    ],
)
def test_importing_loads_no_more_than_needed(statement: str, unwanted: set[str]) -> None:
    program = f"import sys; {statement}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0, run.stderr
    assert unwanted.isdisjoint(run.stdout.split())
