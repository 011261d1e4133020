"""What a layer draws in training: dropout of the input, and the masks in the equations of a cell."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import torch

from ostinato.cells import CELLS
from ostinato.keras import layers, steps
from ostinato.keras.gallery import single_layer_of
from ostinato.scan import scan

from .gallery import randomize

RANDOM = [name for name, cell in CELLS.items() if cell.masks]
X = np.random.default_rng(1).standard_normal((6, 5, 3)).astype("float32")


def layer(name: str, **options: Any) -> Any:
    """A layer with random weights and a seed."""
    made = single_layer_of(CELLS[name])(4, return_sequences=True, **{"seed": 3, **options})
    made.build(X.shape)
    randomize(made)
    return made


def run(made: Any, **call: Any) -> np.ndarray:
    """The output as an array."""
    found: np.ndarray = made(X, **call).detach().numpy()
    return found


@pytest.mark.parametrize("name", RANDOM)
def test_training_draws_and_inference_does_not(name: str) -> None:
    made = layer(name)
    assert not np.array_equal(run(made, training=True), run(made, training=True))
    np.testing.assert_array_equal(run(made, training=False), run(made, training=False))
    np.testing.assert_array_equal(run(layer(name), training=True), run(layer(name), training=True))


@pytest.mark.parametrize("chosen", [True, False, None])
@pytest.mark.parametrize("name", RANDOM)
def test_the_masks_of_a_layer(name: str, chosen: bool | None) -> None:
    made = layer(name, per_step=chosen)
    drawn = made.cell.masks(400, 30, training=True)
    assert len(drawn) == len(CELLS[name].masks)
    for mask, tensor in zip(CELLS[name].masks.values(), drawn, strict=True):
        values, kept = tensor.unique(), tensor.numpy()
        assert tensor.shape == (400, 30, 4)
        rate = mask.default
        expected = [0.0, 1.0] if mask.kind == "zoneout" else [0.0, 1 / (1 - rate)]
        np.testing.assert_allclose(values, expected, rtol=1e-6)
        assert kept.mean() == pytest.approx(rate if mask.kind == "zoneout" else 1.0, abs=0.05)
        assert (kept == kept[:, :1]).all() != (mask.per_step if chosen is None else chosen)
        assert not (kept == kept[:1]).all() and not (kept == kept[..., :1]).all()
    for mask, tensor in zip(CELLS[name].masks.values(), made.cell.masks(2, 3, training=False), strict=True):
        assert (tensor == (mask.default if mask.kind == "zoneout" else 1.0)).all()


@pytest.mark.parametrize("name", RANDOM)
def test_a_rate_of_zero_is_the_cell_without_noise(name: str) -> None:
    rates = {mask.rate: 0.0 for mask in CELLS[name].masks.values()}
    made, plain = layer(name, **rates), layer("lstm")
    plain.set_weights(made.get_weights())
    np.testing.assert_allclose(run(made, training=True), run(plain), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", RANDOM)
def test_step_by_step_takes_the_same_masks(name: str) -> None:
    expected = run(layer(name, dropout=0.3), training=True)
    made = layer(name, dropout=0.3)
    fed = made.step_inputs(torch.tensor(X), training=True)
    _, y, _ = steps.run(made, fed, made.get_initial_state(len(X)), None, training=True)
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_directions_draw_apart() -> None:
    both = layers.Bidirectional(layers.ZoneoutLSTM(4, return_sequences=True))
    both.build(X.shape)
    assert both.runs_together(torch.tensor(X))
    asked = both.request(torch.tensor(X), both.initial_states(torch.tensor(X)), None, training=True)
    (first, _), (second, _) = asked.sequences
    assert not torch.equal(first, second)
    told = both.request(torch.tensor(X), both.initial_states(torch.tensor(X)), None)
    assert torch.equal(*(pair[0] for pair in told.sequences))
    assert not np.array_equal(*(both(X, training=True).detach().numpy() for _ in range(2)))


def test_inputs_are_dropped_alike_at_every_step() -> None:
    made = layer("janet", dropout=0.5)
    dropped, _ = made.scan_inputs(torch.ones(200, 7, 3), training=True)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (dropped == dropped[:, :1]).all()
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.2)
    again = layer("janet", dropout=0.5)
    x, _ = again.scan_inputs(torch.tensor(X), training=True)
    expected, _ = scan(CELLS["janet"], x, [again.scan_weights(torch.float32)])
    np.testing.assert_allclose(run(layer("janet", dropout=0.5), training=True), expected.detach().numpy(), rtol=1e-6)
    np.testing.assert_array_equal(run(made), run(layer("janet")))


def test_a_cell_alone_draws_at_every_step() -> None:
    cell = layers.ZoneoutLSTMCell(4, seed=1)
    plain = keras.layers.RNN(cell, return_sequences=True)
    assert not np.array_equal(*(plain(X, training=True).detach().numpy() for _ in range(2)))
    np.testing.assert_array_equal(*(plain(X).detach().numpy() for _ in range(2)))
    once = keras.layers.RNN(layers.VariationalLSTMCell(4))
    once(X)
    with pytest.raises(ValueError, match="use the layer VariationalLSTM, or give per_step=True"):
        once(X, training=True)
