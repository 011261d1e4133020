"""`ostinato forecast`: plan, train under a progress bar, report, write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rich.console import Console

from ..forecast import Forecast, Plan, Settings, execute, make_plan, save
from ..forecast.folder import PLOT, RUN
from ..forecast.plot import draw
from ..report.folder import free_folder, staged
from .progress import epochs
from .report import show_plan, show_result


def run(
    csv: Path | None,
    test: Path | None,
    settings: Settings,
    reading: dict[str, Any],
    future: int | None,
    output: Path | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """See `commands.forecast`."""
    console = Console(quiet=quiet, highlight=False)
    planned = make_plan(csv, settings=settings, test=test, future=future, **reading)
    folder = output or _free_folder(planned)
    with staged(folder, RUN, overwrite) as whole:
        show_plan(console, planned)
        result = train(console, planned)
        save(result, whole)
        draw(result, whole / PLOT)
    show_result(console, result, folder)
    if quiet:
        print(result.verdict)


def _free_folder(planned: Plan) -> Path:
    """A folder in runs/, named after the source and its target, that does not exist yet."""
    stem = re.sub(r"\.(csv|tsv|txt|gz|bz2|xz|zip)", "", Path(planned.table.source).name, flags=re.IGNORECASE)
    return free_folder("runs", f"{stem}-{planned.table.target}", "run")


def train(console: Console, planned: Plan) -> Forecast:
    """Train and test, with a bar over the epochs."""
    with epochs(console, planned.settings.epochs, "loading Keras") as advance:
        return execute(planned, advance)
