"""Subjects on Keras, whatever its backend: our layers, and Keras' own on torch, JAX and TensorFlow.

Imports no framework but Keras at its head: the backend is the one that KERAS_BACKEND names.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np

from . import problems
from .problems import Array
from .serving import watched

#: One step: outputs, and the gradients of the input and of every weight, in the backend's own arrays.
Step = Callable[[], tuple[Any, Sequence[Any]]]


def differentiated(layer: Any, x: Array, dy: Array, mask: Array | None = None) -> Step:
    """`layer(x, mask=mask)` and its gradients against `dy`, compiled where Keras itself would compile it."""
    make = {"torch": _on_torch, "jax": _on_jax, "tensorflow": _on_tensorflow}[keras.backend.backend()]
    return make(layer, x, dy, {} if mask is None else {"mask": keras.ops.convert_to_tensor(mask)})


def _on_torch(layer: Any, x: Array, dy: Array, masked: dict[str, Any]) -> Step:
    import torch

    leaf, upstream = torch.from_numpy(x).requires_grad_(), torch.from_numpy(dy)
    wanted = [leaf, *(weight.value for weight in layer.trainable_weights)]

    def step() -> tuple[Any, Sequence[Any]]:
        y = layer(leaf, training=True, **masked)
        return y.detach(), torch.autograd.grad(y, wanted, upstream)

    return step


def _on_jax(layer: Any, x: Array, dy: Array, masked: dict[str, Any]) -> Step:
    jax: Any = importlib.import_module("jax")
    state = [weight.value for weight in layer.non_trainable_variables]
    weights = [weight.value for weight in layer.trainable_variables]

    def scalar(x: Any, weights: Any, dy: Any, masked: Any) -> Any:
        y, _ = layer.stateless_call(weights, state, x, training=True, **masked)
        return (y * dy).sum(), y

    compiled = jax.jit(jax.value_and_grad(scalar, argnums=(0, 1), has_aux=True))
    inputs, upstream = jax.numpy.asarray(x), jax.numpy.asarray(dy)

    def step() -> tuple[Any, Sequence[Any]]:
        (_, y), (dx, gradients) = jax.block_until_ready(compiled(inputs, weights, upstream, masked))
        return y, [dx, *gradients]

    return step


def _on_tensorflow(layer: Any, x: Array, dy: Array, masked: dict[str, Any]) -> Step:
    tensorflow: Any = importlib.import_module("tensorflow")
    inputs, upstream = tensorflow.constant(x), tensorflow.constant(dy)
    weights = [weight.value for weight in layer.trainable_variables]

    @tensorflow.function(jit_compile=all(part.supports_jit for part in layer._flatten_layers()))  # type: ignore[untyped-decorator]
    def compiled(inputs: Any, upstream: Any, masked: Any) -> Any:
        with tensorflow.GradientTape() as tape:
            tape.watch(inputs)
            y = layer(inputs, training=True, **masked)
        return y, tape.gradient(y, [inputs, *weights], output_gradients=upstream)

    def step() -> tuple[Any, Sequence[Any]]:
        y, gradients = compiled(inputs, upstream, masked)
        # Reading one number of the result waits for all of it.
        float(gradients[0][0, 0, 0])
        return y, gradients

    return step


def model_class(library: str, name: str) -> Any:
    """The model `name` of the house of "keras.layers" or "ostinato.keras.layers"."""
    return getattr(importlib.import_module(f"{library.removesuffix('layers')}models"), name)


def layer_class(library: str, name: str) -> Any:
    """The layer `name` of "keras.layers" or "ostinato.keras.layers"."""
    return getattr(importlib.import_module(library), name)


def assign(layer: Any, weights: Mapping[str, Array]) -> None:
    """Copy weights by PyTorch's names into a layer's or a model's trainable weights, in order."""
    for variable, value in zip(layer.trainable_weights, problems.to_keras(weights), strict=True):
        variable.assign(value)


def _arrays(values: Sequence[Any]) -> list[Array]:
    return [keras.ops.convert_to_numpy(value) for value in values]


class BidirectionalLayer:
    """Forward and every gradient of a bidirectional LSTM over masked rows; padding comes after each row's steps."""

    steps_per_run = 1

    def __init__(
        self, library: str, input_size: int, hidden_size: int, batch: int, steps: int, lengths: list[int]
    ) -> None:
        self.library = library
        self.weights = problems.parameters("LSTM", input_size, hidden_size, bidirectional=True)
        lstm = layer_class(library, "LSTM")(hidden_size, return_sequences=True)
        layer = layer_class(library, "Bidirectional")(lstm)
        layer.build((batch, steps, input_size))
        assign(layer, self.weights)
        mask = problems.valid(lengths, steps)
        # The same numbers as the time-major subjects see.
        x, dy = (
            (problems.normal((steps, batch, size), seed) * mask.T[..., None]).astype(np.float32).swapaxes(0, 1).copy()
            for size, seed in ((input_size, 5), (2 * hidden_size, 6))
        )
        self.step = differentiated(layer, x, dy, mask)

    def run(self, runs: int) -> float:
        y: Any = None
        for _ in range(runs):
            y, _ = self.step()
        return float(keras.ops.sum(y))

    def check(self) -> dict[str, Array]:
        with watched(self) if self.library.startswith("ostinato") else nullcontext():
            y, gradients = self.step()
        y, dx, *gradients = _arrays([y, *gradients])
        return {"output": y.swapaxes(0, 1), "x": dx.swapaxes(0, 1)} | problems.from_keras(self.weights, gradients)


class StockNetwork:
    """Training of the stock price network by Keras: whole epochs of `fit`, or one `train_on_batch` after the other.

    The check differentiates the same network without dropout: a random mask has no oracle.
    """

    def __init__(self, library: str, by: str, units: int, layers: int, dropout: float, batch: int, steps: int) -> None:
        if by not in ("fit", "train_on_batch"):
            raise ValueError(f"by is {by!r}; expected 'fit' or 'train_on_batch'")
        self.library, self.by, self.units, self.layers, self.batch = library, by, units, layers, batch
        self.windows, self.following = problems.price_windows(lookback=steps)
        self.steps_per_run = -(-len(self.windows) // batch) if by == "fit" else 1
        self.weights = problems.parameters("LSTM", 1, units, layers) | problems.dense(units)
        self.model = self._model(dropout)
        self.model.compile(optimizer="adam", loss="mean_squared_error")

    def _model(self, dropout: float) -> Any:
        lstm, dropped = layer_class(self.library, "LSTM"), layer_class(self.library, "Dropout")
        model = model_class(self.library, "Sequential")([keras.Input(self.windows.shape[1:])])
        for layer in range(self.layers):
            model.add(lstm(self.units, return_sequences=layer < self.layers - 1))
            model.add(dropped(dropout))
        model.add(keras.layers.Dense(1))
        assign(model, self.weights)
        return model

    def run(self, runs: int) -> float:
        if self.by == "fit":
            history = self.model.fit(self.windows, self.following, batch_size=self.batch, epochs=runs, verbose=0)
            return float(history.history["loss"][-1])
        loss: Any = None
        for _ in range(runs):
            loss = self.model.train_on_batch(self.windows[: self.batch], self.following[: self.batch])
        return float(loss)

    def check(self) -> dict[str, Array]:
        model = self._model(dropout=0.0)
        x = self.windows[: self.batch]
        with watched(self) if self.library.startswith("ostinato") else nullcontext():
            y, gradients = differentiated(model, x, np.ones((len(x), 1), np.float32))()
        y, _, *gradients = _arrays([y, *gradients])
        return {"output": y} | problems.from_keras(self.weights, gradients)
