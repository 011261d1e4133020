"""Subjects on `torch.nn` modules: ours, PyTorch's, and PyTorch's in float64 as the oracle of every check."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from . import problems
from .problems import Array
from .serving import watched


def recurrent(library: str, kind: str, dtype: str, weights: Mapping[str, Array], **arguments: Any) -> nn.Module:
    """The module `kind` of the package `library` ("torch.nn", "ostinato.nn") with the weights given."""
    module: nn.Module = getattr(importlib.import_module(library), kind)(**arguments, dtype=getattr(torch, dtype))
    load(module, weights)
    return module


def load(module: nn.Module, weights: Mapping[str, Array]) -> None:
    """Copy `weights` into a module's parameters of the same names."""
    module.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in weights.items()})


class Layer:
    """One recurrent module on its own, time-major: forward and every gradient, or the forward alone.

    Args:
        library: "ostinato.nn" or "torch.nn".
        kind: "LSTM", "GRU" or "RNN".
        batch, steps: B and T.
        lengths: (B) steps of each row that are not padding; None is all of them.
        packed: hand the rows over as a `PackedSequence`; otherwise padding is computed like everything else.
        training: forward and backward; False is the forward under `torch.no_grad`.
        recompute: of a module of `ostinato.nn`: whether its backward pass runs pieces of the sequence again.
        saved_dtype: likewise: what its backward pass needs is kept in.
        precision: how exactly products of float32 are made (`torch.backends.mkldnn.rnn.fp32_precision`).
        autocast: run the module under `torch.autocast` to bfloat16.
    """

    steps_per_run = 1

    def __init__(
        self,
        library: str,
        kind: str,
        input_size: int,
        hidden_size: int,
        batch: int,
        steps: int,
        layers: int = 1,
        bidirectional: bool = False,
        lengths: list[int] | None = None,
        packed: bool = False,
        training: bool = True,
        recompute: bool = False,
        saved_dtype: str | None = None,
        precision: str | None = None,
        autocast: bool = False,
        dtype: str = "float32",
    ) -> None:
        if precision is not None:
            torch.backends.mkldnn.rnn.fp32_precision = precision  # type: ignore[attr-defined]
        self.autocast = autocast
        self.library, self.dtype, self.training, self.steps = library, getattr(torch, dtype), training, steps
        weights = problems.parameters(kind, input_size, hidden_size, layers, bidirectional)
        self.module = recurrent(
            library, kind, dtype, weights, input_size=input_size, hidden_size=hidden_size, num_layers=layers,
            bidirectional=bidirectional, **({"recompute": True} if recompute else {}),
            **({"saved_dtype": saved_dtype} if saved_dtype else {}),
        )  # fmt: skip
        self.module.train(training)
        runs = torch.from_numpy(problems.valid(lengths or [steps] * batch, steps).T.copy()).unsqueeze(-1)
        width = hidden_size * (1 + bidirectional)
        x, dy = (self._tensor((steps, batch, size), seed) * runs for size, seed in ((input_size, 5), (width, 6)))
        self.x: Tensor | PackedSequence = x
        self.dy = dy
        self.leaf = x
        if packed:
            assert lengths is not None
            x_packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
            self.dy = pack_padded_sequence(dy, torch.tensor(lengths), enforce_sorted=False).data
            self.leaf = x_packed.data
            self.x = x_packed._replace(data=self.leaf)
        self.leaf.requires_grad_(training)
        self.wanted = [self.leaf, *self.module.parameters()]

    def _tensor(self, shape: tuple[int, ...], seed: int) -> Tensor:
        return torch.from_numpy(problems.normal(shape, seed)).to(self.dtype)

    def _forward(self) -> Any:
        with torch.autocast("cpu", torch.bfloat16) if self.autocast else nullcontext():
            y, _ = self.module(self.x)
        return y

    def _step(self) -> tuple[Any, tuple[Tensor, ...]]:
        with nullcontext() if self.training else torch.no_grad():
            y = self._forward()
        if not self.training:
            return y, ()
        output = y.data if isinstance(y, PackedSequence) else y
        return y, torch.autograd.grad(output, self.wanted, self.dy.to(output.dtype))

    def run(self, runs: int) -> float:
        y: Any = None
        for _ in range(runs):
            y, _ = self._step()
        return float((y.data if isinstance(y, PackedSequence) else y).detach().sum())

    def _padded(self, value: Any) -> Array:
        if isinstance(self.x, PackedSequence):
            value, _ = pad_packed_sequence(self.x._replace(data=getattr(value, "data", value)), total_length=self.steps)
        return np.asarray(value.detach().to(self.dtype))

    def check(self) -> dict[str, Array]:
        with watched(self) if self.library == "ostinato.nn" else nullcontext():
            y, gradients = self._step()
        named = {"output": self._padded(y)}
        if self.training:
            named["x"] = self._padded(gradients[0])
            names = (name for name, _ in self.module.named_parameters())
            named |= dict(zip(names, map(np.asarray, gradients[1:]), strict=True))
        return named


class _Network(nn.Module):
    def __init__(self, rnn: nn.Module, units: int, dropout: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.rnn = rnn
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(units, 1, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(x)
        predicted: Tensor = self.dense(self.dropout(y[:, -1]))
        return predicted


class StockNetwork:
    """Training of the stock price network: stacked LSTMs with dropout after each, one dense unit, MSE, Adam.

    The check differentiates the same network without dropout: a random mask has no oracle.
    """

    steps_per_run = 1

    def __init__(
        self, library: str, units: int, layers: int, dropout: float, batch: int, steps: int, dtype: str = "float32"
    ) -> None:
        self.library, self.units, self.layers, self.dtype = library, units, layers, dtype
        windows, following = problems.price_windows(lookback=steps)
        self.x, self.target = (torch.from_numpy(a[:batch]).to(getattr(torch, dtype)) for a in (windows, following))
        self.network = self._network(dropout)
        self.optimizer = torch.optim.Adam(self.network.parameters())

    def _network(self, dropout: float) -> _Network:
        weights = problems.parameters("LSTM", 1, self.units, self.layers)
        rnn = recurrent(
            self.library, "LSTM", self.dtype, weights, input_size=1, hidden_size=self.units, num_layers=self.layers,
            batch_first=True, dropout=dropout,
        )  # fmt: skip
        network = _Network(rnn, self.units, dropout, getattr(torch, self.dtype))
        load(network.dense, {name.removeprefix("dense."): value for name, value in problems.dense(self.units).items()})
        return network

    def run(self, runs: int) -> float:
        loss = torch.zeros(())
        for _ in range(runs):
            self.optimizer.zero_grad()
            loss = nn.functional.mse_loss(self.network(self.x), self.target)
            loss.backward()
            self.optimizer.step()
        return float(loss.detach())

    def check(self) -> dict[str, Array]:
        network = self._network(dropout=0.0)
        with watched(self) if self.library == "ostinato.nn" else nullcontext():
            y = network(self.x)
            gradients = torch.autograd.grad(y, list(network.parameters()), torch.ones_like(y))
        names = [name.removeprefix("rnn.") for name, _ in network.named_parameters()]
        return {"output": np.asarray(y.detach())} | dict(zip(names, map(np.asarray, gradients), strict=True))
