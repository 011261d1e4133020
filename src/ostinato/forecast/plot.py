"""The picture of a forecast: prediction against truth on the test rows, and the future."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..report.style import literal, shortened
from .run import Forecast
from .score import interval, percent

TRUTH, MODEL, NAIVE, FAINT = "#22272e", "#e4572e", "#7a8793", "#d5dae0"
#: Test rows of which the lower panel shows the last ones, near enough to see whether the prediction lags.
CLOSE = 60
#: Letters of a name that the title has room for.
LONGEST_NAME = 24


def draw(forecast: Forecast, path: Path) -> None:
    """Write the picture as PNG."""
    rows, target = forecast.rows, forecast.plan.table.target
    test = rows[rows["actual"].notna()]
    future = rows[rows["actual"].isna()]
    close = len(test) > 1.5 * CLOSE
    figure = Figure(figsize=(10, 7 if close else 4.8), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 1, height_ratios=[3, 2]) if close else [figure.subplots()]
    _span(panels[0], _before(forecast, len(test)), test, future, marked=not close)
    if close:
        _span(panels[1], None, test.tail(CLOSE), future, marked=True)
        panels[1].set_title(f"The last {CLOSE} test rows", loc="left", fontsize=10, color=NAIVE)
    for panel in panels:
        panel.set_ylabel(literal(_short(target)))
        panel.legend(loc="best", frameon=False, fontsize=9)
        _tidy(panel, dated="date" in rows)
    panels[-1].set_xlabel("date" if "date" in rows else "row")
    figure.suptitle(literal(_title(forecast)), x=0.01, ha="left", fontsize=12, color=TRUTH)
    figure.savefig(path, dpi=150)


def _title(forecast: Forecast) -> str:
    planned, skill = forecast.plan, forecast.scores[-1].against["naive"]
    horizon = planned.settings.horizon
    ahead = "one row ahead" if horizon == 1 else f"{horizon} rows at a time"
    return (
        f"{_short(Path(planned.table.source).name)} {_short(planned.table.target)}, {ahead}, "
        f"{planned.split.test} test rows: "
        f"skill against naive {percent(skill.value)} (95% CI {interval(skill)})"
    )


def _short(name: str) -> str:
    return shortened([name], LONGEST_NAME)[0]


def _before(forecast: Forecast, count: int) -> pd.DataFrame:
    """Some of the rows before the test rows, up to the first of these."""
    table, start = forecast.plan.table, forecast.plan.test_start
    rows = np.arange(max(0, start - max(count // 4, 10)), start + 1)
    axis: Any = rows + 1 if table.dates is None else table.dates[rows]
    return pd.DataFrame({"axis": axis, "actual": table.values[rows, 0]})


def _span(panel: Axes, before: pd.DataFrame | None, test: pd.DataFrame, future: pd.DataFrame, marked: bool) -> None:
    axis = test.columns[0]
    dots: dict[str, Any] = {"marker": "o", "markersize": 3} if marked else {}
    if before is not None:
        panel.plot(before["axis"], before["actual"], color=TRUTH, linewidth=1, alpha=0.45)
        panel.axvline(test[axis].iloc[0], color=FAINT, linewidth=1, zorder=0)
    panel.plot(test[axis], test["actual"], color=TRUTH, linewidth=1.4, label="truth", **dots)
    if marked:
        panel.plot(test[axis], test["naive"], color=NAIVE, linewidth=4, alpha=0.35, label="naive (last value)")
    panel.plot(test[axis], test["prediction"], color=MODEL, linewidth=1.2, alpha=0.9, label="prediction", **dots)
    if len(future):
        joined = pd.concat([test.tail(1).assign(prediction=test["actual"].iloc[-1]), future])
        panel.plot(
            joined[axis], joined["prediction"], color=MODEL, linewidth=1.2, linestyle="--",
            marker="D", markersize=3.5, markerfacecolor="white", markevery=range(1, len(joined)), label="future",
        )  # fmt: skip
        panel.axvspan(test[axis].iloc[-1], future[axis].iloc[-1], color=FAINT, alpha=0.35, linewidth=0, zorder=0)


def _tidy(panel: Axes, dated: bool) -> None:
    if dated:
        locator = mdates.AutoDateLocator(minticks=4, maxticks=9)
        panel.xaxis.set_major_locator(locator)
        panel.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(FAINT)
    panel.grid(axis="y", color=FAINT, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.tick_params(colors="#4a535d", labelsize=9)
    panel.margins(x=0.01)
