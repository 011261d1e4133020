"""The independently recurrent network."""

from typing import Any

from .cell import cell, register


@register
@cell(gates="a", states="h", parameters="u", initial={"u": (0.0, 1.0)}, phi="relu", layer="IndRNN")
def indrnn(gate: Any, state: Any, p: Any, phi: Any) -> Any:
    """Independently recurrent network (Li et al. 2018, 1803.04831).

    h_t = phi(W x_t + u * h_{t-1} + b)

    A unit reads no other: one layer mixes nothing, so stack two or more. u starts uniform in 0..1. Over T steps the
    paper keeps |u| <= gamma^(1/T), gamma about 2, after every step of the optimiser; a layer does not do so by itself.

    Shapes: x (D), h and u (H), W (H, D), b (H); no U.
    """
    return phi(gate.x.a + p.u * state.h)
