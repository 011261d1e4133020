"""The form of what is printed: names in the margin, text beside them."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text


def line(console: Console, name: str, text: str, style: str = "") -> None:
    """A name in the margin, and text that wraps beside it."""
    grid = Grid.grid(padding=(0, 2))
    grid.add_column(width=9, style="bold cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(name), Text(text, style=style))
    console.print(grid)
