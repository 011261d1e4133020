"""One of this library's layers beside Keras' own, with the same weights: what both compute, and all gradients."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import torch

from ostinato.keras import layers

#: Every layer of the front-end by the name of its cell: our class, Keras' class, the options that choose the cell.
KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "lstm": (layers.LSTM, keras.layers.LSTM, {}),
    "gru": (layers.GRU, keras.layers.GRU, {}),
    "gru_reset_before": (layers.GRU, keras.layers.GRU, {"reset_after": False}),
    "simple_rnn": (layers.SimpleRNN, keras.layers.SimpleRNN, {}),
}

BATCH, STEPS, FEATURES, UNITS = 5, 6, 3, 4

_ON = np.ones((BATCH, STEPS), bool)
_LENGTHS = np.array([6, 1, 4, 0, 3])
#: Masks (batch, steps) by name.
MASKS: dict[str, np.ndarray | None] = {
    "none": None,
    "full": _ON,
    "right": np.arange(STEPS) < _LENGTHS[:, None],
    "left": (np.arange(STEPS) < _LENGTHS[:, None])[:, ::-1].copy(),
    "holes": np.array(
        [[1, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 1, 0, 1, 1, 0]], bool
    ),
    "nothing": ~_ON,
}


def states_of(kind: str) -> int:
    """How many states this cell has."""
    return 2 if kind == "lstm" else 1


def pair(kind: str, dtype: str = "float64", **options: Any) -> tuple[Any, Any]:
    """Our layer and Keras', built, with equal weights."""
    ours_class, stock_class, fixed = KINDS[kind]
    given = {
        "bias_initializer": "random_normal",
        "recurrent_initializer": "glorot_uniform",
        "dtype": dtype,
        **fixed,
        **options,
    }
    ours, stock = ours_class(UNITS, **given), stock_class(UNITS, **given)
    for layer in (ours, stock):
        layer.build((BATCH, STEPS, FEATURES))
    ours.set_weights(stock.get_weights())
    return ours, stock


def sequences(dtype: str = "float64") -> np.ndarray:
    """Input (batch, steps, features)."""
    return np.random.default_rng(1).standard_normal((BATCH, STEPS, FEATURES)).astype(dtype)


def initial_state(count: int, dtype: str = "float64") -> list[np.ndarray]:
    """`count` states (batch, units) other than zero."""
    return list(np.random.default_rng(2).standard_normal((count, BATCH, UNITS)).astype(dtype))


def everything(
    layer: Any, x: np.ndarray, initial: list[np.ndarray] | None = None, **call: Any
) -> dict[str, np.ndarray]:
    """What a layer returns, and the gradients of its weights, its input and its initial state."""
    leaf = torch.tensor(x, requires_grad=True)
    states = None if initial is None else [torch.tensor(state, requires_grad=True) for state in initial]
    returned = layer(leaf, initial_state=states, **call)
    returned = list(returned) if isinstance(returned, (list, tuple)) else [returned]
    random = np.random.default_rng(3)
    loss = sum((part * torch.tensor(random.standard_normal(part.shape)).to(part.dtype)).sum() for part in returned)
    layer.zero_grad()
    loss.backward()
    found = {f"returned {k}": part for k, part in enumerate(returned)} | {"gradient of the input": leaf.grad}
    found |= {f"gradient of {w.path}": w.value.grad for w in layer.trainable_weights}
    found |= {f"gradient of state {k}": state.grad for k, state in enumerate(states or ())}
    return {
        name: None if tensor is None else tensor.detach().to(torch.float64).numpy() for name, tensor in found.items()
    }


def assert_same(ours: dict[str, np.ndarray], stock: dict[str, np.ndarray], tolerance: float = 1e-12) -> None:
    """Every result agrees; a gradient that Keras does not make at all counts as zeros."""
    assert len(ours) == len(stock)
    for (name, mine), theirs in zip(ours.items(), stock.values(), strict=True):
        values = [np.zeros(()) if value is None else value for value in (mine, theirs)]
        np.testing.assert_allclose(*values, rtol=tolerance, atol=tolerance, err_msg=name)
