"""A scan whose calls are made once, on tensors that stay where they are: for loops that repeat the same step."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from . import _engine, dispatch
from .call import Caller, Gradients, readable, sequence
from .request import Request


class Prepared:
    """The two passes of one scan, each as often as wanted, over whatever its tensors hold at the time.

    Nothing of it is under autograd. The backward pass uses up what the forward pass kept, so it runs once after each.

    Attributes:
        outputs: the sequences of `request.outputs`, written by the forward pass.
        finals: the final states, one tensor (directions, batch, size of the state) a state, likewise.
    """

    def __init__(
        self, request: Request, outputs: Sequence[Tensor | None], finals: Sequence[Tensor | None], into: Gradients
    ) -> None:
        """
        Args:
            request: what is scanned.
            outputs: where the gradients of the outputs will stand; None is no gradient.
            finals: likewise those of the final states.
            into: where the gradients of the request's tensors are put.

        Raises:
            RuntimeError: the compiled kernels cannot serve the request as it stands.
        """
        self._choice = dispatch.choose(request, "cpu")
        caller = Caller(request)
        given = [*outputs, *finals]
        moved = caller.request is not request or any(a is not b for a, b in zip(given, readable(given), strict=True))
        if request.in_pieces or moved:
            raise RuntimeError("only a scan in one piece, of tensors that the kernels read where they are, is prepared")
        found, self.finals = caller.outputs()
        self.outputs = caller.asked(found)
        leases = [caller.lease() for _ in request.weights]
        self._layout = request.layout
        self._forward = list(caller.forward_calls(found, self.finals, leases))
        self._backward = list(caller.whole_backward_calls(found, leases, outputs, finals, into))
        self._held = caller, found, leases, outputs, finals, into  # what the calls point into

    def place(self, x: Tensor) -> None:
        """Read another input from now on.

        Args:
            x: of the shape, strides and dtype of the request's; held until the next one.
        """
        self._x = x
        for call in (*self._forward, *self._backward):
            call.set_x(*sequence(x, self._layout))

    def forward(self) -> None:
        """Write the outputs and the final states."""
        dispatch.tell(self._choice)
        for call in self._forward:
            _engine.forward(call)

    def backward(self) -> None:
        """Write the gradients."""
        for call in self._backward:
            _engine.backward(call)
