"""What the layers of a Keras model take in and put out while it trains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any

import keras
import torch
from torch import Tensor

from ..faults import Share
from ..faults.hints import Kind, first_tensor
from .gallery import EquationsLayer
from .loop import ON_TORCH

#: How much of a batch is run again to see its gates.
_ROWS, _STEPS = 8, 100

_SIGMOIDS = ("sigmoid", "hard_sigmoid")


class Recorder:
    """Keeps a reference to the input and the output of each layer's last call in training, until `release(model, by)`.

    Attributes:
        inputs, outputs: by the layers' names, in the order of their calls.
        layers: the innermost layers, those of a recurrent or bidirectional one left out.
    """

    def __init__(self, model: Any, by: Any) -> None:
        self.layers = {layer.name: layer for layer in innermost(model)}
        self.inputs: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}
        self.on = False
        for layer in self.layers.values():
            # every way to run a layer ends in `call`
            replace(layer, "call", self._recording(layer, layer.call), by)

    def clear(self) -> None:
        """Forget all tensors."""
        self.inputs.clear()
        self.outputs.clear()

    def _recording(self, layer: Any, call: Any) -> Any:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            output = call(*args, **kwargs)
            if self.on:
                self.inputs[layer.name] = args[0] if args else None
                self.outputs[layer.name] = output
            return output

        return recorded


class Guest(keras.callbacks.Callback):  # type: ignore[misc]
    """A callback that puts functions of its own into a model while that trains. `fit` of the models here sees to it
    that it leaves, however the training ends; that of others, interrupted, leaves it there until the next training.
    """

    def on_train_end(self, logs: Any = None) -> None:
        self.leave()

    def leave(self) -> None:
        """Take out of the model what was put there; harmless if done before."""
        raise NotImplementedError


@dataclass
class _Replaced:
    """A function in the place of a method of one object, who put it there, and what was called and what stood in the
    object's dictionary before."""

    function: Any
    by: Any
    called: Any
    before: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def replace(owner: Any, name: str, function: Any, by: Any) -> None:
    """Put a function in the place of a method of a layer or model, past Keras' tracking of attributes."""
    own, called = vars(owner), getattr(owner, name)
    own[name] = wraps(called, updated=())(_Replaced(function, by, called, own.get(name)))


def release(model: Any, by: Any) -> None:
    """Undo every `replace` in a model that somebody made; what others put in front of it calls what it called."""
    for owner in (model, *innermost(model)):
        own = vars(owner)
        for name in ("call", "compute_loss", "train_step"):
            above, one = None, own.get(name)
            while isinstance(one, _Replaced):
                if one.by == by:
                    one.function = one.called
                    if above is None and one.before is None:
                        del own[name]
                    elif above is None:
                        own[name] = one.before
                    else:
                        above.before = one.before
                else:
                    above = one
                one = one.before


def check_eager(model: Any, who: str) -> None:
    """See that a model's training can be looked into.

    Raises:
        ValueError: Keras does not run on torch step by step.
    """
    if not ON_TORCH or model.jit_compile:
        how = "compiled (jit_compile=True)" if ON_TORCH else f"on {keras.backend.backend()}"
        raise ValueError(f"{who} looks into every step, which needs Keras on torch, not compiled; this runs {how}")


def innermost(layer: Any) -> Iterator[Any]:
    """The layers inside of a model that hold no others, recurrent and wrapped ones taken whole."""
    for inner in layer.layers if hasattr(layer, "layers") else ():
        whole = isinstance(inner, (keras.layers.RNN, keras.layers.Wrapper)) or not hasattr(inner, "layers")
        if not isinstance(inner, keras.layers.InputLayer):
            yield from (inner,) if whole else innermost(inner)


def kind(layer: Any) -> Kind | None:
    """What a layer's output may be told by; None for those that learn nothing."""
    if isinstance(layer, (keras.layers.RNN, keras.layers.Bidirectional)):
        return "tanh"
    activation = getattr(layer, "activation", None)
    if isinstance(layer, keras.layers.ReLU) or activation is keras.activations.relu:
        return "relu"
    if activation is keras.activations.tanh:
        return "tanh"
    return "linear" if activation is not None or isinstance(layer, keras.layers.Dense) else None


@torch.no_grad()
def gates(layer: Any, sequences: Any) -> Share | None:
    """How often the gates of a recurrent layer are saturated, in some rows and steps of a batch, from states of zero.

    None for a layer without a sigmoid gate. The layer runs once more, on the reference, which alone calls activations
    that are functions.
    """
    if not isinstance(layer, keras.layers.RNN) or not layer.built:
        return None
    cell = layer.cell
    own = isinstance(layer, EquationsLayer)
    holder: dict[str, Any] = cell._given.value if own else vars(cell)
    name = "recurrent_activation"
    before = holder.get(name)
    if before is None:
        return None
    function = keras.activations.get(before)
    if getattr(function, "__name__", None) not in _SIGMOIDS:
        return None
    for x in first_tensor([sequences]):
        share = Share(function, lowest=0.0)
        part: Tensor = x[:_ROWS, :_STEPS]
        holder[name] = share
        try:
            layer.inner_loop(part, layer.get_initial_state(len(part)), None, training=False)
        finally:
            holder[name] = before
        return share
    return None


def recurrent(layer: Any) -> Iterator[Any]:
    """The recurrent layers that a layer is, or holds and runs itself."""
    if isinstance(layer, keras.layers.Bidirectional):
        yield from (layer.forward_layer, layer.backward_layer)
    elif isinstance(layer, keras.layers.RNN):
        yield layer
