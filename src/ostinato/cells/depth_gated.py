"""Long short-term memory whose layers are joined by a gate between their cells."""

from typing import Any

from .cell import cell, register


@register
@cell(
    gates="i f g o d", states="h c", parameters="p_i p_f p_o p_d p_below", sequences="c_below",
    phi="tanh", sigma="sigmoid", forget="f", layer="DepthGatedLSTM",
)  # fmt: skip
def depth_gated_lstm(gate: Any, state: Any, sequence: Any, p: Any, phi: Any, sigma: Any) -> Any:
    """Depth-gated long short-term memory: the second and every further layer of a stack (Yao et al. 2015, 1508.03790).

    i   = sigma(W_i x_t + U_i h_{t-1} + p_i * c_{t-1} + b_i)                    input gate
    f   = sigma(W_f x_t + U_f h_{t-1} + p_f * c_{t-1} + b_f)                    forget gate
    d   = sigma(W_d x_t + p_d * c_{t-1} + p_below * c_below_t + b_d)            depth gate
    g   = phi(W_g x_t + U_g h_{t-1} + b_g)                                      candidate
    c_t = d * c_below_t + f * c_{t-1} + i * g
    o   = sigma(W_o x_t + U_o h_{t-1} + p_o * c_t + b_o)                        output gate
    h_t = o * phi(c_t)

    x_t is the output of the layer below and c_below_t its new cell state, so both layers have the same units. The depth
    gate does not read h, and its term is added: the weights need not sum to 1. The first layer, which has none below,
    is the `peephole_lstm`. All peepholes start at 0.

    Shapes: x (D), h, c, c_below and the vectors p (H), W (5H, D) with blocks in the order i, f, g, o, d, U (4H, H) with
    blocks in the order i, f, g, o, b (5H).
    """
    i = sigma(gate.i + p.p_i * state.c)
    f = sigma(gate.f + p.p_f * state.c)
    d = sigma(gate.x.d + p.p_d * state.c + p.p_below * sequence.c_below)
    c = d * sequence.c_below + f * state.c + i * phi(gate.g)
    return sigma(gate.o + p.p_o * c) * phi(c), c
