"""Learning curves of several runs side by side."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError


@dataclass(frozen=True)
class LearningCurves:
    """What each run told of its epochs.

    Attributes:
        runs: by the name of a run, by the name of a metric, (epochs) values.
    """

    runs: Mapping[str, Mapping[str, np.ndarray]]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, without those of validation, which go with them."""
        names = dict.fromkeys(name for curves in self.runs.values() for name in curves)
        return tuple(name for name in names if not (name.startswith("val_") and name[4:] in names))


def learning_curves(runs: Mapping[str, Any]) -> LearningCurves:
    """The curves of runs.

    Args:
        runs: by a name of your choice what `fit` of a Keras model returned, its `history`, a mapping from metrics to a
            value an epoch, or the path of a CSV file as `keras.callbacks.CSVLogger` writes it.

    Raises:
        InputError: there are no runs, or one is none of these.
    """
    if not runs:
        raise InputError("there are no runs; expected at least one")
    return LearningCurves({str(name): _curves(str(name), given) for name, given in runs.items()})


def _curves(run: str, given: Any) -> dict[str, np.ndarray]:
    if isinstance(given, (str, os.PathLike)):
        given = _read(Path(given))
    given = getattr(given, "history", given)
    if not isinstance(given, Mapping) or not given:
        raise InputError(f"run {run!r} is a {type(given).__name__}; expected metrics by name, or the path of a CSV")
    found = {}
    for metric, values in given.items():
        try:
            found[str(metric)] = np.asarray(values, dtype=float)
        except (TypeError, ValueError):
            raise InputError(f"{metric} of run {run!r} holds something else than a number an epoch") from None
        if found[str(metric)].ndim != 1 or not len(found[str(metric)]):
            raise InputError(f"{metric} of run {run!r} has the shape {np.shape(values)}; expected a number an epoch")
    return found


def _read(path: Path) -> dict[str, Sequence[float]]:
    """The columns of a CSV file but that of epochs; what holds no number is NaN."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file, delimiter=";" if path.suffix == ".ssv" else ","))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(rows) < 2 or len({len(row) for row in rows}) != 1:
        raise InputError(f"{path} is no table of epochs; expected a header and rows of as many values")
    columns = dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True))
    return {name: [_number(value) for value in values] for name, values in columns.items() if name != "epoch"}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
