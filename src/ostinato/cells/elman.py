"""The simple recurrent network."""

from typing import Any

from .cell import cell, register


@register
@cell(gates="a", states="h", phi="tanh", layer="RNN")
def elman(gate: Any, phi: Any) -> Any:
    """Simple recurrent network (Elman 1990, Cognitive Science 14, 179-211).

    h_t = phi(W x_t + U h_{t-1} + b)

    Shapes: x (D), h (H), W (H, D), U (H, H), b (H).
    """
    return phi(gate.a)
