"""Training steps by Keras, whatever its backend: our layers, and Keras' own on torch, JAX and TensorFlow.

Imports no framework but Keras at its head: the backend is the one that KERAS_BACKEND names.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from . import problems
from . import text_networks as networks
from .problems import Array
from .serving import watched
from .text_networks import Batch, Network
from .with_keras import layer_class

#: Of the gradient descent that a check reads gradients from: so high that they are not lost beside the weights.
RATE = 1e3


class Pooling(keras.layers.Layer):  # type: ignore[misc]
    """The largest and the mean of each feature over the steps that are not masked, side by side."""

    def __init__(self, pooling: str) -> None:
        super().__init__()
        self.pooling, self.supports_masking = pooling, True

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """None: what is pooled has no steps."""

    def call(self, inputs: Any, mask: Any = None) -> Any:
        real = keras.ops.expand_dims(mask, -1)
        pooled = []
        for piece in self.pooling.split("+"):
            if piece == "max":
                pooled.append(keras.ops.max(keras.ops.where(real, inputs, -float("inf")), axis=1))
            else:
                total = keras.ops.sum(keras.ops.where(real, inputs, 0.0), axis=1)
                pooled.append(total / keras.ops.sum(keras.ops.cast(real, inputs.dtype), axis=1))
        return keras.ops.concatenate(pooled, axis=1)


def build(network: Network, library: str) -> Any:
    """The network with the weights that all have, by layers of "keras.layers" or "ostinato.keras.layers"."""
    layers, LSTM = keras.layers, layer_class(library, "LSTM")
    last = network.pooling == "last"
    rnn = layer_class(library, "Bidirectional")(LSTM(network.units, return_sequences=not last))
    if network.vocabulary:
        table = layers.Embedding(network.vocabulary, network.inputs, mask_zero=True)
        stack = [layers.Input((None,), dtype="int64"), table]
    else:
        stack = [layers.Input((None, network.inputs)), layers.Masking()]
    if network.input_dropout:
        stack.append(layers.Dropout(network.input_dropout))
    stack.append(rnn)
    if not last:
        stack.append(Pooling(network.pooling))
    if network.dropout:
        stack.append(layers.Dropout(network.dropout))
    if network.hidden:
        stack.append(layers.Dense(network.hidden, activation="relu"))
    stack.append(layers.Dense(network.outputs, activation="sigmoid" if network.outputs == 1 else None))
    model = importlib.import_module(library.removesuffix(".layers")).Sequential(stack)
    named = networks.weights(network)
    first = [named.pop("embedding.weight")] if network.vocabulary else []
    for variable, value in zip(model.trainable_weights, [*first, *problems.to_keras(named)], strict=True):
        variable.assign(value)
    return model


class Classifier:
    """Training of a classifier by `train_on_batch`.

    Args:
        file: of batches; see `text_networks.save`.
        network: the entries of a `Network`.
        library: "keras.layers" or "ostinato.keras.layers".
        batches: how many of the file's are timed.
    """

    def __init__(self, file: str, network: Mapping[str, Any], library: str, batches: int | None = None) -> None:
        self.network, self.library = Network(**network), library
        read, self.sample = networks.load(file)
        self.batches = read[:batches]
        house = importlib.import_module(library.removesuffix(".layers"))
        self.optimizers, self.losses = house.optimizers, house.losses
        self.model = self._compiled(build(self.network, library), self.network.clip)

    def _compiled(self, model: Any, clip: float | None) -> Any:
        adam = self.optimizers.Adam(self.network.learning_rate, epsilon=networks.EPSILON, global_clipnorm=clip)
        model.compile(optimizer=adam, loss=self._loss())
        return model

    def _loss(self) -> Any:
        binary = self.network.outputs == 1
        return (
            self.losses.BinaryCrossentropy() if binary else self.losses.SparseCategoricalCrossentropy(from_logits=True)
        )

    def _update(self, model: Any, batch: Batch) -> float:
        target = batch.y.astype(np.float32)[:, None] if self.network.outputs == 1 else batch.y
        return float(model.train_on_batch(batch.x, target))

    def measure(self) -> dict[str, Any]:
        """One pass over the batches."""
        return networks.timed(lambda batch: self._update(self.model, batch), self.batches)

    def check(self) -> dict[str, Array]:
        """Gradients, from one step of gradient descent, and losses of a network without dropout."""
        still = replace(self.network, dropout=0.0, input_dropout=0.0)
        with watched(self) if self.library.startswith("ostinato") else nullcontext():
            gradients = self._gradients(still)
            model = self._compiled(build(still, self.library), None)
            losses = [self._update(model, self.sample) for _ in range(networks.UPDATES)]
        return {"losses": np.array(losses), **gradients}

    def _gradients(self, network: Network) -> dict[str, Array]:
        model = build(network, self.library)
        model.compile(optimizer=self.optimizers.SGD(RATE), loss=self._loss())
        before = model.get_weights()
        self._update(model, self.sample)
        found = [(old - new) / RATE for old, new in zip(before, model.get_weights(), strict=True)]
        names = [name for name in networks.weights(network) if "bias_hh" not in name]
        table = {names.pop(0): found.pop(0)} if network.vocabulary else {}
        return table | problems.from_keras(names, found)
