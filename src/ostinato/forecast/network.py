"""The network of a forecast: built, trained and asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..keras import callbacks, layers, losses, models, optimizers, utils
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
    return models.Functional(inputs, outputs)


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
    return model, Training(tuple(watch.history), watch.best, time.perf_counter() - begin)


def predict(model: Any, inputs: np.ndarray) -> np.ndarray:
    """(n, horizon) out of (n, window, features)."""
    return np.asarray(model.predict(inputs, batch_size=PREDICTED_AT_ONCE, verbose=0))


def beyond_chance(before: np.ndarray, after: np.ndarray, horizon: int) -> bool:
    """Whether losses fell by more than one standard error.

    The one-standard-error rule: of models that cannot be told apart, the simplest. Breiman, Friedman, Olshen and Stone,
    "Classification and Regression Trees", 1984.

    Args:
        before, after: (n) losses of the same windows, whose answers overlap by up to `horizon` rows.
    """
    gain = before - after
    independent = max(len(gain) / horizon, 1)
    return bool(gain.mean() > gain.std() / np.sqrt(independent))


class _Watch(callbacks.Callback):  # type: ignore[misc]
    """Early stopping that also knows the initial weights: Keras' own takes the first epoch's for the best at first.

    A network that begins as the naive forecast goes back to it unless training gained more than chance would.
    """

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

    def _losses(self) -> np.ndarray:
        """(n): of each validation window, or none."""
        if self._validation is None:
            return np.empty(0)
        inputs, targets = self._validation
        losses: np.ndarray = ((predict(self.model, inputs) - targets) ** 2).mean(axis=1)
        return losses

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._initial = self._best = (self._losses(), self.model.get_weights())

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        losses = self._losses()
        mean = float(losses.mean()) if len(losses) else None
        self.history.append(Epoch(epoch + 1, self._settings.epochs, float((logs or {})["loss"]), mean))
        if self._on_epoch is not None:
            self._on_epoch(self.history[-1])
        if mean is None or mean < self._best[0].mean():
            self.best, self._best = epoch + 1, (losses, self.model.get_weights())
        elif epoch + 1 - self.best >= self._settings.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        (before, initial), (after, best) = self._initial, self._best
        begins_naive = self._settings.highway and len(before) > 0
        if begins_naive and not beyond_chance(before, after, self._settings.horizon):
            self.best, best = 0, initial
        self.model.set_weights(best)
