"""The loss of our models is Keras' own, bit for bit but for the mean squared error, whatever asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch

from ostinato.keras import layers, loss, models

SHAPE = (6, 5)


def _model(compiled: Any, **options: Any) -> models.Sequential:
    model = models.Sequential([keras.Input((5,)), layers.Dense(5, activation="softmax")])
    model.compile("adam", compiled, **options)
    return model


def _batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Truth and predictions, both distributions over the last axis."""
    draws = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(seed))
    y, y_pred = draws.softmax(-1)
    return y, y_pred.clone().requires_grad_()


def _both(model: Any, y: Any, y_pred: torch.Tensor, rtol: float = 0, **options: Any) -> None:
    """Check that loss and gradient are those of Keras."""
    results = []
    for kind in (type(model), keras.Sequential):
        number = kind.compute_loss(model, None, y, y_pred, **options)
        (gradient,) = torch.autograd.grad(number.sum(), y_pred)
        results.append((number.detach(), gradient))
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, rtol=rtol, atol=0, equal_nan=True)


def _warm(model: Any) -> None:
    """Let Keras resolve what was given as the loss, which it does at the first batch."""
    model.compute_loss(None, *_batch(1))


@pytest.mark.parametrize(
    "name",
    [
        "mse", "mae", "mape", "msle", "huber", "log_cosh", "cosine_similarity", "kl_divergence", "poisson", "hinge",
        "squared_hinge", "categorical_hinge", "binary_crossentropy", "binary_focal_crossentropy", "dice",
        "categorical_crossentropy", "categorical_focal_crossentropy", "tversky",
    ],
)  # fmt: skip
def test_every_loss_of_keras(name: str) -> None:
    model = _model(name)
    y, y_pred = _batch()
    assert not loss.serves(model, y, y_pred, None)  # not resolved yet
    _warm(model)
    assert loss.serves(model, y, y_pred, None)
    _both(model, y, y_pred, rtol=1e-6 if name == "mse" else 0)  # one mean instead of a mean of means


def test_mean_squared_error_of_truth_in_another_shape() -> None:
    model = models.Sequential([keras.Input((5,)), layers.Dense(1)])
    model.compile("adam", "mse")
    y, y_pred = torch.randn(6), torch.randn(6, 1, requires_grad=True)
    model.compute_loss(None, y, y_pred)
    assert loss.serves(model, y, y_pred, None)
    _both(model, y, y_pred)


@pytest.mark.parametrize(
    "function",
    [
        lambda y, y_pred: keras.ops.sum((y - y_pred) ** 2),  # one number
        lambda y, y_pred: (y - y_pred) ** 2,
        lambda y, y_pred: _masked((y - y_pred).square().mean(-1)),
        lambda y, y_pred: (y - y_pred).square().double(),
    ],
    ids=["one number", "a number an entry", "a mask on the losses", "another type"],
)
def test_functions_of_the_users_own(function: Callable[[Any, Any], Any]) -> None:
    model = _model(function)
    _warm(model)
    y, y_pred = _batch()
    assert loss.serves(model, y, y_pred, None)
    _both(model, y, y_pred)


def _masked(losses: torch.Tensor) -> torch.Tensor:
    losses._keras_mask = torch.arange(len(losses)) % 3 > 0  # type: ignore[attr-defined]
    return losses


class _Doubled(keras.losses.MeanSquaredError):  # type: ignore[misc]
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return 2 * super().__call__(*args, **kwargs)


@pytest.mark.parametrize(
    ("compiled", "options"),
    [
        (keras.losses.MeanSquaredError(reduction="sum"), {}),
        (keras.losses.MeanSquaredError(reduction=None), {}),
        (keras.losses.MeanSquaredError(dtype="float64"), {}),
        (_Doubled(), {}),
        ("mse", {"loss_weights": 0.5}),
    ],
    ids=["sum", "no reduction", "float64", "a loss with a call of its own", "a weight"],
)
def test_what_asks_for_more_is_left_to_keras(compiled: Any, options: dict[str, Any]) -> None:
    model = _model(compiled, **options)
    _warm(model)
    y, y_pred = _batch()
    assert not loss.serves(model, y, y_pred, None)
    _both(model, y, y_pred)


def test_weights_masks_and_other_types_are_left_to_keras() -> None:
    model = _model("mse")
    _warm(model)
    y, y_pred = _batch()
    weights = torch.rand(len(y))
    assert not loss.serves(model, y, y_pred, weights)
    _both(model, y, y_pred, sample_weight=weights)
    for other in (y.double(), y.numpy(), (y > 0.2).long()):
        assert not loss.serves(model, other, y_pred, None)
        _both(model, other, y_pred)
    y_pred._keras_mask = torch.arange(len(y)) % 2 > 0  # type: ignore[attr-defined]
    assert not loss.serves(model, y, y_pred, None)
    _both(model, y, y_pred)


def test_losses_of_layers_are_added() -> None:
    model = models.Sequential([keras.Input((5,)), layers.Dense(5, kernel_regularizer="l2")])
    model.compile("adam", "mse")
    _warm(model)
    y, y_pred = _batch()
    assert not loss.serves(model, y, y_pred, None)
    _both(model, y, y_pred)
    plain = keras.losses.MeanSquaredError()(y, y_pred)
    assert model.compute_loss(None, y, y_pred).item() > plain.item()


def test_a_batch_without_rows() -> None:
    model = _model("mse")
    _warm(model)
    y, y_pred = torch.empty(0, 5), torch.empty(0, 5, requires_grad=True)
    assert loss.serves(model, y, y_pred, None)
    _both(model, y, y_pred)


def test_a_compute_loss_of_the_users_own_is_called() -> None:
    class Own(models.Sequential):  # type: ignore[misc]
        def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None) -> Any:
            return super().compute_loss(x, y, y_pred, sample_weight) * 3

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 4, 2)).astype("float32"), rng.normal(size=(8, 1)).astype("float32")
    found = []
    for kind in (Own, models.Sequential):
        keras.utils.set_random_seed(3)
        model = kind([keras.Input((4, 2)), layers.LSTM(3), layers.Dense(1)])
        model.compile("adam", "mse")
        found.append(model.fit(x, y, epochs=1, batch_size=8, verbose=0).history["loss"][0])
    assert found[0] == pytest.approx(3 * found[1])
