"""The bar that shows how training goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def epochs(console: Console, most: int, waiting: str) -> Iterator[Callable[[Any], None]]:
    """A bar over at most so many epochs, and what is to be called after each: with its number, loss and val_loss.

    Args:
        waiting: what it says before the first.
    """
    columns = (
        TextColumn("[bold]training"), BarColumn(bar_width=32), MofNCompleteColumn(),
        TextColumn("{task.fields[losses]}"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("training", total=most, losses=waiting)
        last = most

        def advance(epoch: Any) -> None:
            nonlocal last
            losses = f"loss {epoch.loss:.4g}"
            if epoch.val_loss is not None:
                losses += f", val_loss {epoch.val_loss:.4g}"
            last = epoch.number
            progress.update(task, completed=last, losses=losses)

        yield advance
        progress.update(task, total=last)  # early stopping ends a full bar
