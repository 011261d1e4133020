"""What a backward pass brings to the states of a scan, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from .request import Request


@dataclass(eq=False)
class Flow:
    """The gradients of one scan's states along its sequence, filled by every backward pass through it.

    Attributes:
        request: the scan, with its tensors.
        gradients: by state the gradient of the loss with respect to the state after each step, from all later steps and
            from the output at this one. The states of a step are taken for independent: the gradient of an LSTM's c
            does not hold what the same step's h makes of c. Laid out as the scan's input, with K * (size of the state)
            features, zeros at steps beyond a row's length. Empty until a backward pass has come through.
    """

    request: Request
    gradients: dict[str, Tensor] = field(default_factory=dict)


_recorders: list[list[Flow]] = []


@contextmanager
def record() -> Iterator[list[Flow]]:
    """Collect a `Flow` of every scan that runs inside the `with` block; their backward passes may run later."""
    taken: list[Flow] = []
    _recorders.append(taken)
    try:
        yield taken
    finally:
        _recorders.remove(taken)


def recording() -> bool:
    """Whether a `record` block is open."""
    return bool(_recorders)


def recorded(request: Request) -> Request:
    """The request, with a flow for all that record now."""
    if not _recorders:
        return request
    flow = Flow(request)
    for taken in _recorders:
        taken.append(flow)
    return replace(request, flow=flow)
