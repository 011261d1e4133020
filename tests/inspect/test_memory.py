"""The length of a memory, where it is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_padded_sequence

from ostinato import nn
from ostinato.inspect import InputError, Memory, Probe, disturbance
from ostinato.inspect.memory import memory_of
from ostinato.keras import layers, models

from .networks import DTYPE, Network, delay_line, of_cell, sequences


@settings(max_examples=8, deadline=None, derandomize=True)
@given(delay=st.integers(0, 11))
def test_a_delay_line_remembers_its_delay(delay: int) -> None:
    found = disturbance(Probe(delay_line(delay), torch.randn(4, 15, 1)))
    assert found.memory() == Memory(delay, 0.01, False)
    assert set(np.flatnonzero(found.changes.max(0) > 1e-6)) == {delay}


def test_seven_steps() -> None:
    found = disturbance(Probe(delay_line(7), torch.randn(4, 20, 1)), seeds=(5,))
    assert str(found.memory()) == "about 7 steps"


def test_a_memory_that_does_not_end() -> None:
    found = disturbance(Probe(delay_line(7), torch.randn(4, 8, 1)))
    assert str(found.memory()) == "at least 7 steps"


def test_changes_of_a_leaky_sum() -> None:
    model = models.Sequential([layers.Input((None, 1)), layers.SimpleRNN(1, activation="linear")])
    model.set_weights([np.ones((1, 1)), np.full((1, 1), 0.5), np.zeros(1)])
    found = disturbance(Probe(model, 3.0 * torch.randn(8, 12, 1)))
    # one draw serves all lags of a row, so that they are in the proportion of the powers of 0.5
    np.testing.assert_allclose(found.relative, np.broadcast_to(0.5 ** np.arange(12), (3, 12)), rtol=1e-3)
    assert found.memory(0.01).steps == 6 and found.memory(0.3).steps == 1


def test_the_noise_has_the_spread_of_the_data() -> None:
    model = models.Sequential([layers.Input((None, 1)), layers.SimpleRNN(1, activation="linear")])
    model.set_weights([np.ones((1, 1)), np.zeros((1, 1)), np.zeros(1)])
    x = 100.0 + 3.0 * torch.randn(400, 4, 1)
    found = disturbance(Probe(model, x), rows=400, lags=[0], scale=2.0)
    np.testing.assert_allclose(found.changes, 6.0, rtol=0.15)


def test_equal_seeds_make_equal_curves() -> None:
    network = of_cell("gru")
    probe = Probe(network, sequences(network))
    one, other = (disturbance(probe, seeds=(1, 2)).changes for _ in range(2))
    assert (one == other).all() and not np.allclose(one[0], one[1])


def test_packed_rows_are_disturbed_from_their_ends() -> None:
    network = Network(nn.GRU(2, 4, batch_first=True, dtype=DTYPE))
    x, lengths = torch.randn(3, 6, 2, dtype=DTYPE), torch.tensor([2, 6, 4])
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    found = disturbance(Probe(network, packed), seeds=(0,))
    assert np.isfinite(found.changes).all() and (found.changes > 0).all()
    only = disturbance(Probe(network, pack_padded_sequence(x[:1], lengths[:1], batch_first=True)), seeds=(0,))
    assert only.lags.tolist() == [0, 1]


def test_tokens_are_replaced_and_padding_is_left_alone() -> None:
    model = models.Sequential([layers.Input((6,)), layers.Embedding(9, 4, mask_zero=True), layers.LSTM(5)])
    x = torch.tensor([[1, 2, 3, 4, 5, 6], [3, 1, 2, 0, 0, 0]])
    found = disturbance(Probe(model, x), seeds=range(4))
    assert np.isfinite(found.changes).all() and (found.changes.max(0) > 0).all()
    short = disturbance(Probe(model, x[1:]), seeds=range(4))
    assert np.isnan(short.changes[:, 3:]).all() and str(short.memory()) == "at least 2 steps"


def test_nothing_changes_where_nothing_is_read() -> None:
    network = of_cell("lstm")
    torch.nn.init.zeros_(network.out.weight)
    found = disturbance(Probe(network, sequences(network)))
    assert found.memory() == Memory(0, 0.01, False) and (found.relative == 0).all()


@pytest.mark.parametrize("seed", range(6))
def test_rounding_is_no_memory(seed: int) -> None:
    torch.manual_seed(seed)
    model = models.Sequential([layers.Input((50, 3)), layers.LSTM(100, kernel_initializer="zeros"), layers.Dense(1)])
    assert not disturbance(Probe(model, torch.randn(3, 50, 3))).changes.any()


def test_what_cannot_be_disturbed() -> None:
    network = of_cell("gru")
    x = sequences(network)
    with pytest.raises(InputError, match="the same numbers at every step"):
        disturbance(Probe(network, torch.ones_like(x)))
    model = models.Sequential([layers.Input((5,)), layers.Embedding(4, 3, mask_zero=True), layers.GRU(3)])
    with pytest.raises(InputError, match="no step of the sequences runs"):
        disturbance(Probe(model, np.zeros((2, 5), int)))


def test_memory_of_a_curve() -> None:
    lags = np.array([0, 1, 4, 9])
    assert memory_of(lags, np.array([1.0, 0.5, 0.02, 0.001]), 0.01) == Memory(4, 0.01, False)
    assert memory_of(lags, np.array([1.0, 0.001, 0.02, np.nan]), 0.01) == Memory(4, 0.01, True)
    assert memory_of(lags, np.zeros(4), 0.01) == Memory(0, 0.01, False)
    with pytest.raises(InputError, match="threshold is 0; expected a number above 0"):
        memory_of(lags, np.zeros(4), 0)


def test_long_sequences_have_fewer_lags() -> None:
    found = disturbance(Probe(delay_line(2), torch.randn(2, 300, 1)), seeds=(0,))
    assert len(found.lags) <= 96 and found.lags[0] == 0 and found.lags[-1] == 299 and found.memory().steps == 2


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"lags": [0, 7]}, r"lags are \[0, 7\]; expected rising whole numbers within 0..6"),
        ({"lags": [0.5, 1.7]}, r"lags are \[0.5, 1.7\]; expected rising whole numbers"),
        ({"lags": "a"}, "lags are 'a'; expected rising whole numbers"),
        ({"lags": []}, r"lags are \[\]; expected rising whole numbers"),
        ({"lags": [2, 1]}, "expected rising"),
        ({"rows": 0}, "rows is 0; expected a whole number of at least 1"),
        ({"rows": 1.5}, "rows is 1.5; expected a whole number of at least 1"),
        ({"seeds": ()}, "0 seeds"),
        ({"scale": 0.0}, "scale is 0.0"),
    ],
)
def test_bad_arguments(given: dict[str, Any], sentence: str) -> None:
    network = of_cell("lstm")
    with pytest.raises(InputError, match=sentence):
        disturbance(Probe(network, sequences(network)), **given)
