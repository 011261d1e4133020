"""Measure the default model of `ostinato forecast` on series of which it is known how well they can be predicted.

python docs/skills.py [FOLDER] prints the table of docs/forecasting.md and draws the README's picture. FOLDER holds
FB_training_data.csv and FB_test_data.csv, the daily prices of the well-known tutorial; without it they are left out.
A few minutes on a core.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ostinato.forecast import forecast, make_table, preset
from ostinato.forecast.metrics import rmse
from ostinato.forecast.plan import TableLike
from ostinato.forecast.plot import draw
from ostinato.forecast.score import interval, percent

SEEDS = range(3)
PICTURED, PICTURE = "monthly: trend, season, noise", Path(__file__).parent / "images" / "forecast.png"
HEADER = ("series", "rows", "skill against naive, three seeds", "95% CI of the first", "the best possible")


class Series(NamedTuple):
    """A series, its target, further rows to test on, and each row's expectation by who knows the law behind it."""

    name: str
    table: TableLike
    target: str | None = None
    test: TableLike = None
    expected: np.ndarray | None = None


def made() -> Iterator[Series]:
    """Series out of a random number generator."""
    random = np.random.default_rng(0)
    t = np.arange(1000)
    law = np.sin(2 * np.pi * t / 25)
    yield Series("noisy sine", pd.DataFrame({"y": law + 0.1 * random.normal(size=1000)}), expected=law)

    y = np.zeros(1500)
    for k in range(2, 1500):
        y[k] = 1.5 * y[k - 1] - 0.75 * y[k - 2] + random.normal()
    law = np.concatenate([[0, 0], 1.5 * y[1:-1] - 0.75 * y[:-2]])
    yield Series("AR(2): 1.5, -0.75", pd.DataFrame({"y": y}), expected=law)

    t = np.arange(240)
    law = 100 + 0.5 * t + 20 * np.sin(2 * np.pi * t / 12)
    months = pd.DataFrame({"month": pd.date_range("2000-01-01", periods=240, freq="MS")})
    sales = make_table(months.assign(sales=law + 3 * random.normal(size=240)), source="Made-up monthly")
    yield Series(PICTURED, sales, expected=law)

    y = np.cumsum(random.normal(size=1500))
    yield Series("random walk", pd.DataFrame({"y": y}), expected=np.concatenate([[0], y[:-1]]))


def prices(folder: Path | None) -> Iterator[Series]:
    """Daily share prices: the built-in ones, and those of the tutorial."""
    yield Series("AAPL, opening price", None)
    if folder is not None:
        training, test = folder / "FB_training_data.csv", folder / "FB_test_data.csv"
        yield Series("FB, opening price, 2019", training, "Open")
        yield Series("FB, opening price, January 2020", training, "Open", test)


def row(series: Series) -> tuple[str, ...]:
    """A row of the table."""
    results = [
        forecast(series.table, series.target, test=series.test, settings=preset("default", seed=seed)) for seed in SEEDS
    ]
    skills = [result.scores[-1].against["naive"] for result in results]
    if series.name == PICTURED:
        draw(results[0], PICTURE)
    best = "not known"
    if series.expected is not None:
        tested = results[0].rows.dropna(subset="actual")
        actual, law = tested["actual"].to_numpy(), series.expected[results[0].plan.test_start :]
        best = percent(1 - rmse(actual, law) / rmse(actual, tested["naive"].to_numpy()))
    values = ", ".join(percent(skill.value) for skill in skills)
    return series.name, str(len(results[0].plan.table)), values, interval(skills[0]), best


def main(folder: Path | None) -> None:
    for cells in (HEADER, ["---"] * len(HEADER)):
        print(f"| {' | '.join(cells)} |")
    for series in (*made(), *prices(folder)):
        print(f"| {' | '.join(row(series))} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
