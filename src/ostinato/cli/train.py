"""`ostinato forecast`: plan, train under a progress bar, report, write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..forecast import Forecast, Plan, Settings, execute, make_plan, save
from ..forecast.folder import PLOT, RUN
from ..forecast.plot import draw
from ..report.folder import free_folder, staged
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
    columns = (
        TextColumn("[bold]training"), BarColumn(bar_width=32), MofNCompleteColumn(),
        TextColumn("{task.fields[losses]}"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("training", total=planned.settings.epochs, losses="loading Keras")

        def advance(epoch: Any) -> None:
            losses = f"loss {epoch.loss:.4g}"
            if epoch.val_loss is not None:
                losses += f", val_loss {epoch.val_loss:.4g}"
            progress.update(task, completed=epoch.number, losses=losses)

        result = execute(planned, advance)
        progress.update(task, total=len(result.training.history))  # early stopping ends a full bar
    return result
