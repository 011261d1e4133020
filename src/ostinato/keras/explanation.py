"""Which way a layer would take, in one sentence."""

from __future__ import annotations

from typing import Any

import keras

from ..scan import Request, choose
from . import loop
from .bidirectional import Bidirectional
from .recurrent import Recurrent
from .stack import EquationsStack


def explain(layer: Any, inputs: Any, *, mask: Any = None, training: bool = False) -> str:
    """Say how a layer would run these inputs, and why. Nothing is computed; a layer without weights is built.

    Args:
        layer: a recurrent layer of this library, or its `Bidirectional`.
        inputs: sequences (batch, steps, features).
        mask: (batch, steps), or None.
        training: whether the call is one of training.

    Returns:
        One sentence: the layer's name, what runs it, and the reason.

    Raises:
        TypeError: the layer is not one of this library's.
    """
    _expect_ours(layer)
    sequences = keras.ops.convert_to_tensor(inputs, dtype=layer.compute_dtype)
    if not layer.built:
        layer.build(tuple(sequences.shape))
    if isinstance(layer, Recurrent):
        return _explain_one(layer, sequences, mask, training)
    if isinstance(layer, EquationsStack):
        return " ".join(explain(one, below, mask=mask, training=training) for one, below in layer.fed(sequences))
    if layer.runs_together(sequences, mask):
        initial = layer.initial_states(sequences)
        return _sentence(layer, layer.request(sequences, initial, loop.boolean_mask(mask, sequences)))
    directions = (layer.forward_layer, layer.backward_layer)
    return " ".join(explain(one, sequences, mask=mask, training=training) for one in directions)


def _expect_ours(layer: object) -> None:
    if not isinstance(layer, (Recurrent, EquationsStack, Bidirectional)):
        raise TypeError(
            f"explain knows this library's recurrent layers; got {type(layer).__module__}.{type(layer).__name__}; "
            "convert a model of Keras' own layers with from_keras"
        )


def _explain_one(layer: Any, sequences: Any, mask: Any, training: bool) -> str:
    path = loop.path(layer, sequences, training)
    if path.way == "scan":
        initial = layer.get_initial_state(sequences.shape[0])
        return _sentence(layer, loop.request([layer], sequences, [initial], loop.boolean_mask(mask, sequences)))
    runs = {
        "steps": "calls its cell step by step",
        "bounded": "calls its cell step by step, with gradients truncated or clipped in between",
        "shapes": "makes shapes only",
        "keras": "runs Keras' own loop",
    }
    return f"{layer.name} {runs[path.way]}: {path.reason}."


def _sentence(layer: Any, request: Request) -> str:
    choice = choose(request)
    return f"{layer.name} runs on the backend {choice.backend!r}: {choice.reason.rstrip('.')}."
