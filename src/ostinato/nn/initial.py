"""The initial values of a layer's tensors, as torch's recurrent modules have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import init

from .. import scan

RecurrentInit = Literal["uniform", "orthogonal", "identity"]


@torch.no_grad()
def initialize(
    structure: scan.Structure,
    tensors: Mapping[str, Tensor],
    recurrent_init: RecurrentInit = "uniform",
    forget_bias: float | None = None,
) -> None:
    """Draw all tensors of one layer and direction, in place, with torch's generator.

    Matrices and biases are uniform in -1/sqrt(H)..1/sqrt(H), H the units; vectors, and biases that the cell names, are
    as the cell says.

    Args:
        structure: what the layer stores.
        tensors: the stored tensors by the names of `structure.parameters()`.
        recurrent_init: "orthogonal" and "identity" make each gate's block of U, and in it each head's or module's, such
            a matrix.
        forget_bias: the bias that makes the cell remember; of a gate with two biases their sum. None leaves it.

    Raises:
        ValueError: the cell has no U for `recurrent_init`, or no bias for `forget_bias`.
    """
    if recurrent_init != "uniform" and "U" not in tensors:
        raise ValueError(
            f"recurrent_init is {recurrent_init!r}, but cell {structure.cell.name} has no recurrent matrix"
        )
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
    if recurrent_init != "uniform":
        for block in structure.recurrent_blocks(tensors["U"]):
            init.orthogonal_(block) if recurrent_init == "orthogonal" else init.eye_(block)
    if forget_bias is not None:
        first, *others = structure.forget_biases(tensors)
        init.constant_(first, -forget_bias if structure.cell.forget[:1] == "-" else forget_bias)  # type: ignore[index]
        for other in others:
            init.zeros_(other)
