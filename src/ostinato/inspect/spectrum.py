"""Eigenvalues of the recurrent matrices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import scan
from .probe import Probe, Recurrence


@dataclass(frozen=True)
class Spectrum:
    """The eigenvalues of the block of U that one gate reads, of one direction of a layer.

    Attributes:
        layer: name of the layer.
        direction: 0 from the first step to the last, 1 from the last to the first.
        gate: name of the gate.
        eigenvalues: (H) complex; of a projection (P), those of R U.
    """

    layer: str
    direction: int
    gate: str
    eigenvalues: np.ndarray

    @property
    def radius(self) -> float:
        """The largest modulus."""
        return float(np.abs(self.eigenvalues).max())


def spectra(probe: Probe) -> tuple[Spectrum, ...]:
    """The eigenvalues of every recurrent matrix; a cell without one has none.

    Of a simple recurrent network with a linear activation they are those of its Jacobian: above 1 in modulus gradients
    grow, below they vanish (Pascanu, Mikolov & Bengio 2013, 1211.5063, sec. 2.1). Gates bend that, so that for them
    they say how a gate's own loop would go on.
    """
    return spectra_of(probe.recurrences(1))


def spectra_of(found: Iterable[Recurrence]) -> tuple[Spectrum, ...]:
    """The eigenvalues of layers as they ran."""
    return tuple(
        Spectrum(one.name, int(backwards), gate, torch.linalg.eigvals(block.cpu()).numpy())
        for one in found
        for direction, backwards in enumerate(one.request.reverse)
        for gate, block in _blocks(one.request, direction)
    )


def _blocks(request: scan.Request, direction: int) -> Iterator[tuple[str, Tensor]]:
    """Each gate with the square matrix that takes a state to a state."""
    weights, read = request.weights[direction], request.program.blocks["U"]
    if weights.U is None:
        return
    U = weights.U.double()
    if weights.reach is not None:
        entry, reach = torch.arange(U.shape[1]), weights.reach
        inside = (entry >= reach[:, :1]) & (entry < reach[:, 1:])
        U = U * inside.to(U.device).repeat(len(U) // len(reach), 1)
    back = None
    for (_, shape), matrix in zip(request.cell.matrices.items(), weights.matrices, strict=True):
        back = matrix.double() if shape == ("P", "H") else back
    order = [gate for gate in request.order(direction) if gate in read]
    for gate, block in zip(order, U.split(request.units), strict=True):
        if block.shape[0] == block.shape[1]:
            yield gate, block
        elif back is not None:
            yield gate, back @ block
