"""The account of a regressor: beside what needs no network, and what that means in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

#: Of fewer test rows the bootstrap's interval is too narrow, and none is told: equally good predictors of 10 rows are
#: told apart in 16% of draws instead of 5%, of 20 in 7%.
FEWEST = 20
#: Resamples of a bootstrap.
RESAMPLES = 2000


@dataclass(frozen=True)
class Fit:
    """How one regressor did on the test rows.

    Attributes:
        name: of it.
        rmse, mae: in the unit of the targets.
        r2: coefficient of determination; 0 is as good as the test rows' own mean.
        skill: of the network against it: 1 - RMSE / RMSE; of the network itself 0.
        low, high: the 95% interval of `skill`, by a paired bootstrap; NaN of fewer test rows than `FEWEST`.
    """

    name: str
    rmse: float
    mae: float
    r2: float
    skill: float
    low: float
    high: float


@dataclass(frozen=True)
class Regression:
    """What a regressor is worth.

    Attributes:
        true, predicted: (n) or (n, targets) of the test rows.
        scores: of the baselines, and of the network, which is the last.
        verdict: a plain sentence.
    """

    true: np.ndarray
    predicted: np.ndarray
    scores: tuple[Fit, ...]
    verdict: str


def regression(true: np.ndarray, found: Mapping[str, np.ndarray], network: str, seed: int) -> Regression:
    """The account of predictions of the same test rows, (n) or (n, targets).

    Args:
        found: by name, the strongest baseline last but one, the network last.
        seed: of the bootstrap.
    """
    errors = {name: ((true - one) ** 2).reshape(len(true), -1).mean(1) for name, one in found.items()}
    drawn = np.random.default_rng(seed).integers(0, len(true), (RESAMPLES, len(true)))
    resampled = {name: np.sqrt(one[drawn].mean(1)) for name, one in errors.items()}
    scores = []
    for name, one in found.items():
        rmse = float(np.sqrt(errors[name].mean()))
        spread = float(((true - true.mean(0)) ** 2).mean())
        skill, low, high = 0.0, 0.0, 0.0
        if name != network and rmse > 0:
            skill = 1 - float(np.sqrt(errors[network].mean())) / rmse
            ratios = 1 - resampled[network] / np.maximum(resampled[name], np.finfo(float).tiny)
            low, high = (float(edge) for edge in np.quantile(ratios, [0.025, 0.975]))
            if len(true) < FEWEST:
                low, high = np.nan, np.nan
        r2 = 1 - float(errors[name].mean()) / spread if spread > 0 else float("nan")
        scores.append(Fit(name, rmse, float(np.abs(true - one).mean()), r2, skill, low, high))
    return Regression(true, found[network], tuple(scores), _verdict(scores, len(true)))


def _verdict(scores: list[Fit], rows: int) -> str:
    other = scores[-2]
    said = "is better than" if other.low > 0 else "is worse than" if other.high < 0 else "cannot be told apart from"
    interval = f"95% interval {100 * other.low:+.1f} to {100 * other.high:+.1f}%"
    if np.isnan(other.low):
        interval = f"{rows} test rows are too few for an interval; {FEWEST} are needed"
    return (
        f"The network {said} the {other.name}: an RMSE of {scores[-1].rmse:.4g} against {other.rmse:.4g}, "
        f"{100 * other.skill:+.1f}% less ({interval})."
    )
