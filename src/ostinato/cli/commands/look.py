"""The flags of `ostinato look`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..flags import integer, real, switch, text
from ..told import told


def look(
    model: Annotated[Path, typer.Argument(help="Keras model (.keras), or a folder that forecast wrote.")],
    data: Annotated[Path, typer.Argument(help="Sequences: .npy, .npz (x, y), or CSV; of a forecast, its CSV.")],
    columns: Annotated[str, text("Columns of the CSV, in the model's order: High,Volume.")] = "",
    sequences: Annotated[int, integer("Most sequences to look at, evenly spaced.")] = 256,
    threshold: Annotated[float, real("Share of all that still counts as remembered.")] = 0.01,
    output: Annotated[Path | None, text("Folder to write (default: a new one in looks/).")] = None,
    overwrite: Annotated[bool, switch("--overwrite", "Replace an older report there.")] = False,
    quiet: Annotated[bool, switch("--quiet", "Only write the report.")] = False,
) -> None:
    """See what a network remembers: gradient flow, gates and memory, as pictures, numbers and a page."""
    with told():
        from .. import look as looking

        names = [name.strip() for name in columns.split(",") if name.strip()]
        looking.run(model, data, names, sequences, threshold, output, overwrite, quiet)
