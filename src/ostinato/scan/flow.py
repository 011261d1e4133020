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
_exact_recorders: Listeners[Flow] = Listeners()


def record(exact: bool = False) -> AbstractContextManager[list[Flow]]:
    """Collect a `Flow` of every scan that this thread runs inside the `with` block; their backward passes may run
    later, and in any thread.

    Args:
        exact: whether these scans run without `truncate`, `clip` and `saved_dtype`, so that their gradients are the
            derivatives of what they compute.
    """
    return (_exact_recorders if exact else _recorders).listen()


def recording() -> bool:
    """Whether a `record` block of this thread is open."""
    return bool(_recorders) or bool(_exact_recorders)


def recorded(request: Request) -> Request:
    """The request, with a flow for all that record now."""
    if not recording():
        return request
    if _exact_recorders:
        request = replace(request, truncate=0, clip=0.0, saved_dtype=None)
    flow = Flow(request)
    _recorders.tell(flow)
    _exact_recorders.tell(flow)
    return replace(request, flow=flow)
