"""The variants of "LSTM: A Search Space Odyssey", each the peephole LSTM with one thing changed.

The paper's V (vanilla) is `peephole_lstm`, its NP (no peepholes) is `lstm`. All peepholes start at 0.
"""

from typing import Any

from .cell import cell, register


@register
@cell(gates="f g o", states="h c", parameters="p_f p_o", phi="tanh", sigma="sigmoid", forget="f", layer="NIG")
def nig(gate: Any, state: Any, p: Any, phi: Any, sigma: Any) -> Any:
    """Peephole LSTM without input gate (Greff et al. 2015, 1503.04069: NIG).

    f   = sigma(W_f x_t + U_f h_{t-1} + p_f * c_{t-1} + b_f)        forget gate
    g   = phi(W_g x_t + U_g h_{t-1} + b_g)                          candidate
    c_t = f * c_{t-1} + g
    o   = sigma(W_o x_t + U_o h_{t-1} + p_o * c_t + b_o)            output gate
    h_t = o * phi(c_t)

    Shapes: x (D), h, c and the peepholes (H), W (3H, D), U (3H, H), b (3H); blocks in the order f, g, o.
    """
    c = sigma(gate.f + p.p_f * state.c) * state.c + phi(gate.g)
    return sigma(gate.o + p.p_o * c) * phi(c), c


@register
@cell(gates="i g o", states="h c", parameters="p_i p_o", phi="tanh", sigma="sigmoid", layer="NFG")
def nfg(gate: Any, state: Any, p: Any, phi: Any, sigma: Any) -> Any:
    """Peephole LSTM without forget gate (Greff et al. 2015, 1503.04069: NFG).

    i   = sigma(W_i x_t + U_i h_{t-1} + p_i * c_{t-1} + b_i)        input gate
    g   = phi(W_g x_t + U_g h_{t-1} + b_g)                          candidate
    c_t = c_{t-1} + i * g
    o   = sigma(W_o x_t + U_o h_{t-1} + p_o * c_t + b_o)            output gate
    h_t = o * phi(c_t)

    With its peepholes at 0 it is the `forgetless_lstm`; as there, c may grow without bound.

    Shapes: x (D), h, c and the peepholes (H), W (3H, D), U (3H, H), b (3H); blocks in the order i, g, o.
    """
    c = state.c + sigma(gate.i + p.p_i * state.c) * phi(gate.g)
    return sigma(gate.o + p.p_o * c) * phi(c), c


@register
@cell(gates="i f g", states="h c", parameters="p_i p_f", phi="tanh", sigma="sigmoid", forget="f", layer="NOG")
def nog(gate: Any, state: Any, p: Any, phi: Any, sigma: Any) -> Any:
    """Peephole LSTM without output gate (Greff et al. 2015, 1503.04069: NOG).

    i   = sigma(W_i x_t + U_i h_{t-1} + p_i * c_{t-1} + b_i)        input gate
    f   = sigma(W_f x_t + U_f h_{t-1} + p_f * c_{t-1} + b_f)        forget gate
    g   = phi(W_g x_t + U_g h_{t-1} + b_g)                          candidate
    c_t = f * c_{t-1} + i * g
    h_t = phi(c_t)

    Shapes: x (D), h, c and the peepholes (H), W (3H, D), U (3H, H), b (3H); blocks in the order i, f, g.
    """
    i = sigma(gate.i + p.p_i * state.c)
    f = sigma(gate.f + p.p_f * state.c)
    c = f * state.c + i * phi(gate.g)
    return phi(c), c


@register
@cell(gates="i f g o", states="h c", parameters="p_i p_f p_o", phi="tanh", sigma="sigmoid", forget="f", layer="NIAF")
def niaf(gate: Any, state: Any, p: Any, phi: Any, sigma: Any) -> Any:
    """Peephole LSTM without input activation function (Greff et al. 2015, 1503.04069: NIAF).

    i   = sigma(W_i x_t + U_i h_{t-1} + p_i * c_{t-1} + b_i)        input gate
    f   = sigma(W_f x_t + U_f h_{t-1} + p_f * c_{t-1} + b_f)        forget gate
    g   = W_g x_t + U_g h_{t-1} + b_g                               candidate, linear
    c_t = f * c_{t-1} + i * g
    o   = sigma(W_o x_t + U_o h_{t-1} + p_o * c_t + b_o)            output gate
    h_t = o * phi(c_t)

    Shapes: x (D), h, c and the peepholes (H), W (4H, D), U (4H, H), b (4H); blocks in the order i, f, g, o.
    """
    i = sigma(gate.i + p.p_i * state.c)
    f = sigma(gate.f + p.p_f * state.c)
    c = f * state.c + i * gate.g
    return sigma(gate.o + p.p_o * c) * phi(c), c


