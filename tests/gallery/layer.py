"""A cell with random weights that a test can change by name, and scans of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ostinato.cells import Cell
from ostinato.compiler import trace
from ostinato.scan import scan
from ostinato.scan.parameters import Structure

B, T, D, H, P = 3, 6, 5, 8, 3

#: So wide open, or so tightly shut, that the logistic function is 1, or 0, in float64.
OPEN, SHUT = 1000.0, -1000.0


@dataclass
class Layer:
    """One direction of a cell: its structure, and its stored tensors by name."""

    structure: Structure
    tensors: dict[str, Tensor]

    @property
    def cell(self) -> Cell:
        return self.structure.cell

    def block(self, name: str, gate: str) -> Tensor:
        """The part of W, U, b or b_u that belongs to a gate: a view."""
        gates = next(one.gates for one in self.structure.parameters() if one.name == name)
        return self.tensors[name].chunk(len(gates))[gates.index(gate)]

    def has(self, name: str, gate: str) -> bool:
        return any(one.name == name and gate in one.gates for one in self.structure.parameters())

    def force(self, gate: str, value: float) -> Layer:
        """The gate reads nothing but its bias, which is `value`."""
        for name in ("W", "U", "b", "b_u"):
            if self.has(name, gate):
                self.block(name, gate).fill_(value if name == "b" else 0.0)
        if f"p_{gate}" in self.tensors:
            self.tensors[f"p_{gate}"].zero_()
        return self

    def zero(self, *names: str) -> Layer:
        for name in names:
            self.tensors[name].zero_()
        return self

    def take(self, other: Layer, gates: Mapping[str, tuple[str, float]] | None = None, **names: str) -> Layer:
        """Copy another layer's weights.

        Args:
            other: whose.
            gates: for each gate of this layer the other's gate, and a factor; by default the gates of one name.
            **names: for a vector or matrix of this layer the name of the other's; those of one name are copied anyway.
        """
        shared = {gate: (gate, 1.0) for gate in self.cell.gates if gate in other.cell.gates}
        for gate, (source, factor) in {**shared, **(gates or {})}.items():
            for name in ("W", "U", "b", "b_u"):
                if self.has(name, gate) and other.has(name, source):
                    self.block(name, gate).copy_(factor * other.block(name, source))
        own = [*self.cell.parameters, *self.cell.matrices]
        for name in own:
            source = names.get(name, name)
            if source in other.tensors:
                self.tensors[name].copy_(other.tensors[source])
        return self

    def __call__(self, x: Tensor, state: Sequence[Tensor] | None = None, *masks: Tensor, **how: Any) -> Any:
        """(outputs, final states), each state (B, size); `state` likewise."""
        y, finals = scan(
            self.cell,
            x,
            [self.structure.weights(self.tensors)],
            None if state is None else [one.unsqueeze(0) for one in state],
            sequences=[masks] if masks else None,
            **how,
        )
        return y, tuple(one.squeeze(0) for one in finals)


def layer(cell: Cell, D: int = D, H: int = H, seed: int = 0, dtype: torch.dtype = torch.float64, **sizes: Any) -> Layer:
    """A layer with normally distributed weights; the constants have their defaults."""
    generator = torch.Generator().manual_seed(seed)
    if cell.projected:
        sizes.setdefault("projection", P)
    structure = Structure(cell, D, H, **sizes)
    tensors = {}
    for one in structure.parameters():
        if one.trained:
            tensors[one.name] = 0.5 * torch.randn(one.shape, generator=generator, dtype=torch.float64)
        else:
            values = torch.tensor(one.initial if isinstance(one.initial, tuple) else [one.initial], dtype=torch.float64)
            tensors[one.name] = values.expand(one.shape).clone()
    return Layer(structure, {name: tensor.to(dtype) for name, tensor in tensors.items()})


def input_size(cell: Cell) -> int:
    """The input size of the tests: H where the cell needs it."""
    return H if trace(cell).sizes.same else D


def normal(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def states(made: Layer, seed: int = 2) -> list[Tensor]:
    """Random states (B, size) such as the cell itself could have."""
    found = []
    for k, name in enumerate(made.cell.states):
        state = normal(B, made.structure.state_size(name), seed=seed + 100 * k)
        if made.cell.clock and name == made.cell.clock[0]:
            state = torch.full_like(state, 3.0)
        found.append(state.abs() if name == "n" else state)
    return found


def close(got: Any, want: Any, tolerance: float = 1e-12) -> None:
    """Each pair of tensors within `tolerance`, relative to the larger of 1 and the largest entry."""
    pairs = [(got, want)] if isinstance(got, Tensor) else list(zip(got, want, strict=True))
    for ours, theirs in pairs:
        assert ours.shape == theirs.shape, f"shapes {tuple(ours.shape)} and {tuple(theirs.shape)}"
        assert ours.isfinite().all() and theirs.isfinite().all()
        bound = tolerance * max(1.0, theirs.abs().max().item())
        worst = (ours - theirs).abs().max().item()
        assert worst <= bound, f"differ by {worst:.2e}, more than {bound:.1e}"
