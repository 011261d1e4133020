"""Series to windows and back: what the network sees, what it is asked for, and what its answer means.

A forecast has an *origin*, the row of the last value that it knows. Its window are the `window` rows up to the origin,
its answer the `horizon` rows after it. Two transformations turn them into numbers of order 1; both are fitted on
training rows only and hold nothing else. Column 0 is the target, the others are covariates.

`MinMax`: levels, each column from 0 to 1 over the training rows. It cannot follow a series out of that range.

`Steps`: each value's step from the one before, and its distance from the last value of the window. Its answer is the
distance from the last value too, so that 0 is the naive forecast, and the level of the series does not matter.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..errors import InputError

#: Blocks of training rows whose step sizes are compared.
BLOCKS = 8


class Transformation(Protocol):
    """What `MinMax` and `Steps` have in common."""

    @property
    def reach(self) -> int:
        """Rows before the window that its first step needs."""

    @property
    def features(self) -> int:
        """Numbers that the network sees of each row."""

    def inputs(self, values: np.ndarray, origins: np.ndarray, window: int) -> np.ndarray:
        """(n, window, features) float32 out of values (rows, columns) and origins (n)."""

    def targets(self, series: np.ndarray, origins: np.ndarray, horizon: int) -> np.ndarray:
        """(n, horizon) float32: the answers that would be right, out of the target column (rows)."""

    def invert(self, outputs: np.ndarray, series: np.ndarray, origins: np.ndarray) -> np.ndarray:
        """(n, horizon) in the unit of the series out of the network's answers (n, horizon)."""


def _after(series: np.ndarray, origins: np.ndarray, horizon: int) -> np.ndarray:
    after: np.ndarray = series[origins[:, None] + np.arange(1, horizon + 1)]
    return after


def _cut(rows: np.ndarray, origins: np.ndarray, window: int) -> np.ndarray:
    """(n, window, columns): the rows up to each origin."""
    windows: np.ndarray = sliding_window_view(rows, window, axis=0)[origins - window + 1].transpose(0, 2, 1)
    return windows


