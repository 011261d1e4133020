"""The simple recurrent unit, in both forms of its highway connection."""

from typing import Any

from .cell import cell, register


@register
@cell(
    gates="u f r s", states="h c", parameters="v_f v_r", bias="f r", phi="linear", sigma="sigmoid", forget="f",
    layer="SRU",
)  # fmt: skip
def sru(gate: Any, state: Any, p: Any, phi: Any, sigma: Any) -> Any:
    """Simple recurrent unit for an input of any size (Lei et al. 2018, 1709.02755, last version).

    f   = sigma(W_f x_t + v_f * c_{t-1} + b_f)                      forget gate
    r   = sigma(W_r x_t + v_r * c_{t-1} + b_r)                      reset gate
    c_t = f * c_{t-1} + (1 - f) * (W_u x_t)
    h_t = r * phi(c_t) + (1 - r) * (W_s x_t)

    Both gates read the old cell state, and no product reads a state at all. The first version of the paper has no v
    and tanh for phi. Where the input has the size of the units, `identity_sru` needs no W_s. v starts at 0.

    Shapes: x (D), h, c and v (H), W (4H, D) with blocks in the order u, f, r, s, b (2H) in the order f, r; no U.
    """
    f = sigma(gate.x.f + p.v_f * state.c)
    r = sigma(gate.x.r + p.v_r * state.c)
    c = f * state.c + (1.0 - f) * gate.x.u
    return r * phi(c) + (1.0 - r) * gate.x.s, c


@register
@cell(
    gates="u f r", states="h c", parameters="v_f v_r", constants={"alpha": 1.0}, bias="f r",
    phi="linear", sigma="sigmoid", forget="f", layer="IdentitySRU",
)  # fmt: skip
def identity_sru(gate: Any, state: Any, x: Any, p: Any, constant: Any, phi: Any, sigma: Any) -> Any:
    """Simple recurrent unit whose highway is the input itself (Lei et al. 2018, 1709.02755, last version).

    f   = sigma(W_f x_t + v_f * c_{t-1} + b_f)                      forget gate
    r   = sigma(W_r x_t + v_r * c_{t-1} + b_r)                      reset gate
    c_t = f * c_{t-1} + (1 - f) * (W_u x_t)
    h_t = r * phi(c_t) + (1 - r) * alpha * x_t

    The input has the size of the units. alpha = sqrt(1 + 2 exp(b_r)), sqrt(3) for a bias that starts at 0, is the
    paper's correction of scale for deep stacks; 1 leaves it out. v starts at 0.

    Shapes: x, h, c, v and the constant alpha (H), W (3H, H) with blocks in the order u, f, r, b (2H) in the order f, r;
    no U.
    """
    f = sigma(gate.x.f + p.v_f * state.c)
    r = sigma(gate.x.r + p.v_r * state.c)
    c = f * state.c + (1.0 - f) * gate.x.u
    return r * phi(c) + (1.0 - r) * (constant.alpha * x), c
