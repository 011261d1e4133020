"""The data of the experiments are what the papers define."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from experiments.adding import adding
from experiments.clockwork import PERIODS, waveform
from experiments.copy_memory import BLANK, CUE, SYMBOLS, copy_memory, memoryless
from experiments.mackey_glass import mackey_glass
from experiments.narma import narma, response


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("length", [2, 7, 50])
def test_adding_marks_one_number_of_each_half(length: int) -> None:
    x, y = adding(300, length, seeded())
    numbers, markers = x.unbind(-1)
    assert bool(((numbers >= 0) & (numbers < 1)).all())
    assert bool(((markers == 0) | (markers == 1)).all())
    for half in (markers[:, : length // 2], markers[:, length // 2 :]):
        torch.testing.assert_close(half.sum(1), torch.ones(300))
        assert bool(half.any(0).all())
    for number, marker, target in zip(numbers, markers, y, strict=True):
        torch.testing.assert_close(number[marker == 1].sum(), target[0])


def test_adding_has_the_known_error_of_a_constant() -> None:
    _, y = adding(200_000, 10, seeded())
    assert y.var().item() == pytest.approx(1 / 6, rel=0.01)


def test_copy_memory_has_its_layout() -> None:
    x, target = copy_memory(50, 7, seeded())
    assert x.shape == target.shape == (50, 27)
    assert torch.equal(x[:, :10], target[:, -10:])
    assert set(x[:, :10].unique().tolist()) == set(range(SYMBOLS))
    assert bool((x[:, 10:16] == BLANK).all()) and bool((x[:, 16] == CUE).all()) and bool((x[:, 17:] == BLANK).all())
    assert bool((target[:, :17] == BLANK).all())


def test_memoryless_cross_entropy_is_that_of_the_guess() -> None:
    """A guess that knows where the symbols are, and of them that there are eight."""
    x, target = copy_memory(20, 100, seeded())
    scores = torch.full((*x.shape, 9), -math.inf)
    scores[:, :110, BLANK] = 0
    scores[:, 110:, :SYMBOLS] = 0
    found = torch.nn.functional.cross_entropy(scores.flatten(0, 1), target.flatten()).item()
    assert found == pytest.approx(memoryless(100)) == pytest.approx(0.1733, abs=1e-4)


def test_narma_follows_its_recurrence() -> None:
    u, y = narma(300, 3)
    before = np.concatenate([[0.0], y])  # before[t] is y(t), and y[t] is y(t+1)
    for t in range(9, 300):
        expected = 0.3 * before[t] + 0.05 * before[t] * before[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
        assert y[t] == pytest.approx(expected, abs=1e-14)
    assert u.min() >= 0 and u.max() <= 0.5


def test_narma_without_input_comes_to_its_fixed_point() -> None:
    """y = 0.3 y + 0.5 y^2 + 0.1 has its stable root at 0.7 - sqrt(0.29)."""
    assert response(np.zeros(500))[-1] == pytest.approx(0.7 - math.sqrt(0.29))


def test_narma_runs_away_under_the_largest_input() -> None:
    """y = 0.3 y + 0.5 y^2 + 1.5 / 4 + 0.1 has no real root."""
    assert not np.isfinite(response(np.full(500, 0.5))).all()


def test_mackey_glass_rests_at_one() -> None:
    np.testing.assert_allclose(mackey_glass(50, 1.0, skip=0), 1.0, rtol=1e-12)


def test_mackey_glass_is_linear_within_the_first_delay() -> None:
    """As long as the delayed value is the constant past, the equation is linear and its solution an exponential."""
    start = 0.5
    rest = 2 * start / (1 + start**10)
    found = mackey_glass(17, start, skip=0)
    np.testing.assert_allclose(found, rest + (start - rest) * np.exp(-0.1 * np.arange(17)), rtol=1e-9)


def test_mackey_glass_converges_with_order_four() -> None:
    """Halving the step divides the error by 16."""
    fine = mackey_glass(60, 0.5, step=0.0625, every=16, skip=0)
    errors = [np.abs(mackey_glass(60, 0.5, step=step, every=round(1 / step), skip=0) - fine).max() for step in (1, 0.5)]
    assert 10 < errors[0] / errors[1] < 32


def test_mackey_glass_is_chaotic_within_its_known_range() -> None:
    series, beside = mackey_glass(3000, 1.2), mackey_glass(3000, 1.2 + 1e-9)
    assert 0.2 < series.min() < 0.5 and 1.25 < series.max() < 1.4
    assert np.abs(series[:100] - beside[:100]).max() < 0.01 < np.abs(series - beside).max()


def test_mackey_glass_refuses_a_delay_between_steps() -> None:
    with pytest.raises(ValueError, match=r"tau is 17\.05; expected a multiple of the step of 0\.1"):
        mackey_glass(10, 1.2, tau=17.05)


def test_waveform_has_its_four_periods_and_variance() -> None:
    wave = waveform(320, seeded(4))
    assert wave.var(correction=0).item() == pytest.approx(0.5, rel=1e-4)
    power = torch.fft.rfft(wave).abs()
    assert set(power.topk(4).indices.tolist()) == {320 // period for period in PERIODS}
    torch.testing.assert_close(wave[:160], wave[160:], atol=1e-4, rtol=0)
