"""A module of ours beside torch's with the same weights, the inputs both are given, and all that comes back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from ostinato import nn

INPUT, HIDDEN, BATCH, STEPS = 3, 4, 6, 7
SORTED = [7, 5, 5, 2, 1, 1]
UNSORTED = [2, 7, 1, 5, 1, 5]
FORMS = ("padded", "sorted", "unsorted", "unbatched")

#: Our class, torch's, and the arguments that make the kind.
KINDS: dict[str, tuple[type[nn.LSTM | nn.GRU | nn.RNN], type[torch.nn.RNNBase], dict[str, str]]] = {
    "LSTM": (nn.LSTM, torch.nn.LSTM, {}),
    "GRU": (nn.GRU, torch.nn.GRU, {}),
    "RNN_TANH": (nn.RNN, torch.nn.RNN, {"nonlinearity": "tanh"}),
    "RNN_RELU": (nn.RNN, torch.nn.RNN, {"nonlinearity": "relu"}),
}


def pair(kind: str, **arguments: Any) -> tuple[Any, Any]:
    """Ours and torch's, with the same weights."""
    ours, torchs, more = KINDS[kind]
    made = ours(INPUT, HIDDEN, **more, **arguments)
    oracle = torchs(INPUT, HIDDEN, **more, **arguments)
    oracle.load_state_dict(made.state_dict())
    return made, oracle


def states(module: Any, form: str = "padded") -> list[Tensor]:
    """Random initial states that fit the module: h, and for LSTM c."""
    rows = module.num_layers * (2 if module.bidirectional else 1)
    shape = (rows, HIDDEN) if form == "unbatched" else (rows, BATCH, HIDDEN)
    return [torch.randn(shape, dtype=module.weight_ih_l0.dtype) for _ in range(2 if module.mode == "LSTM" else 1)]


def bundle(module: Any, given: list[Tensor]) -> Any:
    """States as the module takes them."""
    if not given:
        return None
    return tuple(given) if module.mode == "LSTM" else given[0]


def sequence(module: Any, form: str = "padded") -> Tensor:
    """A random input in the layout of the module, before it is packed."""
    shape: tuple[int, ...] = (BATCH, STEPS, INPUT) if module.batch_first else (STEPS, BATCH, INPUT)
    return torch.randn((STEPS, INPUT) if form == "unbatched" else shape, dtype=module.weight_ih_l0.dtype)


def packed(x: Tensor, form: str, batch_first: bool) -> Tensor | PackedSequence:
    """The input in the form asked for."""
    if form not in ("sorted", "unsorted"):
        return x
    lengths = SORTED if form == "sorted" else UNSORTED
    return pack_padded_sequence(x, lengths, batch_first=batch_first, enforce_sorted=form == "sorted")


def everything(module: Any, x: Tensor, initial: list[Tensor], form: str = "padded") -> dict[str, Tensor]:
    """Outputs, final states, and the gradient of every input and weight, of one seeded loss."""
    leaves = [tensor.detach().requires_grad_() for tensor in (x, *initial)]
    y, hidden = module(packed(leaves[0], form, module.batch_first), bundle(module, leaves[1:]))
    found: dict[str, Tensor] = {}
    if form in ("sorted", "unsorted"):
        assert isinstance(y, PackedSequence)
        found |= {name: value for name, value in y._asdict().items() if value is not None and name != "data"}
        y = y.data
    finals = hidden if module.mode == "LSTM" else (hidden,)
    results = {"y": y, **{f"final {name}": final for name, final in zip("hc", finals, strict=False)}}
    generator = torch.Generator().manual_seed(1)
    loss = sum((r * torch.randn(r.shape, generator=generator, dtype=r.dtype)).sum() for r in results.values())
    named = [("x", leaves[0]), *zip(("h", "c"), leaves[1:], strict=False), *module.named_parameters()]
    gradients = torch.autograd.grad(loss, [tensor for _, tensor in named])
    found |= {name: result.detach() for name, result in results.items()}
    return found | {f"d {name}": g for (name, _), g in zip(named, gradients, strict=True)}


def assert_agree(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """The same names, shapes, dtypes and values: to 1e-10 in float64, to 1e-5 in float32."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        atol = 1e-5 if value.dtype == torch.float32 else 1e-10
        torch.testing.assert_close(found[name], value, atol=atol, rtol=atol, msg=lambda text, n=name: f"{n}: {text}")
