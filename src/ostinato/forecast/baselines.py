"""The forecasts that need no model, and that a model must beat."""

from __future__ import annotations

import numpy as np


def naive(series: np.ndarray, origins: np.ndarray, horizon: int) -> np.ndarray:
    """The last known value, again and again.

    Args:
        series: (rows).
        origins: (n) row of the last known value of each forecast.

    Returns:
        (n, horizon): the forecasts of the `horizon` rows after each origin.
    """
    return np.repeat(series[origins, None], horizon, axis=1)


def seasonal_naive(series: np.ndarray, origins: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """The last known value of the same place in the season: `season` rows earlier, or a multiple of it.

    Args and result are those of `naive`; each origin needs `season` rows up to itself.
    """
    lead = np.arange(1, horizon + 1)
    seasons_back = -(-lead // season)
    seen: np.ndarray = series[origins[:, None] + lead - season * seasons_back]
    return seen
