"""A module's stream is the module, one step at a time."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch

from ostinato import nn

from .zoo import listed, make, names, states

STEPS = 6


def outputs(stream: Any, x: torch.Tensor) -> np.ndarray:
    """Of x (steps, batch, features)."""
    return np.stack([stream(one.numpy()).copy() for one in x])


def named(hidden: Any, module: Any) -> dict[str, np.ndarray]:
    """Initial or final states as a stream names them."""
    found = listed(hidden)
    return {
        f"{name}_l{k}": found[n][k].numpy()
        for k in range(module.num_layers)
        for n, name in enumerate(module.cell.states)
    }


@pytest.mark.parametrize("name", names())
def test_a_stack_of_every_cell_from_any_state(name: str) -> None:
    module = make(name, num_layers=2)  # in training: a stream is as outside of it
    x, hx = torch.randn(STEPS, 3, module.input_size, dtype=torch.float64), states(module, 3)
    stream = module.stream(batch=3)
    stream.state = named(hx, module)
    with torch.no_grad():
        expected, finals = module.eval()(x, hx)
    np.testing.assert_array_equal(outputs(stream, x), expected)
    for key, one in named(finals, module).items():
        np.testing.assert_array_equal(stream.state[key], one)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("LSTM", {}), ("LSTM", {"proj_size": 3}), ("GRU", {"num_layers": 3, "dropout": 0.5}), ("RNN", {}),
     ("RNN", {"nonlinearity": "relu", "bias": False})],
    ids=["lstm", "projection", "gru", "rnn", "relu"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch, of itself
@pytest.mark.parametrize("batch_first", [False, True], ids=["time", "batch"])
def test_torchs_modules(kind: str, options: dict[str, Any], batch_first: bool) -> None:
    module = getattr(nn, kind)(5, 7, batch_first=batch_first, **options)
    x = torch.randn(STEPS, 5)
    stream = module.stream()
    with torch.no_grad():
        expected, _ = module.eval()(x)
    np.testing.assert_array_equal(outputs(stream, x), expected)
    stock = getattr(torch.nn, kind)(5, 7, batch_first=batch_first, **options).eval()
    stock.load_state_dict(module.state_dict())
    stream.reset()
    np.testing.assert_allclose(outputs(stream, x), stock(x)[0].detach(), atol=1e-6)


def test_a_frozen_reservoir() -> None:
    module = nn.EchoState(2, 9, seed=1)
    x = torch.randn(STEPS, 2)
    np.testing.assert_array_equal(outputs(module.stream(), x), module(x)[0])


def test_training_goes_on_beside_a_stream() -> None:
    module = nn.LSTM(2, 3)
    stream, x = module.stream(), torch.randn(STEPS, 2)
    module(x)[0].sum().backward()
    before = outputs(stream, x)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.sub_(0.5 * parameter.grad)
    stream.reset()
    np.testing.assert_array_equal(outputs(stream, x), before)
    stream.refresh()
    stream.reset()
    np.testing.assert_array_equal(outputs(stream, x), module(x)[0].detach())


def test_what_has_no_stream() -> None:
    for module in (nn.GRU(2, 3, bidirectional=True), nn.PeepholeLSTM(2, 3, bidirectional=True)):
        with pytest.raises(ValueError, match="begins at the end of a sequence"):
            module.stream()
    with pytest.raises(RuntimeError, match="backend='torch'"):
        nn.LSTM(2, 3, backend="torch").stream()
    with pytest.raises(RuntimeError, match="backend='reference'"):
        nn.JANET(2, 3, backend="reference").stream()
    with pytest.raises(RuntimeError, match="a Python function"):
        nn.PeepholeLSTM(2, 3, activation=torch.sin).stream()
    with pytest.raises(ValueError, match="batch is 0"):
        nn.LSTM(2, 3).stream(0)
    with pytest.raises(RuntimeError, match=r"torch\.bfloat16"):
        nn.LSTM(2, 3, dtype=torch.bfloat16).stream()


def test_weights_may_be_read_again_in_the_middle_of_a_step() -> None:
    stream = nn.LSTM(64, 64).stream()
    plain = nn.LSTM(64, 64).stream()
    assert stream.output_size == plain.output_size

    class Refreshing:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            stream.refresh()
            gc.collect()
            return np.ones(64)

    for _ in range(50):
        stream(Refreshing())
    assert np.isfinite(stream(np.ones(64))).all()


def test_a_stream_that_is_gone_keeps_nothing() -> None:
    stream = nn.LSTM(4, 4).stream()
    held = weakref.ref(stream._layers)
    stream(np.ones(4))
    del stream
    gc.collect()
    assert held() is None
