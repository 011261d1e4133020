"""Layers called the short way, and the values of the metrics, are Keras' own, bit for bit."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
import torch

import ostinato.keras
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


def _as_stock(first: Callable[[], Any], x: np.ndarray, **options: Any) -> None:
    """Check that a model with such a layer in front of an LSTM predicts, and trains, as Keras' own does."""
    made = []
    for kit in (keras, ostinato.keras):
        keras.utils.set_random_seed(1)
        inputs = kit.layers.Input(x.shape[1:], **options)
        made.append(kit.models.Sequential([inputs, first(), kit.layers.LSTM(4, name="lstm"), kit.layers.Dense(3)]))
        made[-1].compile("sgd", "mse")
    stock, ours = made
    ours.set_weights(stock.get_weights())
    np.testing.assert_allclose(ours.predict(x, verbose=0), stock.predict(x, verbose=0), atol=1e-5)
    target = np.ones((len(x), 3), "float32")
    losses = [one.fit(x, target, epochs=2, verbose=0, shuffle=False).history["loss"] for one in (ours, stock)]
    np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float64"])
@pytest.mark.parametrize(
    "first",
    [
        keras.layers.LayerNormalization, keras.layers.UnitNormalization, lambda: keras.layers.Conv1D(8, 3),
        lambda: keras.layers.AveragePooling1D(2), lambda: keras.layers.Lambda(lambda x: 2 * x - 255),
    ],
    ids=["LayerNormalization", "UnitNormalization", "Conv1D", "AveragePooling1D", "Lambda"],
)  # fmt: skip
def test_inputs_are_converted_to_the_dtype_of_the_input(first: Callable[[], Any], dtype: str) -> None:
    _as_stock(first, np.random.default_rng(0).integers(0, 255, (4, 9, 6)).astype(dtype))


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
@pytest.mark.parametrize("declared", ["float32", "int32"])
def test_tokens_of_any_dtype(declared: str, dtype: str) -> None:
    x = np.random.default_rng(0).integers(0, 50, (4, 9)).astype(dtype)
    _as_stock(lambda: keras.layers.Embedding(50, 6, mask_zero=True), x, dtype=declared)


class Quiet(keras.layers.Layer):  # type: ignore[misc]
    """Hands on its input, and masks the steps at which that is next to nothing."""

    def call(self, x: Any) -> Any:
        return x

    def compute_mask(self, x: Any, mask: Any = None) -> Any:
        own = keras.ops.any(keras.ops.abs(x) > 0.1, axis=-1)
        return own if mask is None else keras.ops.logical_and(mask, own)


def test_a_mask_that_a_layer_adds_to_another() -> None:
    x = np.random.default_rng(0).standard_normal((4, 7, 4)).astype("float32")
    x[:, 5:], x[:, 2] = 0, 0.05
    _as_stock(lambda: keras.Sequential([keras.layers.Masking(), Quiet()]), x)
    made = []
    for kit in (keras, ostinato.keras):
        made.append(kit.models.Sequential([keras.Input((7, 4)), keras.layers.Masking(), Quiet(), kit.layers.LSTM(3)]))
    stock, ours = made
    ours.set_weights(stock.get_weights())
    np.testing.assert_allclose(ours.predict(x, verbose=0), stock.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("options", [{}, {"recurrent_dropout": 0.1}, {"clip_recurrent_gradient": 1.0}], ids=str)
def test_states_beyond_those_of_the_cell_are_left(kind: str, options: dict[str, Any]) -> None:
    """As Keras does, so that a decoder's LSTM may become a GRU."""
    x, given = torch.ones(2, 5, 3), [torch.full((2, 4), 0.1 * k) for k in range(3)]
    layer = getattr(layers, kind)(4, **options)
    stock = getattr(keras.layers, kind)(4)
    expected = stock(x, initial_state=given)
    layer.build(x.shape)
    layer.set_weights(stock.get_weights())
    torch.testing.assert_close(layer(x, initial_state=given), expected)
    assert layer(x, initial_state=given, training=True).shape == expected.shape


def test_a_model_that_was_called_the_short_way_can_be_exported(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(3, 6, 5)).astype("float32")
    model = models.Sequential([keras.Input((6, 5)), layers.LSTM(4), layers.Dense(2)])
    expected = model.predict(x, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every shape that it reads
        model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    found = session.run(None, {session.get_inputs()[0].name: x})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
