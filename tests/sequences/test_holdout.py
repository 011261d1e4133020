"""What is held out, and how numbers are scaled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import InputError
from ostinato.sequences.holdout import hold_out
from ostinato.sequences.inputs import make_sequences
from ostinato.sequences.scaling import Scaling


@given(st.lists(st.integers(0, 4), min_size=20, max_size=120), st.floats(0.1, 0.6), st.integers(0, 99))
def test_of_each_class_a_like_share_is_held_out(strata: list[int], share: float, seed: int) -> None:
    classes = np.array(strata)
    kept, held = hold_out(len(classes), share, seed, classes)
    assert sorted([*kept, *held]) == list(range(len(classes)))
    assert abs(len(held) - share * len(classes)) <= 1
    assert set(classes[kept]) == set(strata)
    for one in set(strata):
        others = (len(classes) - len(set(strata))) / len(classes)  # of each class one stays
        expected = share / others * ((classes == one).sum() - 1)
        assert abs((classes[held] == one).sum() - expected) <= 1


def test_another_seed_holds_others_out() -> None:
    assert hold_out(100, 0.2, 0)[1].tolist() == hold_out(100, 0.2, 0)[1].tolist()
    assert hold_out(100, 0.2, 0)[1].tolist() != hold_out(100, 0.2, 1)[1].tolist()


def test_a_share_that_holds_none_out_is_refused() -> None:
    with pytest.raises(InputError, match="holds none out to stop on"):
        hold_out(3, 0.1, 0)
    with pytest.raises(InputError, match=r"validation_size is 1\.5"):
        hold_out(3, 1.5, 0)


def test_scaling_has_mean_0_and_deviation_1_and_an_inverse() -> None:
    values = torch.randn(50, 3, dtype=torch.float64) * torch.tensor([1e-6, 1.0, 1e6]) + torch.tensor([1.0, -5.0, 1e8])
    scaling = Scaling.of(values)
    scaled = scaling.apply(values)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(0, unbiased=False), 1, rtol=1e-4)
    np.testing.assert_allclose(scaling.invert(scaled), values, rtol=1e-6)


def test_a_small_deviation_of_large_numbers_is_one() -> None:
    seconds = 1.7e9 + 10 * np.arange(20.0)
    (given,) = make_sequences([seconds])
    scaled = Scaling.of(given).apply(given)
    np.testing.assert_allclose(scaled[:, 0], (seconds - seconds.mean()) / seconds.std(), rtol=1e-6)


def test_numbers_too_small_to_be_squared_stay_finite() -> None:
    scaled = Scaling.of(given := torch.tensor([[0.0], [1e-200]], dtype=torch.float64)).apply(given)
    assert scaled.isfinite().all()


@pytest.mark.parametrize("value", [0.0, 7.0, 1e9, 0.1])
def test_a_constant_stays_finite(value: float) -> None:
    constant = torch.full((1000, 1), value)
    scaling = Scaling.of(constant)
    assert scaling.scale.tolist() == [1.0]
    np.testing.assert_allclose(scaling.apply(constant), 0, atol=1e-4)
