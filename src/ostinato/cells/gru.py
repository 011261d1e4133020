"""The gated recurrent unit, in both forms."""

from typing import Any

from .cell import cell, register


@register
@cell(gates="r z n", states="h", phi="tanh", sigma="sigmoid")
def gru(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """Gated recurrent unit, reset after the product: the form of cuDNN, PyTorch and Keras' default
    (Cho et al. 2014, 1406.1078, first version).

    r, z = sigma(W x_t + U h_{t-1} + b)                     reset and update gate
    n    = phi(W_n x_t + b_n + r * (U_n h_{t-1} + b'_n))    candidate
    h_t  = z * h_{t-1} + (1 - z) * n

    Shapes: x (D), h (H), W (3H, D), U (3H, H), b (3H) beside W, b' (3H) beside U; blocks in the order r, z, n.
    """
    r = sigma(gate.r)
    z = sigma(gate.z)
    n = phi(gate.x.n + r * gate.h.n)
    return n + z * (state.h - n)


@register
@cell(gates="r z n", states="h", phi="tanh", sigma="sigmoid")
def gru_reset_before(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """Gated recurrent unit, reset before the product (Cho et al. 2014, 1406.1078, third version; Chung et al. 2014,
    1412.3555, who write 1 - z for this z).

    r, z = sigma(W x_t + U h_{t-1} + b)                     reset and update gate
    n    = phi(W_n x_t + U_n (r * h_{t-1}) + b_n)           candidate
    h_t  = z * h_{t-1} + (1 - z) * n

    Shapes: x (D), h (H), W (3H, D), U (3H, H), b (3H); blocks in the order r, z, n.
    """
    r = sigma(gate.r)
    z = sigma(gate.z)
    n = phi(gate.using(h=r * state.h).n)
    return n + z * (state.h - n)
