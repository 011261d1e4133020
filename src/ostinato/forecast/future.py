"""The rows after the last one known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import InputError
from .windows import Transformation

#: More rows than this are not predicted out of each other.
FARTHEST = 10_000


def extend(
    ask: Callable[[np.ndarray], np.ndarray],
    transformation: Transformation,
    values: np.ndarray,
    window: int,
    horizon: int,
    count: int,
) -> np.ndarray:
    """The `count` values of the target, (count), that follow the last row.

    More than `horizon` are predicted by taking predictions for known values and asking again.

    Args:
        ask: from windows (1, window, features) to answers (1, horizon).
        values: (rows, columns), at least the window's rows and what the transformation reaches back further.

    Raises:
        InputError: more rows are asked for than are predicted, or fewer than one.
    """
    if not 1 <= count <= FARTHEST:
        raise InputError(f"--future is {count}; expected 1 to {FARTHEST} rows")
    if count > horizon and values.shape[1] > 1:
        raise InputError(
            f"{count} future rows are asked for, but with covariates the model sees only its horizon of {horizon} "
            f"ahead, since their future is not known; ask for at most {horizon}, or train with --horizon {count}"
        )
    known = values[-(window + transformation.reach) :]
    while len(known) < window + transformation.reach + count:
        origin = np.array([len(known) - 1])
        outputs = ask(transformation.inputs(known, origin, window))
        predicted = transformation.invert(outputs, known[:, 0], origin)[0]
        rows = np.zeros((len(predicted), values.shape[1]))
        rows[:, 0] = predicted
        known = np.concatenate([known, rows])
    start = window + transformation.reach
    return known[start : start + count, 0]
