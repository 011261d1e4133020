"""What is printed: how the rows were read and split, the model, the table of scores, and what it comes to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table as Grid

from ..forecast import Forecast, Plan
from ..forecast.score import Score, interval, percent
from ..forecast.table import days
from .margin import amount, line

SCALINGS = {"minmax": "levels from 0 to 1", "steps": "steps"}


def show_plan(console: Console, plan: Plan) -> None:
    """How the rows were read and split."""
    table, split = plan.table, plan.split
    gaps = f"{table.frequency.gaps} gap{'s' * (table.frequency.gaps != 1)}"
    dated = table.frequency.name if table.dates is None else f"{table.frequency.name}, {gaps}, 0 duplicates"
    later = f", then {plan.test_source}" if plan.test_source else ""
    line(
        console,
        "read",
        f"{table.source}{later}: {len(table)} rows, {dated}, {table.label(0)} to {table.label(-1 % len(table))}",
    )
    line(console, "target", table.target + (f"; covariates {', '.join(table.covariates)}" if table.covariates else ""))
    parts = f"train {split.train} | validation {split.validation} | test {split.test}"
    begin = table.label(plan.test_start)
    line(console, "split", f"{parts} rows, in order of time, test from {begin}; scaled by the train rows only")


def show_result(console: Console, result: Forecast, folder: Path) -> None:
    """The model, its scores beside the baselines', the verdict, the lag check, and where it all is."""
    line(console, "model", _model(result))
    settings = result.plan.settings
    ahead = "one row ahead" if settings.horizon == 1 else f"{settings.horizon} rows at a time"
    line(console, "test", f"{result.plan.split.test} rows, predicted {ahead} from true values")
    console.print(_grid(result))
    better = result.scores[-1].against["naive"].better
    line(console, "verdict", result.verdict, "bold green" if better else "bold yellow")
    line(console, "lag check", str(result.lag))
    if result.plan.future:
        line(console, "future", _future(result))
    line(
        console,
        "written",
        f"{folder}/ with forecast.csv, forecast.png, metrics.json, and the model: ostinato predict {folder}",
    )


def _model(result: Forecast) -> str:
    plan, training = result.plan, result.training
    settings = plan.settings
    network = f"{settings.cell.upper()} {settings.layers}x{settings.units}" + (" + linear" if settings.highway else "")
    logs = " of logarithms" if getattr(plan.transformation, "logs", (False,))[0] else ""
    epochs = len(training.history)
    stopped = f"{epochs} epoch{'s' * (epochs != 1)}" if epochs == settings.epochs else f"stopped at epoch {epochs}"
    if training.best < epochs:
        stopped += f", weights of epoch {training.best}{' (naive)' * (settings.highway and not training.best)}"
    stopped += f", loss {training.history[0].loss:.4g} to {training.history[-1].loss:.4g}"
    return (
        f"{network}, window {plan.window}, horizon {settings.horizon}, {SCALINGS[settings.scaling]}{logs}; "
        f"{result.model.count_params():,} parameters; {training.seconds:.1f} s; {stopped}"
    )


def _grid(result: Forecast) -> Grid:
    grid = Grid(box=None, padding=(0, 1), collapse_padding=True, header_style="bold")
    grid.add_column("")
    for name in ("RMSE", "MAE", "MAPE", "MASE", "skill vs naive", "95% CI"):
        grid.add_column(name, justify="right")
    for score in result.scores:
        model = score is result.scores[-1]
        name = result.plan.settings.cell.upper() if model else score.name
        if score.name == "seasonal naive":
            name += f" ({result.plan.season})"
        grid.add_row(name, *_cells(score), style="bold" if model else "")
    return grid


def _cells(score: Score) -> list[str]:
    mape = "–" if np.isnan(score.mape) else f"{score.mape:.2f}%"
    mase = "–" if np.isnan(score.mase) else f"{score.mase:.3f}"
    cells = [f"{score.rmse:.4g}", f"{score.mae:.4g}", mape, mase]
    skill = score.against.get("naive")
    return [*cells, "", ""] if skill is None else [*cells, percent(skill.value), interval(skill)]


def _future(result: Forecast) -> str:
    rows = result.rows[result.rows["actual"].isna()]
    shown = [f"{label} {amount(value)}" for label, value in zip(labels(rows), rows["prediction"], strict=True)]
    return ", ".join(shown[:5]) + (f", ... {len(rows)} rows" if len(rows) > 5 else "")


def labels(rows: pd.DataFrame) -> list[str]:
    """The date or the number of each row, for people."""
    return days(pd.DatetimeIndex(rows["date"])) if "date" in rows else [f"row {row}" for row in rows["row"]]
