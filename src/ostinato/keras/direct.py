"""Calls of a layer without the general machinery of `keras.layers.Layer.__call__`."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import keras
import torch

from .bidirectional import Bidirectional
from .dropout import Dropout
from .recurrent import Recurrent

#: Layers that take one tensor, make none of their variables, losses or masks in `call`, and are deterministic in what
#: they ask of the machinery. A subclass may do otherwise.
_PLAIN = frozenset({Bidirectional, Dropout, keras.layers.Dense, keras.layers.Dropout, keras.layers.Activation})
_HOOKS = attrgetter("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def serves(layer: Any, inputs: Any, dtype: str) -> bool:
    """Whether `call(layer, inputs)` comes to the same as `layer(inputs)` in a model that computes in `dtype`.

    That is so for a built layer of a plain kind, whose input needs no conversion and carries no mask, whose weights are
    of the dtype it computes in, and whose output is in no loss.
    """
    return is_plain(layer, dtype) and takes(inputs, dtype)


def is_plain(layer: Any, dtype: str) -> bool:
    """What `serves` asks of the layer."""
    return (
        (type(layer) in _PLAIN or (isinstance(layer, Recurrent) and layer.unchanged))
        and layer.built
        and layer.activity_regularizer is None
        and layer.compute_dtype == layer.variable_dtype == dtype
    )


def takes(inputs: Any, dtype: str) -> bool:
    """What `serves` asks of the inputs."""
    return (
        type(inputs) is torch.Tensor
        and inputs.dtype is _DTYPES.get(dtype)
        and not inputs.is_meta
        and getattr(inputs, "_keras_mask", None) is None
    )


def watched(layer: Any) -> bool:
    """Whether there is something around a layer's `call`."""
    return (
        any(_HOOKS(layer))
        or "call" in vars(layer)
        or layer._remat_mode is not None
        or bool(torch.nn.modules.module._has_any_global_hook())
    )


def _is_affine(layer: Any, inputs: torch.Tensor) -> bool:
    """Whether a layer is the product with its stored kernel, its bias and its activation, and nothing around it."""
    return (
        type(layer) is keras.layers.Dense
        and inputs.dim() == 2
        and layer.quantization_mode is None
        and not layer.lora_enabled
        and layer.activation is not None
        and not watched(layer)
    )


def call(layer: Any, inputs: torch.Tensor, training: bool) -> Any:
    """The output of a layer that `serves` these inputs.

    Raises:
        ValueError: the inputs' shape does not fit the layer; the message is Keras'.
    """
    layer._assert_input_compatibility(inputs)
    if _is_affine(layer, inputs):
        product = inputs @ layer.kernel.value
        return layer.activation(product if layer.bias is None else product + layer.bias.value)
    # a layer of Keras is a torch module, whose own way to `call` runs the hooks
    if layer._call_has_training_arg:
        return torch.nn.Module.__call__(layer, inputs, training=training)
    return torch.nn.Module.__call__(layer, inputs)
