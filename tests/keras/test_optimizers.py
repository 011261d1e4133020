"""What optimizers do to gradients and weights happens in our training as in Keras'."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import ostinato.keras
from ostinato.keras import adam

OPTIONS: list[dict[str, Any]] = [
    {},
    {"clipnorm": 0.01},
    {"global_clipnorm": 0.01},
    {"clipvalue": 0.001},
    {"weight_decay": 0.1},
    {"use_ema": True, "ema_momentum": 0.8},
    {"use_ema": True, "ema_overwrite_frequency": 3},
    {"gradient_accumulation_steps": 3},
    {"loss_scale_factor": 128.0},
]


def trained(model_class: Any, layers: Any, optimizer: Any) -> tuple[list[np.ndarray], Any]:
    """The weights of a small network after 3 epochs of 4 steps, and its optimizer."""
    keras.utils.set_random_seed(1)
    model = model_class(
        [layers.Input((15, 3)), layers.LSTM(6, return_sequences=True), layers.GRU(5), layers.Dense(2)],
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 15, 3)).astype("float32")
    model.compile(optimizer, "mse")
    model.fit(x, 10 * x[:, -1, :2], batch_size=8, epochs=3, shuffle=False, verbose=0)
    return [variable.numpy() for variable in model.trainable_variables], optimizer


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options) or "plain")
def test_training_equals_that_of_keras(options: dict[str, Any]) -> None:
    made = [keras.optimizers.Adam(0.01, **options) for _ in range(2)]
    ours, optimizer = trained(ostinato.keras.Sequential, ostinato.keras.layers, made[0])
    theirs, _ = trained(keras.Sequential, keras.layers, made[1])
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-5)
    # what the fused kernel does not do is not left to it
    assert adam.serves(optimizer, optimizer._trainable_variables) == (not options)


@pytest.mark.parametrize("options", OPTIONS[1:], ids="-".join)
def test_every_option_makes_a_difference_here(options: dict[str, Any]) -> None:
    """Without which the test above could not fail."""
    if "loss_scale_factor" in options:
        pytest.skip("Adam scales the gradients back; it makes none")
    plain, _ = trained(ostinato.keras.Sequential, ostinato.keras.layers, keras.optimizers.Adam(0.01))
    with_it, _ = trained(ostinato.keras.Sequential, ostinato.keras.layers, keras.optimizers.Adam(0.01, **options))
    assert max(np.abs(one - other).max() for one, other in zip(plain, with_it, strict=True)) > 1e-4


def test_a_wrapped_optimizer_scales_the_loss_as_in_keras() -> None:
    made = [keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), initial_scale=64.0) for _ in range(2)]
    ours, _ = trained(ostinato.keras.Sequential, ostinato.keras.layers, made[0])
    theirs, _ = trained(keras.Sequential, keras.layers, made[1])
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-5)