@register
@cell(gates="i f g o", states="h c", parameters="p_i p_f p_o", phi="tanh", sigma="sigmoid", forget="f", layer="NOAF")
def noaf(gate: Any, state: Any, p: Any, phi: Any, sigma: Any) -> Any:
    """Peephole LSTM without output activation function (Greff et al. 2015, 1503.04069: NOAF).

    i   = sigma(W_i x_t + U_i h_{t-1} + p_i * c_{t-1} + b_i)        input gate
    f   = sigma(W_f x_t + U_f h_{t-1} + p_f * c_{t-1} + b_f)        forget gate
    g   = phi(W_g x_t + U_g h_{t-1} + b_g)                          candidate
    c_t = f * c_{t-1} + i * g
    o   = sigma(W_o x_t + U_o h_{t-1} + p_o * c_t + b_o)            output gate
    h_t = o * c_t

    Shapes: x (D), h, c and the peepholes (H), W (4H, D), U (4H, H), b (4H); blocks in the order i, f, g, o.
    """
    i = sigma(gate.i + p.p_i * state.c)
    f = sigma(gate.f + p.p_f * state.c)
    c = f * state.c + i * phi(gate.g)
    return sigma(gate.o + p.p_o * c) * c, c


@register
@cell(gates="i g o", states="h c", parameters="p_i p_o", phi="tanh", sigma="sigmoid", forget="-i", layer="CIFG")
def cifg(gate: Any, state: Any, p: Any, phi: Any, sigma: Any) -> Any:
    """Peephole LSTM with coupled input and forget gate (Greff et al. 2015, 1503.04069: CIFG).

    i   = sigma(W_i x_t + U_i h_{t-1} + p_i * c_{t-1} + b_i)        input gate
    g   = phi(W_g x_t + U_g h_{t-1} + b_g)                          candidate
    c_t = (1 - i) * c_{t-1} + i * g
    o   = sigma(W_o x_t + U_o h_{t-1} + p_o * c_t + b_o)            output gate
    h_t = o * phi(c_t)

    A negative bias of i remembers. Without its peepholes it is the `coupled_lstm`.

    Shapes: x (D), h, c and the peepholes (H), W (3H, D), U (3H, H), b (3H); blocks in the order i, g, o.
    """
    i = sigma(gate.i + p.p_i * state.c)
    c = (1.0 - i) * state.c + i * phi(gate.g)
    return sigma(gate.o + p.p_o * c) * phi(c), c


@register
@cell(
    gates="i f g o", states="h c i f o", parameters="p_i p_f p_o", phi="tanh", sigma="sigmoid", forget="f", layer="FGR",
    matrices="R_ii:HH R_fi:HH R_oi:HH R_if:HH R_ff:HH R_of:HH R_io:HH R_fo:HH R_oo:HH",
)  # fmt: skip
def fgr(gate: Any, state: Any, p: Any, matrix: Any, phi: Any, sigma: Any) -> Any:
    """Peephole LSTM with full gate recurrence (Greff et al. 2015, 1503.04069: FGR).

    i_t = sigma(W_i x_t + U_i h_{t-1} + p_i * c_{t-1} + R_ii i_{t-1} + R_fi f_{t-1} + R_oi o_{t-1} + b_i)
    f_t = sigma(W_f x_t + U_f h_{t-1} + p_f * c_{t-1} + R_if i_{t-1} + R_ff f_{t-1} + R_of o_{t-1} + b_f)
    g   = phi(W_g x_t + U_g h_{t-1} + b_g)
    c_t = f_t * c_{t-1} + i_t * g
    o_t = sigma(W_o x_t + U_o h_{t-1} + p_o * c_t + R_io i_{t-1} + R_fo f_{t-1} + R_oo o_{t-1} + b_o)
    h_t = o_t * phi(c_t)

    Every gate reads what all three gates were one step before: the gates' values are states and start at 0.

    Shapes: x (D), h, c, i, f, o and the peepholes (H), W (4H, D), U (4H, H), each R (H, H), b (4H); blocks in the order
    i, f, g, o.
    """
    before = (state.i, state.f, state.o)

    def recurrence(*sources: Any) -> Any:
        first, second, third = (source @ value for source, value in zip(sources, before, strict=True))
        return first + second + third

    i = sigma(gate.i + p.p_i * state.c + recurrence(matrix.R_ii, matrix.R_fi, matrix.R_oi))
    f = sigma(gate.f + p.p_f * state.c + recurrence(matrix.R_if, matrix.R_ff, matrix.R_of))
    c = f * state.c + i * phi(gate.g)
    o = sigma(gate.o + p.p_o * c + recurrence(matrix.R_io, matrix.R_fo, matrix.R_oo))
    return o * phi(c), c, i, f, o
