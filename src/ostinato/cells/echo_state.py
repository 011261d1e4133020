"""The echo state network's reservoir."""

from typing import Any

from .cell import cell, register


@register
@cell(gates="a", states="h", constants={"leak": 1.0}, phi="tanh", layer="EchoState")
def echo_state(gate: Any, state: Any, constant: Any, phi: Any) -> Any:
    """Leaky reservoir of an echo state network (Jaeger 2001, GMD report 148; in the form of Lukosevicius 2012,
    Neural Networks: Tricks of the Trade, 659-686).

    h_t = (1 - leak) * h_{t-1} + leak * phi(W x_t + U h_{t-1} + b)

    Nothing here is trained in an echo state network, only a linear readout of h behind it. Jaeger's own form has two
    constants in the place of the leak. Whether the echo of an input fades is told by the spectral radius of
    (1 - leak) I + leak U, not of U alone. With a leak of 1 it is the `elman`. Feedback of the output is not part of it.

    Shapes: x (D), h and the constant leak (H), W (H, D), U (H, H), b (H).
    """
    return (1.0 - constant.leak) * state.h + constant.leak * phi(gate.a)
