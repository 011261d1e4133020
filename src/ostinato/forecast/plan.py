"""How a table will be forecast: read, split in time, scaled; all that can be known, and be wrong, before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from .future import FARTHEST
from .settings import Settings
from .table import DEMO, DEMO_TARGET, Table, make_table, read_csv, read_demo
from .windows import MinMax, Steps, Transformation

#: Anything that a table can be given as: a CSV file, a frame, a `Table`; None is the built-in one.
TableLike = Table | pd.DataFrame | str | Path | None

USUAL_WINDOW, LONGEST_WINDOW = 40, 120
FEWEST_WINDOWS = 10


@dataclass(frozen=True)
class Split:
    """How many rows, in the order of time, are trained on, stopped on, and tested on."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class Plan:
    """A table, and how it will be forecast: all that can be known, and be wrong, before training.

    Attributes:
        table: all rows, those to test on last.
        settings: with `window` and `season` decided.
        transformation: fitted on the training rows.
        future: rows to predict after the last.
        test_source: where the rows to test on come from, if not from the same source.
    """

    table: Table
    split: Split
    settings: Settings
    transformation: Transformation
    future: int
    test_source: str | None = None

    @property
    def window(self) -> int:
        assert self.settings.window is not None
        return self.settings.window

    @property
    def season(self) -> int:
        assert self.settings.season is not None
        return self.settings.season

    @property
    def series(self) -> np.ndarray:
        """(rows): the target."""
        column: np.ndarray = self.table.values[:, 0]
        return column

    @property
    def test_start(self) -> int:
        return self.split.train + self.split.validation

    def examples(self, first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Windows and right answers, the answers within the rows first..end-1; windows may reach further back."""
        horizon = self.settings.horizon
        earliest = self.window - 1 + self.transformation.reach
        origins = np.arange(max(first - 1, earliest), end - horizon)
        inputs = self.transformation.inputs(self.table.values[:end], origins, self.window)
        return inputs, self.transformation.targets(self.series[:end], origins, horizon)


def make_plan(
    table: TableLike = None,
    target: str | None = None,
    *,
    settings: Settings | None = None,
    test: TableLike = None,
    date: str | None = None,
    covariates: Sequence[str] = (),
    sort: bool = False,
    future: int | None = None,
) -> Plan:
    """Read, check and split the rows, and fit the transformation. The arguments are those of `run.forecast`.

    Raises:
        InputError: in one sentence, what is wrong with what was given.
    """
    settings = settings or Settings()
    rows = as_table(table, target, date, covariates, sort)
    test_source = None
    if test is None:
        tested = _share(settings.test_size, len(rows))
    else:
        later = as_table(test, rows.target, rows.date, rows.covariates, sort)
        rows, tested, test_source = rows.following(later), len(later), later.source
    before = max(len(rows) - tested, 0)
    validation = min(_share(settings.validation_size, before), before) if settings.validation_size else 0
    split = Split(before - validation, validation, min(tested, len(rows)))
    settings = _decide(settings, rows, split)
    training = rows.values[: split.train]
    transformation: Transformation = (
        MinMax.fit(training, rows.columns)
        if settings.scaling == "minmax"
        else Steps.fit(training, rows.columns, settings.horizon, settings.log)
    )
    if future is None:
        future = settings.horizon if rows.covariates else max(settings.horizon, settings.season or 1)
    if not 0 <= future <= FARTHEST:
        raise InputError(f"--future is {future}; expected 0 to {FARTHEST} rows")
    if future > settings.horizon and rows.covariates:
        raise InputError(
            f"--future is {future}, but with covariates the model sees only its horizon of {settings.horizon} ahead; "
            f"use --future {settings.horizon} or --horizon {future}"
        )
    if rows.dates is not None:
        rows.frequency.after(rows.dates[-1], future)  # before hours of training
    return Plan(rows, split, settings, transformation, future, test_source)


def as_table(
    given: TableLike, target: str | None, date: str | None = None, covariates: Sequence[str] = (), sort: bool = False
) -> Table:
    """The checked series out of whatever it is given as; the other arguments are those of `make_table`."""
    if isinstance(given, Table):
        return given
    if given is None:
        frame, source, target = read_demo(), DEMO, target or DEMO_TARGET
    elif isinstance(given, pd.DataFrame):
        frame, source = given, "the table"
    else:
        frame, source = read_csv(given), str(given)
    return make_table(frame, target, source=source, date=date, covariates=covariates, sort=sort)


def _share(size: float, rows: int) -> int:
    return int(size) if size >= 1 else max(1, round(size * rows))


def _decide(settings: Settings, rows: Table, split: Split) -> Settings:
    """The settings with window and season filled in.

    Raises:
        InputError: there are too few rows for them.
    """
    seen = split.train + split.validation
    if settings.season is not None and 2 * settings.season > max(seen, 2):
        raise InputError(
            f"--season is {settings.season}, and the {seen} rows before the test rows are less than two seasons; "
            "use a shorter season"
        )
    season = settings.season or rows.frequency.season
    season = season if 2 * season <= seen else 1
    longest = max(1, split.train // 3)
    window = settings.window or min(max(USUAL_WINDOW, 2 * season), LONGEST_WINDOW, longest)
    reach = 0 if settings.scaling == "minmax" else 1
    needed = window + reach + settings.horizon - 1 + FEWEST_WINDOWS
    if split.train < needed:
        raise InputError(
            f"{rows.source} has {len(rows)} row{'s' * (len(rows) != 1)}, which leaves {split.train} to train on, "
            f"{split.validation} to stop on and {split.test} to test on, too few for a window of {window} and "
            f"a horizon of {settings.horizon}: at least {needed} are needed to train on; "
            "use a smaller --window, or more rows"
        )
    for size, name, flag in ((split.validation, "stop on", "validation"), (split.test, "test on", "test")):
        if 0 < size < settings.horizon or (flag == "test" and size < 2):
            raise InputError(
                f"--{flag}-size leaves {size} row{'s' * (size != 1)} to {name}; expected at least "
                f"{max(2, settings.horizon)} for a horizon of {settings.horizon}: "
                f"use a larger --{flag}-size or a smaller --horizon"
            )
    return replace(settings, window=window, season=season)
