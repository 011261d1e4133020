"""Layers called the short way, and the values of the metrics, are Keras' own, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest
import torch

from ostinato.keras import layers, models


def _model(dense: Any) -> models.Sequential:
    return models.Sequential([keras.Input((5,)), dense])


def _both(model: models.Sequential, **options: Any) -> None:
    """Check that output and gradients are those of Keras' `Layer.__call__`."""
    results = []
    for call in (model, model.layers[0]):
        x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
        y = call(x, **options)
        weights = [weight.value for weight in model.trainable_weights]
        results.append([y, *torch.autograd.grad(y.square().sum(), [x, *weights])])
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "options",
    [{}, {"use_bias": False}, {"activation": "relu"}, {"activation": "softmax"}, {"activation": keras.layers.ReLU()}],
    ids=str,
)
def test_dense(options: dict[str, Any], training: bool) -> None:
    _both(_model(layers.Dense(3, **options)), training=training)


def _without_activation(dense: Any) -> None:
    dense.activation = None


@pytest.mark.parametrize(
    "change", [_without_activation, lambda dense: dense.enable_lora(2), lambda dense: dense.quantize("int8")]
)
def test_a_dense_layer_that_was_changed(change: Callable[[Any], Any]) -> None:
    model = _model(layers.Dense(3))
    change(model.layers[0])
    if model.trainable_weights:
        for weight in model.trainable_weights:  # a factor of LoRA begins at zero
            weight.assign(torch.randn(*weight.shape))
        _both(model, training=True)
    x = torch.randn(4, 5)
    assert torch.equal(model(x, training=False), model.layers[0](x))


def test_a_stateless_call_takes_the_weights_that_it_is_given() -> None:
    model = _model(layers.Dense(3))
    x, kernel, bias = torch.randn(4, 5), torch.randn(5, 3), torch.randn(3)
    y, _ = model.stateless_call([kernel, bias], [], x, training=True)
    assert torch.equal(y, x @ kernel + bias)


def test_the_loss_in_the_logs() -> None:
    model = _model(layers.Dense(1))
    model.compile("adam", "mse")
    (tracker,) = model.metrics
    assert float(model.get_metrics_result()["loss"]) == 0  # not 0 / 0
    tracker.update_state(torch.tensor([1.0, 2.0, 5.0]), sample_weight=torch.tensor([1.0, 1.0, 2.0]))
    ours, theirs = model.get_metrics_result(), keras.Sequential.get_metrics_result(model)
    assert list(ours) == list(theirs) == ["loss"]
    assert ours["loss"].dtype == theirs["loss"].dtype and torch.equal(ours["loss"], theirs["loss"])


def test_a_metric_of_ones_own_as_the_only_one() -> None:
    class Doubled(keras.metrics.Mean):  # type: ignore[misc]
        def result(self) -> Any:
            return 2 * super().result()

    model = _model(layers.Dense(1))
    model.compile("adam", "mse")
    model._loss_tracker = Doubled(name="loss")
    model._loss_tracker.update_state(3.0)
    assert float(model.get_metrics_result()["loss"]) == 6
