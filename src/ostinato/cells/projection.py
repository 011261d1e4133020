"""Long short-term memory whose output is narrower than its cell."""

from typing import Any

from .cell import cell, register


@register
@cell(gates="i f g o", states="h:P c", matrices="R:PH", phi="tanh", sigma="sigmoid", forget="f", layer="ProjectedLSTM")
def projected_lstm(gate: Any, state: Any, matrix: Any, phi: Any, sigma: Any) -> Any:
    """Long short-term memory with a recurrent projection (Sak, Senior & Beaufays 2014, 1402.1128).

    i, f, o = sigma(W x_t + U h_{t-1} + b)          input, forget and output gate
    g       = phi(W_g x_t + U_g h_{t-1} + b_g)      candidate
    c_t     = f * c_{t-1} + i * g
    h_t     = R (o * phi(c_t))

    h has the projection size P and c the units H, so have their initial states. The form of torch's `proj_size`; the
    paper has peepholes too, and an optional second projection beside R that goes to the output only.

    Shapes: x (D), h (P), c (H), W (4H, D), U (4H, P), R (P, H), b (4H); blocks in the order i, f, g, o.
    """
    i = sigma(gate.i)
    f = sigma(gate.f)
    c = f * state.c + i * phi(gate.g)
    return matrix.R @ (sigma(gate.o) * phi(c)), c
