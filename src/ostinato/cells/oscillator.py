"""A recurrent network of coupled oscillators."""

from typing import Any

from .cell import cell, register


@register
@cell(
    gates="a", states="y z", matrices="V:HH", constants={"dt": 0.042, "gamma": 2.7, "epsilon": 4.7}, phi="tanh",
    layer="CoRNN",
)  # fmt: skip
def cornn(gate: Any, state: Any, constant: Any, matrix: Any, phi: Any) -> Any:
    """Coupled oscillatory recurrent network (Rusch & Mishra 2021, 2010.00951).

    z_t = z_{t-1} + dt * (phi(W x_t + U y_{t-1} + V z_{t-1} + b) - gamma * y_{t-1} - epsilon * z_{t-1})
    y_t = y_{t-1} + dt * z_t

    y is the oscillators' position and the output, z their velocity; y moves with the new velocity. The constants are
    tuned to the task; the defaults are the paper's for sequential MNIST.

    Shapes: x (D), y, z and the constants dt, gamma and epsilon (H), W (H, D), U and V (H, H), b (H).
    """
    force = phi(gate.a + matrix.V @ state.z) - constant.gamma * state.y - constant.epsilon * state.z
    z = state.z + constant.dt * force
    return state.y + constant.dt * z, z
