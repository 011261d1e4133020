"""How the pictures look: a palette that colour-blind readers can tell apart, on white or on near black."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DASHES: tuple[Any, ...] = ("-", "--", ":", "-.")
DPI = 100

Size = tuple[int, int]
#: Width and height in pixels of pictures that nobody gave a size.
SIZE: Size = (1200, 700)


@dataclass(frozen=True)
class Style:
    """The colours of one ground.

    Attributes:
        ground, text, faint: of the figure, its words, its axes and grids.
        strong: of the one line that stands out.
        colours: of lines and points: Okabe & Ito 2008, less what is too faint on this ground.
        diverging, rising: colour maps from negative to positive, whose middle is the ground, and from 0 up.
    """

    ground: str
    text: str
    faint: str
    strong: str
    colours: tuple[str, ...]
    diverging: str
    rising: str


_ON_WHITE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_ON_BLACK = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00")
LIGHT = Style("#ffffff", "#3b434c", "#d5dae0", "#22272e", _ON_WHITE, "RdBu_r", "Blues")
DARK = Style("#16191d", "#c9d1d9", "#3a424c", "#f0f3f6", _ON_BLACK, "berlin", "cividis")


def style(dark: bool) -> Style:
    return DARK if dark else LIGHT


def colour(number: int, dark: bool) -> str:
    colours = style(dark).colours
    return colours[number % len(colours)]


def dash(number: int) -> Any:
    return DASHES[number % len(DASHES)]


def new(dark: bool, size: Size) -> Figure:
    """An empty figure of so many pixels."""
    figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, layout="constrained", facecolor=style(dark).ground)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # type: ignore[union-attr, call-arg]
    FigureCanvasAgg(figure)
    return figure


def literal(text: str) -> str:
    """Words of a user's, in which a dollar sign is no beginning of mathematics."""
    return text.replace("$", r"\$")


def tidy(panel: Axes, dark: bool, title: str, across: str, up: str, grid: bool = True) -> None:
    look = style(dark)
    panel.set_facecolor(look.ground)
    panel.set_title(title, loc="left", fontsize=10, color=look.strong)
    panel.set_xlabel(across, fontsize=9, color=look.text)
    panel.set_ylabel(up, fontsize=9, color=look.text)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(look.faint)
    if grid:
        panel.grid(axis="y", color=look.faint, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.tick_params(which="both", colors=look.text, labelsize=8)


def legend(figure: Figure, panel: Axes, dark: bool) -> None:
    """The names of a panel's lines below all panels, where they lie on no line."""
    handles, names = panel.get_legend_handles_labels()
    if names:
        longest = max(map(len, names))
        across = int(figure.get_figwidth() * DPI / (7 * longest + 70))
        figure.legend(
            handles, names, loc="outside lower left", frameon=False, fontsize=8, labelcolor=style(dark).text,
            ncols=max(1, min(len(names), across)), labelspacing=0.3, columnspacing=1.5, handlelength=2.2,
        )  # fmt: skip


def bar(figure: Figure, image: Any, panels: Any, dark: bool, name: str) -> None:
    """The scale of an image's colours."""
    scale = figure.colorbar(image, ax=panels, pad=0.02, aspect=30)
    scale.set_label(name, fontsize=8, color=style(dark).text)
    scale.ax.tick_params(colors=style(dark).text, labelsize=7)
    scale.outline.set_visible(False)


def panels(figure: Figure, count: int, dark: bool, least: Size, aspect: float = 1.4, **shared: Any) -> list[Axes]:
    """As many panels of a figure as there is room for, and a word about those that there is none for.

    Args:
        count: how many are wanted.
        least: width and height of each in pixels.
        aspect: width to height that makes the most of a panel.
    """
    width, height = figure.get_figwidth() * DPI, figure.get_figheight() * DPI
    across, down = max(1, int(width // least[0])), max(1, int(height // least[1]))
    shown = min(count, across * down)
    grids = [(-(-shown // n), n) for n in range(1, across + 1) if -(-shown // n) <= down]
    grid = max(grids, key=lambda one: min(width / one[1] / aspect, height / one[0]))
    made: list[Axes] = list(figure.subplots(*grid, squeeze=False, **shared).ravel())
    for panel in made[shown:]:
        panel.set_visible(False)
    if shown < count:
        figure.supxlabel(f"the first {shown} of {count}", fontsize=8, color=style(dark).text)
    return made[:shown]


def outer(grid: Sequence[Axes], ticks: bool = False) -> None:
    """Leave names of axes, and with `ticks` their numbers, to the panels at the left and at the lower end."""
    for number, panel in enumerate(grid):
        place = panel.get_subplotspec()
        across = place.get_gridspec().ncols if place else 1
        if number + across < len(grid):
            panel.set_xlabel("")
        if number % across:
            panel.set_ylabel("")
        panel.tick_params(
            labelbottom=not ticks or number + across >= len(grid), labelleft=not ticks or number % across == 0
        )


def where(layer: str, direction: int, *more: str) -> str:
    """What a line or a panel is of."""
    return ", ".join([layer + (" ←" if direction else ""), *more])


def shortened(names: Sequence[str], most: int = 26) -> list[str]:
    """Names of at most so many letters: of longer ones the first and the last, which tell them apart."""
    last = most // 2
    return [name if len(name) <= most else f"{name[: most - 1 - last]}…{name[-last:]}" for name in names]
