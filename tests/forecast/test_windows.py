"""Windows: written out by hand, inverted, and blind to what they must not see."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ostinato.forecast import InputError
from ostinato.forecast.windows import MinMax, Steps, Transformation, from_json, steadier_in_logs, to_json

NAMES = ("y", "x")
VALUES = np.array([[1.0, 40.0], [2.0, 30.0], [4.0, 20.0], [3.0, 10.0], [9.0, 90.0]])

tables = arrays(np.float64, (40, 2), elements=st.floats(0.5, 1000), unique=True)


def fitted(kind: str, training: np.ndarray, horizon: int = 3) -> Transformation:
    names = NAMES[: training.shape[1]]
    if kind == "minmax":
        return MinMax.fit(training, names)
    return Steps.fit(training, names, horizon, log=kind == "logs")


def test_min_max_by_hand() -> None:
    levels = MinMax.fit(VALUES[:4], NAMES)
    assert (levels.low, levels.high) == ((1, 10), (4, 40))
    inputs = levels.inputs(VALUES, np.array([1, 4]), window=2)
    np.testing.assert_allclose(inputs[0], [[0, 1], [1 / 3, 2 / 3]], rtol=1e-6)
    np.testing.assert_allclose(inputs[1], [[2 / 3, 0], [8 / 3, 80 / 30]], rtol=1e-6)
    np.testing.assert_allclose(levels.targets(VALUES[:, 0], np.array([0, 1]), 2), [[1 / 3, 1], [1, 2 / 3]], rtol=1e-6)


def test_steps_by_hand() -> None:
    series = VALUES[:, :1]
    steps = Steps.fit(series[:4], ("y",), horizon=2, log=False)
    step, spread = np.std([1, 2, -1]), np.std([1, 2, 4, 3])
    assert steps.step == pytest.approx((step,))
    assert steps.lead == pytest.approx((step, np.std([3, 1])))
    inputs = steps.inputs(series, np.array([3]), window=3)
    expected = [[1 / step, -1 / spread], [2 / step, 1 / spread], [-1 / step, 0]]
    np.testing.assert_allclose(inputs[0], expected, rtol=1e-6)
    np.testing.assert_allclose(
        steps.targets(series[:, 0], np.array([2]), 2), [[-1 / step, 5 / np.std([3, 1])]], rtol=1e-6
    )


def test_covariate_that_runs_beside_the_target_enters_by_its_distance() -> None:
    walk = 100 + np.cumsum(np.random.default_rng(0).normal(size=60))
    noise = np.random.default_rng(1).normal(size=60)
    steps = Steps.fit(np.stack([walk, walk + 0.1 * noise, noise], axis=1), ("y", "beside", "apart"), 1, log=False)
    assert steps.beside == (False, True, False)
    assert steps.spread[1] == pytest.approx(0.1 * noise.std(), rel=0.01)


@pytest.mark.parametrize("kind", ["minmax", "steps", "logs"])
@given(values=tables, horizon=st.integers(1, 5))
def test_right_answers_invert_to_the_truth(kind: str, values: np.ndarray, horizon: int) -> None:
    transformation = fitted(kind, values[:20], horizon)
    origins = np.arange(1, 40 - horizon)
    targets = transformation.targets(values[:, 0], origins, horizon)
    truth = values[origins[:, None] + np.arange(1, horizon + 1), 0]
    np.testing.assert_allclose(transformation.invert(targets, values[:, 0], origins), truth, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("kind", ["steps", "logs"])
@given(values=tables)
def test_an_answer_of_nothing_is_the_naive_forecast(kind: str, values: np.ndarray) -> None:
    origins = np.arange(5, 30)
    predicted = fitted(kind, values[:20]).invert(np.zeros((25, 3), "float32"), values[:, 0], origins)
    np.testing.assert_array_equal(predicted, np.repeat(values[origins, :1], 3, axis=1))


@given(values=tables, shift=st.floats(-100, 100))
def test_steps_do_not_see_the_level_of_the_target(values: np.ndarray, shift: float) -> None:
    steps, origins = fitted("steps", values[:20, :1]), np.arange(10, 30)
    inputs = steps.inputs(values[:, :1], origins, 8)
    np.testing.assert_allclose(steps.inputs(values[:, :1] + shift, origins, 8), inputs, atol=1e-4)


@pytest.mark.parametrize("kind", ["minmax", "steps", "logs"])
@given(values=tables, later=tables)
def test_windows_end_at_their_origin(kind: str, values: np.ndarray, later: np.ndarray) -> None:
    transformation, origins = fitted(kind, values[:20]), np.arange(9, 25)
    changed = np.concatenate([values[:25], later[25:]])
    np.testing.assert_array_equal(transformation.inputs(values, origins, 8), transformation.inputs(changed, origins, 8))


@pytest.mark.parametrize("kind", ["minmax", "steps", "logs"])
def test_windows_reach_no_further_than_they_say(kind: str) -> None:
    values = np.random.default_rng(0).uniform(1, 2, (40, 2))
    transformation = fitted(kind, values)
    rows = 8 + transformation.reach
    whole = transformation.inputs(values, np.array([39]), 8)
    np.testing.assert_array_equal(transformation.inputs(values[-rows:], np.array([rows - 1]), 8), whole)
    assert whole.shape == (1, 8, transformation.features)


@pytest.mark.parametrize("kind", ["minmax", "steps", "logs"])
def test_json_and_back(kind: str) -> None:
    transformation = fitted(kind, VALUES[:4], horizon=1)
    assert from_json(json.loads(json.dumps(to_json(transformation)))) == transformation


@pytest.mark.parametrize(
    "damage", [{"kind": "other"}, {"step": [1.0]}, {"step": ["a", "b"]}, {"logs": [1, 0]}, {"unknown": [1, 2]}]
)
def test_damaged_json(damage: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_json({**to_json(fitted("steps", VALUES[:4], 1)), **damage})


def test_logarithms_where_steps_grow_with_the_level() -> None:
    steps = np.random.default_rng(0).normal(size=500)
    assert steadier_in_logs(np.exp(np.cumsum(0.01 + 0.02 * steps)))
    assert not steadier_in_logs(1000 + np.linspace(0, 900, 500) + steps)
    assert not steadier_in_logs(np.cumsum(steps))  # not all above 0


def test_logarithms_need_values_above_zero() -> None:
    steps = Steps.fit(VALUES[:4, :1], ("y",), 1, log=True)
    with pytest.raises(InputError, match="logarithms need all to be above 0; correct it, or train with --no-log"):
        steps.inputs(np.zeros((9, 1)), np.array([8]), 4)


@pytest.mark.parametrize("kind", ["minmax", "steps"])
def test_constant_column(kind: str) -> None:
    with pytest.raises(InputError, match="x is 7 in all 5 training rows"):
        fitted(kind, np.stack([VALUES[:, 0], np.full(5, 7.0)], axis=1), 1)


def test_straight_line_has_no_steps_to_learn() -> None:
    with pytest.raises(InputError, match="y grows by the same step on every training row"):
        fitted("steps", np.arange(1.0, 30)[:, None])
