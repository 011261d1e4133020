"""The quasi-recurrent network."""

from typing import Any

from .cell import cell, register


@register
@cell(gates="z f o", states="h c", phi="tanh", sigma="sigmoid", forget="f", layer="QRNN")
def qrnn(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """Quasi-recurrent network with fo-pooling (Bradbury et al. 2016, 1611.01576).

    z    = phi(W_z x_t + b_z)                       candidate
    f, o = sigma(W x_t + b)                         forget and output gate
    c_t  = f * c_{t-1} + (1 - f) * z
    h_t  = o * c_t

    No product reads a state. This is a window of one step; for the paper's convolution over the last k steps, feed
    x_{t-k+1} ... x_t side by side as one input, zeros before the first step. f keeps the old state, as in the paper;
    some implementations turn it round.

    Shapes: x (D), h and c (H), W (3H, D), b (3H), no U; blocks in the order z, f, o.
    """
    f = sigma(gate.x.f)
    c = f * state.c + (1.0 - f) * phi(gate.x.z)
    return sigma(gate.x.o) * c, c
