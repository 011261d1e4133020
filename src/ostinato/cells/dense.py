"""A layer without recurrence, as equations: what stands behind recurrent layers where a step is taken at a time."""

from typing import Any

from .cell import cell


@cell(gates="n", states="y", phi="linear")
def dense(gate: Any, phi: Any) -> Any:
    """Fully connected layer.

    y_t = phi(W x_t + b)

    It remembers nothing, and is no cell of the gallery.

    Shapes: x (D), y (H), W (H, D), b (H).
    """
    return phi(gate.x.n)