@dataclass(frozen=True)
class MinMax:
    """Levels between 0 and 1.

    Attributes:
        low, high: smallest and largest training value of each column.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    reach = 0

    @property
    def features(self) -> int:
        return len(self.low)

    @classmethod
    def fit(cls, training: np.ndarray, names: tuple[str, ...]) -> MinMax:
        """The range of training rows (rows, columns).

        Raises:
            InputError: a column is constant.
        """
        _check_not_constant(training, names)
        return cls(tuple(training.min(axis=0).tolist()), tuple(training.max(axis=0).tolist()))

    def inputs(self, values: np.ndarray, origins: np.ndarray, window: int) -> np.ndarray:
        low, high = np.array(self.low), np.array(self.high)
        return _cut((values - low) / (high - low), origins, window).astype("float32")

    def targets(self, series: np.ndarray, origins: np.ndarray, horizon: int) -> np.ndarray:
        return ((_after(series, origins, horizon) - self.low[0]) / (self.high[0] - self.low[0])).astype("float32")

    def invert(self, outputs: np.ndarray, series: np.ndarray, origins: np.ndarray) -> np.ndarray:
        return self.low[0] + (self.high[0] - self.low[0]) * outputs.astype(float)


@dataclass(frozen=True)
class Steps:
    """Steps, and distances from the last value of the window.

    Two features a column: the step from the row before in units of `step`; and, for the target, the distance from
    the window's last value in units of `spread`. For a covariate it is its distance from the target in the same
    row where that varies less over the training rows than the covariate itself (the day's high beside its opening
    price), or else its level: standardised with `center` and `spread`.

    Attributes:
        logs: for each column whether it is taken in logarithms.
        step: standard deviation of each column's steps.
        beside: for each column whether its distance from the target is what is seen.
        center, spread: mean and standard deviation of each column's second feature; of the target its level's.
        lead: standard deviation of the target's change over 1, 2, ..., horizon rows.
    """

    logs: tuple[bool, ...]
    step: tuple[float, ...]
    beside: tuple[bool, ...]
    center: tuple[float, ...]
    spread: tuple[float, ...]
    lead: tuple[float, ...]
    reach = 1

    @property
    def features(self) -> int:
        return 2 * len(self.step)

    @classmethod
    def fit(cls, training: np.ndarray, names: tuple[str, ...], horizon: int, log: bool | None = None) -> Steps:
        """The sizes of steps and levels over training rows (rows, columns).

        Args:
            names: of the columns, for messages.
            horizon: rows to be predicted at once.
            log: whether the target is taken in logarithms; None takes them where `steadier_in_logs`, as covariates
                always are unless this is False.

        Raises:
            InputError: a column is constant, or logarithms are asked for and the target is not positive.
        """
        _check_not_constant(training, names)
        logs = [log is not False and steadier_in_logs(column) for column in training.T]
        logs[0] = logs[0] if log is None else log
        beside = [False] + [_beside(training[:, 0], column, logs[0]) for column in training.T[1:]]
        logs = [logs[0] if near else own for near, own in zip(beside, logs, strict=True)]
        z = _logarithms(training, tuple(logs), names)
        step = np.diff(z, axis=0).std(axis=0)
        second = np.where(beside, z - z[:, :1], z)
        lead = [float((z[k:, 0] - z[:-k, 0]).std()) for k in range(1, horizon + 1)]
        if not min(lead) > 1e-12 * float(np.abs(z[:, 0]).max()):
            raise InputError(f"{names[0]} grows by the same step on every training row; there is nothing to learn")
        return cls(
            tuple(logs), tuple(np.where(step > 0, step, 1.0).tolist()), tuple(beside),
            tuple(second.mean(axis=0).tolist()), tuple(second.std(axis=0).tolist()), tuple(lead),
        )  # fmt: skip

    def inputs(self, values: np.ndarray, origins: np.ndarray, window: int) -> np.ndarray:
        z = _logarithms(values, self.logs)
        steps = np.diff(z, axis=0, prepend=z[:1]) / self.step
        second = (z - np.where(self.beside, z[:, :1], 0.0) - self.center) / self.spread
        features = _cut(np.stack([steps, second], axis=2).reshape(len(z), -1), origins, window)
        features[:, :, 1] -= features[:, -1:, 1].copy()
        return features.astype("float32")

    def targets(self, series: np.ndarray, origins: np.ndarray, horizon: int) -> np.ndarray:
        z = self._target(series)
        answers: np.ndarray = (_after(z, origins, horizon) - z[origins, None]) / self.lead
        return answers.astype("float32")

    def invert(self, outputs: np.ndarray, series: np.ndarray, origins: np.ndarray) -> np.ndarray:
        change: np.ndarray = outputs.astype(float) * self.lead
        # from the value itself and not from its logarithm, so that an answer of 0 is exactly the naive forecast
        last = series[origins, None]
        values: np.ndarray = last * np.exp(change) if self.logs[0] else last + change
        return values

    def _target(self, series: np.ndarray) -> np.ndarray:
        z: np.ndarray = _logarithms(series[:, None], self.logs[:1])[:, 0]
        return z


def _beside(target: np.ndarray, covariate: np.ndarray, log: bool) -> bool:
    """Whether a covariate varies less around the target than by itself."""
    if log and not ((target > 0).all() and (covariate > 0).all()):
        return False
    y, x = (np.log(target), np.log(covariate)) if log else (target, covariate)
    return bool(0 < (x - y).std() < x.std())


def _check_not_constant(training: np.ndarray, names: tuple[str, ...]) -> None:
    for name, column in zip(names, training.T, strict=True):
        if np.ptp(column) == 0:
            raise InputError(
                f"{name} is {column[0]:g} in all {len(column)} training rows; there is nothing to learn from a constant"
            )


def _logarithms(values: np.ndarray, logs: tuple[bool, ...], names: tuple[str, ...] = ()) -> np.ndarray:
    z = values.copy()
    for k in np.flatnonzero(logs):
        if not (values[:, k] > 0).all():
            name = names[k] if names else "the target" if k == 0 else f"covariate {k}"
            advice = "pass --no-log" if names else "correct it, or train with --no-log"
            raise InputError(
                f"{name} has the value {values[:, k].min():g}, and logarithms need all to be above 0; {advice}"
            )
        z[:, k] = np.log(values[:, k])
    return z


def steadier_in_logs(series: np.ndarray) -> bool:
    """Whether the size of the steps varies less over time after taking logarithms.

    The choice between the powers 0 and 1 by the least coefficient of variation over blocks of rows, after Guerrero,
    "Time-series analysis supported by power transformations", Journal of Forecasting 12, 1993.
    """
    if len(series) < 3 * BLOCKS or not (series > 0).all():
        return False

    def variation(steps: np.ndarray) -> float:
        sizes = np.array([block.std() for block in np.array_split(steps, BLOCKS)])
        return float(sizes.std() / sizes.mean()) if sizes.any() else float("inf")

    return variation(np.diff(np.log(series))) < variation(np.diff(series))


KINDS: dict[str, type[MinMax] | type[Steps]] = {"minmax": MinMax, "steps": Steps}


def to_json(transformation: Transformation) -> dict[str, Any]:
    """The numbers of a transformation, for `from_json`."""
    kind = next(name for name, known in KINDS.items() if isinstance(transformation, known))
    return {"kind": kind, **asdict(transformation)}  # type: ignore[call-overload]


def from_json(saved: dict[str, Any]) -> Transformation:
    """The transformation that `to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is not what `to_json` writes.
    """
    numbers = {name: tuple(value) for name, value in saved.items() if name != "kind"}
    read = KINDS[saved["kind"]](**numbers)
    lengths = {name: len(value) for name, value in numbers.items() if name != "lead"}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"the columns of the transformation differ: {lengths}")
    for name, value in numbers.items():
        kind = bool if name in ("logs", "beside") else (int, float)
        if not all(isinstance(number, kind) for number in value):
            raise TypeError(f"{name} holds something else than numbers")
    return read
