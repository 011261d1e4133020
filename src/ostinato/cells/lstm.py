"""Long short-term memory."""

from typing import Any

from .cell import cell, register


@register
@cell(gates="i f g o", states="h c", phi="tanh", sigma="sigmoid", forget="f", layer="LSTM")
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


@register
@cell(gates="i g o", states="h c", phi="tanh", sigma="sigmoid", layer="ForgetlessLSTM")
def forgetless_lstm(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """Long short-term memory without a forget gate (Hochreiter & Schmidhuber 1997, Neural Computation 9(8)).

    i, o = sigma(W x_t + U h_{t-1} + b)             input and output gate
    g    = phi(W_g x_t + U_g h_{t-1} + b_g)         candidate
    c_t  = c_{t-1} + i * g
    h_t  = o * phi(c_t)

    Nothing takes c back: on a stream without end it grows without bound. The paper squashes g to -2..2 and c to -1..1
    by scaled logistic functions and truncates the gradient at the gates; here phi does both and the gradient is whole.

    Shapes: x (D), h and c (H), W (3H, D), U (3H, H), b (3H); blocks in the order i, g, o.
    """
    c = state.c + sigma(gate.i) * phi(gate.g)
    return sigma(gate.o) * phi(c), c


@register
@cell(
    gates="i f g o", states="h c", parameters="p_i p_f p_o", phi="tanh", sigma="sigmoid", forget="f",
    layer="PeepholeLSTM",
)  # fmt: skip
def peephole_lstm(gate: Any, state: Any, p: Any, phi: Any, sigma: Any) -> Any:
    """Long short-term memory with peepholes (Gers, Schraudolph & Schmidhuber 2002, JMLR 3, 115-143).

    i   = sigma(W_i x_t + U_i h_{t-1} + p_i * c_{t-1} + b_i)        input gate
    f   = sigma(W_f x_t + U_f h_{t-1} + p_f * c_{t-1} + b_f)        forget gate
    g   = phi(W_g x_t + U_g h_{t-1} + b_g)                          candidate
    c_t = f * c_{t-1} + i * g
    o   = sigma(W_o x_t + U_o h_{t-1} + p_o * c_t + b_o)            output gate
    h_t = o * phi(c_t)

    The output gate sees the new cell state, the others the old one. It is the "vanilla" LSTM of Greff et al. 2015
    (1503.04069). The peepholes start at 0; ONNX holds them in the order i, o, f.

    Shapes: x (D), h, c and the peepholes (H), W (4H, D), U (4H, H), b (4H); blocks in the order i, f, g, o.
    """
    i = sigma(gate.i + p.p_i * state.c)
    f = sigma(gate.f + p.p_f * state.c)
    c = f * state.c + i * phi(gate.g)
    return sigma(gate.o + p.p_o * c) * phi(c), c


@register
@cell(gates="i g o", states="h c", phi="tanh", sigma="sigmoid", forget="-i", layer="CoupledLSTM")
def coupled_lstm(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """Long short-term memory with coupled input and forget gate (Greff et al. 2015, 1503.04069, without peepholes).

    i, o = sigma(W x_t + U h_{t-1} + b)             input and output gate
    g    = phi(W_g x_t + U_g h_{t-1} + b_g)         candidate
    c_t  = (1 - i) * c_{t-1} + i * g
    h_t  = o * phi(c_t)

    The stored gate is the input gate: where an LSTM remembers by a forget bias of 1, this cell does by an input bias
    of -1. With sigma the logistic function it is the LSTM whose forget gate has the negated weights of its input gate.

    Shapes: x (D), h and c (H), W (3H, D), U (3H, H), b (3H); blocks in the order i, g, o.
    """
    i = sigma(gate.i)
    c = (1.0 - i) * state.c + i * phi(gate.g)
    return sigma(gate.o) * phi(c), c


@register
@cell(gates="f g", states="h", constants={"beta": 1.0}, phi="tanh", sigma="sigmoid", forget="f", layer="JANET")
def janet(gate: Any, state: Any, constant: Any, phi: Any, sigma: Any) -> Any:
    """Just another network: a long short-term memory with nothing but a forget gate
    (van der Westhuizen & Lasenby 2018, 1804.04849).

    a   = W_f x_t + U_f h_{t-1} + b_f
    g   = phi(W_g x_t + U_g h_{t-1} + b_g)                          candidate
    h_t = sigma(a) * h_{t-1} + (1 - sigma(a - beta)) * g

    The two weights sum to more than 1 for beta > 0. The paper draws b_f as log U(1, longest dependency).

    Shapes: x (D), h and the constant beta (H), W (2H, D), U (2H, H), b (2H); blocks in the order f, g.
    """
    return sigma(gate.f) * state.h + (1.0 - sigma(gate.f - constant.beta)) * phi(gate.g)
