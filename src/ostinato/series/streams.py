"""Long series as parallel streams of short windows."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any, Literal, NamedTuple

import numpy as np

from .pieces import Piece, equal_rows, whole_rows
from .source import Source, open_source


class Batch(NamedTuple):
    """One window of each of the B streams, k steps long.

    Attributes:
        x: (B, k, F); (B, k) for tokens.
        y: (B, k, G); (B, k) for integers given one a step.
        mask: (B, k) bool: which steps are there. The others are zeros behind the end of a series.
        carry: (B,) of 0 and 1: which rows continue the row of the batch before; the state of the others starts anew.
    """

    x: np.ndarray
    y: np.ndarray
    mask: np.ndarray
    carry: np.ndarray


class Streams:
    """Series cut into B parallel streams of windows of k steps, for truncated backpropagation (Williams & Peng 1990).

    The windows of all series stand behind each other, and every row takes an equal share of them: window j + 1 of a
    row continues window j. Where a series begins in a row, or goes on there from the end of the row above, the row
    starts anew (`Batch.carry` is 0), and only there; so it does in batch 0, and with it in every epoch. A series
    begins with a window of its own: what is missing in the last window of a series is padding, which the mask tells.

    Batches are made when they are asked for, of the steps they hold: memory does not depend on the length of a series.
    """

    def __init__(
        self,
        series: Any,
        targets: Any = None,
        *,
        horizon: int | None = None,
        columns: Sequence[int] | None = None,
        batch: int = 32,
        steps: int = 100,
        whole: bool = False,
        ragged: Literal["pad", "drop"] = "pad",
        dtype: str = "float32",
    ) -> None:
        """Plan the batches.

        Args:
            series: one array (N, F) or (N,), or the path of a `.npy` file that holds one, or a list of such.
            targets: for each series an array or file (N,) or (N, G). Integers stay integers.
            horizon: instead of targets: the target of a step is the series so many steps later. The last `horizon`
                steps of a series, which have none, are left out.
            columns: with `horizon`: the features to predict; None is all.
            batch: the number of streams, B.
            steps: the length of a window, k.
            whole: keep each series whole in one row, so that no state is lost in it; rows then differ in length, and
                the shorter ones end in padding.
            ragged: "pad" keeps every step; "drop" leaves out windows that are not full, and those that do not fill a
                batch. `dropped` counts the steps.
            dtype: of x and of real targets: float32 or float64; int32 or int64 for tokens, a series (N,) of integers.

        Raises:
            ValueError: a size, shape or choice does not fit; the sentence names it.
            FileNotFoundError: there is no such file.
        """
        for name, count in (("batch", batch), ("steps", steps)):
            _check_count(name, count)
        if ragged not in ("pad", "drop"):
            raise ValueError(f"ragged is {ragged!r}; expected 'pad' or 'drop'")
        if whole and ragged == "drop":
            raise ValueError("ragged='drop' needs whole=False: rows of whole series are of unlike length")
        if str(dtype) not in ("float32", "float64", "int32", "int64"):
            raise ValueError(f"dtype is {dtype!r}; expected 'float32' or 'float64', or 'int32' or 'int64' for tokens")
        self.batch, self.steps, self.whole, self.ragged = int(batch), int(steps), bool(whole), ragged
        self.dtype = np.dtype(dtype)
        self._x = [open_source(one, _called("series", number, series)) for number, one in enumerate(_listed(series))]
        self._tokens = self.dtype.kind == "i"
        self._check_series()
        self._y_tail: tuple[int, ...] = ()
        self.horizon, self._columns = horizon, None if columns is None else list(columns)
        self._y = self._targets(targets)
        #: the steps of every series that have a target
        self.lengths = [len(x) - (horizon or 0) for x in self._x]
        self._plan()

    @property
    def features(self) -> int:
        """F; 1 for series (N,)."""
        return _width(self._x[0])

    @property
    def dropped(self) -> int:
        """How many steps with a target are in no batch; 0 with ragged="pad"."""
        kept = [0] * len(self._x)
        for row in self.rows:
            for piece in row:
                first = piece.window * self.steps
                last = min(first + piece.windows * self.steps, self.lengths[piece.series])
                kept[piece.series] += last - first
        return sum(self.lengths) - sum(kept)

    def __len__(self) -> int:
        """The number of batches."""
        return self._batches

    def __iter__(self) -> Iterator[Batch]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> Batch:
        """Batch `number` of the plan.

        Raises:
            IndexError: there is no such batch.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"batch {number} of {len(self)}")
        B, k = self.batch, self.steps
        x = np.zeros((B, k) if self._tokens else (B, k, self.features), self.dtype)
        y = np.zeros((B, k, *self._y_tail), self._y_dtype)
        mask = np.zeros((B, k), bool)
        for row in range(B):
            found = self._span(row, number)
            if found is not None:
                series, first, last = found
                count = last - first
                x[row, :count] = self._x[series].read(first, last).reshape(count, *x.shape[2:])
                y[row, :count] = self._read_targets(series, first, last).reshape(count, *self._y_tail)
                mask[row, :count] = True
        return Batch(x, y, mask, self.carry(number))

    def carry(self, number: int) -> np.ndarray:
        """(B,) of 0 and 1: which rows of batch `number` continue those of the batch before."""
        kind = np.float32 if self._tokens else self.dtype
        pieces = [self._piece(row, number) for row in range(self.batch)]
        return np.array([piece is not None and piece.column < number for piece in pieces], kind)

    def restore(self, outputs: Any) -> list[np.ndarray]:
        """What a network put out for all batches, in the order of the series.

        Args:
            outputs: (batches, B, k, ...) or (batches * B, k, ...), as `predict` returns it.

        Returns:
            One array (steps with a target, ...) a series. Steps that were dropped are NaN.

        Raises:
            ValueError: the shape does not fit.
        """
        outputs = np.asarray(outputs)
        J, B, k = len(self), self.batch, self.steps
        if outputs.shape[:3] == (J, B, k):
            outputs = outputs.reshape(J * B, *outputs.shape[2:])
        if outputs.shape[:2] != (J * B, k):
            raise ValueError(f"outputs have the shape {outputs.shape}; expected ({J * B}, {k}, ...)")
        tail = outputs.shape[2:]
        kind = np.result_type(outputs.dtype, np.float32) if self.dropped else outputs.dtype
        found = [np.full((n, *tail), np.nan if self.dropped else 0, kind) for n in self.lengths]
        for row in range(B):
            for piece in self.rows[row]:
                for column in range(piece.column, piece.column + piece.windows):
                    series, first, last = self._span(row, column) or (0, 0, 0)
                    found[series][first:last] = outputs[column * B + row, : last - first]
        return found

    def __repr__(self) -> str:
        told = f", {self.dropped} steps dropped" if self.dropped else ""
        return (
            f"Streams({len(self._x)} series, {sum(self.lengths)} steps: {len(self)} batches of {self.batch} rows x "
            f"{self.steps} steps{told})"
        )

    def _check_series(self) -> None:
        if not self._x:
            raise ValueError("series is an empty list; expected at least one series")
        for number, x in enumerate(self._x):
            if self._tokens and (len(x.shape) != 1 or x.dtype.kind not in "iu"):
                raise ValueError(
                    f"series {number} has the shape {x.shape} and the dtype {x.dtype}; "
                    f"tokens (dtype={self.dtype.name}) are integers of the shape (steps,)"
                )
            if _width(x) != self.features:
                raise ValueError(f"series {number} has {_width(x)} features and series 0 has {self.features}")

    def _targets(self, targets: Any) -> list[Source] | None:
        """The sources of targets; None where they are the series itself, later."""
        if (targets is None) == (self.horizon is None):
            raise ValueError("give either targets or a horizon")
        if targets is None:
            _check_count("horizon", self.horizon)
            self._check_columns()
            short = [number for number, x in enumerate(self._x) if len(x) <= (self.horizon or 0)]
            if short:
                raise ValueError(
                    f"series {short[0]} has {len(self._x[short[0]])} steps; horizon={self.horizon} needs more"
                )
            width = self.features if self._columns is None else len(self._columns)
            self._y_tail, self._y_dtype = () if self._tokens else (width,), self.dtype
            return None
        if self._columns is not None:
            raise ValueError("columns says what to predict with a horizon; targets were given")
        several = (
            isinstance(targets, (list, tuple)) and _is_series(_first(targets)) and not isinstance(targets[0], tuple)
        )
        found = [
            open_source(one, _called("targets", number, targets))
            for number, one in enumerate(targets if several else [targets])
        ]
        if len(found) != len(self._x):
            raise ValueError(f"got targets for {len(found)} series; expected them for {len(self._x)}")
        for number, (x, y) in enumerate(zip(self._x, found, strict=True)):
            if len(x) != len(y):
                raise ValueError(f"series {number} has {len(x)} steps and {len(y)} targets")
            if y.shape[1:] != found[0].shape[1:] or y.dtype.kind != found[0].dtype.kind:
                raise ValueError(
                    f"the targets of series {number} are {y.dtype} of the shape {y.shape}, "
                    f"those of series 0 {found[0].dtype} of the shape {found[0].shape}"
                )
        whole_numbers = found[0].dtype.kind in "iub"
        self._y_tail = found[0].shape[1:] if whole_numbers else (_width(found[0]),)
        real = np.dtype("float32") if self._tokens else self.dtype
        self._y_dtype = np.dtype("int64") if whole_numbers else real
        return found

    def _check_columns(self) -> None:
        if self._columns is None:
            return
        wrong = [c for c in self._columns if not isinstance(c, Integral) or not 0 <= c < self.features]
        if wrong or not self._columns or self._tokens:
            raise ValueError(
                f"columns is {self._columns}; expected features of a series, within 0..{self.features - 1}"
            )

    def _read_targets(self, series: int, first: int, last: int) -> np.ndarray:
        if self._y is not None:
            return self._y[series].read(first, last)
        later = self._x[series].read(first + (self.horizon or 0), last + (self.horizon or 0))
        return later if self._columns is None else later.reshape(last - first, -1)[:, self._columns]

    def _plan(self) -> None:
        full = self.ragged == "drop"
        windows = [n // self.steps if full else -(-n // self.steps) for n in self.lengths]
        if self.whole:
            self.rows = whole_rows(windows, self.batch)
            self._batches = max(sum(piece.windows for piece in row) for row in self.rows)
        else:
            self._batches = sum(windows) // self.batch if full else -(-sum(windows) // self.batch)
            self.rows = equal_rows(windows, self.batch, self._batches)
        if not self._batches:
            raise ValueError(
                f"{sum(self.lengths)} steps fill no batch of {self.batch} rows x {self.steps} steps; "
                "make them fewer, or keep what is not full with ragged='pad'"
            )
        self._columns_of = [[piece.column for piece in row] for row in self.rows]

    def _piece(self, row: int, column: int) -> Piece | None:
        at = bisect_right(self._columns_of[row], column) - 1
        if at < 0:
            return None
        piece = self.rows[row][at]
        return piece if column < piece.column + piece.windows else None

    def _span(self, row: int, column: int) -> tuple[int, int, int] | None:
        """The series that a row of a batch is of, and its first and last step; None where there is only padding."""
        piece = self._piece(row, column)
        if piece is None:
            return None
        first = (piece.window + column - piece.column) * self.steps
        return piece.series, first, min(first + self.steps, self.lengths[piece.series])


def _listed(given: Any) -> list[Any]:
    """One series, or several: a list of numbers is one."""
    if isinstance(given, (list, tuple)) and _is_series(_first(given)):
        return list(given)
    return [given] if not isinstance(given, (list, tuple)) or len(given) else []


def _is_series(given: Any) -> bool:
    """Whether it is a file, a list, or an array of whatever library, and no number."""
    return isinstance(given, (list, tuple, str, os.PathLike)) or (hasattr(given, "__array__") and np.ndim(given) > 0)


def _first(given: Sequence[Any]) -> Any:
    return given[0] if len(given) else None


def _called(name: str, number: int, given: Any) -> str:
    return f"{name} {number}" if isinstance(given, (list, tuple)) else name


def _width(source: Source) -> int:
    return 1 if len(source.shape) == 1 else source.shape[1]


def _check_count(name: str, count: Any) -> None:
    if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
        raise ValueError(f"{name} is {count!r}; expected an integer of at least 1")
