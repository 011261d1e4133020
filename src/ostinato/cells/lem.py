"""Long expressive memory."""

from typing import Any

from .cell import cell, register


@register
@cell(gates="d1 d2 z y", states="y z", constants={"dt": 1.0}, phi="tanh", sigma="sigmoid", layer="LEM")
def lem(gate: Any, state: Any, constant: Any, phi: Any, sigma: Any) -> Any:
    """Long expressive memory (Rusch, Mishra, Erichson & Mahoney 2022, 2110.04744).

    d1  = dt * sigma(W_1 x_t + U_1 y_{t-1} + b_1)           time step of z
    d2  = dt * sigma(W_2 x_t + U_2 y_{t-1} + b_2)           time step of y
    z_t = (1 - d1) * z_{t-1} + d1 * phi(W_z x_t + U_z y_{t-1} + b_z)
    y_t = (1 - d2) * y_{t-1} + d2 * phi(W_y x_t + U_y z_t + b_y)

    y is the output. U_y reads the new z, every other block of U the old y.

    Shapes: x (D), y, z and the constant dt (H), W (4H, D), U (4H, H), b (4H); blocks in the order d1, d2, z, y.
    """
    d1 = constant.dt * sigma(gate.d1)
    d2 = constant.dt * sigma(gate.d2)
    z = state.z + d1 * (phi(gate.z) - state.z)
    return state.y + d2 * (phi(gate.using(h=z).y) - state.y), z
