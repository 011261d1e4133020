"""`ostinato look`: see what a saved model remembers, and write it down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape

from ..errors import InputError
from ..forecast.folder import load
from ..forecast.plan import as_table
from ..inspect import look
from ..inspect.report import REPORT
from ..inspect.saved import load_model
from ..report.folder import check_free, free_folder
from .margin import line


@dataclass(frozen=True)
class Asked:
    """What is looked at: a model, sequences (N, T, F) or (N, T), targets or none, and the names of the features."""

    model: Any
    x: np.ndarray
    y: np.ndarray | None = None
    features: list[str] | None = field(default=None)


def run(
    model: Path,
    data: Path,
    columns: Sequence[str],
    sequences: int,
    threshold: float,
    output: Path | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """See `commands.look`."""
    console = Console(quiet=quiet, highlight=False)
    if sequences < 1:
        raise InputError(f"--sequences is {sequences}; expected at least 1")
    if not 0 < threshold < 1:
        raise InputError(f"--threshold is {threshold:g}; expected above 0 and below 1")
    folder = output or free_folder("looks", model.resolve().stem, "model")
    check_free(folder, REPORT, overwrite)
    if columns and model.is_dir():
        raise InputError(f"--columns is for a model in a file; {model} is a folder, which knows the columns of its run")
    asked = _from_run(model, data) if model.is_dir() else _from_file(model, data, tuple(columns))
    some = np.unique(np.linspace(0, len(asked.x) - 1, min(sequences, len(asked.x))).round().astype(int))
    y = None if asked.y is None else asked.y[some]
    name = model.resolve().name
    try:
        report = look(asked.model, asked.x[some], y, features=asked.features, threshold=threshold, name=name)
    except InputError:
        raise
    except (IndexError, RuntimeError, TypeError, ValueError) as error:  # of the model, or of its loss
        said = " ".join((str(error) or type(error).__name__).split())[:200]
        raise InputError(f"{model} cannot be run on {data} ({type(error).__name__}: {said})") from error
    page = report.save(folder, overwrite)
    for sentence in report.sentences:
        console.print(escape(sentence))
    line(console, "written", str(page))


def _from_run(folder: Path, csv: Path) -> Asked:
    """The network of a forecast, on the windows of a CSV file and what follows each of them."""
    saved = load(folder)
    known, window = saved.tail, saved.settings.window or 0
    table = as_table(csv, known.target, known.date, known.covariates)
    first, last = window + saved.transformation.reach - 1, len(table) - 1 - saved.settings.horizon
    if last < first:
        needed = first + saved.settings.horizon + 1
        raise InputError(f"{csv} has {len(table)} rows; the model needs {needed}, a window and what follows it")
    origins = np.arange(first, last + 1)
    x = saved.transformation.inputs(table.values, origins, window)
    y = saved.transformation.targets(table.values[:, 0], origins, saved.settings.horizon)
    each = x.shape[2] // len(table.columns)
    parts = [""] if each == 1 else [" step", " level"]
    return Asked(saved.model, x, y, [f"{column}{part}" for column in table.columns for part in parts])


def _from_file(path: Path, data: Path, columns: tuple[str, ...]) -> Asked:
    """A Keras model, on arrays or on the windows of a CSV file."""
    if not path.exists():
        raise InputError(f"{path} is not there; expected a .keras file, or a folder that forecast wrote")
    if not data.is_file():
        raise InputError(f"{data} is {'a folder' if data.exists() else 'not there'}; expected .npy, .npz or CSV")
    if data.suffix.lower() in (".npy", ".npz"):
        if columns:
            raise InputError(f"--columns names columns of a CSV file; {data} holds arrays")
        x, y = _arrays(data)
        return Asked(load_model(path), x, y)
    frame = _frame(data, columns)
    model = load_model(path)
    return Asked(model, _windows(frame, model, data), features=[str(name) for name in frame.columns])


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The array x, and y if there is one."""
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            arrays = {"x": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except Exception as error:  # that of a broken zip is neither an OSError nor a ValueError
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is no file of arrays of numbers ({told})") from None
    if len(arrays) == 1:
        arrays = {"x": next(iter(arrays.values()))}
    if "x" not in arrays:
        raise InputError(f"{path} holds {', '.join(arrays) or 'nothing'}; expected x, and y if there are targets")
    x, y = arrays["x"], arrays.get("y")
    if y is not None and y.shape[:1] != x.shape[:1]:
        raise InputError(f"{path} holds x of the shape {x.shape} and y of {y.shape}; expected one y for each x")
    return x, y


def _frame(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """The columns of a CSV file that were named, or all that are numbers."""
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError, UnicodeError) as error:
        raise InputError(f"{path} cannot be read as CSV ({str(error).splitlines()[0]})") from None
    missing = [name for name in columns if name not in frame]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}; its columns are {', '.join(map(str, frame.columns))}")
    chosen = frame[list(columns)] if columns else frame.select_dtypes("number")
    words = [name for name in chosen if not pd.api.types.is_numeric_dtype(chosen[name])]
    if words:
        raise InputError(f"column {words[0]!r} of {path} holds something else than numbers")
    if not chosen.shape[1] or not len(chosen):
        raise InputError(
            f"{path} has {len(frame)} rows and {chosen.shape[1]} columns of numbers; expected some of both"
        )
    return chosen


def _windows(frame: pd.DataFrame, model: Any, path: Path) -> np.ndarray:
    """(N, T, F): every window of as many rows as the model takes, or all rows as one sequence where it takes any."""
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 3:
        raise InputError(f"the model takes {shape}; a CSV file gives (N, T, F): give an array (.npy) instead")
    _, steps, features = shape
    rows = frame.to_numpy(dtype=np.float64)
    if features not in (None, rows.shape[1]):
        told = ", ".join(map(str, frame.columns))
        raise InputError(
            f"{path} has {rows.shape[1]} columns of numbers ({told}), and the model takes {features}; "
            "choose with --columns"
        )
    if steps is None:
        return rows[None]
    if len(rows) < steps:
        raise InputError(f"{path} has {len(rows)} rows; the model takes {steps} at a time")
    windows: np.ndarray = np.lib.stride_tricks.sliding_window_view(rows, steps, axis=0).transpose(0, 2, 1)
    return windows
