"""`ostinato cells`: every cell in a line, or one in full."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from ..cells import CELLS, Cell
from ..compiler import trace
from ..compiler.description import (
    BLOCKS,
    arguments,
    count,
    equations,
    layers,
    numbers,
    states,
    stored,
    title_and_paper,
)  # fmt: skip
from ..compiler.diagram import draw
from .margin import line
from .usage import UsageError

#: How wide the output is where it goes into a file or another program: a cell a line.
PIPED = 300

#: How wide a terminal must be for the list to count the parameters, and to name the layers.
COUNTED, NAMED = 110, 130

Sizes = dict[str, int]


def run(name: str | None, sizes: Sizes, diagram: Path | None, overwrite: bool) -> None:
    """See `commands.cells`. Sizes are D, H, P, heads and modules, 0 where none was given."""
    terminal = Console().is_terminal
    console = Console(highlight=False, width=None if terminal or "COLUMNS" in os.environ else PIPED)
    with console.capture() as captured:
        _tell(console, name, sizes, diagram, overwrite)
    text = captured.get()
    print(text if terminal else "\n".join(part.rstrip() for part in text.split("\n")), end="")


def _tell(console: Console, name: str | None, sizes: Sizes, diagram: Path | None, overwrite: bool) -> None:
    if name is None:
        given = [size for size, value in sizes.items() if value]
        if given or diagram:
            raise UsageError(f"--{'diagram' if diagram else FLAGS[given[0]]} says something about one cell; name it")
        console.print(_list(console.width))
        return
    cell = _found(name)
    if diagram:
        _write(cell, diagram, overwrite)
        line(console, "written", str(diagram))
        return
    _show(console, cell, _checked(cell, sizes))


#: The flags of the sizes.
FLAGS = {"D": "input-size", "H": "units", "P": "projection", "heads": "heads", "modules": "modules"}


def _found(name: str) -> Cell:
    """The cell of this name, or that of the layer of this name."""
    names = {cell.layer: cell for cell in CELLS.values()} | {layers(c)[1].rpartition(".")[2]: c for c in CELLS.values()}
    plain = {re.sub(r"\W|_", "", known).lower(): cell for known, cell in {**names, **CELLS}.items()}
    found = plain.get(re.sub(r"\W|_", "", name).lower())
    if found is not None:
        return found
    near = get_close_matches(name.lower(), list(CELLS), n=3, cutoff=0.5)
    hint = f"; the nearest are {', '.join(near)}" if near else "; `ostinato cells` lists them"
    raise UsageError(f"no cell is called {name!r}{hint}")


def _checked(cell: Cell, sizes: Sizes) -> Sizes:
    """All sizes, if D or H is among those given; else none."""
    D, H = sizes["D"], sizes["H"]
    blocks = BLOCKS.get(cell.blocks)
    letters = {letter for one in stored(cell) for size in one.shape for letter in size.letter}
    for size, flag in FLAGS.items():
        if sizes[size] < 0:
            raise UsageError(f"--{flag} is {sizes[size]}; expected at least 1")
    for size in ("heads", "modules"):
        if sizes[size] and blocks != size:
            raise UsageError(f"--{size} is {sizes[size]}, but cell {cell.name} has no {size}")
    if sizes["P"] and "P" not in letters:
        raise UsageError(f"--projection is {sizes['P']}, but cell {cell.name} has no projection")
    if not any(sizes.values()):
        return {}
    if not D or not H:
        raise UsageError("a number of parameters needs both --input-size and --units")
    if trace(cell).sizes.same and D != H:
        raise UsageError(f"cell {cell.name} needs an input as wide as its units; got --input-size {D} --units {H}")
    if "P" in letters and not 0 < sizes["P"] <= H:
        raise UsageError(f"cell {cell.name} needs --projection within 1..{H}, the units; got {sizes['P']}")
    checked = sizes | {"heads": sizes["heads"] or 1, "modules": sizes["modules"] or 1}
    if blocks and H % checked[blocks]:
        raise UsageError(f"--{blocks} is {checked[blocks]}; expected a divisor of the {H} units")
    return checked


def _list(width: int) -> Grid:
    grid = Grid(box=None, padding=(0, 2, 0, 0), header_style="bold")
    grid.add_column("cell", style="bold cyan", no_wrap=True)
    if width >= NAMED:
        grid.add_column("layer", no_wrap=True)
    grid.add_column("states", no_wrap=True)
    if width >= COUNTED:
        grid.add_column("parameters", no_wrap=True)
    grid.add_column("what it is, and where it comes from", overflow="fold")
    for cell in CELLS.values():
        title, paper = title_and_paper(cell)
        layer = [layers(cell)[0].rpartition(".")[2]] if width >= NAMED else []
        parameters = [count(cell)] if width >= COUNTED else []
        row = (cell.name, *layer, " ".join(cell.states), *parameters)
        grid.add_row(*map(escape, row), f"{escape(title)} [dim]({escape(paper)})[/dim]")
    return grid


def _show(console: Console, cell: Cell, sizes: Sizes) -> None:
    title, paper = title_and_paper(cell)
    line(console, "cell", f"{cell.name}: {title}", "bold")
    line(console, "source", paper)
    line(console, "layers", ", ".join(layers(cell)))
    line(console, "states", f"{states(cell)}; the output is {cell.states[0]}")
    if cell.sequences:
        line(console, "sequences", f"{', '.join(cell.sequences)} (H), further inputs of every step")
    line(console, "gates", ", ".join(cell.gates) + _forget(cell))
    if trace(cell).sizes.same:
        line(console, "input", "as wide as the units: D = H")
    for name, rows in (("equations", Text(equations(cell))), ("stored", _stored(cell, sizes))):
        line(console, name, "")
        console.print(Padding(rows, (0, 0, 0, 2)))
    if sizes:
        given = ", ".join(f"{size} = {value}" for size, value in sizes.items() if value and size in _used(cell))
        line(console, "trained", f"{count(cell)} = {numbers(cell, sizes):,} with {given}")
    else:
        line(console, "trained", f"{count(cell)}; in numbers with --input-size D --units H")
    if arguments(cell):
        line(console, "arguments", "")
        console.print(Padding(_arguments(cell), (0, 0, 0, 2)))
    line(console, "kernel", f"python -m ostinato.compiler {cell.name} prints its C++")


def _forget(cell: Cell) -> str:
    if cell.forget is None:
        return ""
    gate = cell.forget.lstrip("-")
    return f"; a {'negative' if cell.forget != gate else 'positive'} bias of {gate} makes it remember"


def _used(cell: Cell) -> set[str]:
    return {"D", "H", "P", BLOCKS.get(cell.blocks, "")}


def _stored(cell: Cell, sizes: Sizes) -> Grid:
    grid = Grid(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("name", "shape", "initial value", "numbers"):
        grid.add_column(name, overflow="fold")
    for one in stored(cell):
        found = f"{one.number(sizes):,}" if sizes else one.product
        initial = one.initial.replace("`", "") or "the layer's initializer"
        grid.add_row(one.name, one.letters, initial + ("" if one.trained else ", not trained"), found)
    return grid


def _arguments(cell: Cell) -> Grid:
    grid = Grid(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("name", "default", "meaning"):
        grid.add_column(name, overflow="fold")
    for one in arguments(cell):
        names = one.torch if one.torch == one.keras else f"{one.torch} / {one.keras}"
        grid.add_row(names, repr(one.default), escape(one.meaning))
    return grid


def _write(cell: Cell, path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already; choose another --diagram, or pass --overwrite")
    try:
        path.write_text(draw(cell), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}; choose another --diagram") from None
