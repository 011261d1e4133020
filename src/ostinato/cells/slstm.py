"""The scalar extended LSTM."""

from typing import Any

from . import ops
from .activations import activation
from .cell import cell, register

_log_sigmoid = activation("log_sigmoid").value


@register
@cell(gates="i f z o", states="h c n m", blocks="heads", phi="tanh", sigma="sigmoid", forget="f", layer="SLSTM")
def slstm(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """Scalar extended LSTM: exponential input gate, normaliser, heads (Beck et al. 2024, 2405.04517).

    i, f, z, o = W x_t + U h_{t-1} + b              U block-diagonal: a head's units read that head only
    m_t = max(log_sigmoid(f) + m_{t-1}, i)          stabiliser; m_t = i where n_{t-1} is 0, at the first step
    i'  = exp(i - m_t)                              input gate
    f'  = exp(log_sigmoid(f) + m_{t-1} - m_t)       forget gate
    c_t = f' * c_{t-1} + i' * phi(z)
    n_t = f' * n_{t-1} + i'                         normaliser
    h_t = sigma(o) * c_t / n_t

    The stabiliser cancels: h is that of the recurrence without it, as long as that one does not overflow. The paper
    allows an exponential forget gate too; this is the sigmoid, as in its programs. n is a sum of positive terms; a
    negative entry of an initial state counts as 0.

    Shapes: x (D), h, c, n and m (H), W (4H, D), U (4H, H), b (4H); blocks in the order i, f, z, o.
    """
    n = ops.maximum(state.n, 0.0)
    kept = _log_sigmoid(gate.f) + state.m
    m = ops.select(n, ops.maximum(kept, gate.i), gate.i)
    i = ops.exp(gate.i - m)
    # kept <= m wherever n > 0; at a first step the bound keeps a factor of 0 from overflowing
    f = ops.exp(ops.minimum(kept - m, 0.0))
    c = f * state.c + i * phi(gate.z)
    n = f * n + i
    return sigma(gate.o) * c / n, c, n, m
