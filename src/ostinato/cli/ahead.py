"""`ostinato predict`: the future from a saved run, printed and written."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from ..errors import InputError
from ..forecast import predict
from ..forecast.folder import write_rows
from ..report.folder import PREDICTION, check_file
from .margin import amount, line
from .report import labels


def run(
    folder: Path, csv: Path | None, count: int | None, sort: bool, output: Path | None, overwrite: bool, quiet: bool
) -> None:
    """See `commands.predict`."""
    console = Console(quiet=quiet, highlight=False)
    if output is not None:
        check_file(output, overwrite, folder, csv)
    rows = predict(folder, csv, count, sort)
    path = output or folder / PREDICTION
    try:
        write_rows(rows, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}; choose another --output") from None
    grid = Grid(box=None, padding=(0, 2), header_style="bold")
    for name in rows.columns:
        grid.add_column(name, justify="right")
    for label, value in zip(labels(rows), rows["prediction"], strict=True):
        grid.add_row(label, amount(value))
    console.print(grid)
    line(console, "written", str(path))
