"""Subjects on one layer of a registered cell: our scan, its equations as a PyTorch loop, torchrecurrent's layer."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ostinato.cells import CELLS, Cell, Initial, Mask
from ostinato.scan import Structure, projects, scan

from . import problems
from .loop import loop
from .problems import Array
from .serving import watched


def structure(name: str, units: int, heads: int = 4, modules: int = 8) -> Structure:
    """One layer of a registered cell whose input is as wide as its units, with the structure that the cell asks for: 4
    heads, 8 modules, a projection to half of the units."""
    cell = CELLS[name]
    sizes: dict[str, Any] = {"projection": units // 2} if projects(cell) else {}
    if cell.blocks != "full":
        sizes |= {"heads": heads} if cell.blocks == "heads" else {"modules": modules}
    return Structure(cell, units, units, **sizes)


def forward_flops(layer: Structure, tokens: int) -> float:
    """The products of a layer over `tokens` steps of a row, two operations for each multiply-add.

    Every entry of every stored matrix is multiplied once a step: a cell uses each product once, and of a U made of
    blocks only the blocks are stored.
    """
    return 2.0 * tokens * sum(math.prod(one.shape) for one in layer.parameters() if len(one.shape) == 2)


def _drawn(part: Initial | None, size: int, bound: float, generator: np.random.Generator) -> Array:
    """Within the bounds that the cell names; otherwise a quarter of what a layer starts with, around the number that
    the cell names, so that nothing is without effect.

    A quarter, because some cells are chaotic as they start (layer-norm LSTM, LSTMs without forget gate): after 200
    steps no two programs in float32 agree.
    """
    if isinstance(part, tuple):
        return generator.uniform(*part, size)
    return 0.25 * ((part or 0.0) + generator.uniform(-bound, bound, size))


def weights(layer: Structure) -> dict[str, Array]:
    """Everything that a layer stores, by name, float64."""
    generator = np.random.default_rng(1)
    bound = layer.units**-0.5
    found = {}
    for one in layer.parameters():
        size = math.prod(one.shape) // len(one.parts)
        if one.trained:
            parts = [_drawn(part, size, bound, generator) for part in one.parts]
        else:
            parts = [np.full(size, part) for part in one.parts]
        found[one.name] = np.concatenate(parts).reshape(one.shape)
    return found


def _sequences(cell: Cell, shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """The cell's further input sequences, normally distributed, and its masks, drawn as in training."""
    for number, name in enumerate(cell.inputs):
        seed = 7 + number
        mask: Mask | None = cell.masks.get(name)
        if mask is None:
            yield name, problems.normal(shape, seed)
        else:
            hit = np.random.default_rng(seed).random(shape) < mask.default
            yield name, hit * 1.0 if mask.kind == "zoneout" else ~hit / (1.0 - mask.default)


class Scan:
    """One layer of a cell over a whole sequence, time-major and from zeros: forward, and the gradients of the input, of
    everything trained and of further input sequences.

    Args:
        cell: name of the cell.
        units: H, and D.
        batch, steps: B and T.
        backend: None is Ostinato's choice; "reference" in float64 is the oracle.
        dtype: of all tensors.
    """

    steps_per_run = 1

    def __init__(
        self, cell: str, units: int, batch: int, steps: int, backend: Any = None, dtype: str = "float32"
    ) -> None:
        self.structure, self.backend, self.dtype = structure(cell, units), backend, getattr(torch, dtype)
        self.cell = self.structure.cell
        self.tensors = {name: self._tensor(array) for name, array in weights(self.structure).items()}
        self.sequences = {name: self._tensor(a) for name, a in _sequences(self.cell, (steps, batch, units))}
        self.x = self._tensor(problems.normal((steps, batch, units), 5))
        self.dy = self._tensor(problems.normal((steps, batch, self.structure.output_size), 6))
        trained = {one.name: self.tensors[one.name] for one in self.structure.parameters() if one.trained}
        self.wanted = {"x": self.x, **trained, **{name: self.sequences[name] for name in self.cell.sequences}}
        for tensor in self.wanted.values():
            tensor.requires_grad_()

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(self.dtype)

    def _forward(self) -> Tensor:
        sequences = [tuple(self.sequences.values())] if self.sequences else None
        y, _ = scan(
            self.cell, self.x, [self.structure.weights(self.tensors)], layout="time", sequences=sequences,
            backend=self.backend,
        )  # fmt: skip
        result: Tensor = y
        return result

    def _gradients(self, y: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.wanted, torch.autograd.grad(y, list(self.wanted.values()), self.dy), strict=True))

    def run(self, runs: int) -> float:
        y = self.x
        for _ in range(runs):
            y = self._forward()
            self._gradients(y)
        return float(y.detach().sum())

    def check(self) -> dict[str, Array]:
        ours = type(self) is Scan and self.backend is None
        with watched(self) if ours else nullcontext():
            y = self._forward()
        return {"output": np.asarray(y.detach()), **{k: np.asarray(g) for k, g in self._gradients(y).items()}}


class Loop(Scan):
    """The same by `loop`."""

    def _forward(self) -> Tensor:
        layer = self.structure
        sizes = {"H": layer.units, "P": layer.projection}
        return loop(self.cell, self.x, layer.weights(self.tensors), list(self.sequences.values()), sizes)


#: torchrecurrent's layers that have the equations of a cell, and their arguments where the defaults differ from ours.
#: Its LEM is missing: its U_y reads the old z, and the paper's the new one.
TORCHRECURRENT: dict[str, tuple[str, dict[str, Any]]] = {
    "peephole_lstm": ("PeepholeLSTM", {}),
    "forgetless_lstm": ("OriginalLSTM", {}),
    "janet": ("JANET", {}),
    "mgu": ("MGU", {}),
    "light_gru": ("LiGRU", {}),
    "indrnn": ("IndRNN", {"nonlinearity": "relu"}),
    "cornn": ("coRNN", {**CELLS["cornn"].constants, "cell_bias": False}),
}

#: Their parameters by our names; the peepholes are one behind the other.
THEIR_NAMES = {
    "weight_ih": ("W",), "weight_hh": ("U",), "bias_ih": ("b",), "vector_u": ("u",), "weight_ch": ("V",),
    "weight_ph": ("p_i", "p_f", "p_o"),
}  # fmt: skip


class TorchRecurrent(Scan):
    """The same by torchrecurrent's layer: its own loop over its cell."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        theirs = importlib.import_module("torchrecurrent")
        kind, arguments = TORCHRECURRENT[self.cell.name]
        units = self.structure.units
        self.layer = getattr(theirs, kind)(units, units, recurrent_bias=False, dtype=self.dtype, **arguments)
        held: Mapping[str, Tensor] = dict(self.layer.cells[0].named_parameters())
        # beta is a number of the paper, which is not trained
        self.held = {name: tensor for name, tensor in held.items() if name != "beta"}
        for name, tensor in self.held.items():
            tensor.data.copy_(torch.cat([self.tensors[ours].detach() for ours in THEIR_NAMES[name]]))

    def _forward(self) -> Tensor:
        y, _ = self.layer(self.x)
        result: Tensor = y
        return result

    def _gradients(self, y: Tensor) -> dict[str, Tensor]:
        dx, *gradients = torch.autograd.grad(y, [self.x, *self.held.values()], self.dy)
        found = {"x": dx}
        for name, gradient in zip(self.held, gradients, strict=True):
            ours = THEIR_NAMES[name]
            found.update(zip(ours, gradient.chunk(len(ours)), strict=True))
        return found
