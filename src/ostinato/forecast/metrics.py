"""How far a forecast is from the truth, and whether it beats another one.

`actual` and `forecast` are arrays of the same shape, in the unit of the series.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

#: Draws of the bootstrap, and the fewest blocks that one is made of.
RESAMPLES, FEWEST = 2000, 3

#: The 97.5% point of the normal distribution.
NORMAL = NormalDist().inv_cdf(0.975)


def rmse(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.mean((actual - forecast) ** 2)))


def mae(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(actual - forecast)))


def mape(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Mean absolute percentage error, in percent; not a number where an actual value is 0."""
    if np.any(actual == 0):
        return float("nan")
    return float(100 * np.mean(np.abs((actual - forecast) / actual)))


def seasonal_scale(training: np.ndarray, season: int) -> float:
    """What MASE divides by: the mean absolute change over one season on the training rows."""
    return float(np.mean(np.abs(training[season:] - training[:-season])))


def mase(actual: np.ndarray, forecast: np.ndarray, scale: float) -> float:
    """Mean absolute scaled error; not a number where the scale is 0.

    Hyndman and Koehler, "Another look at measures of forecast accuracy", International Journal of Forecasting 22, 2006.

    Args:
        scale: `seasonal_scale` of the training rows.
    """
    return mae(actual, forecast) / scale if scale > 0 else float("nan")


@dataclass(frozen=True)
class Skill:
    """1 - RMSE / RMSE of the reference forecast, with its 95% confidence interval.

    1 is perfect, 0 as good as the reference, below 0 worse; not a number where the reference makes no error. The
    interval is no number where the rows are too few for one.
    """

    value: float
    low: float
    high: float

    @property
    def better(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0

    @property
    def worse(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high < 0


def skill(actual: np.ndarray, forecast: np.ndarray, reference: np.ndarray, block: int = 1, seed: int = 0) -> Skill:
    """The skill of a forecast against a reference forecast.

    The interval is the percentile interval of the circular moving-block bootstrap over time: whole blocks of rows are
    drawn, both forecasts' errors together, so that errors that hang together in time stay together.
    Künsch, "The jackknife and the bootstrap for general stationary observations", Annals of Statistics 17, 1989;
    Politis and Romano, "A circular block-resampling procedure for stationary data", 1992.

    Few blocks differ by less than what they are drawn from, and tell little about by how much: for n blocks that follow
    each other the logarithm of the ratio of the errors is widened by sqrt(n / (n - 1)), and by as much as Student's
    distribution of n - 1 degrees of freedom is wider than the normal one. Below `FEWEST` there is no interval.

    Args:
        actual, forecast, reference: (rows) in the order of time.
        block: shortest block; at least the horizon of the forecast. Blocks are no shorter than the cube root of rows.
        seed: of the resampling.
    """
    losses = np.stack([(actual - forecast) ** 2, (actual - reference) ** 2])
    if losses[1].sum() == 0:
        return Skill(float("nan"), float("nan"), float("nan"))
    if np.array_equal(*losses):
        return Skill(0.0, 0.0, 0.0)
    value = float(1 - np.sqrt(losses[0].sum() / losses[1].sum()))
    rows = len(actual)
    block = max(block, round(rows ** (1 / 3)))
    blocks = rows / block
    if blocks < FEWEST:
        return Skill(value, float("nan"), float("nan"))
    # sums over every block that begins at each row, the end joined to the beginning
    running = np.cumsum(np.concatenate([np.zeros((2, 1)), losses, losses[:, :block]], axis=1), axis=1)
    sums = running[:, block : block + rows] - running[:, :rows]
    draws = np.random.default_rng(seed).integers(rows, size=(RESAMPLES, -(-rows // block)))
    drawn = sums[:, draws].sum(axis=-1)
    drawn = drawn[:, drawn[1] > 0]
    ratios = np.sqrt(np.maximum(drawn[0], 0) / drawn[1])
    if value == 1 or not ratios.all():  # no error at all, in some draw: there is no logarithm
        low, high = np.percentile(1 - ratios, [2.5, 97.5])
        return Skill(value, float(low), float(high))
    middle, wider = np.log(1 - value), _student(blocks - 1) / NORMAL * np.sqrt(blocks / (blocks - 1))
    ends = middle + wider * (np.percentile(np.log(ratios), [97.5, 2.5]) - middle)
    low, high = 1 - np.exp(ends)
    return Skill(value, float(low), float(high))


def _student(freedom: float) -> float:
    """The 97.5% point of Student's distribution, for at least 2 degrees of freedom within 3%.

    Fisher and Cornish, "The percentile points of distributions having known cumulants", Technometrics 2, 1960.
    """
    z = NORMAL
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))
