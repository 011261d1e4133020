"""`recompute` of the layers: less is kept, and training goes the same way."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import torch

from ostinato.keras import layers
from ostinato.keras.loop import ON_TORCH
from ostinato.scan import record

pytestmark = pytest.mark.skipif(not ON_TORCH, reason="a scan needs Keras on torch")

MADE: dict[str, Any] = {
    "LSTM": lambda **options: layers.LSTM(4, return_sequences=True, **options),
    "GRU backwards": lambda **options: layers.GRU(4, go_backwards=True, **options),
    "Bidirectional": lambda **options: layers.Bidirectional(layers.SimpleRNN(4, **options)),
    "PeepholeLSTM": lambda **options: layers.PeepholeLSTM(4, zero_output_for_mask=True, **options),
    "DepthGatedLSTM": lambda **options: layers.DepthGatedLSTM(4, depth=2, **options),
}


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("kind", MADE)
def test_the_gradients_are_the_same_and_pieces_are_asked_for(kind: str, masked: bool) -> None:
    x = torch.randn(3, 7, 2, dtype=torch.float64)
    mask = np.array([[1, 1, 0, 1, 1, 0, 1], [0] * 7, [1] * 7], bool) if masked else None
    made = MADE[kind](recompute=3, dtype="float64")
    found: list[Any] = []
    for again in (3, None):
        _set(made, again)
        with record() as flows:
            y = made(x, mask=mask)
        assert {flow.request.recompute for flow in flows} == {again or 0}
        found.append((y.detach(), torch.autograd.grad(y.square().sum(), [one.value for one in made.trainable_weights])))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-11, atol=1e-13)


def _set(made: Any, recompute: Any) -> None:
    for one in (made.forward_layer, made.backward_layer) if hasattr(made, "forward_layer") else (made,):
        one.recompute = recompute


def test_the_argument_is_kept() -> None:
    for made in (
        layers.LSTM(2, recompute=True),
        layers.JANET(2, recompute=True),
        layers.DepthGatedLSTM(2, recompute=True),
    ):
        again = type(made).from_config(made.get_config())
        assert again.recompute is True
    assert "recompute" not in layers.LSTM(2).get_config()
    both = layers.Bidirectional(layers.GRU(2, recompute=9))
    assert keras.layers.deserialize(keras.layers.serialize(both)).backward_layer.recompute == 9
    for kind in (layers.GRU, layers.JANET):
        with pytest.raises(ValueError, match="recompute is 0; expected True or False, or a whole number"):
            kind(2, recompute=0)
