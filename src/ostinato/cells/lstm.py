"""Long short-term memory."""

from typing import Any

from .cell import cell, register


@register
@cell(gates="i f g o", states="h c", phi="tanh", sigma="sigmoid")
def lstm(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """Long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997, Neural Computation 9(8);
    Gers, Schmidhuber & Cummins 2000, Neural Computation 12(10)).

    i, f, o = sigma(W x_t + U h_{t-1} + b)          input, forget and output gate
    g       = phi(W_g x_t + U_g h_{t-1} + b_g)      candidate
    c_t     = f * c_{t-1} + i * g
    h_t     = o * phi(c_t)

    Shapes: x (D), h and c (H), W (4H, D), U (4H, H), b (4H); blocks in the order i, f, g, o.
    """
    i = sigma(gate.i)
    f = sigma(gate.f)
    c = f * state.c + i * phi(gate.g)
    return sigma(gate.o) * phi(c), c
