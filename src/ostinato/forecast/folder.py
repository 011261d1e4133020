"""A run on disk: the network, what it needs to predict, and what it was worth. All of it data; none is code to run.

model.keras     the network's weights, in Keras' own format
config.json     settings, transformation, columns, frequency, and the last rows
metrics.json    scores, verdict, training history
forecast.csv    test rows and future rows
forecast.png    the same as a picture
"""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import InputError
from ..report.folder import Kind, damaged, read, write
from .frequency import Frequency
from .run import Forecast
from .settings import Settings
from .table import Table, days
from .windows import Transformation, from_json, to_json

MODEL, CONFIG, METRICS, ROWS, PLOT = "model.keras", "config.json", "metrics.json", "forecast.csv", "forecast.png"
RUN = Kind("run", CONFIG, "ostinato.forecast", 1, "ostinato forecast")


@dataclass(frozen=True)
class Saved:
    """A run as it was saved.

    Attributes:
        settings, transformation: as it was trained with.
        tail: the last rows that it saw.
        before: how many rows stand in front of these.
        future: rows that were predicted after them.
        model: the Keras model.
    """

    settings: Settings
    transformation: Transformation
    tail: Table
    before: int
    future: int
    model: Any


def save(forecast: Forecast, folder: Path) -> None:
    """Write everything but the picture into an existing folder."""
    planned = forecast.plan
    forecast.model.save(folder / MODEL)
    table = planned.table
    rows = planned.window + planned.transformation.reach
    tail = {
        "before": len(table) - len(table.values[-rows:]),
        "dates": None if table.dates is None else days(table.dates[-rows:]),
        "values": table.values[-rows:].tolist(),
    }
    write(
        folder / CONFIG,
        {
            "format": RUN.format,
            "version": RUN.version,
            "settings": asdict(planned.settings),
            "transformation": to_json(planned.transformation),
            "source": table.source,
            "columns": list(table.columns),
            "date": table.date,
            "frequency": asdict(table.frequency),
            "tail": tail,
            "future": planned.future,
        },
    )
    write(
        folder / METRICS,
        {
            "verdict": forecast.verdict,
            "scores": [asdict(one) for one in forecast.scores],
            "lag": {**asdict(forecast.lag), "follows": forecast.lag.follows},
            "split": asdict(planned.split),
            "training": asdict(forecast.training),
            "parameters": forecast.model.count_params(),
        },
    )
    write_rows(forecast.rows, folder / ROWS)


def write_rows(rows: pd.DataFrame, path: Path) -> None:
    """A frame with a column `date` or `row` as CSV: written beside `path`, or what it links to, then put in its place.

    Raises:
        OSError: it cannot be written.
    """
    if "date" in rows:
        rows = rows.assign(date=days(pd.DatetimeIndex(rows["date"])))
    path = path.resolve()
    with tempfile.TemporaryDirectory(prefix=".ostinato.", dir=path.parent) as beside:
        whole = Path(beside) / path.name
        rows.to_csv(whole, index=False, float_format="%.15g")
        whole.replace(path)


def load(folder: str | Path) -> Saved:
    """Read a run.

    Raises:
        InputError: the folder is none of a run, is damaged, or of another version.
    """
    folder = Path(folder)
    config = read(folder, RUN)
    try:
        settings = Settings(**config["settings"])
        transformation = from_json(config["transformation"])
        tail = _read_tail(config)
        before, future = int(config["tail"].get("before", 0)), int(config["future"])
        if settings.window is None or len(tail) < settings.window + transformation.reach:
            raise ValueError(f"{len(tail)} rows are too few for the window of {settings.window}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(folder / CONFIG, error, RUN) from None
    return Saved(settings, transformation, tail, before, future, _load_model(folder, settings, transformation))


def _read_tail(config: dict[str, Any]) -> Table:
    dates = config["tail"]["dates"]
    values = np.array(config["tail"]["values"], dtype=float)
    columns = tuple(config["columns"])
    if values.ndim != 2 or values.shape[1] != len(columns) or not np.isfinite(values).all():
        raise ValueError("the last rows do not fit the columns")
    if dates is not None and len(dates) != len(values):
        raise ValueError("the last rows do not fit their dates")
    index = None if dates is None else pd.DatetimeIndex(pd.to_datetime(dates, format="ISO8601"))
    frequency = Frequency(**config["frequency"])
    if index is not None and not (index.is_monotonic_increasing and frequency.after(index[-1], 1)[0] > index[-1]):
        raise ValueError("the dates of the last rows do not go on")
    return Table(config["source"], columns, values, index, config["date"], frequency)


def _load_model(folder: Path, settings: Settings, transformation: Transformation) -> Any:
    from . import network  # Keras takes seconds to import, and a wrong folder should be told at once

    path = folder / MODEL
    if not path.is_file():
        raise InputError(f"{folder} is damaged: {MODEL} is missing; train again with ostinato forecast")
    assert settings.window is not None
    model = network.build(settings, settings.window, transformation.features)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras says so of weights that it leaves at random
            # only weights are taken: the network is built from the settings, so that the file cannot name code to run
            model.load_weights(path)
    except Exception as error:  # whatever zip, HDF5 and Keras raise on a broken file
        raise damaged(path, error, RUN) from error
    return model
