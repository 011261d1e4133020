"""The results as pictures: bars of milliseconds, maps of ratios over shapes, curves of time over size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from . import cases, growth, shapes
from .contest import Result

OURS, OTHERS = "#c1440e", "#9aa5b1"

#: Ratios at the ends of the maps' colours: this many times as fast, and as slow.
MOST = 4


@contextmanager
def _figure(path: Path, rows: int, columns: int, **arguments: Any) -> Iterator[tuple[Any, Any]]:
    """A figure and its axes (rows, columns), written as PNG when left."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(rows, columns, squeeze=False, layout="constrained", **arguments)
    yield figure, axes
    figure.savefig(path, dpi=120)
    plt.close(figure)


def save(results: Sequence[Result], path: Path) -> None:
    """Draw every comparison in which somebody was timed, one panel each, and write it as PNG.

    Raises:
        ValueError: nobody was timed.
    """
    timed = [result for result in results if any(outcome.seconds for outcome in result.outcomes)]
    if not timed:
        raise ValueError("nothing was timed, so there is nothing to draw")
    columns = min(4, len(timed))
    rows = -(-len(timed) // columns)
    heights = [
        max(len(result.outcomes) for result in timed[row * columns : (row + 1) * columns]) for row in range(rows)
    ]
    size = (4.6 * columns, 0.35 * sum(heights) + 0.7 * rows)
    with _figure(path, rows, columns, height_ratios=heights, figsize=size) as (_, axes):
        for axis in axes.flat[len(timed) :]:
            axis.set_axis_off()
        for result, axis in zip(timed, axes.flat, strict=False):
            _bars(axis, result)


def _bars(axis: Any, result: Result) -> None:
    outcomes = [outcome for outcome in result.outcomes if outcome.seconds]
    medians = [1e3 * (outcome.median or 0) for outcome in outcomes]
    spread = [
        [m - 1e3 * min(o.seconds) for m, o in zip(medians, outcomes, strict=True)],
        [1e3 * max(o.seconds) - m for m, o in zip(medians, outcomes, strict=True)],
    ]
    names = [outcome.contender.name for outcome in outcomes]
    colours = [OURS if outcome.contender.ours else OTHERS for outcome in outcomes]
    bars = axis.barh(names, medians, color=colours, xerr=spread, error_kw={"lw": 0.8})
    ratios = [result.ratio(name) for name in names]
    axis.bar_label(bars, [f" {ratio:.1f}x" if ratio else "" for ratio in ratios], fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.2)
    axis.set_title(result.comparison.title, fontsize=8)
    axis.set_xlabel("ms", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def maps(results: Sequence[Result], path: Path, quick: bool = False) -> None:
    """Draw each block of `shapes`: colour and number say how many times as fast as PyTorch, below it part of the peak.

    One column of maps for each pass, and one row for each number of steps.
    """
    by_title = {result.comparison.title: result for result in results}
    every = shapes.blocks(quick)
    rows = len(every) // len(shapes.PASSES)
    heights = [len(block.comparisons) + 1.2 for block in every[:rows]]
    widest = max(len(row) for block in every for row in block.comparisons.values())
    size = (2 * (0.62 * widest + 1.2), 0.36 * sum(heights) + 0.8)
    with _figure(path, rows, len(shapes.PASSES), height_ratios=heights, figsize=size) as (figure, axes):
        for block, axis in zip(every, axes.T.flat, strict=True):
            image = _map(axis, block, by_title)
        bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.5, aspect=40, pad=0.01, extend="both")
        ticks = (0.25, 0.5, 1, 2, 4)
        bar.set_ticks(list(np.log2(ticks)), labels=[f"{tick:g}" for tick in ticks])
        bar.set_label(f"times as fast as {cases.PEER}; below it the part of the multiply-add peak", fontsize=9)
        bar.ax.tick_params(labelsize=8)


def _map(axis: Any, block: shapes.Block, by_title: Mapping[str, Result]) -> Any:
    grid = [[by_title[one.title] if one else None for one in row.values()] for row in block.comparisons.values()]
    ratios = np.array([[(one and one.ratio(cases.PEER)) or np.nan for one in row] for row in grid])
    image = axis.imshow(
        np.log2(ratios), cmap="RdBu", vmin=-np.log2(MOST), vmax=np.log2(MOST), aspect="auto", alpha=0.65
    )
    axis.set_facecolor("#eceff1")
    for row, results in enumerate(grid):
        for column, result in enumerate(results):
            axis.text(column, row, "\n".join(shapes.entry(result).split()), ha="center", va="center", fontsize=7.5)
    axis.set_xticks(range(len(ratios[0])), list(next(iter(block.comparisons.values()))))
    axis.set_yticks(range(len(ratios)), list(block.comparisons))
    axis.tick_params(length=0, labelsize=8)
    axis.spines[:].set_visible(False)
    axis.set_title(block.title, fontsize=9, loc="left")
    return image


def curves(results: Sequence[Result], path: Path) -> None:
    """Draw the time of a training step along each axis of `growth`, with the power of its operations as a guide; then
    what a second core is worth."""
    found = [(axis, growth.along(axis, results)) for axis in growth.AXES]
    panels = len(found) + 2
    with _figure(path, 2, panels // 2, figsize=(3.6 * panels / 2, 6.4)) as (_, axes):
        for (of, along), axis in zip(found, axes.flat, strict=False):
            _times(axis, of, along)
        axes.flat[0].legend(fontsize=8, frameon=False)
        for (of, along), axis in zip(found[1:3], axes.flat[len(found) :], strict=True):
            _speed_ups(axis, of, along)


def _times(axis: Any, of: growth.Axis, along: Mapping[int, Result]) -> None:
    from matplotlib.ticker import LogLocator

    alone = cases.on_one_thread(cases.OURS)
    styles = {cases.OURS: (OURS, "o-"), alone: (OURS, "o:"), cases.PEER: ("#5c6b7a", "s-")}
    for name, (colour, style) in styles.items():
        values, seconds = growth.times(along, name)
        axis.loglog(values, [1e3 * one for one in seconds], style, color=colour, markersize=3.5, lw=1.3, label=name)
    values, seconds = growth.times(along, cases.OURS)
    if values:
        guide = [1e3 * seconds[-1] * (value / values[-1]) ** of.power for value in values]
        axis.loglog(values, guide, "-", color="#b0bec5", lw=1, zorder=0, label="as the operations")
        axis.set_ylim(bottom=0.6 * min(guide + [1e3 * one for one in seconds]))
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.yaxis.set_major_formatter("{x:g}")
    _dress(axis, of, list(along), "ms, training step")


def _speed_ups(axis: Any, of: growth.Axis, along: Mapping[int, Result]) -> None:
    for name, colour in ((cases.OURS, OURS), (cases.PEER, "#5c6b7a")):
        known = {value: ratio for value, one in along.items() if (ratio := growth.speed_up(one, name)) is not None}
        axis.semilogx(list(known), list(known.values()), "o-", color=colour, markersize=3.5, lw=1.3)
    axis.axhline(1, color="#b0bec5", lw=1, zorder=0)
    axis.set_ylim(0, max(2, axis.get_ylim()[1]))
    _dress(axis, of, list(along), "times as fast as on one thread")


def _dress(axis: Any, of: growth.Axis, values: Sequence[int], label: str) -> None:
    axis.set_xticks(values, [str(value) for value in values])
    axis.minorticks_off()
    axis.set_title(of.name, fontsize=9)
    axis.set_ylabel(label, fontsize=8)
    axis.tick_params(labelsize=7.5)
    axis.grid(color="#eceff1", lw=0.6)
    axis.spines[["top", "right"]].set_visible(False)
