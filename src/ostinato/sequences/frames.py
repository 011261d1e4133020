"""Sequences in a long table: a row for each step of each sequence."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .dataset import Labelled
from .labels import make_labels

if TYPE_CHECKING:
    import pandas as pd


def read_frame(
    table: str | Path | pd.DataFrame,
    *,
    id: str = "id",
    step: str = "step",
    label: str | None = "label",
    features: Sequence[str] | None = None,
) -> Labelled:
    """Sequences of a frame, or of a CSV file (comma, semicolon or tab), with a row for each step.

    Rows may come in any order; sequences come in that of their first rows, their steps in that of `step`.

    Args:
        table: a frame, or a CSV file with a header.
        id: the column that says to which sequence a row belongs.
        step: the column of the order within a sequence, whole numbers, each once a sequence.
        label: the column of the sequence's label, the same in all of its rows; None where there is none. In a file,
            labels are numbers where all of them read as such and none is a code with a leading zero, or else text.
        features: the columns of numbers; None takes all others.

    Raises:
        InputError: a column is missing, or a cell is not as said; for a file the sentence names the line.
    """
    import pandas as pd

    source = "the frame" if isinstance(table, pd.DataFrame) else str(table)
    frame = table if isinstance(table, pd.DataFrame) else _read_csv(Path(table), id, label)
    place = _Place(source, isinstance(table, pd.DataFrame))
    keys = [id, step, *([] if label is None else [label])]
    names = [name for name in frame.columns if name not in keys] if features is None else list(features)
    missing = [name for name in [*keys, *names] if name not in frame.columns]
    if missing:
        raise InputError(
            f"{source} has no column {', '.join(map(repr, missing))}; it has {', '.join(map(str, frame.columns))}"
        )
    if not names or frame.empty:
        raise InputError(f"{source} has {'no rows' if names else 'no column of numbers'}; expected steps of sequences")
    for name in keys:
        empty = frame[name].isna().to_numpy()
        if empty.any():
            raise InputError(f"{place(int(empty.argmax()))} has no {name!r}; expected one in every row")
    values = np.stack([_numbers(frame[name], name, place) for name in names], axis=1)
    steps = _whole(frame[step], step, place)
    number, ids = pd.factorize(frame[id])
    order = np.lexsort((steps, number))
    twice = (np.diff(steps[order]) == 0) & (np.diff(number[order]) == 0)
    if twice.any():
        row = int(order[1:][twice].min())
        raise InputError(
            f"{place(row)} has the {step} {frame[step].iloc[row]} of {id} {ids[number[row]]} a second time"
        )
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    labels = None
    if label is not None:
        first = frame[label].iloc[order[starts]].to_numpy()
        differs = frame[label].to_numpy() != first[number]
        if differs.any():
            row = int(differs.argmax())
            raise InputError(
                f"{place(row)} has the {label} {frame[label].iloc[row]}, and {id} {ids[number[row]]} has "
                f"{first[number[row]]} elsewhere; expected one {label} a sequence"
            )
        labels = make_labels(first.tolist(), f"the labels of {source}")
    sequences = tuple(np.split(values[order], starts[1:]))
    return Labelled(source, sequences, labels, tuple(map(str, names)), tuple(ids))


class _Place:
    """What a row is called: its line in a file, or its number in a frame."""

    def __init__(self, source: str, frame: bool) -> None:
        self._source, self._frame = source, frame

    def __call__(self, row: int) -> str:
        return f"{self._source} row {row}" if self._frame else f"{self._source} line {row + 2}"


def _read_csv(path: Path, id: str, label: str | None) -> pd.DataFrame:
    """The cells of a CSV file: ids as text, labels as numbers where they are, of other columns what pandas finds."""
    import pandas as pd

    if not path.is_file():
        raise InputError(f"{path} {'is no file' if path.exists() else 'does not exist'}; expected a CSV file")
    types = {id: str} if label is None else {id: str, label: str}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            separator = max(",;\t", key=lambda one: len(pd.read_csv(path, sep=one, nrows=0).columns))
            frame: pd.DataFrame = pd.read_csv(
                path, sep=separator, index_col=False, skip_blank_lines=False, dtype=types,
                keep_default_na=False, na_values=[""],
            )  # fmt: skip
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty; expected a header and rows") from None
    except UnicodeError:
        raise InputError(f"{path} is not a CSV file in UTF-8") from None
    except pd.errors.ParserWarning:
        raise InputError(
            f"{path} has rows with more fields than its header; give every column a name, and write decimal points"
        ) from None
    except pd.errors.ParserError as error:
        raise InputError(f"{path} is not a CSV file: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    filled = np.flatnonzero(frame.notna().any(axis=1))
    frame = frame.iloc[: filled[-1] + 1 if len(filled) else 0]  # blank lines at the end
    if label is not None and label in frame and not frame[label].str.match(r"\s*[+-]?0\d").any():
        numbers = pd.to_numeric(frame[label], errors="coerce")
        if np.isfinite(numbers).all():
            frame[label] = numbers
    return frame


def _whole(column: pd.Series[Any], name: str, place: _Place) -> np.ndarray:
    """(rows) int64, or float64 where the column has decimal points."""
    import pandas as pd

    numbers = _numbers(column, name, place)
    wrong = numbers != np.round(numbers)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(f"{place(row)} has the {name} {column.iloc[row]}; expected a whole number")
    # float64 would make one of whole numbers beyond 2^53
    exact: np.ndarray = pd.to_numeric(column).to_numpy()
    return exact if exact.dtype.kind in "iu" else numbers


def _numbers(column: pd.Series[Any], name: str, place: _Place) -> np.ndarray:
    """(rows) float64."""
    import pandas as pd

    numbers = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=float)
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        row = int(wrong.argmax())
        cell = column.iloc[row]
        said = "no value" if pd.isna(cell) else repr(str(cell))
        raise InputError(f"{place(row)} has {said} in column {name!r}; expected a number; fill it in, or leave it out")
    return numbers
