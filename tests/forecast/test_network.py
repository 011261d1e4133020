"""The network: where it begins, when it stops, and what it runs on."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato.forecast import Settings, network
from ostinato.scan import watch

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(60, 6, 2)).astype("float32")
NOISE = RANDOM.normal(size=(60, 1)).astype("float32")


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("layers", [1, 2])
def test_highway_begins_as_the_naive_forecast(cell: str, layers: int) -> None:
    model = network.build(Settings(cell=cell, units=3, layers=layers, horizon=4), 6, 2)  # type: ignore[arg-type]
    np.testing.assert_array_equal(network.predict(model, INPUTS), np.zeros((60, 4)))


def test_tutorial_has_its_parameters() -> None:
    model = network.build(Settings(units=45, layers=4, highway=False), 40, 1)
    lstm = 4 * 45 * (1 + 45 + 1) + 3 * 4 * 45 * (45 + 45 + 1)
    assert model.count_params() == lstm + 45 + 1
    assert [type(layer).__name__ for layer in model.layers[1:]] == ["LSTM", "Dropout"] * 4 + ["Dense"]


def test_training_runs_on_the_compiled_kernels() -> None:
    with watch() as choices:
        network.train(Settings(units=4, epochs=1), INPUTS, NOISE, None)
    assert {choice.backend for choice in choices} == {"cpu"}


def test_noise_leaves_the_naive_forecast() -> None:
    settings = Settings(units=8, epochs=30, patience=5, learning_rate=0.01)
    model, training = network.train(settings, INPUTS[:30], NOISE[:30], (INPUTS[30:], NOISE[30:]))
    assert training.best == 0 and len(training.history) < 30
    np.testing.assert_array_equal(network.predict(model, INPUTS), np.zeros((60, 1)))


def test_best_weights_are_kept() -> None:
    targets = INPUTS[:, -1, :1] - INPUTS[:, -2, 1:]
    seen: list[network.Epoch] = []
    model, training = network.train(
        Settings(units=8, epochs=12, learning_rate=0.02),
        INPUTS[:40],
        targets[:40],
        (INPUTS[40:], targets[40:]),
        seen.append,
    )
    assert tuple(seen) == training.history and [epoch.number for epoch in seen] == list(range(1, 13))
    best = min(training.history, key=lambda epoch: epoch.val_loss or 0)
    assert training.best == best.number
    assert np.mean((network.predict(model, INPUTS[40:]) - targets[40:]) ** 2) == pytest.approx(best.val_loss, rel=1e-5)


def test_without_validation_the_last_weights_are_kept() -> None:
    _, training = network.train(Settings(units=2, epochs=3), INPUTS, NOISE, None)
    assert (training.best, len(training.history), training.history[0].val_loss) == (3, 3, None)


def test_beyond_chance() -> None:
    before = np.array([1.0, 2.0, 3.0, 4.0])
    assert network.beyond_chance(before, before - 0.1, 1)
    assert not network.beyond_chance(before, before, 1)
    # a gain of 0.5 with deviation 1.5 has the standard error 0.75 of four windows
    assert not network.beyond_chance(before, before - [2, -1, 2, -1], 1)
    # 1.0 with deviation 1: standard error 0.5, but 1.0 if the answers of four rows overlap
    assert network.beyond_chance(before, before - [2, 0, 2, 0], 1)
    assert not network.beyond_chance(before, before - [2, 0, 2, 0], 4)
