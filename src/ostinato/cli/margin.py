"""The form of what is printed: names in the margin, text beside them, and numbers."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text


def amount(value: float) -> str:
    """Six digits of a number, or all that stand before the point."""
    return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.0f}"


def line(console: Console, name: str, text: str, style: str = "") -> None:
    """A name in the margin, and text that wraps beside it."""
    grid = Grid.grid(padding=(0, 2))
    grid.add_column(width=9, style="bold cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(name), Text(text, style=style))
    console.print(grid)
