"""Writes what docs/ takes from the registry of cells and activations.

`python docs/tables.py` rewrites what stands between the markers `<!-- from the registry -->` and `<!-- end -->` of
cells.md and activations.md, and the folder cells/: a page and a diagram of every cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ostinato.cells import ACTIVATIONS, CELLS, SYMBOLS, Activation, Cell
from ostinato.compiler import trace
from ostinato.compiler.description import (
    BLOCKS,
    Stored,
    arguments,
    count,
    equations,
    layers,
    states,
    stored,
    title_and_paper,
)  # fmt: skip
from ostinato.compiler.diagram import draw
from ostinato.compiler.formula import formula
from ostinato.compiler.graph import node

FOLDER = Path(__file__).resolve().parent
PAGES = FOLDER / "cells"
MARKERS = ("<!-- from the registry -->\n", "<!-- end -->\n")

#: The stored tensors in the words of the front-ends.
TORCH = {"W": "weight_ih_l0", "U": "weight_hh_l0", "b": "bias_ih_l0", "b_u": "bias_hh_l0"}
KERAS = {"W": "kernel", "U": "recurrent_kernel", "b": "bias", "b_u": "bias"}

#: Layers that are torch's own, with a second bias that the equations have no need of.
SECOND_BIAS = {"LSTM", "RNN"}


def _activation_row(activation: Activation) -> str:
    text = formula(activation.value(node("input")))
    return f"| `{activation.name}` | `{text}` | {'output' if activation.slope else 'input'} |"


def activations_table() -> str:
    """One row an activation: its name, its formula, and what its slope is computed from."""
    rows = ["| name | formula | slope from |", "|---|---|---|"]
    return "\n".join(rows + [_activation_row(activation) for activation in ACTIVATIONS.values()]) + "\n"


def _cell_row(cell: Cell) -> str:
    title, paper = title_and_paper(cell)
    layer = layers(cell)[0].rpartition(".")[2]
    return f"| [`{cell.name}`](cells/{cell.name}.md) | `{layer}` | {title} | {states(cell)} | {count(cell)} | {paper} |"


def cells_table() -> str:
    """One row a cell, with a link to its page."""
    head = [
        "| cell | layer | what it is | states, output first | trained numbers | source |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *map(_cell_row, CELLS.values())]) + "\n"


#: What each document takes from the registry.
TABLES: dict[str, Callable[[], str]] = {"cells.md": cells_table, "activations.md": activations_table}


def written(document: str) -> str:
    """The text of a document of docs/ with its table made anew."""
    before, rest = (FOLDER / document).read_text(encoding="utf-8").split(MARKERS[0])
    _, after = rest.split(MARKERS[1])
    return f"{before}{MARKERS[0]}\n{TABLES[document]()}\n{MARKERS[1]}{after}"


def _sizes(cell: Cell, features: int, units: int) -> dict[str, int]:
    """The sizes of an example, by the names that the flags of `ostinato cells` have."""
    found = {"input-size": units if trace(cell).sizes.same else features, "units": units}
    if any(size.letter == "P" for one in stored(cell) for size in one.shape):
        found["projection"] = units // 2
    return found | ({BLOCKS[cell.blocks]: 4} if cell.blocks in BLOCKS else {})


def _programs(cell: Cell) -> tuple[str, str]:
    """A torch and a Keras program of a few lines."""
    sizes = _sizes(cell, 8, 32)
    features, units = sizes.pop("input-size"), sizes.pop("units")
    further = "".join(f", {name}={size}" for name, size in sizes.items())
    torch_module, keras_layer = (name.rpartition(".")[2] for name in layers(cell))
    return (
        f"""import torch
from ostinato import nn

layer = nn.{torch_module}({features}, {units}, batch_first=True{further.replace("projection", "proj_size")})
output, states = layer(torch.randn(4, 20, {features}))""",
        f"""import numpy as np
from ostinato.keras import layers

layer = layers.{keras_layer}({units}, return_sequences=True{further})
output = layer(np.zeros((4, 20, {features}), "float32"))""",
    )


def names_in_torch(one: Stored, cell: Cell) -> str:
    """The name of a stored tensor in the state dict of a module's first layer that is of this cell."""
    name = TORCH.get(one.name, f"weight_{one.name}_l0" if one.name in cell.matrices else f"{one.name}_l0")
    return name.replace("_l0", "_l1") if cell.sequences else name  # which come from the layer below


