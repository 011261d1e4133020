"""The flags of `ostinato cells`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..flags import integer, switch, text


def cells(
    name: Annotated[str | None, typer.Argument(help="Show this cell in full; without one, list them all.")] = None,
    input_size: Annotated[int, integer("D, to count parameters.")] = 0,
    units: Annotated[int, integer("H, to count parameters.")] = 0,
    projection: Annotated[int, integer("P, of a cell with a projection.")] = 0,
    heads: Annotated[int, integer("Of a cell with heads (default: 1).")] = 0,
    modules: Annotated[int, integer("Of a clockwork cell (default: 1).")] = 0,
    diagram: Annotated[Path | None, text("SVG file to draw one step into.")] = None,
    overwrite: Annotated[bool, switch("--overwrite", "Replace the file of --diagram.")] = False,
) -> None:
    """List the recurrent cells, or show one: its equations, what it stores, its layers and its source."""
    from .. import gallery

    sizes = {"D": input_size, "H": units, "P": projection, "heads": heads, "modules": modules}
    gallery.run(name, sizes, diagram, overwrite)
