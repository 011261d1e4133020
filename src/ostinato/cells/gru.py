"""The gated recurrent unit, in both forms."""

from typing import Any

from .cell import cell, register


@register
@cell(gates="r z n", states="h", phi="tanh", sigma="sigmoid", recurrent_bias="r z n", forget="z", layer="GRU")
def gru(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """Gated recurrent unit, reset after the product: the form of cuDNN, PyTorch and Keras' default
    (Cho et al. 2014, 1406.1078, first version).

    r, z = sigma(W x_t + U h_{t-1} + b)                     reset and update gate
    n    = phi(W_n x_t + b_n + r * (U_n h_{t-1} + b'_n))    candidate
    h_t  = z * h_{t-1} + (1 - z) * n

    Shapes: x (D), h (H), W (3H, D), U (3H, H), b (3H) beside W, b' (3H) beside U; blocks in the order r, z, n.
    """
    r = sigma(gate.r)
    z = sigma(gate.z)
    n = phi(gate.x.n + r * gate.h.n)
    return n + z * (state.h - n)


@register
@cell(gates="r z n", states="h", phi="tanh", sigma="sigmoid", forget="z", layer="GRUResetBefore")
def gru_reset_before(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """Gated recurrent unit, reset before the product (Cho et al. 2014, 1406.1078, third version; Chung et al. 2014,
    1412.3555, who write 1 - z for this z).

    r, z = sigma(W x_t + U h_{t-1} + b)                     reset and update gate
    n    = phi(W_n x_t + U_n (r * h_{t-1}) + b_n)           candidate
    h_t  = z * h_{t-1} + (1 - z) * n

    Shapes: x (D), h (H), W (3H, D), U (3H, H), b (3H); blocks in the order r, z, n.
    """
    r = sigma(gate.r)
    z = sigma(gate.z)
    n = phi(gate.using(h=r * state.h).n)
    return n + z * (state.h - n)


@register
@cell(gates="f n", states="h", phi="tanh", sigma="sigmoid", forget="-f", layer="MGU")
def mgu(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """Minimal gated unit (Zhou et al. 2016, 1603.09420).

    f   = sigma(W_f x_t + U_f h_{t-1} + b_f)                the one gate
    n   = phi(W_n x_t + U_n (f * h_{t-1}) + b_n)            candidate
    h_t = (1 - f) * h_{t-1} + f * n

    The paper calls f a forget gate, but a large f overwrites: a negative bias of f remembers.

    Shapes: x (D), h (H), W (2H, D), U (2H, H), b (2H); blocks in the order f, n.
    """
    f = sigma(gate.f)
    n = phi(gate.using(h=f * state.h).n)
    return state.h + f * (n - state.h)


@register
@cell(gates="z n", states="h", phi="relu", sigma="sigmoid", forget="z", layer="LightGRU")
def light_gru(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """Light gated recurrent unit (Ravanelli et al. 2018, 1803.10225).

    z   = sigma(W_z x_t + U_z h_{t-1} + b_z)        update gate
    n   = phi(W_n x_t + U_n h_{t-1} + b_n)          candidate
    h_t = z * h_{t-1} + (1 - z) * n

    The paper normalises W x_t over the batch and all steps, which is no part of a step: a trained batch normalisation
    is a scale of W's rows and a bias b, so trained networks are held exactly; to train with one, normalise the products
    outside and feed them in as x, with the identity for W. Without it the rectified state may grow without bound.

    Shapes: x (D), h (H), W (2H, D), U (2H, H), b (2H); blocks in the order z, n.
    """
    z = sigma(gate.z)
    n = phi(gate.n)
    return n + z * (state.h - n)
