"""The clockwork recurrent network."""

from typing import Any

from . import ops
from .cell import cell, register


@register
@cell(
    gates="a", states="h t", constants={"period": 1.0}, blocks="clockwork", clock="t period", phi="tanh",
    layer="Clockwork",
)  # fmt: skip
def clockwork(gate: Any, state: Any, constant: Any, phi: Any) -> Any:
    """Clockwork recurrent network (Koutnik, Greff, Gomez & Schmidhuber 2014, 1402.3511).

    h_t = phi(W x_t + U h_{t-1} + b)    where the unit's period divides the number of the step
          h_{t-1}                       elsewhere

    The units stand in modules of one period each, in the order of rising periods. A module reads itself and the slower
    modules behind it: U is block upper triangular, and information flows from slow to fast only.

    The state t counts the steps taken, in every unit alike, so that the clock goes on where a sequence is continued and
    stands still where a step is masked. It starts at 0: every module is active at the first step.

    Shapes: x (D), h, t and the constant period (H), W (H, D), U (H, H), b (H).
    """
    waiting = ops.remainder(state.t, constant.period)
    return ops.select(waiting, state.h, phi(gate.a)), state.t + 1.0
