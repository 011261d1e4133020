"""Both backends against recurrent layers that others wrote: torch.nn, and Keras for the GRU torch does not have."""

from __future__ import annotations

import os

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from ostinato.cells import CELLS
from ostinato.scan import Weights, scan

from .problems import assert_close

LAYERS = {
    "lstm": torch.nn.LSTM,
    "gru": torch.nn.GRU,
    "elman-tanh": lambda **size: torch.nn.RNN(**size, nonlinearity="tanh"),
    "elman-relu": lambda **size: torch.nn.RNN(**size, nonlinearity="relu"),
}
LAYERS_UNDER_TEST = pytest.mark.parametrize("name", LAYERS)
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
Results = dict[str, torch.Tensor]


def _ours(layer: torch.nn.RNNBase, name: str, x: torch.Tensor, state: tuple[torch.Tensor, ...], **how: object) -> tuple:
    cell, _, phi = name.partition("-")
    suffixes = ("_l0", "_l0_reverse") if layer.bidirectional else ("_l0",)

    def weights(suffix: str) -> Weights:
        held = [getattr(layer, kind + suffix, None) for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        return Weights(*held)

    return scan(CELLS[cell], x, [weights(s) for s in suffixes], state, activations={"phi": phi} if phi else None, **how)


def _results(
    layer: torch.nn.RNNBase, x: torch.Tensor, state: tuple[torch.Tensor, ...], y: torch.Tensor, finals: tuple
) -> Results:
    leaves = {"x": x, **dict(layer.named_parameters()), **{f"state{k}": s for k, s in enumerate(state)}}
    total = sum((t * torch.linspace(-1, 1, t.numel(), dtype=t.dtype).view(t.shape)).sum() for t in (y, *finals))
    gradients = torch.autograd.grad(total, list(leaves.values()))
    return {"outputs": y, **{f"final{k}": t for k, t in enumerate(finals)}, **dict(zip(leaves, gradients, strict=True))}


def _layer(name: str, dtype: torch.dtype, **options: bool) -> tuple[torch.nn.RNNBase, tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    layer = LAYERS[name](input_size=3, hidden_size=10, **options).to(dtype)
    directions = 2 if layer.bidirectional else 1
    shape = (directions, 5, 10)
    count = 2 if name == "lstm" else 1
    return layer, tuple(torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(count))


def _theirs(layer: torch.nn.RNNBase, x: object, state: tuple[torch.Tensor, ...]) -> tuple:
    y, finals = layer(x, state if len(state) > 1 else state[0])
    return y, finals if isinstance(finals, tuple) else (finals,)


@LAYERS_UNDER_TEST
@DTYPES
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_torch_layers(
    name: str, dtype: torch.dtype, bidirectional: bool, bias: bool, batch_first: bool, backend: str
) -> None:
    layer, state = _layer(name, dtype, bidirectional=bidirectional, bias=bias, batch_first=batch_first)
    x = torch.randn((5, 7, 3) if batch_first else (7, 5, 3), dtype=dtype, requires_grad=True)
    layout = "batch" if batch_first else "time"
    got = _results(layer, x, state, *_ours(layer, name, x, state, layout=layout, backend=backend))
    want = _results(layer, x, state, *_theirs(layer, x, state))
    assert_close(got, want, dtype, 7)


@LAYERS_UNDER_TEST
@DTYPES
@pytest.mark.parametrize("bidirectional", [False, True])
def test_torch_layers_on_packed_sequences(name: str, dtype: torch.dtype, bidirectional: bool, backend: str) -> None:
    layer, state = _layer(name, dtype, bidirectional=bidirectional)
    padded = torch.randn(7, 5, 3, dtype=dtype)
    packed = pack_padded_sequence(padded, torch.tensor([7, 5, 5, 2, 1]))
    x = packed.data.requires_grad_()
    sequence = PackedSequence(x, packed.batch_sizes)
    how = {"layout": "packed", "batch_sizes": packed.batch_sizes, "backend": backend}
    got = _results(layer, x, state, *_ours(layer, name, x, state, **how))
    y, finals = _theirs(layer, sequence, state)
    assert_close(got, _results(layer, x, state, y.data, finals), dtype, 7)


def _keras_gru() -> object:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="Keras is an optional dependency")
    if keras.backend.backend() != "torch":
        pytest.skip(f"Keras runs on {keras.backend.backend()} here; its GRU is compared on torch")
    keras.utils.set_random_seed(3)
    return keras.layers.GRU(6, reset_after=False, return_sequences=True, bias_initializer="normal")


@pytest.mark.parametrize("masked", [False, True])
def test_the_reset_before_gru_of_keras(masked: bool, backend: str) -> None:
    """Keras' blocks stand in the order z, r, h; a masked step carries the state and repeats the output."""
    layer = _keras_gru()
    x = torch.randn(4, 5, 3)
    mask = torch.tensor([[1, 1, 0, 1, 1], [0, 0, 1, 0, 1], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]).bool() if masked else None
    want = layer(x, mask=mask).detach()
    W, U, b = (v.value.detach() for v in layer.weights)
    weights = Weights(W.T, U.T, b, order=("z", "r", "n"))
    y, _ = scan(CELLS["gru_reset_before"], x, [weights], mask=mask, padding="repeat", backend=backend)
    assert_close({"outputs": y}, {"outputs": want}, torch.float32, 5)
