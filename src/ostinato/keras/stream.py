"""A Keras model as a stream: recurrent and dense layers behind each other, one step at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import torch
from keras.src.models import functional as keras_functional

from ..cells import dense
from ..scan import Layers, Stream, Weights, make_request
from . import loop, models
from .dropout import Dropout
from .recurrent import Recurrent, named, tensor_of
from .stack import EquationsStack

_layers = keras.layers

#: What does nothing outside training.
_IN_TRAINING = (
    _layers.InputLayer, Dropout, _layers.Dropout, _layers.SpatialDropout1D, _layers.AlphaDropout,
    _layers.GaussianDropout, _layers.GaussianNoise, _layers.ActivityRegularization,
)  # fmt: skip

#: The `call` of models that run their layers one behind the other, and do nothing else.
_CALLS = keras.Sequential.call, keras_functional.Functional.call, models.Sequential.call

_SERVED = "a stream runs recurrent layers of this library, Dense, dropout and noise, and an Embedding in front"


class TokenStream(Stream):
    """A `Stream` whose inputs are tokens, which its first layer, an Embedding, turns into vectors.

    Attributes:
        tokens: how many there are.
    """

    def __init__(self, embedding: Any, *args: Any) -> None:
        self._embedding = embedding
        super().__init__(*args)

    def _made(self) -> tuple[Layers, Any]:
        self._vectors = np.ascontiguousarray(keras.ops.convert_to_numpy(self._embedding.embeddings), self.dtype)
        self.tokens = len(self._vectors)
        return super()._made()

    def __call__(self, x: Any, out: np.ndarray | None = None) -> np.ndarray:
        """One step, as `Stream` takes it; x holds whole numbers from 0 to `tokens` - 1: (batch), or one by itself if
        the batch is 1.

        Raises:
            ValueError: x or `out` does not fit; the state is as before.
        """
        token = np.asarray(x)
        fitting = [(self.batch,), ()] if self.batch == 1 else [(self.batch,)]
        if token.dtype.kind not in "iu" or token.shape not in fitting:
            expected = " or ".join(map(str, fitting))
            raise ValueError(
                f"the input is {token.dtype} of the shape {token.shape}; expected whole numbers {expected}"
            )
        if token.min() < 0 or token.max() >= self.tokens:
            raise ValueError(f"a token is {token.min()}..{token.max()}; expected 0..{self.tokens - 1}")
        return super().__call__(self._vectors[token], out)


def stream(model: Any, batch: int = 1) -> Stream:
    """What runs a model one step at a time, on arrays of NumPy: see `scan.Stream`.

    Args:
        model: a built model that is a chain: recurrent layers of this library, `Dense` (also in `TimeDistributed`),
            `Activation` behind a linear `Dense`, layers that act in training alone, and an `Embedding` without
            `mask_zero` in front, with which the stream is a `TokenStream`; or one such layer. Whether a layer returns
            its whole sequence makes no difference: every step has an output, the last of the steps so far.
        batch: how many sequences are carried side by side.

    Returns:
        A stream from zero states, which are called after layer and state: `lstm.h`.

    Raises:
        ValueError: the model is no such chain, or not built, or `batch` is no whole number of at least 1; the sentence
            names the layer.
        RuntimeError: Keras does not run on torch, or the compiled kernels cannot serve a layer.
    """
    if not loop.ON_TORCH:
        raise RuntimeError(f"a stream needs Keras on torch, and it runs on {keras.backend.backend()}")
    layers = [layer for layer in _chain(model) if type(layer) not in _IN_TRAINING]
    for layer in layers:
        if not layer.built:
            raise ValueError(f"{layer.name} is not built; call the model, or its build, first")
    embedding = layers.pop(0) if layers and type(layers[0]) is _layers.Embedding else None
    if embedding is not None:
        _check_embedding(embedding)
    stages = _stages(layers)
    if not stages:
        raise ValueError(f"{model.name} has no layer to run at a step; {_SERVED}")

    dtype = stages[0][0].compute_dtype
    for layer, _ in stages:
        if layer.compute_dtype != dtype:
            raise ValueError(f"{layer.name} computes in {layer.compute_dtype}, and the layers before it in {dtype}")

    def put(into: Layers) -> None:
        for layer, activation in stages:
            _put(layer, activation, into)

    if embedding is None:
        return Stream(put, _input_size(stages[0][0]), batch, getattr(torch, dtype))
    return TokenStream(embedding, put, embedding.output_dim, batch, getattr(torch, dtype))


def _chain(model: Any) -> Iterator[Any]:
    """The layers of a model from the first to the last, models within it taken apart."""
    if not isinstance(model, keras.Model):
        yield model
        return
    if not isinstance(model, keras.Sequential):
        _check_chain(model)
    if type(model).call not in _CALLS:
        raise ValueError(f"{model.name} is a {type(model).__name__}, whose call is its own; a stream runs layers alone")
    for layer in model.layers:
        yield from _chain(layer)


def _check_chain(model: Any) -> None:
    if not isinstance(model, keras_functional.Functional):
        raise ValueError(f"{model.name} is a {type(model).__name__}, which does not say in what order its layers run")
    for count, what in ((len(model.inputs), "inputs"), (len(model.outputs), "outputs")):
        if count != 1:
            raise ValueError(f"{model.name} has {count} {what}; a stream has one")
    nodes = [node for same_depth in model._nodes_by_depth.values() for node in same_depth]
    for layer in model.layers[1:]:
        if sum(node.operation is layer for node in nodes) != 1:
            raise ValueError(f"{layer.name} is called more than once; a stream runs a chain of layers")
    for before, layer in pairwise(model.layers):
        (node,) = (node for node in nodes if node.operation is layer)
        if len(node.parent_nodes) != 1 or node.parent_nodes[0].operation is not before:
            raise ValueError(f"{layer.name} does not follow on {before.name} alone; a stream runs a chain of layers")
        given = {name: value for name, value in node.arguments.kwargs.items() if value is not None}
        if len(node.arguments.args) != 1 or not given.keys() <= {"training"}:
            told = ", ".join(given) or "further arguments"
            raise ValueError(f"{layer.name} is called with {told}; a stream runs a chain of layers, from zero states")
        _check_output(node.input_tensors[0], f"{layer.name} reads")
    _check_output(model.outputs[0], f"{model.name} returns")


def _check_output(tensor: Any, does: str) -> None:
    layer, _, number = tensor._keras_history
    if number:
        raise ValueError(f"{does} a state of {layer.name}; a stream hands on the output of a layer alone")


def _check_embedding(layer: Any) -> None:
    if _is_quantized(layer):
        raise ValueError(f"{layer.name} is an Embedding; {_why_not(layer)}")
    if layer.mask_zero:
        raise ValueError(
            f"{layer.name} has mask_zero=True: states pass by its token 0, and a stream makes a step of every token"
        )


def _is_quantized(layer: Any) -> bool:
    return getattr(layer, "quantization_mode", None) is not None


def _stages(layers: list[Any]) -> list[tuple[Any, Any]]:
    """Each layer with its activation if it is a dense one, which an `Activation` behind it may give."""
    found: list[tuple[Any, Any]] = []
    for given in layers:
        layer = given.layer if type(given) is _layers.TimeDistributed else given
        if type(layer) is _layers.Activation and found and found[-1][1] is keras.activations.linear:
            found[-1] = found[-1][0], layer.activation
        elif type(layer) is _layers.Dense and not _is_quantized(layer):
            found.append((layer, layer.activation))
        elif isinstance(layer, (Recurrent, EquationsStack)):
            found.append((layer, None))
        else:
            raise ValueError(f"{layer.name} is a {type(layer).__name__}; {_why_not(layer)}")
    return found


def _why_not(layer: Any) -> str:
    if _is_quantized(layer):
        return f"its weights are quantized to {layer.quantization_mode}, and a stream needs them as they were trained"
    if isinstance(layer, _layers.Bidirectional):
        return "its second direction begins at the end of a sequence, and a stream has none"
    if isinstance(layer, (_layers.LSTM, _layers.GRU, _layers.SimpleRNN)):
        return "ostinato.keras.from_keras turns it into one of this library, which a stream runs"
    return _SERVED


def _input_size(layer: Any) -> int:
    first = layer.layers[0] if isinstance(layer, EquationsStack) else layer
    if isinstance(first, Recurrent):
        structure = getattr(first.cell, "structure", None)
        return int(first.cell.kernel.shape[0] if structure is None else structure.input_size)
    return int(first.kernel.shape[0])


def _put(layer: Any, activation: Any, into: Layers) -> None:
    if isinstance(layer, EquationsStack):
        for number, one in enumerate(layer.layers):
            below = into.below if number else layer._first_input(into.below)
            _put_recurrent(one, f"{layer.name}.{one.name}", below, into)
    elif isinstance(layer, Recurrent):
        _put_recurrent(layer, layer.name, into.below, into)
    else:
        chosen = named({"phi": activation})
        shares = activation is keras.activations.softmax
        if not shares and not isinstance(chosen["phi"], str):
            raise ValueError(
                f"{layer.name} has an activation of its own, {activation!r}; the kernels know some by name"
            )
        dtype = getattr(torch, layer.compute_dtype)
        bias = None if layer.bias is None else tensor_of(layer.bias, dtype)
        kernel = keras.ops.convert_to_tensor(layer.kernel).detach().to(dtype)  # that of LoRA is a sum, and no variable
        weights = Weights(kernel.T, None, bias)
        into.scan(make_request(dense, into.below, [weights], activations={} if shares else chosen))
        if shares:
            into.softmax()


def _put_recurrent(layer: Any, name: str, below: Any, into: Layers) -> None:
    if not layer.unchanged:
        raise ValueError(f"{name} is a {type(layer).__name__}, a subclass that may run in a way of its own")
    if layer.go_backwards:
        raise ValueError(f"{name} has go_backwards=True: it begins at the end of a sequence, and a stream has none")
    request = loop.request([layer], below, None, None)
    # behind the lowest layer of a stack stand zeros: what it reads of the layer below it
    if below is not into.below:
        request = request.bind([into.below, *request.tensors()[1:]])
    try:
        into.scan(request, f"{name}.{{}}")
    except RuntimeError as error:
        raise RuntimeError(f"{name}: {error}") from None
