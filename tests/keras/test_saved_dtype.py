"""`saved_dtype` of the layers: less is kept, and training goes nearly the same way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch

from ostinato.keras import layers, models
from ostinato.keras.loop import ON_TORCH
from ostinato.scan import record

from .test_recompute import MADE

on_torch = pytest.mark.skipif(not ON_TORCH, reason="a scan needs Keras on torch")


@on_torch
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("kind", MADE)
def test_outputs_are_the_same_and_gradients_nearly(kind: str, masked: bool) -> None:
    x = torch.randn(3, 7, 2)
    mask = np.array([[1, 1, 0, 1, 1, 0, 1], [0] * 7, [1] * 7], bool) if masked else None
    made = MADE[kind](saved_dtype="float16")
    found: list[Any] = []
    for asked, dtype in (("float16", torch.float16), (None, None)):
        for one in (made.forward_layer, made.backward_layer) if hasattr(made, "forward_layer") else (made,):
            one.saved_dtype = asked
        with record() as flows:
            y = made(x, mask=mask)
        assert {flow.request.saved_dtype for flow in flows} == {dtype}
        found.append((y.detach(), torch.autograd.grad(y.square().sum(), [one.value for one in made.trainable_weights])))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], rtol=5e-3, atol=2e-3)
    assert not all(torch.equal(*pair) for pair in zip(found[0][1], found[1][1], strict=True))


def test_the_argument_is_kept() -> None:
    for made in (
        layers.LSTM(2, saved_dtype="bfloat16"),
        layers.JANET(2, saved_dtype="bfloat16"),
        layers.DepthGatedLSTM(2, saved_dtype="bfloat16"),
    ):
        assert type(made).from_config(made.get_config()).saved_dtype == "bfloat16"
    assert "saved_dtype" not in layers.LSTM(2).get_config()
    both = layers.Bidirectional(layers.GRU(2, saved_dtype="float16"))
    assert keras.layers.deserialize(keras.layers.serialize(both)).backward_layer.saved_dtype == "float16"
    for kind in (layers.GRU, layers.JANET):
        with pytest.raises(ValueError, match="saved_dtype is 'half'; expected 'bfloat16', 'float16' or None"):
            kind(2, saved_dtype="half")
        with pytest.raises(ValueError, match="saved_dtype='float16' rounds what recompute=True does not keep"):
            kind(2, saved_dtype="float16", recompute=True)


@on_torch
def test_a_model_trains_and_is_kept(tmp_path: Path) -> None:
    model = keras.Sequential([layers.Input((9, 2)), layers.LSTM(4, saved_dtype="float16"), layers.Dense(1)])
    model.compile("adam", "mse")
    x, y = np.random.rand(32, 9, 2), np.random.rand(32)
    losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    again = models.load_model(tmp_path / "model.keras")
    assert again.layers[0].saved_dtype == "float16"
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_what_runs_step_by_step_says_so() -> None:
    x = np.random.rand(2, 5, 3).astype("float32")
    if ON_TORCH:
        made, why = layers.LSTM(4, recurrent_dropout=0.5, saved_dtype="float16"), "recurrent dropout in training"
    else:
        made, why = layers.LSTM(4, saved_dtype="float16"), "Keras runs on"
    with pytest.raises(ValueError, match=f"saved_dtype is 'float16', which a scan alone can do.*{why}.*set it to None"):
        made(x, training=True)
    assert np.isfinite(keras.ops.convert_to_numpy(made(x, training=False))).all()


@on_torch
def test_single_precision_alone() -> None:
    made = layers.LSTM(4, dtype="float64", saved_dtype="float16")
    with pytest.raises(ValueError, match="saved_dtype='float16' rounds what float32 scans keep"):
        made(np.random.rand(2, 5, 3))
