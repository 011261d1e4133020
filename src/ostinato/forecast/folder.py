"""A run on disk: the network, what it needs to predict, and what it was worth. All of it data; none is code to run.

model.keras     the network's weights, in Keras' own format
config.json     settings, transformation, columns, frequency, and the last rows
metrics.json    scores, verdict, training history
forecast.csv    test rows and future rows
forecast.png    the same as a picture
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .errors import ForecastError
from .frequency import Frequency
from .run import Forecast
from .settings import Settings
from .table import Table, days
from .windows import Transformation, from_json, to_json

FORMAT = "ostinato.forecast"
VERSION = 1
MODEL, CONFIG, METRICS, ROWS, PLOT = "model.keras", "config.json", "metrics.json", "forecast.csv", "forecast.png"


@dataclass(frozen=True)
class Saved:
    """A run as it was saved.

    Attributes:
        settings, transformation: as it was trained with.
        tail: the last rows that it saw.
        future: rows that were predicted after them.
        model: the Keras model.
    """

    settings: Settings
    transformation: Transformation
    tail: Table
    future: int
    model: Any


@contextmanager
def staged(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """A folder to write into, which becomes `path` when the block ends, and vanishes when it fails.

    An older run in its place stays until the new one is whole.

    Raises:
        ForecastError: `path` exists and may not be overwritten, or cannot be written.
    """
    _check_free(path, overwrite)
    place = path.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    except FileExistsError as error:
        raise ForecastError(f"{path} cannot be written: {error.filename} is a file; choose another --output") from None
    except OSError as error:
        raise ForecastError(f"{path} cannot be written: {error.strerror or error}; choose another --output") from None
    try:
        whole = beside / place.name
        whole.mkdir()
        yield whole
        _check_free(path, overwrite)  # training takes a while
        _put(whole, place, beside / "old")
    except OSError as error:
        raise ForecastError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside)


def _check_free(path: Path, overwrite: bool) -> None:
    if not path.exists():
        return
    if not overwrite:
        raise ForecastError(f"{path} exists already; choose another --output, or pass --overwrite")
    if not _is_run(path) and not (path.is_dir() and not any(path.iterdir())):
        raise ForecastError(f"{path} exists and is not a run of this command, so it stays; choose another --output")


def _is_run(path: Path) -> bool:
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("format") == FORMAT


def _put(whole: Path, place: Path, old: Path) -> None:
    if not place.exists():
        whole.rename(place)
        return
    place.rename(old)
    try:
        whole.rename(place)
    except BaseException:
        old.rename(place)
        raise


def save(forecast: Forecast, folder: Path) -> None:
    """Write everything but the picture into an existing folder."""
    planned = forecast.plan
    forecast.model.save(folder / MODEL)
    table = planned.table
    rows = planned.window + planned.transformation.reach
    tail = {
        "dates": None if table.dates is None else days(table.dates[-rows:]),
        "values": table.values[-rows:].tolist(),
    }
    _write(
        folder / CONFIG,
        {
            "format": FORMAT,
            "version": VERSION,
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
    _write(
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
    """A frame with a column `date` or `row` as CSV: written beside `path`, then put in its place.

    Raises:
        OSError: it cannot be written.
    """
    if "date" in rows:
        rows = rows.assign(date=days(pd.DatetimeIndex(rows["date"])))
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as beside:
        whole = Path(beside) / path.name
        rows.to_csv(whole, index=False, float_format="%.10g")
        whole.replace(path)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(_plain(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """The same without numbers that JSON has no word for."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load(folder: str | Path) -> Saved:
    """Read a run.

    Raises:
        ForecastError: the folder is none of a run, is damaged, or of another version.
    """
    folder = Path(folder)
    config = _read_config(folder)
    try:
        settings = Settings(**config["settings"])
        transformation = from_json(config["transformation"])
        tail = _read_tail(config)
        future = int(config["future"])
        if settings.window is None or len(tail) < settings.window + transformation.reach:
            raise ValueError(f"{len(tail)} rows are too few for the window of {settings.window}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ForecastError(
            f"{folder / CONFIG} is damaged ({_said(error)}); train again with ostinato forecast"
        ) from None
    return Saved(settings, transformation, tail, future, _load_model(folder, settings, transformation))


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not folder.is_dir():
        raise ForecastError(f"{folder} is {'a file' if folder.exists() else 'not there'}; expected a folder of a run")
    if not path.is_file():
        raise ForecastError(f"{folder} is not a folder of a run: it has no {CONFIG}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ForecastError(f"{path} is damaged ({_said(error)}); train again with ostinato forecast") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ForecastError(f"{folder} is not a folder of a run: {CONFIG} is something else")
    if config.get("version") != VERSION:
        raise ForecastError(
            f"{folder} has the format version {config.get('version')}; expected {VERSION}: "
            "train again, or use the ostinato that wrote it"
        )
    return config


def _read_tail(config: dict[str, Any]) -> Table:
    dates = config["tail"]["dates"]
    values = np.array(config["tail"]["values"], dtype=float)
    columns = tuple(config["columns"])
    if values.ndim != 2 or values.shape[1] != len(columns) or not np.isfinite(values).all():
        raise ValueError("the last rows do not fit the columns")
    if dates is not None and len(dates) != len(values):
        raise ValueError("the last rows do not fit their dates")
    index = None if dates is None else pd.DatetimeIndex(pd.to_datetime(dates, format="ISO8601"))
    return Table(config["source"], columns, values, index, config["date"], Frequency(**config["frequency"]))


def _load_model(folder: Path, settings: Settings, transformation: Transformation) -> Any:
    from . import network  # Keras takes seconds to import, and a wrong folder should be told at once

    path = folder / MODEL
    if not path.is_file():
        raise ForecastError(f"{folder} is damaged: {MODEL} is missing; train again with ostinato forecast")
    assert settings.window is not None
    model = network.build(settings, settings.window, transformation.features)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras says so of weights that it leaves at random
            # only weights are taken: the network is built from the settings, so that the file cannot name code to run
            model.load_weights(path)
    except Exception as error:  # whatever zip, HDF5 and Keras raise on a broken file
        raise ForecastError(f"{path} is damaged ({_said(error)}); train again with ostinato forecast") from error
    return model


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].split('. ')[0].rstrip('.')}" if lines else type(error).__name__
