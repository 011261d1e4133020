"""Regularizers of a recurrent layer's outputs, against their formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch

import ostinato.keras
from ostinato import nn
from ostinato.keras import layers, regularizers
from ostinato.keras.regularizers import ActivationRegularizer

X = np.random.default_rng(0).standard_normal((5, 7, 3)).astype("float32")


def formula(y: np.ndarray, alpha: float, beta: float) -> float:
    return float(alpha * (y**2).mean() + beta * ((y[:, 1:] - y[:, :-1]) ** 2).mean())


@pytest.mark.parametrize("alpha, beta", [(2.0, 0.0), (0.0, 1.0), (2.0, 1.0)])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN", "PeepholeLSTM", "MinGRU", "DepthGatedLSTM"])
def test_the_loss_of_a_layer_is_the_formula(kind: str, alpha: float, beta: float) -> None:
    made = getattr(layers, kind)(4, return_sequences=True, activity_regularizer=ActivationRegularizer(alpha, beta))
    y = made(X)
    (loss,) = made.losses
    assert loss.item() == pytest.approx(formula(y.detach().numpy(), alpha, beta), rel=1e-5)


def test_both_directions_of_a_bidirectional_layer_count() -> None:
    made = layers.Bidirectional(layers.GRU(4, return_sequences=True, activity_regularizer=ActivationRegularizer(2, 1)))
    forward, backward = np.split(made(X).detach().numpy(), 2, axis=-1)
    found = sum(loss.item() for loss in made.losses)
    assert found == pytest.approx(formula(forward, 2, 1) + formula(backward, 2, 1), rel=1e-5)


def test_it_is_that_of_the_torch_modules() -> None:
    y = torch.tensor(X)
    mine = ActivationRegularizer(2.0, 1.0)(y) / 5
    theirs = 2 * nn.activation_penalty(y, batch_first=True) + nn.temporal_activation_penalty(y, batch_first=True)
    torch.testing.assert_close(mine, theirs)


def test_a_mask_that_keras_hands_on_is_honoured() -> None:
    x = X.copy()
    lengths = [7, 3, 1, 0, 5]
    for row, length in enumerate(lengths):
        x[row, length:] = 0.0
    shown = torch.arange(7) < torch.tensor(lengths).unsqueeze(1)
    sequence = [keras.Input((7, 3)), layers.Masking(), layers.GRU(4, return_sequences=True)]
    behind = layers.Activation("linear", activity_regularizer=ActivationRegularizer(2.0, 1.0))
    model = ostinato.keras.Sequential([*sequence, behind])
    y = model(x)
    expected = 2 * nn.activation_penalty(y, shown, batch_first=True)
    expected = expected + nn.temporal_activation_penalty(y, shown, batch_first=True)
    assert model.losses[0].item() == pytest.approx(expected.item(), rel=1e-5)
    without = formula(y.detach().numpy(), 2.0, 1.0)
    assert abs(without - expected.item()) > 1e-3


def test_training_with_it_makes_outputs_small_and_smooth() -> None:
    keras.utils.set_random_seed(1)
    found = []
    for factor in (0.0, 5.0):
        model = ostinato.keras.Sequential(
            [
                keras.Input((7, 3)),
                layers.LSTM(8, return_sequences=True, activity_regularizer=ActivationRegularizer(factor, factor)),
                layers.Dense(1),
            ]
        )
        model.compile(keras.optimizers.Adam(0.02), "mse")
        model.fit(X, X[..., :1], epochs=40, verbose=0)
        found.append(formula(model.layers[0](X).detach().numpy(), 1, 1))
    assert found[1] < found[0] / 3


def test_it_is_saved_with_the_layer(tmp_path: Path) -> None:
    made = layers.LSTM(4, return_sequences=True, activity_regularizer=ActivationRegularizer(2.0, 1.0))
    model = keras.Sequential([keras.Input((7, 3)), made])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].activity_regularizer.get_config() == {"alpha": 2.0, "beta": 1.0}
    loaded(X), model(X)
    assert loaded.losses[0].item() == pytest.approx(model.losses[0].item())


def test_a_single_step_has_no_change() -> None:
    assert ActivationRegularizer(0.0, 1.0)(torch.ones(2, 1, 3)).item() == 0
    assert ActivationRegularizer(1.0, 1.0)(torch.ones(2, 1, 3)).item() == 2


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda: ActivationRegularizer(-1.0), "alpha is -1.0; expected a number of at least 0"),
        (lambda: ActivationRegularizer(beta="x"), "beta is 'x'; expected a number"),  # type: ignore[arg-type]
        (
            lambda: layers.LSTM(4, activity_regularizer=ActivationRegularizer(1.0))(X),
            r"got outputs of the shape \(5, 4\); expected \(batch, steps, features\): give the layer return_sequences",
        ),
    ],
)
def test_what_does_not_fit_is_named(call: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()


def test_every_name_of_keras_regularizers_is_there() -> None:
    for name in dir(keras.regularizers):
        if not name.startswith("_"):
            assert getattr(ostinato.keras.regularizers, name) is getattr(keras.regularizers, name)
    assert "ActivationRegularizer" in dir(regularizers)
    with pytest.raises(AttributeError, match="Elastic"):
        _ = regularizers.Elastic
