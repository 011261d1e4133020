"""How much the end of a sequence still depends on the state some steps before it: exact Jacobians of the recurrence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from .. import scan
from ..errors import InputError
from .memory import Memory, memory_of
from .probe import Probe, Recurrence
from .rows import array, as_rows, by_direction, check_count, running

Part = Literal["output", "all"]
Norm = Literal["frobenius", "spectral"]

#: Numbers that the rows of one pass keep at most; more rows of the identity go into several passes.
KEPT = 2**25


@dataclass(frozen=True)
class JacobianNorms:
    """Norms of ds_T/ds_{T-k} of one direction of a layer, T the last step of a row.

    Attributes:
        layer: name of the layer.
        direction: 0 from the first step to the last, 1 from the last to the first.
        of: what moves at T: "output", the first state; or "all" states.
        by: what moves it at T - k: likewise.
        norm: "frobenius", the root of the sum of the squares of all entries, or "spectral", the largest singular value.
        norms: (N, T) of each row at lag k = 0, 1, ...; NaN beyond the first step of a row.
    """

    layer: str
    direction: int
    of: Part
    by: Part
    norm: Norm
    norms: np.ndarray

    @property
    def relative(self) -> np.ndarray:
        """(T): the norm at each lag relative to that at lag 0, mean over the rows that are as long."""
        return _mean_of_columns(self.norms / self.norms[:, :1])

    def memory(self, threshold: float = 0.01) -> Memory:
        """The longest lag at which `relative` is at least the threshold."""
        return memory_of(np.arange(len(self.relative)), self.relative, threshold)


def jacobian_norms(
    probe: Probe, *, of: Part = "output", by: Part = "all", norm: Norm = "frobenius", rows: int = 4
) -> tuple[JacobianNorms, ...]:
    """The norms of the Jacobians of the last state with respect to every earlier one (Pascanu, Mikolov & Bengio 2013,
    1211.5063, eq. 5), exact.

    A row of a layer's input is repeated once for every entry of the last state, with the rows of the identity for
    gradients of the final states. One backward pass of the scan then brings to the states of every step the rows of
    their Jacobian.

    Args:
        of, by: see `JacobianNorms`. A state that counts steps is part of neither.
        norm: "spectral" keeps all Jacobians and takes the singular values of each.
        rows: how many of the first sequences of the probe are looked at.

    Raises:
        InputError: an argument is none of those.
    """
    for name, given, known in (("of", of, ("output", "all")), ("by", by, ("output", "all")),
                               ("norm", norm, ("frobenius", "spectral"))):  # fmt: skip
        if given not in known:
            raise InputError(f"{name} is {given!r}; expected {known[0]!r} or {known[1]!r}")
    check_count("rows", rows)
    return norms_of(probe.recurrences(rows), of, by, norm)


def norms_of(
    found: list[Recurrence], of: Part = "output", by: Part = "all", norm: Norm = "frobenius"
) -> tuple[JacobianNorms, ...]:
    """The norms of layers as they ran; see `jacobian_norms`."""
    measured = []
    for one in found:
        runs = running(one.request)
        # (rows) of (directions, T)
        each = [_row(one.request, row, of, by, norm) for row in range(one.request.batch)]
        for direction, backwards in enumerate(one.request.reverse):
            norms = np.full((one.request.batch, one.request.steps), np.nan)
            for row, values in enumerate(each):
                own = array(values[direction])[runs[row].numpy()]
                norms[row, : len(own)] = own if backwards else own[::-1]
            measured.append(JacobianNorms(one.name, int(backwards), of, by, norm, norms))
    return tuple(measured)


def jacobians(request: scan.Request, row: int, of: Part = "output", by: Part = "all") -> Tensor:
    """(directions, T, entries of `of`, entries of `by`): ds_last/ds_t of one row of a request made by `as_rows`."""
    entries = sum(_sizes(request, of).values())
    return torch.cat([_rows_of_identity(request, row, first, of, by) for first in _starts(request, entries)], 2)


def _row(request: scan.Request, row: int, of: Part, by: Part, norm: Norm) -> Tensor:
    """(directions, T) the norms of one row."""
    if norm == "spectral":
        found: Tensor = torch.linalg.matrix_norm(jacobians(request, row, of, by).double(), 2)
        return found
    entries = sum(_sizes(request, of).values())
    parts = (_rows_of_identity(request, row, first, of, by) for first in _starts(request, entries))
    squares = sum(part.double().square().sum((2, 3)) for part in parts)
    return torch.as_tensor(squares).sqrt()


def _sizes(request: scan.Request, part: Part) -> dict[str, int]:
    """The sizes of the states that take part."""
    cell = request.cell
    names = cell.states[:1] if part == "output" else cell.states
    counter = cell.clock[0] if cell.clock else None
    return {name: request.state_size(cell.states.index(name)) for name in names if name != counter}


def _starts(request: scan.Request, entries: int) -> list[tuple[int, int]]:
    """The first and the last but one row of the identity of each pass."""
    each = request.steps * request.units * (len(request.cell.gates) + 2 * len(request.cell.states))
    count = max(1, min(entries, KEPT // max(each * len(request.weights), 1)))
    return [(first, min(first + count, entries)) for first in range(0, entries, count)]


def _rows_of_identity(request: scan.Request, row: int, span: tuple[int, int], of: Part, by: Part) -> Tensor:
    """(directions, T, rows, entries of `by`): those rows of the Jacobians."""
    first, last = span
    directions = len(request.weights)
    asked = replace(as_rows(request, [row] * (last - first)), outputs=(0,))
    flow = scan.Flow(asked)
    asked.x.requires_grad_(True)
    with torch.enable_grad():
        _, finals = scan.run(replace(asked, flow=flow))
    moved = _sizes(request, of)
    identity = torch.eye(sum(moved.values()), dtype=request.x.dtype, device=request.x.device)[first:last]
    pieces = dict(zip(moved, identity.split(list(moved.values()), 1), strict=True))
    pulled = [
        (final, pieces[name].expand(directions, -1, -1))
        for name, final in zip(request.cell.states, finals, strict=True)
        if name in pieces and final.requires_grad
    ]
    torch.autograd.grad([final for final, _ in pulled], asked.x, [pull for _, pull in pulled], allow_unused=True)
    parts = [
        by_direction(flow.gradients.get(name, asked.x.new_zeros(*asked.x.shape[:2], directions * size)), directions)
        for name, size in _sizes(request, by).items()
    ]
    return torch.cat(parts, -1).transpose(1, 2)


def _mean_of_columns(values: np.ndarray) -> np.ndarray:
    """The mean of each column over what is finite; NaN where nothing is."""
    known = np.isfinite(values)
    total: np.ndarray = np.where(known, values, 0.0).sum(0)
    count = known.sum(0)
    mean: np.ndarray = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return mean
