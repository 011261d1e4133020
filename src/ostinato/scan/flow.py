"""What a backward pass brings to the states of a scan, step by step."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from torch import Tensor

from .listeners import Listeners

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


_recorders: Listeners[Flow] = Listeners()


def record() -> AbstractContextManager[list[Flow]]:
    """Collect a `Flow` of every scan that this thread runs inside the `with` block; their backward passes may run
    later, and in any thread."""
    return _recorders.listen()


def recording() -> bool:
    """Whether a `record` block of this thread is open."""
    return bool(_recorders)


def recorded(request: Request) -> Request:
    """The request, with a flow for all that record now."""
    if not _recorders:
        return request
    flow = Flow(request)
    _recorders.tell(flow)
    return replace(request, flow=flow)
