"""Stacks of layers that read the states of the layer below: the depth-gated LSTM, and a user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor

from ostinato.cells import CELLS, cell
from ostinato.keras import layer_of, layers
from ostinato.scan import scan

from .gallery import outputs, randomize
from .pairs import MASKS

BATCH, STEPS, UNITS = 5, 6, 4
X = np.random.default_rng(1).standard_normal((BATCH, STEPS, 3))


def stack(depth: int = 3, made: Any = layers.DepthGatedLSTM, **options: Any) -> Any:
    """A stack with random weights."""
    built = made(UNITS, depth=depth, dtype="float64", **options)
    built.build(X.shape)
    randomize(built)
    return built


def by_scans(made: Any, x: Tensor, initial: list[Tensor] | None = None, **options: Any) -> tuple[Tensor, list[Tensor]]:
    """Layer after layer, each a scan that is handed the cell states of the one before."""
    below, finals = (x,), []
    for number, layer in enumerate(made.layers):
        equations = CELLS["depth_gated_lstm" if number else "peephole_lstm"]
        below, states = scan(
            equations, below[0], [layer.scan_weights(torch.float64)],
            None if initial is None else [one[None] for one in initial[2 * number : 2 * number + 2]],
            sequences=[below[1:]], outputs=("h", "c"), backend="reference", **options,
        )  # fmt: skip
        finals += [state[0] for state in states]
    return below[0], finals


@pytest.mark.parametrize("mask", ["none", "right", "left", "holes"])
@pytest.mark.parametrize("backwards", [False, True])
def test_every_layer_reads_the_cell_below(mask: str, backwards: bool) -> None:
    made = stack(return_sequences=True, return_state=True, go_backwards=backwards, zero_output_for_mask=True)
    initial = [torch.tensor(s) for s in np.random.default_rng(2).standard_normal((6, BATCH, UNITS))]
    shown = None if MASKS[mask] is None else torch.tensor(MASKS[mask])
    y, finals = by_scans(made, torch.tensor(X), initial, mask=shown, reverse=[backwards])
    expected = [y.flip(1) if backwards else y, *finals]
    found = made(X, initial_state=initial, mask=MASKS[mask])
    for mine, theirs in zip(outputs(found), outputs(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


def test_shapes_and_weights() -> None:
    made = stack(2, return_state=True)
    assert [tuple(one.shape) for one in outputs(made(X))] == [(BATCH, UNITS)] * 5
    assert list(made.compute_output_shape(X.shape)) == [(BATCH, UNITS)] * 5
    assert stack(2).compute_output_shape((None, STEPS, 3)) == (None, UNITS)
    first = 4 * UNITS * (3 + UNITS + 1) + 3 * UNITS
    upper = 4 * UNITS * (2 * UNITS + 1) + 3 * UNITS + UNITS * UNITS + 3 * UNITS
    assert made.count_params() == first + upper
    assert stack(1).count_params() == first


def test_a_stack_of_one_is_its_first_layer() -> None:
    alone, plain = stack(1, return_sequences=True), layers.PeepholeLSTM(UNITS, return_sequences=True, dtype="float64")
    plain.build(X.shape)
    plain.set_weights(alone.get_weights())
    np.testing.assert_array_equal(outputs(alone(X))[0], outputs(plain(X))[0])


def test_the_depth_gate_lets_the_lower_cell_through() -> None:
    made = stack(2, return_sequences=True)
    before = outputs(made(X))[0]
    bias = made.layers[1].cell.get_weights()[2]
    bias[-UNITS:] = -50  # the depth gate is shut
    made.layers[1].cell.bias.assign(bias)
    shut = outputs(made(X))[0]
    assert not np.allclose(before, shut)
    plain = [layers.PeepholeLSTM(UNITS, return_sequences=True, dtype="float64") for _ in range(2)]
    x: Any = torch.tensor(X)
    for layer, own in zip(plain, made.layers, strict=True):
        layer.build(tuple(x.shape))
        cut = [w[..., : 4 * UNITS] for w in own.get_weights()[:6]]
        layer.set_weights(cut)
        x = layer(x)
    np.testing.assert_allclose(shut, outputs(x)[0], atol=1e-12)


def test_stateful_calls_are_one_long_sequence() -> None:
    made = stack(2, return_sequences=True, stateful=True)
    whole, _ = by_scans(made, torch.tensor(X))
    assert len(made.states) == 4
    parts = [outputs(made(X[:, at]))[0] for at in (slice(0, 2), slice(2, STEPS))]
    np.testing.assert_allclose(np.concatenate(parts, 1), outputs(whole)[0], rtol=1e-12, atol=1e-12)
    made.reset_state()
    np.testing.assert_allclose(outputs(made(X))[0], outputs(whole)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("in_full", [False, True])
def test_bidirectional(in_full: bool) -> None:
    inner = layers.DepthGatedLSTM(UNITS, return_sequences=in_full, return_state=True, dtype="float64")
    both = layers.Bidirectional(inner, dtype="float64")
    both.build(X.shape)
    randomize(both)
    found, *states = outputs(both(X, mask=MASKS["holes"]))
    forward, *ahead = outputs(both.forward_layer(X, mask=MASKS["holes"]))
    backward, *behind = outputs(both.backward_layer(X, mask=MASKS["holes"]))
    backward = backward[:, ::-1] if in_full else backward
    np.testing.assert_array_equal(found, np.concatenate([forward, backward], -1))
    for mine, theirs in zip(states, [*ahead, *behind], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert both.forward_layer.zero_output_for_mask is in_full


def test_fixed_vectors_of_the_layers_above() -> None:
    made = stack(2, fixed={"p_below": 0.5, "p_o": [0.1, 0.2, 0.3, 0.4]})
    names = [[weight.name for weight in layer.weights] for layer in made.layers]
    assert "p_o" not in names[0] and "p_i" in names[0] and "p_below" not in names[1] and "p_d" in names[1]
    config = made.get_config()
    again = type(made).from_config(config)
    assert again.get_config() == config and config["fixed"] == {"p_below": 0.5, "p_o": [0.1, 0.2, 0.3, 0.4]}
    with pytest.raises(ValueError, match="no parameter 'p_x'"):
        layers.DepthGatedLSTM(4, fixed={"p_x": 0.0})


def test_regularizers_and_seeds() -> None:
    made = stack(2, recurrent_regularizer="l2", activity_regularizer="l1", dropout=0.5, seed=1)
    made(X, training=True)
    assert len(made.losses) == 3
    once, again = (outputs(stack(2, dropout=0.5, seed=1)(X, training=True))[0] for _ in range(2))
    np.testing.assert_array_equal(once, again)
    kernels = [
        layer.cell.kernel for layer in layers.DepthGatedLSTM(3, depth=3).layers[1:] if layer.build((1, 2, 6)) is None
    ]
    assert not np.allclose(*(np.asarray(kernel) for kernel in kernels))


def test_a_saved_stack_in_a_model(tmp_path: Path) -> None:
    x = X.astype("float32")
    model = keras.Sequential(
        [keras.Input((STEPS, 3)), layers.Masking(), layers.DepthGatedLSTM(UNITS, depth=3), layers.Dense(1)]
    )
    model.compile("adam", "mse")
    model.fit(x, x[:, -1, :1], verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[1]) is layers.DepthGatedLSTM and loaded.layers[1].depth == 3
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


@cell(gates="a", states="h c", sequences="below", phi="tanh", sigma="sigmoid")
def leaning(gate: Any, state: Any, sequence: Any, phi: Any, sigma: Any) -> Any:
    """Leaning network (nobody 2020)."""
    c = 0.5 * state.c + sigma(sequence.below)
    return phi(gate.a) * c, c


def test_a_stack_whose_first_layer_is_a_cell_of_its_own_kind() -> None:
    made = stack(2, layer_of(leaning), return_sequences=True)
    assert type(made).__name__ == "Leaning" and keras.saving.get_registered_name(type(made)) == "Custom>Leaning"
    first, second = (layer.scan_weights(torch.float64) for layer in made.layers)
    x = torch.tensor(X)
    zeros = torch.zeros(BATCH, STEPS, UNITS, dtype=torch.float64)
    (below, c), _ = scan(leaning, x, [first], sequences=[[zeros]], outputs=("h", "c"))
    y, _ = scan(leaning, below, [second], sequences=[[c]])
    np.testing.assert_allclose(outputs(made(X))[0], outputs(y)[0], rtol=1e-12)


def test_a_cell_that_reads_more_than_there_is() -> None:
    @cell(gates="a", states="h", sequences="below")
    def greedy(gate: Any, sequence: Any) -> Any:
        return gate.a + sequence.below

    with pytest.raises(
        ValueError, match="it reads the sequences below, and a layer below does not have as many states"
    ):
        layer_of(greedy)


def test_a_wrong_number_of_initial_states() -> None:
    with pytest.raises(ValueError, match="got 2 initial states; expected 2 for each of 3 layers"):
        stack(3)(X, initial_state=[np.zeros((BATCH, UNITS))] * 2)
