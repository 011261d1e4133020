"""Writes the parts of docs/cells.md and docs/activations.md that come from the registry of cells and activations.

`python docs/tables.py` rewrites what stands between the markers `<!-- from the registry -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ostinato.cells import ACTIVATIONS, CELLS, Activation, Cell
from ostinato.compiler import trace
from ostinato.compiler.graph import Node, node

FOLDER = Path(__file__).resolve().parent
MARKERS = ("<!-- from the registry -->\n", "<!-- end -->\n")

#: Infix operations, and how tightly each binds.
INFIX = {"add": ("+", 1), "sub": ("-", 1), "mul": ("*", 2), "div": ("/", 2)}
SHORT = {"absolute": "abs", "minimum": "min", "maximum": "max"}


def formula(value: Node, binds: int = 0) -> str:
    """An elementwise expression of x as a person would write it."""
    args = value.args
    if value.op == "constant":
        return f"{value.attr:.6g}"
    if value.op == "input":
        return "x"
    if value.op in INFIX:
        sign, level = INFIX[value.op]
        text = f"{formula(args[0], level)} {sign} {formula(args[1], level + (value.op in ('sub', 'div')))}"
        return f"({text})" if level < binds else text
    if value.op == "neg":
        text = f"-{formula(args[0], 2)}"
        return f"({text})" if binds else text
    if value.op == "select":
        text = f"{formula(args[1], 1)} where {formula(args[0], 1)} > 0, else {formula(args[2], 1)}"
        return f"({text})" if binds else text
    return f"{SHORT.get(value.op, value.op)}({', '.join(formula(arg) for arg in args)})"


def _activation_row(activation: Activation) -> str:
    text = formula(activation.value(node("input")))
    return f"| `{activation.name}` | `{text}` | {'output' if activation.slope else 'input'} |"


def activations_table() -> str:
    """One row an activation: its name, its formula, and what its slope is computed from."""
    rows = ["| name | formula | slope from |", "|---|---|---|"]
    return "\n".join(rows + [_activation_row(activation) for activation in ACTIVATIONS.values()]) + "\n"


def title_and_paper(cell: Cell) -> tuple[str, str]:
    """The first sentence of a cell's docstring, cut before its parenthesis, and what stands in the parenthesis."""
    sentence = " ".join(cell.description.partition("\n\n")[0].split())
    found = re.fullmatch(r"(.*?) \((.*)\)\.", sentence)
    if found is None:
        raise ValueError(
            f"the docstring of cell {cell.name} must open with 'Title (paper).'; it opens with {sentence!r}"
        )
    return found[1], found[2]


def _cell_row(cell: Cell) -> str:
    title, paper = title_and_paper(cell)
    names = (" ".join(cell.gates), " ".join(cell.states), " ".join(cell.parameters) or "none")
    defaults = ", ".join(f"{symbol} = {name}" for symbol, name in cell.activations.items()) or "none"
    blocks = trace(cell).blocks
    W, U = (f"{len(blocks[matrix])}H".removeprefix("1") for matrix in ("W", "U"))
    return f"| `{cell.name}` | {title} | {' | '.join(names)} | {defaults} | {W} x D, {U} x H | {paper} |"


def cells_table() -> str:
    """One row a cell, then the equations of each."""
    rows = [
        "| cell | what it is | gates | states, output first | per-unit parameters | activations | W, U | source |",
        "|---|---|---|---|---|---|---|---|",
        *(_cell_row(cell) for cell in CELLS.values()),
    ]
    equations = [f"### `{cell.name}`\n\n```\n{cell.description}\n```\n" for cell in CELLS.values()]
    return "\n".join([*rows, "", *equations])


#: What each document takes from the registry.
TABLES: dict[str, Callable[[], str]] = {"cells.md": cells_table, "activations.md": activations_table}


def written(document: str) -> str:
    """The text of a document of docs/ with its table made anew."""
    before, rest = (FOLDER / document).read_text().split(MARKERS[0])
    _, after = rest.split(MARKERS[1])
    return f"{before}{MARKERS[0]}\n{TABLES[document]()}\n{MARKERS[1]}{after}"


if __name__ == "__main__":
    for name in TABLES:
        (FOLDER / name).write_text(written(name))
