"""Our layers against Keras' own with the same weights: outputs, states and every gradient."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from ostinato.cells import ACTIVATIONS
from ostinato.scan import watch

from .pairs import KINDS, MASKS, STEPS, assert_same, everything, initial_state, pair, sequences, states_of

BOTH = (False, True)

#: The slope of torch's hardsigmoid holds one sixth in single precision.
HARD_SIGMOID = 1e-6


pytestmark = pytest.mark.usefixtures("exact_keras")


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_option_agrees_with_keras(kind: str, mask: str) -> None:
    for return_sequences, go_backwards, zeros, started in itertools.product(BOTH, repeat=4):
        ours, stock = pair(
            kind,
            return_sequences=return_sequences,
            return_state=True,
            go_backwards=go_backwards,
            zero_output_for_mask=zeros,
        )
        initial = initial_state(states_of(kind)) if started else None
        results = [everything(one, sequences(), initial, mask=MASKS[mask]) for one in (ours, stock)]
        assert_same(*results)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mask", ["none", "right", "holes"])
def test_single_precision_agrees_with_keras(kind: str, mask: str) -> None:
    for go_backwards in BOTH:
        ours, stock = pair(kind, "float32", return_sequences=True, go_backwards=go_backwards)
        initial = initial_state(states_of(kind), "float32")
        results = [everything(one, sequences("float32"), initial, mask=MASKS[mask]) for one in (ours, stock)]
        assert_same(*results, tolerance=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_without_bias_and_state(kind: str) -> None:
    for return_sequences in BOTH:
        ours, stock = pair(kind, use_bias=False, return_sequences=return_sequences)
        assert_same(everything(ours, sequences()), everything(stock, sequences()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", [*ACTIVATIONS, None])
def test_every_activation_of_keras(kind: str, activation: str | None) -> None:
    ours, stock = pair(kind, activation=activation, return_sequences=True)
    with watch() as taken:
        mine = everything(ours, sequences())
    assert [choice.backend for choice in taken] == ["cpu"]
    assert_same(mine, everything(stock, sequences()), tolerance=HARD_SIGMOID if activation == "hard_sigmoid" else 1e-10)


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru_reset_before"])
@pytest.mark.parametrize(
    ("activation", "recurrent_activation"),
    [("relu", "hard_sigmoid"), ("softsign", "tanh"), ("silu", "linear"), (None, None), ("softmax", "sigmoid")],
)
def test_pairs_of_activations(kind: str, activation: str | None, recurrent_activation: str | None) -> None:
    options: dict[str, Any] = {"activation": activation, "recurrent_activation": recurrent_activation}
    ours, stock = pair(kind, return_sequences=True, **options)
    for mask in ("none", "left"):
        results = [everything(one, sequences(), mask=MASKS[mask]) for one in (ours, stock)]
        assert_same(*results, tolerance=HARD_SIGMOID if recurrent_activation == "hard_sigmoid" else 1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_a_function_of_the_users_own(kind: str) -> None:
    def tanh(x: Any) -> Any:  # the name of Keras' function, and other values
        return 0.5 * x.sin()

    ours, stock = pair(kind, activation=tanh, return_sequences=True)
    assert_same(everything(ours, sequences()), everything(stock, sequences()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", BOTH)
def test_dropout_draws_what_keras_draws(kind: str, training: bool) -> None:
    ours, stock = pair(kind, dropout=0.4, seed=7, return_sequences=True)
    for _ in range(3):  # each call advances the seed, in training or not
        assert_same(everything(ours, sequences(), training=training), everything(stock, sequences(), training=training))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mask", ["none", "right", "holes"])
def test_recurrent_dropout_draws_what_keras_draws(kind: str, mask: str) -> None:
    for training, zeros, go_backwards in itertools.product(BOTH, repeat=3):
        ours, stock = pair(
            kind,
            dropout=0.3,
            recurrent_dropout=0.4,
            seed=7,
            return_sequences=True,
            return_state=True,
            zero_output_for_mask=zeros,
            go_backwards=go_backwards,
        )
        initial = initial_state(states_of(kind))
        results = [everything(one, sequences(), initial, mask=MASKS[mask], training=training) for one in (ours, stock)]
        assert_same(*results)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_of_everything(kind: str) -> None:
    """Keras' LSTM and GRU drop nothing at a rate of 1 on some of their paths, and everything on others."""
    ours, stock = pair(kind, dropout=1.0, seed=7)
    for mask in (MASKS["none"], MASKS["right"]):
        expected = stock(np.zeros_like(sequences()), mask=mask).detach()
        np.testing.assert_allclose(ours(sequences(), mask=mask, training=True).detach(), expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru_reset_before"])
def test_implementation_1_with_dropout(kind: str) -> None:
    """Keras' own layer fails here unless it is kept away from cuDNN; with that it is the oracle."""
    ours, stock = pair(kind, dropout=0.4, seed=7, implementation=1, return_sequences=True)
    stock.use_cudnn = False
    for training in BOTH:
        assert_same(everything(ours, sequences(), training=training), everything(stock, sequences(), training=training))


@pytest.mark.parametrize("kind", KINDS)
def test_unroll_with_mask_backwards(kind: str) -> None:
    """Keras' own layer fails unrolled; rolled it is the oracle."""
    for recurrent_dropout in (0.0, 0.4):
        options = {"go_backwards": True, "return_sequences": True, "recurrent_dropout": recurrent_dropout, "seed": 7}
        ours, _ = pair(kind, unroll=True, **options)
        _, stock = pair(kind, **options)
        ours.set_weights(stock.get_weights())
        call = {"mask": MASKS["holes"], "training": True}
        assert_same(everything(ours, sequences(), **call), everything(stock, sequences(), **call))


@pytest.mark.parametrize("mask", ["none", "right", "left", "holes"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_row_of_states_and_mask_serves_all(kind: str, mask: str) -> None:
    one_row = None if MASKS[mask] is None else MASKS[mask][2:3]
    for return_sequences, of_states in itertools.product(BOTH, repeat=2):
        ours, stock = pair(kind, return_sequences=return_sequences, return_state=True)
        initial = [state[:1] if of_states else state for state in initial_state(states_of(kind))]
        assert_same(*(everything(one, sequences(), initial, mask=one_row) for one in (ours, stock)))


@pytest.mark.parametrize("kind", KINDS)
def test_masks_of_other_forms(kind: str) -> None:
    ours, stock = pair(kind, return_sequences=True)
    expected = everything(stock, sequences(), mask=MASKS["holes"])
    for mask in (MASKS["holes"].astype("float32"), MASKS["holes"].astype(int), MASKS["holes"][..., None]):
        assert_same(everything(ours, sequences(), mask=mask), expected)


def test_whole_numbers_as_input() -> None:
    ours, stock = pair("lstm", "float32")
    counts = np.arange(2 * STEPS * 3).reshape(2, STEPS, 3) % 3
    np.testing.assert_allclose(ours(counts).detach(), stock(counts).detach(), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_low_precision_policies(kind: str, policy: str) -> None:
    ours, stock = pair(kind, policy, return_sequences=True, return_state=True)
    mine, theirs = everything(ours, sequences("float32")), everything(stock, sequences("float32"))
    assert_same(mine, theirs, tolerance=0.1)
