"""The minimal versions of LSTM and GRU, whose gates read no state."""

from typing import Any

from . import ops
from .activations import activation
from .cell import cell, register

_softplus = activation("softplus").value


@register
@cell(gates="z n", states="h", phi="linear", sigma="sigmoid", forget="-z", layer="MinGRU")
def min_gru(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """Minimal gated recurrent unit (Feng et al. 2024, 2410.01201).

    z   = sigma(W_z x_t + b_z)                      update gate
    n   = phi(W_n x_t + b_n)                        candidate
    h_t = (1 - z) * h_{t-1} + z * n

    z overwrites, the opposite of `gru`: a negative bias of z remembers.

    Shapes: x (D), h (H), W (2H, D), b (2H), no U; blocks in the order z, n.
    """
    return state.h + sigma(gate.x.z) * (phi(gate.x.n) - state.h)


@register
@cell(gates="f i n", states="h", phi="linear", forget="f", layer="MinLSTM")
def min_lstm(gate: Any, state: Any, phi: Any) -> Any:
    """Minimal long short-term memory (Feng et al. 2024, 2410.01201).

    f, i = sigmoid(W x_t + b)                       forget and input gate
    n    = phi(W_n x_t + b_n)                       candidate
    h_t  = f / (f + i) * h_{t-1} + i / (f + i) * n

    Shapes: x (D), h (H), W (3H, D), b (3H), no U; blocks in the order f, i, n.
    """
    # f / (f + i) = sigmoid(log f - log i), which two closed gates do not turn into 0 / 0
    keep = ops.sigmoid(_softplus(-gate.x.i) - _softplus(-gate.x.f))
    n = phi(gate.x.n)
    return n + keep * (state.h - n)
