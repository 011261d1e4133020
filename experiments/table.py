"""Tables of measured numbers, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of words under a header; `title` stands above."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join([f"**{self.title}**", "", *("| " + " | ".join(line) + " |" for line in lines)])


def short(number: float) -> str:
    """Three significant digits; powers of ten where the number is small."""
    if number == 0 or 0.001 <= abs(number) < 1000:
        return f"{number:.3g}"
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.1e}".replace("e-0", "e-")


def spread(numbers: Sequence[float], middle: Callable[[Sequence[float]], float] = statistics.fmean) -> str:
    """The mean over the seeds, and in brackets the lowest and the highest; a dash where there is none."""
    if not numbers:
        return "-"
    if len(numbers) == 1:
        return short(numbers[0])
    return f"{short(middle(numbers))} ({short(min(numbers))} to {short(max(numbers))})"
