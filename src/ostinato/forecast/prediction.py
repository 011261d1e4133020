"""The future from a saved run, with the rows that it saw or with newer ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from .folder import load
from .future import extend
from .plan import TableLike, as_table
from .table import Table, day

#: New rows that begin at most so many steps after the saved ones go on from them.
NEAR = 4


def predict(run: str | Path, table: TableLike = None, count: int | None = None, sort: bool = False) -> pd.DataFrame:
    """The rows that follow the last one known.

    Args:
        run: folder that a forecast was saved into.
        table: newer rows, with the columns that the run was trained on; None goes on from the rows that it saw. Fewer
            rows than the window do where they follow the saved ones.
        count: rows to predict; None is as many as the forecast did.
        sort: see `make_table`.

    Returns:
        date (or row), prediction in the unit of the target.

    Raises:
        InputError: the folder is no run of this version, or the rows do not fit it.
    """
    from . import network  # Keras takes seconds to import, and a wrong folder should be told at once

    saved = load(run)
    known = saved.tail
    if table is not None:
        new = as_table(table, known.target, known.date, known.covariates, sort)
        known = _known(saved.tail, new, saved.settings.window or 0, saved.transformation.reach)
    count = max(saved.future, 1) if count is None else count
    predicted = extend(
        lambda inputs: network.predict(saved.model, inputs),
        saved.transformation, known.values, saved.settings.window or 0, saved.settings.horizon, count,
    )  # fmt: skip
    if not np.isfinite(predicted).all():
        raise InputError(f"{run} is damaged: its network predicts no finite numbers; train again")
    if known.dates is None:
        last = len(known) + (saved.before if known is saved.tail else 0)
        return pd.DataFrame({"row": np.arange(last, last + count) + 1, "prediction": predicted})
    return pd.DataFrame({"date": known.frequency.after(known.dates[-1], count), "prediction": predicted})


def _known(tail: Table, new: Table, window: int, reach: int) -> Table:
    """The new rows, after the saved ones where they go on from them.

    Raises:
        InputError: there are too few, or they are spaced otherwise.
    """
    rows, needed = new, window + reach
    if tail.dates is not None and new.dates is not None:
        tail.frequency.check(new.dates, new.source)
        soon = tail.frequency.after(tail.dates[-1], NEAR)[-1]
        earlier = int((tail.dates < new.dates[0]).sum())
        if earlier and new.dates[0] <= soon:
            dates, values = tail.dates[:earlier], tail.values[:earlier]
            rows = Table(tail.source, tail.columns, values, dates, tail.date, tail.frequency).following(new)
    if len(rows) < needed:
        ends = "" if tail.dates is None else f", or rows that go on from {day(tail.dates[-1])}"
        raise InputError(
            f"{new.source} has {len(new)} row{'s' * (len(new) != 1)}; the model needs the last {needed}{ends}"
        )
    spaced = new.frequency if tail.dates is None else tail.frequency
    return Table(new.source, rows.columns, rows.values, rows.dates, rows.date, spaced)
