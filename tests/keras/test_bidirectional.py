"""Bidirectional against Keras' own, in one scan and layer after layer."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest

from ostinato.keras import layers
from ostinato.scan import watch

from .pairs import (
    BATCH,
    FEATURES,
    KINDS,
    MASKS,
    STEPS,
    UNITS,
    assert_same,
    everything,
    initial_state,
    sequences,
    states_of,
)

BOTH = (False, True)
MERGES = ("concat", "sum", "mul", "ave", None)
#: Every kind of cell, and every way to merge: the merge does not know the cell.
MERGED = [(kind, "concat") for kind in KINDS] + [("lstm", merge) for merge in MERGES[1:]]


pytestmark = pytest.mark.usefixtures("exact_keras")


def wrapped(kind: str, merge_mode: str | None, **options: Any) -> tuple[Any, Any]:
    """Our wrapper around our layer and Keras' around Keras', with equal weights."""
    ours_class, stock_class, fixed = KINDS[kind]
    given = {"bias_initializer": "random_normal", "dtype": "float64", **fixed, **options}
    ours = layers.Bidirectional(ours_class(UNITS, **given), merge_mode=merge_mode, dtype="float64")
    stock = keras.layers.Bidirectional(stock_class(UNITS, **given), merge_mode=merge_mode, dtype="float64")
    for layer in (stock.forward_layer, stock.backward_layer):  # Keras' SimpleRNN loses its seed when it is wrapped
        layer.cell.seed_generator = keras.random.SeedGenerator(options.get("seed"))
    for layer in (ours, stock):
        layer.build((BATCH, STEPS, FEATURES))
    ours.set_weights(stock.get_weights())
    return ours, stock


@pytest.mark.parametrize("kind, merge_mode", MERGED)
def test_one_scan_agrees_with_keras(kind: str, merge_mode: str | None) -> None:
    for mask, sequence, started in itertools.product(("none", "right", "holes"), BOTH, BOTH):
        ours, stock = wrapped(kind, merge_mode, return_sequences=sequence, return_state=True)
        initial = initial_state(2 * states_of(kind)) if started else None
        with watch() as taken:
            mine = everything(ours, sequences(), initial, mask=MASKS[mask])
        assert [choice.backend for choice in taken] == ["cpu"]
        assert_same(mine, everything(stock, sequences(), initial, mask=MASKS[mask]))


@pytest.mark.parametrize("kind, merge_mode", MERGED)
def test_layer_after_layer_agrees_with_keras(kind: str, merge_mode: str | None) -> None:
    for mask, sequence, started in itertools.product(("none", "left"), BOTH, BOTH):
        ours, stock = wrapped(kind, merge_mode, return_sequences=sequence, return_state=True, dropout=0.3, seed=7)
        initial = initial_state(2 * states_of(kind)) if started else None
        call = {"mask": MASKS[mask], "training": True}
        with watch() as taken:
            mine = everything(ours, sequences(), initial, **call)
        assert [choice.backend for choice in taken] == ["cpu", "cpu"]
        assert_same(mine, everything(stock, sequences(), initial, **call))


def test_layers_that_differ_run_one_after_the_other() -> None:
    def both(module: Any) -> Any:
        return module.Bidirectional(
            module.LSTM(3, return_sequences=True, dtype="float64"),
            backward_layer=module.GRU(5, return_sequences=True, go_backwards=True, dtype="float64"),
            dtype="float64",
        )

    ours, stock = both(layers), both(keras.layers)
    for layer in (ours, stock):
        layer.build((BATCH, STEPS, FEATURES))
    ours.set_weights(stock.get_weights())
    assert_same(everything(ours, sequences()), everything(stock, sequences()))


def test_a_subclass_keeps_its_own_inner_loop() -> None:
    class Doubled(layers.LSTM):
        def inner_loop(self, *args: Any, **kwargs: Any) -> Any:
            last, outputs, states = super().inner_loop(*args, **kwargs)
            return 2 * last, 2 * outputs, states

    with keras.saving.custom_object_scope({"Doubled": Doubled}):
        doubled = layers.Bidirectional(Doubled(4))
        plain = layers.Bidirectional(layers.LSTM(4))
    for layer in (doubled, plain):
        layer.build((BATCH, STEPS, FEATURES))
    doubled.set_weights(plain.get_weights())
    x = sequences("float32")
    np.testing.assert_allclose(doubled(x).detach(), 2 * plain(x).detach(), rtol=1e-6)


def test_a_regularizer_inside_counts() -> None:
    ours = layers.Bidirectional(layers.LSTM(4, activity_regularizer="l2"))
    stock = keras.layers.Bidirectional(keras.layers.LSTM(4, activity_regularizer="l2"))
    x = sequences("float32")
    ours.build(x.shape)
    stock.build(x.shape)
    ours.set_weights(stock.get_weights())
    ours(x)
    stock(x)
    mine, theirs = ([loss.item() for loss in layer.losses] for layer in (ours, stock))
    assert len(mine) == 2
    np.testing.assert_allclose(mine, theirs, rtol=1e-5)


@pytest.mark.parametrize("merge_mode", ["concat", None])
@pytest.mark.parametrize("kind", KINDS)
def test_stateful_with_returned_states(kind: str, merge_mode: str | None) -> None:
    """Keras' own wrapper fails here with a mask; each direction must go on from its own last state."""
    ours_class, _, fixed = KINDS[kind]
    inner = ours_class(UNITS, stateful=True, return_sequences=True, return_state=True, dtype="float64", **fixed)
    ours = layers.Bidirectional(inner, merge_mode=merge_mode, dtype="float64")
    embedded = keras.Input(batch_shape=(BATCH, STEPS, FEATURES), dtype="float64")
    model = keras.Model(embedded, ours(layers.Masking(0.0, dtype="float64")(embedded)))
    first = model(sequences())
    second = model(sequences())
    outputs = 2 if merge_mode is None else 1
    states = [state.detach() for state in first[outputs:]]
    assert len(states) == 2 * states_of(kind)

    plain = layers.Bidirectional(
        ours_class(UNITS, return_sequences=True, return_state=True, dtype="float64", **fixed),
        merge_mode=merge_mode,
        dtype="float64",
    )
    plain.build((BATCH, STEPS, FEATURES))
    plain.set_weights(ours.get_weights())
    for mine, expected in zip(second, plain(sequences(), initial_state=states), strict=True):
        np.testing.assert_allclose(mine.detach(), expected.detach(), atol=1e-12)

    ours.reset_state()
    for mine, expected in zip(model(sequences()), first, strict=True):
        np.testing.assert_allclose(mine.detach(), expected.detach(), atol=1e-12)


@pytest.mark.parametrize("merge_mode", MERGES)
def test_masks_and_shapes_of_the_outputs(merge_mode: str | None) -> None:
    for sequence, state in itertools.product(BOTH, BOTH):
        ours, stock = wrapped("lstm", merge_mode, return_sequences=sequence, return_state=state)
        shape = (BATCH, STEPS, FEATURES)
        assert ours.compute_output_shape(shape) == stock.compute_output_shape(shape)
        masks = ours.compute_mask(None, MASKS["right"])
        masks = masks if isinstance(masks, tuple) else (masks,)
        outputs = ours(sequences())
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        assert len(masks) == len(outputs)
        expected = [out.dim() == 3 for out in outputs]
        assert [mask is not None for mask in masks] == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mask", ["none", "holes"])
def test_one_row_of_states_and_mask_serves_all(kind: str, mask: str) -> None:
    one_row = None if MASKS[mask] is None else MASKS[mask][2:3]
    initial = [state[:1] for state in initial_state(2 * states_of(kind))]
    assert_same(*(everything(one, sequences(), initial, mask=one_row) for one in wrapped(kind, "concat")))
