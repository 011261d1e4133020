"""The flags of `ostinato predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..flags import integer, switch, text
from ..told import told

FORECAST, CLASSIFIER = "Of a forecast", "Of a classifier"


def predict(
    run: Annotated[Path, typer.Argument(help="Folder that forecast or classify wrote.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Of a forecast, CSV of newer rows; without one, those that the run has seen. Of a classifier, texts "
            "(.txt, a text a line; CSV, TSV, JSON lines, Parquet; also .gz) or sequences; - or none: standard input."
        ),
    ] = None,
    count: Annotated[
        int | None, integer("Rows to predict (default: as many as forecast did).", FORECAST, "--future")
    ] = None,
    sort: Annotated[bool, switch("--sort", "Put the rows in order of date.", FORECAST)] = False,
    text_column: Annotated[
        str | None, typer.Option("--text", help="Column of texts; as in training.", rich_help_panel=CLASSIFIER)
    ] = None,
    output: Annotated[
        Path | None, text("CSV file to write (default: prediction.csv in RUN of a forecast; else none).")
    ] = None,
    overwrite: Annotated[bool, switch("--overwrite", "Replace the file of --output.")] = False,
    quiet: Annotated[bool, switch("--quiet", "Only write the file.")] = False,
) -> None:
    """Predict what follows, or classify, with the model of a run."""
    with told():
        from .. import predict as predicting

        predicting.run(run, file, count, sort, text_column, predicting.Place(output, overwrite, quiet))
