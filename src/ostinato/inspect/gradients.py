"""Gradient flow: how much of a loss reaches the states of a recurrent layer, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import scan
from .calls import Call
from .probe import Loss, Probe
from .rows import array, by_direction, by_row, reaching


@dataclass(frozen=True)
class GradientFlow:
    """The gradient that one state of one direction of a layer gets at every step.

    Attributes:
        layer: name of the layer.
        direction: 0 from the first step to the last, 1 from the last to the first.
        state: name of the state s.
        norms: (T) Euclidean norm of dL/ds_t, mean over the rows that have the step; NaN where none has. The states of a
            step count as independent; see `scan.Flow`.
    """

    layer: str
    direction: int
    state: str
    norms: np.ndarray

    @property
    def vanishing(self) -> float:
        """The norm at the step that ran first, relative to the largest one; 0 where all are 0."""
        known = self.norms[np.isfinite(self.norms)]
        if not len(known) or not known.max() > 0:
            return 0.0
        return float(known[-1 if self.direction else 0] / known.max())


def gradient_flow(probe: Probe, y: Any = None, loss: Loss | None = None) -> tuple[GradientFlow, ...]:
    """The gradients of every recurrent layer's states in one backward pass (Bengio, Simard & Frasconi 1994; Pascanu,
    Mikolov & Bengio 2013, 1211.5063).

    Args:
        y, loss: see `Probe.pull`.

    Returns:
        One flow for each layer, direction and state, in this order; a state that counts steps has none.

    Raises:
        InputError: see `Probe.pull`.
    """
    calls, _ = probe.pull(y, loss)
    return flows(calls)


def flows(calls: Sequence[Call]) -> tuple[GradientFlow, ...]:
    """The flows of calls through which a backward pass has come."""
    return tuple(
        one for call in calls for name, flow in zip(call.names(), call.flows, strict=True) for one in _flows(name, flow)
    )


def _flows(name: str, flow: scan.Flow) -> Iterator[GradientFlow]:
    request = flow.request
    reached, directions = reaching(request), len(request.weights)
    counter = request.cell.clock[0] if request.cell.clock else None
    for direction, backwards in enumerate(request.reverse):
        for state in request.cell.states:
            if state != counter:
                norms = torch.zeros(reached.shape)
                if state in flow.gradients:  # else nothing of the loss depends on it
                    own = by_direction(by_row(request, flow.gradients[state]), directions)[direction]
                    norms = own.norm(dim=-1).cpu()
                yield GradientFlow(name, int(backwards), state, _mean(norms, reached))


def _mean(values: Tensor, counted: Tensor) -> np.ndarray:
    """(T): the mean over the rows that count, NaN where none does; both are (N, T)."""
    weights = counted.double()
    mean: np.ndarray = array(torch.where(counted, values.double(), 0.0).sum(0) / weights.sum(0))
    return mean
