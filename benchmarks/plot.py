"""The results as a picture: bars of milliseconds, ours in colour, with the ratio to ours at each bar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .contest import Result

OURS, OTHERS = "#c1440e", "#9aa5b1"


def save(results: Sequence[Result], path: Path) -> None:
    """Draw every comparison in which somebody was timed, one panel each, and write it as PNG.

    Raises:
        ValueError: nobody was timed.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    timed = [result for result in results if any(outcome.seconds for outcome in result.outcomes)]
    if not timed:
        raise ValueError("nothing was timed, so there is nothing to draw")
    columns = min(4, len(timed))
    rows = -(-len(timed) // columns)
    heights = [
        max(len(result.outcomes) for result in timed[row * columns : (row + 1) * columns]) for row in range(rows)
    ]
    figure, axes = plt.subplots(
        rows, columns, squeeze=False, height_ratios=heights, layout="constrained",
        figsize=(4.6 * columns, 0.35 * sum(heights) + 0.7 * rows),
    )  # fmt: skip
    for axis in axes.flat[len(timed) :]:
        axis.set_axis_off()
    for result, axis in zip(timed, axes.flat, strict=False):
        _bars(axis, result)
    figure.savefig(path, dpi=120)
    plt.close(figure)


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
