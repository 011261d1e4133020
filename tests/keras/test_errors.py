"""What Keras refuses is refused."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from ostinato.keras import layers

from .pairs import KINDS

EVERY = pytest.mark.parametrize("kind", KINDS)


def make(kind: str, units: Any = 4, **options: Any) -> Any:
    ours, _, fixed = KINDS[kind]
    return ours(units, **fixed, **options)


@EVERY
@pytest.mark.parametrize("units", [0, -3, 4.0, "4", None, True])
def test_units_must_be_a_positive_integer(kind: str, units: Any) -> None:
    with pytest.raises(ValueError, match=f"units is {units!r}; expected an integer of at least 1"):
        make(kind, units)


@EVERY
def test_units_may_be_an_integer_of_numpy(kind: str) -> None:
    assert make(kind, np.int64(4))(np.zeros((2, 3, 5), "float32")).shape == (2, 4)


@EVERY
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 5)])
def test_input_has_three_dimensions(kind: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected ndim=3"):
        make(kind)(np.zeros(shape, "float32"))


@EVERY
def test_features_must_fit_the_weights(kind: str) -> None:
    layer, both = make(kind), layers.Bidirectional(make(kind))
    for one in (layer, both):
        one(np.zeros((2, 3, 5), "float32"))
    for one in (layer, both):
        with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 5"):
            one(np.zeros((2, 3, 6), "float32"))


def test_states_of_both_directions_are_counted() -> None:
    layer, state = layers.Bidirectional(layers.LSTM(4), name="both"), np.zeros((2, 4), "float32")
    with pytest.raises(ValueError, match="both got 3 initial states; expected 4, those of the forward layer"):
        layer(np.zeros((2, 3, 5), "float32"), initial_state=[state] * 3)


@EVERY
def test_a_mask_may_be_lists(kind: str) -> None:
    layer, x = make(kind), np.ones((2, 3, 5), "float32")
    mask = [[True, True, False], [True, False, False]]
    assert np.array_equal(layer(x, mask=mask).detach(), layer(x, mask=np.array(mask)).detach())


@EVERY
def test_there_must_be_a_step(kind: str) -> None:
    layer = make(kind, name="memory")
    with pytest.raises(ValueError, match=r"memory got sequences of the shape \(2, 0, 3\).*needs at least 1"):
        layer(np.zeros((2, 0, 3), "float32"))
    with pytest.raises(ValueError, match="needs at least 1"):
        layers.Bidirectional(make(kind))(np.zeros((2, 0, 3), "float32"))


@EVERY
def test_a_stateful_batch_keeps_its_size(kind: str) -> None:
    layer = make(kind, stateful=True)
    layer(np.zeros((2, 3, 4), "float32"))
    with pytest.raises(ValueError, match=r"(?s)Expected batch size: 2.*Received batch size: 3"):
        layer(np.zeros((3, 3, 4), "float32"))


@EVERY
def test_a_stateful_layer_needs_a_batch_size(kind: str) -> None:
    with pytest.raises(ValueError, match="batch size must be static"):
        make(kind, stateful=True)(keras.Input((3, 4)))


@EVERY
def test_an_initial_state_must_fit(kind: str) -> None:
    states = [np.zeros((2, 5), "float32")] * (2 if kind == "lstm" else 1)
    with pytest.raises(ValueError, match=r"initial state h has the shape \(1, 2, 5\); expected \(1, 2, 4\)"):
        make(kind)(np.zeros((2, 3, 4), "float32"), initial_state=states)


@EVERY
def test_a_mask_must_fit(kind: str) -> None:
    with pytest.raises(ValueError, match=r"mask has the shape \(2, 4\); expected \(batch, steps\) = \(2, 3\)"):
        make(kind)(np.zeros((2, 3, 4), "float32"), mask=np.ones((2, 4), bool))


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_use_cudnn_is_one_of_three(kind: str) -> None:
    x = np.random.randn(2, 3, 4).astype("float32")
    for wanted in ("auto", True, False):
        assert make(kind, use_cudnn=wanted)(x).shape == (2, 4)
    with pytest.raises(ValueError, match="use_cudnn=maybe"):
        make(kind, use_cudnn="maybe")


def test_bidirectional_refuses_other_merge_modes() -> None:
    with pytest.raises(ValueError, match=r"Invalid merge mode\. Received: max"):
        layers.Bidirectional(layers.LSTM(3), merge_mode="max")
