"""The account of a forecast: a model beside what needs no model, and what that means in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from . import metrics
from .metrics import Skill

#: A skill below this is better only slightly, however sure.
SLIGHT = 0.05


@dataclass(frozen=True)
class Score:
    """How one forecast did on the test rows.

    Attributes:
        name: "naive", "seasonal naive" or "model".
        rmse, mae: in the unit of the target.
        mape: in percent; not a number where an actual value is 0.
        mase: mean absolute error over that of the in-sample seasonal naive forecast.
        against: skill against each baseline before it, by name.
    """

    name: str
    rmse: float
    mae: float
    mape: float
    mase: float
    against: Mapping[str, Skill]


def score(
    actual: np.ndarray, forecasts: Mapping[str, np.ndarray], before: np.ndarray, season: int, horizon: int
) -> tuple[Score, ...]:
    """Scores of forecasts of the same rows.

    Args:
        actual: (rows).
        forecasts: (rows) each, the baselines first.
        before: the values before the test rows, which MASE is scaled by.
        season: steps of the season that MASE is scaled by; 1 is none.
        horizon: rows predicted at once, whose errors hang together.
    """
    scale = metrics.seasonal_scale(before, season)
    scores = []
    for place, (name, values) in enumerate(forecasts.items()):
        against = {
            baseline: metrics.skill(actual, values, forecasts[baseline], horizon)
            for baseline in list(forecasts)[:place]
        }
        rmse, mae, mape = (measure(actual, values) for measure in (metrics.rmse, metrics.mae, metrics.mape))
        scores.append(Score(name, rmse, mae, mape, metrics.mase(actual, values, scale), against))
    return tuple(scores)


@dataclass(frozen=True)
class LagCheck:
    """Whether predictions are the last known value under another name.

    Attributes:
        to_truth: root mean squared distance of the predictions from the actual values.
        to_last: from the last values known when they were made.
        step: of the actual values from those.
    """

    to_truth: float
    to_last: float
    step: float

    @property
    def follows(self) -> bool:
        """Whether they lie nearer the last values than the truth does, and than to the truth."""
        return self.to_last < min(self.to_truth, self.step)

    def __str__(self) -> str:
        distances = f"{self.to_last:.4g} from the last known value, {self.to_truth:.4g} from the truth"
        return f"predictions lie {distances}" + (": they follow the last value" if self.follows else "")


def lag_check(actual: np.ndarray, forecasts: Mapping[str, np.ndarray]) -> LagCheck:
    """The lag check of `forecasts["model"]`, with `forecasts["naive"]` for the last known values; (rows) each."""
    model, last = forecasts["model"], forecasts["naive"]
    return LagCheck(metrics.rmse(actual, model), metrics.rmse(last, model), metrics.rmse(actual, last))


def percent(share: float) -> str:
    """A share as people read it, with its sign."""
    return "–" if np.isnan(share) else f"{100 * share:+.1f}%"


def interval(skill: Skill) -> str:
    """A skill's confidence interval."""
    return "–" if np.isnan(skill.low) else f"{100 * skill.low:+.1f} to {100 * skill.high:+.1f}%"


def verdict(scores: Sequence[Score]) -> str:
    """What the scores mean, in a sentence or two. The model's is the last."""
    model = scores[-1]
    skill = model.against["naive"]
    if np.isnan(skill.value):
        return "The test rows never change, so that naive makes no error and no model can be better."
    by = f"skill {percent(skill.value)} (95% CI {interval(skill)})"
    if np.isnan(skill.low) and skill.value:
        return (
            f"Whether the model is better than naive cannot be told: its skill is {percent(skill.value)}, of too few "
            "test rows for an interval; give more rows, a larger --test-size, or a shorter --horizon."
        )
    if skill.better:
        sentence = f"The model is {'slightly ' * (skill.value < SLIGHT)}better than naive: {by}."
    elif skill.worse:
        sentence = f"The model is worse than naive, which repeats the last value: {by}."
    elif model.against["naive"] == Skill(0.0, 0.0, 0.0):
        sentence = "The model is no better than naive: it found nothing to learn beyond repeating the last value."
    else:
        sentence = f"The model is no better than naive, which repeats the last value: {by}."
    seasonal = model.against.get("seasonal naive")
    if seasonal is None or not (skill.better or seasonal.worse) or seasonal.better:
        return sentence
    how = "worse" if seasonal.worse else "no better"
    beside = f"skill {percent(seasonal.value)} (95% CI {interval(seasonal)})"
    return f"{sentence} It is {how} than seasonal naive, which repeats the last season: {beside}."