def names_in_keras(one: Stored) -> str:
    """The name of a Keras layer's weight; what is not trained is no weight there."""
    return KERAS.get(one.name, one.name) if one.trained else ""


def _stored_rows(cell: Cell) -> Iterator[str]:
    yield "| name | in torch | in Keras | shape | numbers | initial value |"
    yield "|---|---|---|---|---|---|"
    for one in stored(cell):
        initial = (one.initial or "the layer's initializer") + ("" if one.trained else ", not trained")
        names = (one.name, names_in_torch(one, cell), names_in_keras(one))
        coded = " | ".join(f"`{name}`" if name else "" for name in names)
        yield f"| {coded} | {one.letters} | {one.product} | {initial} |"


def _argument_rows(cell: Cell) -> Iterator[str]:
    yield "| argument | default | meaning |"
    yield "|---|---|---|"
    for one in arguments(cell):
        if cell.layer in {*SECOND_BIAS, "GRU"} and one.torch in SYMBOLS.values():
            yield f"| `{one.keras}`, in Keras only | `{one.default!r}` | {one.meaning} |"
            continue
        name = f"`{one.torch}`" if one.torch == one.keras else f"`{one.torch}`, in Keras `{one.keras}`"
        yield f"| {name} | `{one.default!r}` | {one.meaning} |"


def _remarks(cell: Cell) -> Iterator[str]:
    if trace(cell).sizes.same:
        yield "The input is as wide as the units: D = H."
    if cell.sequences:
        yield f"Further inputs of every step: {', '.join(f'`{name}`' for name in cell.sequences)} (H)."
    gate = (cell.forget or "").lstrip("-")
    if gate in (*cell.bias, *cell.recurrent_bias) or f"b_{gate}" in cell.parameters:
        sign = "positive" if cell.forget == gate else "negative"
        yield (
            f"A {sign} bias of the gate {gate} makes the cell remember: `forget_bias=1.0` of the torch module, "
            "`unit_forget_bias=True` of the Keras layer."
        )
    if cell.layer in SECOND_BIAS:
        yield f"As torch's own, `ostinato.nn.{cell.layer}` stores a second bias, `bias_hh_l0`, which adds to b."


def page(cell: Cell) -> str:
    """The page of a cell."""
    title, paper = title_and_paper(cell)
    flags = " ".join(f"--{name} {size}" for name, size in _sizes(cell, 64, 128).items())
    lines = [
        "<!-- made from src/ostinato/cells/ by `make docs` -->\n",
        f"# {title}\n",
        f"`{cell.name}`: {paper}.\n",
        f"![One step: input and states enter on the left, new states leave on the right]({cell.name}.svg)\n",
        "[How to read it](../cells.md#how-to-read-a-diagram).\n",
        f"```\n{equations(cell)}\n```\n",
        f"States, the output first: {states(cell)}.\n",
        *(f"{remark}\n" for remark in _remarks(cell)),
        "## What a layer stores\n",
        *_stored_rows(cell),
        f"\nTrained in one layer and direction: {count(cell)}.\n",
        "## Use\n",
        *(f"```python\n{program}\n```\n" for program in _programs(cell)),
        *([*_argument_rows(cell), ""] if arguments(cell) else []),
        f"`ostinato cells {cell.name} {flags}` counts its numbers, "
        f"`python -m ostinato.compiler {cell.name}` prints its C++.\n",
    ]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """The text of every file of docs/cells/ by its name."""
    return {
        name: text
        for cell in CELLS.values()
        for name, text in ((f"{cell.name}.md", page(cell)), (f"{cell.name}.svg", draw(cell)))
    }


if __name__ == "__main__":
    for name in TABLES:
        (FOLDER / name).write_text(written(name), encoding="utf-8")
    PAGES.mkdir(exist_ok=True)
    made = pages()
    for name, text in made.items():
        (PAGES / name).write_text(text, encoding="utf-8")
    for stale in {path.name for path in PAGES.iterdir()} - set(made):
        (PAGES / stale).unlink()
