"""The initial values of a layer's tensors: as torch's recurrent modules have them, and the cures against gradients that
vanish or explode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import init

from .. import scan

#: How the blocks of recurrent matrices are made: a kind, or a kind and its number; see `recurrent_rule`.
RecurrentInit = str | tuple[str, float]

#: The bias that makes a cell remember: a number, or ("chrono", T_max); see `scan.forget_rule`.
ForgetBias = float | tuple[str, float]


@dataclass(frozen=True)
class Recurrence:
    """What one layer and direction stores, as far as it decides how long the layer remembers.

    Attributes:
        structure: what the layer stores.
        tensors: the stored tensors by the names of `structure.parameters()`.
        second: torch's `bias_hh` where the cell has one bias only, or None.
    """

    structure: scan.Structure
    tensors: Mapping[str, Tensor]
    second: Tensor | None = None

    def blocks(self, argument: str, given: RecurrentInit, square: bool) -> list[Tensor]:
        """The blocks of U, as views: gate by gate, and in a gate head by head or module by module.

        Raises:
            ValueError: there is no U, or none with eigenvalues where they are needed; the sentence names the argument.
        """
        name = self.structure.cell.name
        if "U" not in self.tensors:
            raise ValueError(f"{argument} is {given!r}, but cell {name} has no recurrent matrix")
        if square and self.structure.output_size != self.structure.units:
            raise ValueError(
                f"{argument} is {given!r}, but the recurrent matrix of cell {name} is {self.structure.units} x "
                f"{self.structure.output_size} for each gate, and only a square one has eigenvalues"
            )
        return self.structure.recurrent_blocks(self.tensors["U"])

    def remembering(self) -> list[Tensor]:
        """The biases, as views, that add up to that of the gate that makes the cell remember.

        Raises:
            ValueError: the cell has no such gate, or the layer stores no bias of it.
        """
        found = self.structure.forget_biases(self.tensors)
        return found + self._second((self.structure.cell.forget or "").lstrip("-"))

    def writing(self) -> list[Tensor]:
        """The biases of the input gate i that stands beside a forget gate f; none in all other cells."""
        cell = self.structure.cell
        if cell.forget != "f" or "i" not in cell.gates:
            return []
        stored = [one for one in self.structure.parameters() if one.trained]
        biases = [one for one in stored if one.name in ("b", "b_u") and "i" in one.gates]
        found = [self.tensors[one.name].split(self.structure.units)[one.gates.index("i")] for one in biases]
        found += [self.tensors[one.name] for one in stored if one.name == "b_i"]
        return found + self._second("i")

    def _second(self, gate: str) -> list[Tensor]:
        if self.second is None:
            return []
        return [self.second.split(self.structure.units)[self.structure.cell.gates.index(gate)]]


def recurrent_rule(given: Any, argument: str = "recurrent", *others: str) -> tuple[str, float]:
    """The kind and the number of a rule for recurrent blocks.

    "orthogonal" and "identity" may be given with a factor, 1 if not; "spectral_radius" needs its radius.

    Args:
        given: the rule.
        argument: what it was given as.
        others: further kinds, which have no number.

    Raises:
        ValueError: it is no such rule; the sentence names the argument.
    """
    kind, number = given if isinstance(given, (tuple, list)) and len(given) == 2 else (given, None)
    if kind == "spectral_radius":
        if not scan.is_number(number) or number <= 0:
            raise ValueError(f"{argument} is {given!r}; expected ('spectral_radius', r) with a number r above 0")
        return "spectral_radius", float(number)
    if given in others:
        return str(given), 1.0
    if kind not in ("orthogonal", "identity") or not (number is None or scan.is_number(number)):
        raise ValueError(
            f"{argument} is {given!r}; expected {''.join(f'{other!r}, ' for other in others)}'orthogonal' or "
            "'identity', alone or with a factor as in ('identity', 0.5), or ('spectral_radius', r)"
        )
    return str(kind), 1.0 if number is None else float(number)


@torch.no_grad()
def fill_block(block: Tensor, kind: str, number: float, generator: torch.Generator | None = None) -> None:
    """Draw one block of U, (units, at least as many entries as it reads), in place.

    "orthogonal" has orthonormal rows, times the number; "identity" is the number on the diagonal; "spectral_radius" is
    normal and scaled so that the square of the units themselves, which stands first, has an eigenvalue of that modulus
    and none of a larger one.
    """
    if kind == "identity":
        init.eye_(block).mul_(number)
        return
    drawn = _room(block, generator)
    if kind == "orthogonal":
        init.orthogonal_(drawn, number, generator)
    else:
        drawn.normal_(generator=generator)
        drawn *= number / torch.linalg.eigvals(drawn[:, : len(drawn)].double()).abs().max()
    block.copy_(drawn)


@torch.no_grad()
def fill_biases(recurrence: Recurrence, kind: str, number: float, generator: torch.Generator | None = None) -> None:
    """Set the bias that makes the cell remember, with its sign turned where a negative bias does; with "chrono" that of
    the input gate beside it as well. Of a gate with two biases the second is 0."""
    first, *others = recurrence.remembering()
    sign = -1.0 if (recurrence.structure.cell.forget or "").startswith("-") else 1.0
    if kind == "constant":
        first.fill_(sign * number)
    else:
        drawn = _room(first, generator).uniform_(1.0, number - 1.0, generator=generator).log_()
        first.copy_(sign * drawn)
        for place, bias in enumerate(recurrence.writing()):
            bias.copy_(torch.zeros_like(drawn) if place else -drawn)
    for other in others:
        other.zero_()


def _room(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """A tensor to draw into: where the generator is, and in a dtype in which matrices are decomposed."""
    dtype = like.dtype if like.dtype in (torch.float32, torch.float64) else torch.float32
    return torch.empty(like.shape, dtype=dtype, device=like.device if generator is None else generator.device)


@torch.no_grad()
def initialize(
    structure: scan.Structure,
    tensors: Mapping[str, Tensor],
    recurrent_init: RecurrentInit = "uniform",
    forget_bias: ForgetBias | None = None,
) -> None:
    """Draw all tensors of one layer and direction, in place, with torch's generator.

    Matrices and biases are uniform in -1/sqrt(H)..1/sqrt(H), H the units; vectors, and biases that the cell names, are
    as the cell says.

    Args:
        structure: what the layer stores.
        tensors: the stored tensors by the names of `structure.parameters()`.
        recurrent_init: "uniform", or what becomes of each gate's block of U, and in it of each head's or module's; see
            `initialise`.
        forget_bias: the bias that makes the cell remember, or ("chrono", T_max); of a gate with two biases their sum.
            None leaves it.

    Raises:
        ValueError: `recurrent_init` or `forget_bias` is no such rule, or the cell has no U, or no bias, for it.
    """
    recurrence = Recurrence(structure, tensors)
    kind, number = recurrent_rule(recurrent_init, "recurrent_init", "uniform")
    blocks = [] if kind == "uniform" else recurrence.blocks("recurrent_init", recurrent_init, kind == "spectral_radius")
    rule = None if forget_bias is None else scan.forget_rule(forget_bias)
    bound = structure.units**-0.5
    for parameter in structure.parameters():
        tensor = tensors[parameter.name]
        for part, initial in zip(tensor.chunk(len(parameter.parts)), parameter.parts, strict=True):
            if initial is None:
                init.uniform_(part, -bound, bound)
            elif isinstance(initial, tuple):
                init.uniform_(part, *initial)
            else:
                init.constant_(part, initial)
    for block in blocks:
        fill_block(block, kind, number)
    if rule is not None:
        fill_biases(recurrence, *rule)
