"""Long short-term memory with noise in its recurrence: zoneout, and the three places where dropout was put.

The masks are sequences that a layer draws in training, one value a unit, fresh for every row and every step, or once a
row for a whole sequence: each as its paper has it, unless the layer's `per_step` says otherwise. A dropout mask d is 0
or 1 / (1 - rate), and 1 outside training; a zoneout mask is 0 or 1, and its mean outside training. Dropout of x is no
part of a step: drop it before the layer.
"""

from typing import Any

from . import ops
from .cell import Mask, cell, register


@register
@cell(
    gates="i f g o", states="h c", phi="tanh", sigma="sigmoid", forget="f", layer="ZoneoutLSTM",
    masks={"d_h": Mask("zoneout", "zoneout_h", 0.05), "d_c": Mask("zoneout", "zoneout_c", 0.5)},
)  # fmt: skip
def zoneout_lstm(gate: Any, state: Any, sequence: Any, phi: Any, sigma: Any) -> Any:
    """Long short-term memory with zoneout (Krueger et al. 2017, 1606.01305).

    i, f, o = sigma(W x_t + U h_{t-1} + b)                          input, forget and output gate
    c'      = f * c_{t-1} + i * phi(W_g x_t + U_g h_{t-1} + b_g)
    c_t     = d_c * c_{t-1} + (1 - d_c) * c'
    h_t     = d_h * h_{t-1} + (1 - d_h) * (o * phi(c'))

    d_h and d_c are 1 where a unit keeps its state: random in training, the rates `zoneout_h` and `zoneout_c` outside.
    The output reads c', not the zoned c_t. The default rates are the paper's for characters of the Penn Treebank.

    Shapes: x (D), h, c, d_h and d_c (H), W (4H, D), U (4H, H), b (4H); blocks in the order i, f, g, o.
    """
    c = sigma(gate.f) * state.c + sigma(gate.i) * phi(gate.g)
    h = sigma(gate.o) * phi(c)
    d_h, d_c = sequence.d_h, sequence.d_c
    return d_h * state.h + (1.0 - d_h) * h, d_c * state.c + (1.0 - d_c) * c


@register
@cell(
    gates="i f g o", states="h c", phi="tanh", sigma="sigmoid", forget="f", layer="VariationalLSTM",
    masks={"d": Mask("dropout", "recurrent_dropout", 0.25, per_step=False)},
)  # fmt: skip
def variational_lstm(gate: Any, state: Any, sequence: Any, phi: Any, sigma: Any) -> Any:
    """Long short-term memory with dropout of what the gates read of h (Gal & Ghahramani 2016, 1512.05287).

    i, f, o = sigma(W x_t + U (d * h_{t-1}) + b)                    input, forget and output gate
    g       = phi(W_g x_t + U_g (d * h_{t-1}) + b_g)                candidate
    c_t     = f * c_{t-1} + i * g
    h_t     = o * phi(c_t)

    d is drawn once for a whole sequence; the paper drops x likewise. All gates share the mask: the paper's tied
    weights; Keras' `recurrent_dropout` has a mask a gate.

    Shapes: x (D), h, c and d (H), W (4H, D), U (4H, H), b (4H); blocks in the order i, f, g, o.
    """
    dropped = gate.using(h=sequence.d * state.h)
    c = sigma(dropped.f) * state.c + sigma(dropped.i) * phi(dropped.g)
    return sigma(dropped.o) * phi(c), c


@register
@cell(
    gates="i f g o", states="h c", phi="tanh", sigma="sigmoid", forget="f", layer="RNNDropLSTM",
    masks={"d": Mask("dropout", "recurrent_dropout", 0.25, per_step=False)},
)  # fmt: skip
def rnn_drop_lstm(gate: Any, state: Any, sequence: Any, phi: Any, sigma: Any) -> Any:
    """Long short-term memory with dropout of the cell state: RnnDrop (Moon et al. 2015, ASRU, 65-70).

    i, f, o = sigma(W x_t + U h_{t-1} + b)                          input, forget and output gate
    g       = phi(W_g x_t + U_g h_{t-1} + b_g)                      candidate
    c_t     = f * c_{t-1} + i * g       where d > 0
              0                         elsewhere
    h_t     = d * o * phi(c_t)

    d is drawn once for a whole sequence; drawn at every step it would delete memory. Only h is scaled by
    1 / (1 - rate): a factor on c would act again at every step, and c grow or shrink exponentially, as Semeniuta,
    Severyn & Barth 2016 (1603.05118) point out.

    Shapes: x (D), h, c and d (H), W (4H, D), U (4H, H), b (4H); blocks in the order i, f, g, o.
    """
    c = ops.select(sequence.d, sigma(gate.f) * state.c + sigma(gate.i) * phi(gate.g), 0.0)
    return sequence.d * (sigma(gate.o) * phi(c)), c


@register
@cell(
    gates="i f g o", states="h c", phi="tanh", sigma="sigmoid", forget="f", layer="RecurrentDropoutLSTM",
    masks={"d": Mask("dropout", "recurrent_dropout", 0.25)},
)  # fmt: skip
def recurrent_dropout_lstm(gate: Any, state: Any, sequence: Any, phi: Any, sigma: Any) -> Any:
    """Long short-term memory with dropout of the candidate: without memory loss (Semeniuta, Severyn & Barth 2016,
    1603.05118).

    i, f, o = sigma(W x_t + U h_{t-1} + b)                          input, forget and output gate
    g       = phi(W_g x_t + U_g h_{t-1} + b_g)                      candidate
    c_t     = f * c_{t-1} + i * (d * g)
    h_t     = o * phi(c_t)

    Nothing that c holds is ever dropped, so that d may be drawn at every step.

    Shapes: x (D), h, c and d (H), W (4H, D), U (4H, H), b (4H); blocks in the order i, f, g, o.
    """
    c = sigma(gate.f) * state.c + sigma(gate.i) * (sequence.d * phi(gate.g))
    return sigma(gate.o) * phi(c), c
