"""The network of a forecast: built, trained and asked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..keras import Model, callbacks, layers, losses, optimizers, utils
from .settings import Settings

#: The Keras layer of each cell.
RECURRENT = {"lstm": "LSTM", "gru": "GRU", "rnn": "SimpleRNN"}
#: Windows that are predicted at once; does not change the result.
PREDICTED_AT_ONCE = 4096


@dataclass(frozen=True)
class Epoch:
    """How training stands after an epoch.

    Attributes:
        number: of the epoch, from 1.
        epochs: most there can be.
        loss: mean squared error over the training windows, in scaled units.
        val_loss: over the validation windows, or None where there are none.
    """

    number: int
    epochs: int
    loss: float
    val_loss: float | None


@dataclass(frozen=True)
class Training:
    """What came of training.

    Attributes:
        history: every epoch.
        best: number of the epoch whose weights the network has; 0 are the initial ones.
        seconds: wall time.
    """

    history: tuple[Epoch, ...]
    best: int
    seconds: float


def build(settings: Settings, window: int, features: int) -> Any:
    """An untrained Keras model from (batch, window, features) to (batch, horizon)."""
    recurrent = getattr(layers, RECURRENT[settings.cell])
    inputs = layers.Input((window, features))
    x = inputs
    for layer in range(settings.layers):
        x = recurrent(settings.units, return_sequences=layer < settings.layers - 1)(x)
        x = layers.Dropout(settings.dropout)(x)
    if settings.highway:
        change = layers.Dense(settings.horizon, kernel_initializer="zeros")(x)
        linear = layers.Dense(settings.horizon, kernel_initializer="zeros", use_bias=False)(layers.Flatten()(inputs))
        outputs = layers.Add()([change, linear])
    else:
        outputs = layers.Dense(settings.horizon)(x)
    return Model(inputs, outputs)


def train(
    settings: Settings,
    inputs: np.ndarray,
    targets: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray] | None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> tuple[Any, Training]:
    """A trained Keras model. Seeds the random states of Python, NumPy and Keras' backend.

    Args:
        inputs: (n, window, features).
        targets: (n, horizon).
        validation: the same of the validation rows, or None: then all epochs are run.
        on_epoch: called after each epoch.
    """
    utils.set_random_seed(settings.seed)
    model = build(settings, inputs.shape[1], inputs.shape[2])
    model.compile(
        optimizer=optimizers.Adam(settings.learning_rate, clipnorm=settings.clip), loss=losses.MeanSquaredError()
    )
    watch = _Watch(settings, validation, on_epoch)
    begin = time.perf_counter()
    model.fit(
        inputs,
        targets,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        shuffle=True,
        verbose=0,
        callbacks=[watch],
    )
    best = len(watch.history) if validation is None else watch.best
    return model, Training(tuple(watch.history), best, time.perf_counter() - begin)


def predict(model: Any, inputs: np.ndarray) -> np.ndarray:
    """(n, horizon) out of (n, window, features)."""
    return np.asarray(model.predict(inputs, batch_size=PREDICTED_AT_ONCE, verbose=0))


class _Watch(callbacks.Callback):  # type: ignore[misc]
    """Early stopping that also knows the initial weights: Keras' own takes the first epoch's for the best at first."""

    def __init__(
        self,
        settings: Settings,
        validation: tuple[np.ndarray, np.ndarray] | None,
        on_epoch: Callable[[Epoch], None] | None,
    ) -> None:
        super().__init__()
        self.history: list[Epoch] = []
        self.best = 0
        self._settings = settings
        self._validation = validation
        self._on_epoch = on_epoch
        self._best_loss = math.inf
        self._best_weights: list[np.ndarray] = []

    def _loss(self) -> float | None:
        if self._validation is None:
            return None
        inputs, targets = self._validation
        return float(np.mean((predict(self.model, inputs) - targets) ** 2))

    def _keep(self, epoch: int, loss: float) -> None:
        self.best, self._best_loss, self._best_weights = epoch, loss, self.model.get_weights()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        loss = self._loss()
        if loss is not None:
            self._keep(0, loss)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        number, loss = epoch + 1, self._loss()
        self.history.append(Epoch(number, self._settings.epochs, float((logs or {})["loss"]), loss))
        if self._on_epoch is not None:
            self._on_epoch(self.history[-1])
        if loss is not None and loss < self._best_loss:
            self._keep(number, loss)
        elif loss is not None and number - self.best >= self._settings.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        if self._best_weights:
            self.model.set_weights(self._best_weights)
