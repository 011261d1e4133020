"""How the pictures look: one palette that colour-blind readers can tell apart, and quiet axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .experiment import Run

#: Okabe & Ito 2008, without the yellow, which is too faint on white; then grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#22272e", "#7a8793")
MARKERS = "osD^vPX*<>"
DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
FAINT, TEXT = "#d5dae0", "#4a535d"


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def marker(number: int) -> str:
    return MARKERS[number % len(MARKERS)]


def tidy(panel: Axes, title: str, across: str, up: str) -> None:
    panel.set_title(title, loc="left", fontsize=10)
    panel.set_xlabel(across, fontsize=9, color=TEXT)
    panel.set_ylabel(up, fontsize=9, color=TEXT)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(FAINT)
    panel.grid(axis="y", color=FAINT, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.tick_params(colors=TEXT, labelsize=8)


def save(draw: Callable[[Sequence[Run], Figure], None], runs: Sequence[Run], path: Path) -> None:
    figure = Figure(figsize=(10, 4.2), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    draw(runs, figure)
    figure.savefig(path, dpi=120)
