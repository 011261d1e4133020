"""The real-gated linear recurrent unit."""

import math
from typing import Any

from . import ops
from .activations import activation
from .cell import cell, register

#: The exponent c of the paper.
SHARPNESS = 8.0

_softplus = activation("softplus").value


def _lam(kept: float) -> float:
    """The lam with sigmoid(lam)^8 = kept."""
    a = kept ** (1.0 / SHARPNESS)
    return math.log(a / (1.0 - a))


@register
@cell(
    gates="r i", states="h", parameters="lam", initial={"lam": (_lam(0.9), _lam(0.999))}, sigma="sigmoid", forget="-r",
    layer="RGLRU",
)  # fmt: skip
def rg_lru(gate: Any, state: Any, x: Any, p: Any, sigma: Any) -> Any:
    """Real-gated linear recurrent unit (De et al. 2024, 2402.19427).

    r   = sigma(W_r x_t + b_r)                      recurrence gate
    i   = sigma(W_i x_t + b_i)                      input gate
    a   = sigmoid(lam)^(8 r)
    h_t = a * h_{t-1} + sqrt(1 - a^2) * (i * x_t)

    The input has the size of the units. lam starts uniform, so that sigmoid(lam)^8 lies in 0.9..0.999; implementations
    that store a decay rate hold -lam. The authors' programs make W block-diagonal, here it is full, and take 1 for the
    root at the first step of a sequence, which the paper's equations do not.

    Shapes: x, h and lam (H), W (2H, H), b (2H), no U; blocks in the order r, i.
    """
    # with q = tanh(-ln(a) / 2), a = (1 - q) / (1 + q) and 1 - a^2 = 4 q / (1 + q)^2 without cancellation; the root's
    # slope at 0 is infinite, hence the floor
    q = ops.tanh(SHARPNESS / 2.0 * sigma(gate.x.r) * _softplus(-p.lam))
    kept, taken = (1.0 - q) * state.h, 2.0 * ops.sqrt(ops.maximum(q, 1e-30)) * (sigma(gate.x.i) * x)
    return (kept + taken) / (1.0 + q)
