"""The weights of a trained Keras layer as another one's first values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import keras
import numpy as np

Layer = TypeVar("Layer")


def load_weights_from(layer: Layer, source: Any) -> Layer:
    """Copy the weights of a trained layer or model, or a list of arrays, into one of the same weights.

    Shapes are compared before anything is copied. `layer.trainable = False` then keeps the layer as it is: gradients
    flow through it, and none to its weights.

    Args:
        layer: a built Keras layer or model, which is changed.
        source: a built layer or model, or what `get_weights` of one returned.

    Returns:
        The same layer.

    Raises:
        TypeError: the layer is none of Keras, or the source is neither a layer nor a list.
        ValueError: one of them is not built, or their weights differ in number or shape; the sentence names the first.
    """
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(f"weights can be loaded into a Keras model or layer; got {type(layer).__name__}")
    if isinstance(source, keras.layers.Layer):
        for one in (layer, source):
            if not one.built:
                raise ValueError(f"{one.name} has no weights yet; build it first, with an Input or by calling it")
        given = source.get_weights()
    elif isinstance(source, Sequence) and not isinstance(source, str):
        given = [np.asarray(array) for array in source]
    else:
        raise TypeError(
            f"the source is of the type {type(source).__name__}; expected a Keras layer or a list of arrays"
        )
    if len(given) != len(layer.weights):
        raise ValueError(f"the source has {len(given)} weights; expected {len(layer.weights)}, those of {layer.name}")
    for variable, array in zip(layer.weights, given, strict=True):
        if tuple(array.shape) != tuple(variable.shape):
            raise ValueError(
                f"{variable.path} has the shape {tuple(array.shape)} in the source; expected {tuple(variable.shape)}"
            )
    layer.set_weights(given)
    return layer
