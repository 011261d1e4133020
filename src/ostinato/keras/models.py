"""Every name of `keras.models`; `Sequential`, and functional models that `from_keras` was given, train faster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any

import keras
import torch
from keras.src.models import functional as keras_functional

from . import chain, direct
from .loop import ON_TORCH
from .training import Training


@keras.saving.register_keras_serializable(package="ostinato")
class Sequential(Training, keras.Sequential):  # type: ignore[misc]
    """`keras.Sequential` whose layers are called, and whose training steps are made, with less work around them.

    Arguments, `fit`, callbacks, metrics and saving are Keras'; results are equal up to rounding.
    """

    _called: bool

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras."""
        training = kwargs.get("training")
        if len(args) == len(kwargs) == 1 and isinstance(training, bool) and self._is_plain_for(args[0]):
            return self._call_plainly(args[0], training)
        return super().__call__(*args, **kwargs)

    def _call_plainly(self, inputs: Any, training: bool) -> Any:
        if not self._called:  # which Keras asks for where a model is exported
            self._called = True
        context = self._get_call_context()  # clears the losses of the last call, if nobody calls this model
        try:
            context.set_value("training", training)  # for layers within a layer, as its activation
            return direct.call(self, inputs, training)
        finally:
            self._maybe_reset_call_context()

    def _is_plain_for(self, inputs: Any) -> bool:
        """Whether no layer asks for anything of what Keras does around a call."""
        dtype = self.compute_dtype
        return (
            type(self).call is Sequential.call
            and self.activity_regularizer is None
            and direct.takes(inputs, dtype)
            and self._is_straight_for(inputs)
            and all(direct.is_plain(layer, dtype) for layer in self.layers)
        )

    def call(self, inputs: Any, training: Any = None, mask: Any = None, **kwargs: Any) -> Any:
        """As in Keras: each layer's output goes into the next layer."""
        layers, position, dtype = self.layers, 0, self.compute_dtype
        straight = mask is None and not kwargs and not any(map(_masks_in_its_own_way, map(type, layers)))
        given = self._as_declared(inputs) if straight else inputs
        if not straight or not self._is_straight_for(given):
            return super().call(inputs, training=training, mask=mask, **kwargs)
        inputs = given
        while position < len(layers):
            if training and (done := chain.run(self, layers[position:], inputs)) is not None:
                inputs, position = done[0], position + done[1]
                continue
            layer = layers[position]
            position += 1
            if direct.serves(layer, inputs, dtype):
                inputs = direct.call(layer, inputs, bool(training))
            elif layer._call_has_training_arg and training is not None:
                inputs = layer(inputs, training=training)
            else:
                inputs = layer(inputs)
        return inputs

    def _as_declared(self, inputs: Any) -> Any:
        """A tensor in the dtype of the model's `Input`, as Keras converts what it is given."""
        if not (ON_TORCH and self._functional is not None and type(inputs) is torch.Tensor):
            return inputs
        declared = getattr(torch, self.inputs[0].dtype, inputs.dtype)
        return inputs if inputs.dtype == declared else inputs.to(declared)

    def _is_straight_for(self, inputs: Any) -> bool:
        """Whether nothing is to be done between the layers, nor to the inputs in front of them."""
        return (
            ON_TORCH
            and self._functional is not None
            and type(inputs) is torch.Tensor
            and not inputs.is_meta
            and not torch.compiler.is_compiling()
            and inputs.dim() == len(self.inputs[0].shape)
            and inputs.dtype == getattr(torch, self.inputs[0].dtype, None)
        )


@cache
def _masks_in_its_own_way(layer: Any) -> bool:
    """Whether a class of layers is a user's that makes masks; a graph hands these on where a call alone does not."""
    home: str = layer.compute_mask.__module__
    return not home.startswith(("keras.", "ostinato."))


@keras.saving.register_keras_serializable(package="ostinato")
class Functional(Training, keras_functional.Functional):  # type: ignore[misc]
    """The class of `keras.Model(inputs, outputs)`, whose training steps are made with less work around them."""

    def _run_through_graph(self, inputs: Any, operation_fn: Any = lambda op: op, call_fn: Any = None) -> Any:
        if call_fn is not None or not chain.is_open():
            return super()._run_through_graph(inputs, operation_fn, call_fn)
        done: set[Any] = set()
        return super()._run_through_graph(
            inputs, lambda op: operation_fn(_InChain(self, op, self._lines.get(op, ()), done))
        )

    @cached_property
    def _lines(self) -> dict[Any, list[Any]]:
        """For each layer that is used once, it and the layers behind it that read its output and nothing else reads."""
        readers: dict[int, list[Any]] = {}
        nodes = [node for level in self._nodes_by_depth.values() for node in level if not node.is_input]
        for node in nodes:
            for tensor in node.input_tensors:
                readers.setdefault(id(tensor), []).append(node)
        shown = {id(tensor) for tensor in self.outputs}
        used = Counter(node.operation for node in nodes)

        def line(node: Any) -> list[Any]:
            given = {name for name, value in node.arguments.kwargs.items() if value is not None}
            plain = len(node.input_tensors) == len(node.arguments.args) == 1 and given <= {"training"}
            if used[node.operation] > 1 or not plain:
                return []
            behind = readers.get(id(node.outputs[0]), [])
            ends = len(node.outputs) != 1 or len(behind) != 1 or id(node.outputs[0]) in shown
            return [node.operation] if ends else [node.operation, *line(behind[0])]

        return {node.operation: line(node) for node in nodes}


class _InChain:
    """A layer in a graph, which runs with those behind it where they are a chain; these hand its output on then."""

    def __init__(self, model: Any, layer: Any, line: Sequence[Any], done: set[Any]) -> None:
        self._model, self._layer, self._line, self._done = model, layer, line, done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._layer in self._done:
            return args[0]
        given = {name: value for name, value in kwargs.items() if value is not None}
        plain = len(args) == 1 and type(args[0]) is torch.Tensor and given == {"training": True}
        if self._line and plain:
            found = chain.run(self._model, self._line, args[0])
            if found is not None:
                self._done.update(self._line[1 : found[1]])
                return found[0]
        return self._layer(*args, **kwargs)


_OURS = {"Functional": Functional, "Sequential": Sequential}

__all__ = sorted({name for name in dir(keras.models) if not name.startswith("_")} | set(_OURS))  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(keras.models, name)


def __dir__() -> list[str]:
    return __all__
