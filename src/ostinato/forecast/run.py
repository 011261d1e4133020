"""The whole way: a table, split in time; a network trained on its first part; an honest account of the last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import InputError
from .baselines import naive, seasonal_naive
from .future import extend
from .plan import Plan, TableLike, make_plan
from .score import LagCheck, Score, lag_check, score, verdict
from .settings import Settings

if TYPE_CHECKING:
    from .network import Epoch, Training


@dataclass(frozen=True)
class Forecast:
    """A trained network and what it is worth.

    Attributes:
        plan: the table, the split and the settings.
        model: the Keras model, from (batch, window, features) to (batch, horizon) in scaled units.
        training: its history.
        rows: date (or row), actual, prediction, naive: of every test row in the unit of the target, each predicted
            1..horizon rows ahead from true values; then the future rows, without actual.
        scores: of naive, seasonal naive (where there is a season) and the model, on the test rows.
        lag: whether the model copies the last value.
        verdict: a plain sentence or two.
    """

    plan: Plan
    model: Any
    training: Training
    rows: pd.DataFrame
    scores: tuple[Score, ...]
    lag: LagCheck
    verdict: str


def forecast(
    table: TableLike = None,
    target: str | None = None,
    *,
    settings: Settings | None = None,
    test: TableLike = None,
    date: str | None = None,
    covariates: Sequence[str] = (),
    sort: bool = False,
    future: int | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Forecast:
    """Train on the first rows of a table, test on its last, and predict the rows that follow.

    The rows are split in time: training, validation (to stop on), test. Scaling and training see training rows only,
    the choice of the epoch sees validation rows too, and nothing sees test rows before they are predicted.

    Args:
        table: a CSV file, a frame or a `Table`; None is the daily Apple share price of the package bokeh-sampledata.
        target: the column to forecast.
        settings: None is the default preset; see `Settings`.
        test: further rows, later than those of `table`, to test on instead of its last.
        date, covariates, sort: see `make_table`.
        future: rows to predict after the last; None is the horizon, or a season where that is longer.
        on_epoch: called after each epoch.

    Raises:
        InputError: in one sentence, what is wrong with what was given.
    """
    planned = make_plan(
        table, target, settings=settings, test=test, date=date, covariates=covariates, sort=sort, future=future
    )
    return execute(planned, on_epoch)


def execute(planned: Plan, on_epoch: Callable[[Epoch], None] | None = None) -> Forecast:
    """Train as planned, test, and predict the future.

    Raises:
        InputError: training diverged, or needs more memory than there is.
    """
    from . import network  # Keras takes seconds to import, and a wrong file should be told at once

    settings, split = planned.settings, planned.split
    validation = planned.examples(split.train, planned.test_start) if split.validation else None
    try:
        model, training = network.train(settings, *planned.examples(0, split.train), validation, on_epoch)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate memory" not in str(error):  # torch has no class for it
            raise
        raise InputError(
            f"the network does not fit in memory with {settings.layers} x {settings.units} units, a window of "
            f"{planned.window} and batches of {settings.batch_size}; use smaller ones"
        ) from None

    series, start, end = planned.series, planned.test_start, len(planned.table)
    origins = np.arange(start - 1, end - 1, settings.horizon)
    outputs = network.predict(model, planned.transformation.inputs(planned.table.values, origins, planned.window))
    if not (np.isfinite(outputs).all() and np.isfinite(training.history[-1].loss)):
        raise InputError(
            f"training diverged: its loss, or what it predicts, is not finite; "
            f"use a lower --learning-rate than {settings.learning_rate:g}"
        )
    forecasts = {"naive": naive(series, origins, settings.horizon)}
    if planned.season > 1:
        forecasts["seasonal naive"] = seasonal_naive(series, origins, settings.horizon, planned.season)
    forecasts["model"] = planned.transformation.invert(outputs, series, origins)
    # one column of test rows, each predicted once; the last origin may have fewer rows after it than the horizon
    tested = {name: values.ravel()[: end - start] for name, values in forecasts.items()}

    scores = score(series[start:], tested, series[:start], planned.season, settings.horizon)
    ahead = np.empty(0)
    if planned.future:
        ahead = extend(
            lambda inputs: network.predict(model, inputs),
            planned.transformation, planned.table.values, planned.window, settings.horizon, planned.future,
        )  # fmt: skip
    rows = _rows(planned, tested, ahead)
    lag = lag_check(series[start:], tested)
    return Forecast(planned, model, training, rows, scores, lag, verdict(scores))


def _rows(planned: Plan, tested: dict[str, np.ndarray], ahead: np.ndarray) -> pd.DataFrame:
    table, start = planned.table, planned.test_start
    test = pd.DataFrame({"actual": planned.series[start:], "prediction": tested["model"], "naive": tested["naive"]})
    future = pd.DataFrame({"actual": np.nan, "prediction": ahead, "naive": planned.series[-1]}, dtype=float)
    rows = pd.concat([test, future], ignore_index=True)
    if table.dates is None:
        rows.insert(0, "row", np.arange(start, start + len(rows)) + 1)
    else:
        following = table.frequency.after(table.dates[-1], len(ahead))
        rows.insert(0, "date", table.dates[start:].append(following))
    return rows
