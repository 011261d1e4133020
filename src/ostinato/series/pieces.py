"""Which windows of which series stand in which row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """Consecutive windows of one series in one row.

    Attributes:
        series: the number of the series.
        window: its first window, counted in the series.
        column: the batch in which that window is.
        windows: how many there are.
    """

    series: int
    window: int
    column: int
    windows: int


def equal_rows(windows: Sequence[int], rows: int, each: int) -> list[list[Piece]]:
    """All windows behind each other, `each` of them a row; what is over is in none."""
    found: list[list[Piece]] = [[] for _ in range(rows)]
    placed = 0
    for series, count in enumerate(windows):
        window = 0
        while window < count and placed < rows * each:
            row, column = divmod(placed, each)
            taken = min(count - window, each - column)
            found[row].append(Piece(series, window, column, taken))
            window, placed = window + taken, placed + taken
    return found


def whole_rows(windows: Sequence[int], rows: int) -> list[list[Piece]]:
    """Every series in one row: the longest first, each in the row that is shortest so far (Graham 1969)."""
    found: list[list[Piece]] = [[] for _ in range(rows)]
    filled = [0] * rows
    for series in sorted(range(len(windows)), key=lambda one: -windows[one]):
        row = filled.index(min(filled))
        found[row].append(Piece(series, 0, filled[row], windows[series]))
        filled[row] += windows[series]
    return found
