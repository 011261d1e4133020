"""Models between this library's classes and Keras' own."""

from __future__ import annotations

from typing import Any, TypeVar

import keras
from keras.src.models import functional as keras_functional

from .bidirectional import Bidirectional
from .dropout import Dropout
from .gallery import EquationsLayer
from .models import Functional, Sequential
from .recurrent import GRU, LSTM, SimpleRNN
from .stack import EquationsStack

Model = TypeVar("Model")

_OURS: dict[type, type] = {
    keras.layers.LSTM: LSTM,
    keras.layers.GRU: GRU,
    keras.layers.SimpleRNN: SimpleRNN,
    keras.layers.Bidirectional: Bidirectional,
    keras.layers.Dropout: Dropout,
    keras.Sequential: Sequential,
    keras_functional.Functional: Functional,
}
_KERAS = {ours: theirs for theirs, ours in _OURS.items()}


def from_keras(model: Model) -> Model:
    """Turn Keras' recurrent and dropout layers, at any depth of a model, and the model into those of this library.

    The model itself is changed and returned: its weights, optimizer and compiled state stay as they are. Layers and
    models of a subclass of Keras' are left alone.

    Args:
        model: a Keras model or layer.

    Raises:
        TypeError: it is neither.
    """
    _convert(_layers(model), _OURS)
    return model


def to_keras(model: Model) -> Model:
    """Turn this library's layers, at any depth of a model, and the model into Keras' own: the inverse of `from_keras`.

    Saved afterwards, the `.keras` file loads where this library is not installed.

    Raises:
        TypeError: it is neither a Keras model nor a layer.
        ValueError: a layer truncates or clips gradients, which Keras' cannot, or is none that Keras has; nothing has
            been changed.
    """
    layers = _layers(model)
    for layer in layers:
        if type(layer) not in _KERAS and isinstance(layer, (EquationsLayer, EquationsStack)):
            raise ValueError(f"{layer.name} is a {type(layer).__name__}, which Keras has not; take it out of the model")
        if type(layer) in _KERAS and (bounds := getattr(layer, "bounds", None)):
            told = ", ".join(f"{name} is {bound!r}" for name, bound in bounds.items())
            theirs = _KERAS[type(layer)].__name__
            raise ValueError(f"{layer.name}: {told}, which {theirs} of Keras cannot do; set it to None first")
    _convert(layers, _KERAS)
    return model


def _layers(model: Any) -> list[Any]:
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(f"only a Keras model or layer can be converted; got {type(model).__name__}")
    return list(model._flatten_layers())


def _convert(layers: list[Any], classes: dict[type, type]) -> None:
    for layer in layers:
        # The classes of a pair hold the same state; they differ in their methods only.
        layer.__class__ = classes.get(type(layer), type(layer))
