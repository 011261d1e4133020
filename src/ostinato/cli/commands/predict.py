"""The flags of `ostinato predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..flags import integer, switch, text
from ..told import told


def predict(
    run: Annotated[Path, typer.Argument(help="Folder that forecast wrote.")],
    csv: Annotated[
        Path | None, typer.Argument(help="CSV of newer rows; without one, the rows that the run has seen.")
    ] = None,
    count: Annotated[
        int | None, integer("Rows to predict (default: as many as forecast did).", None, "--future")
    ] = None,
    sort: Annotated[bool, switch("--sort", "Put the rows in order of date.")] = False,
    output: Annotated[Path | None, text("CSV file to write (default: prediction.csv in RUN).")] = None,
    overwrite: Annotated[bool, switch("--overwrite", "Replace the file of --output.")] = False,
    quiet: Annotated[bool, switch("--quiet", "Only write the file.")] = False,
) -> None:
    """Predict what follows, with the model of a run."""
    with told():
        from .. import ahead

        ahead.run(run, csv, count, sort, output, overwrite, quiet)
