"""Recurrent cells with layer normalisation inside of the recurrence.

A gain and a shift of each gate is a vector with one entry a unit: `g_x_i` is the gain of gate i behind the product with
W, `s_h_i` its shift behind the product with U. Gains start at 1, shifts at 0.
"""

from collections.abc import Mapping
from typing import Any

from . import ops
from .cell import cell, register

#: Keeps the root of a variance of 0 away from 0; added inside of the root.
EPSILON = 1e-5


def _each(kinds: str, gates: str) -> list[str]:
    return [f"{kind}_{gate}" for kind in kinds.split() for gate in gates.split()]


def _normalise(blocks: Mapping[str, Any]) -> dict[str, Any]:
    """Blocks of equal size, side by side one vector, shifted and scaled to mean 0 and variance 1."""

    def mean(values: list[Any]) -> Any:
        return ops.row_mean(sum(values[1:], values[0])) / len(values)

    middle = mean(list(blocks.values()))
    centred = {name: block - middle for name, block in blocks.items()}
    scale = 1.0 / ops.sqrt(mean([block * block for block in centred.values()]) + EPSILON)
    return {name: block * scale for name, block in centred.items()}


def _both_sides(gate: Any, names: str, p: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The normalised products of the named gates with W and with U, each with its gain."""
    sides = []
    for side, products in (("x", gate.x), ("h", gate.h)):
        blocks = _normalise({name: getattr(products, name) for name in names.split()})
        sides.append({name: getattr(p, f"g_{side}_{name}") * block for name, block in blocks.items()})
    return sides[0], sides[1]


@register
@cell(
    gates="i f g o", states="h c", bias="",
    parameters=" ".join([*_each("g_x s_x g_h s_h b", "i f g o"), "g_c", "s_c"]),
    initial=dict.fromkeys([*_each("g_x g_h", "i f g o"), "g_c"], 1.0),
    phi="tanh", sigma="sigmoid", forget="f", layer="LayerNormLSTM",
)  # fmt: skip
def layer_norm_lstm(gate: Any, state: Any, p: Any, phi: Any, sigma: Any) -> Any:
    """Long short-term memory with layer normalisation (Ba, Kiros & Hinton 2016, 1607.06450).

    LN(v; g, s) = g * (v - mean(v)) / sqrt(var(v) + 1e-5) + s
    a       = LN(W x_t; g_x, s_x) + LN(U h_{t-1}; g_h, s_h) + b     each over all gates at once: 4H entries
    i, f, o = sigma(a)                                              input, forget and output gate
    c_t     = f * c_{t-1} + i * phi(a_g)
    h_t     = o * phi(LN(c_t; g_c, s_c))

    The cell state that is carried is not the normalised one. The biases b stand behind the normalisation, so they are
    per-unit vectors, `b_i` ... `b_o`; as in the paper they add to the shifts.

    Shapes: x (D), h and c (H), W (4H, D), U (4H, H), every gain, shift and bias (H); blocks in the order i, f, g, o.
    """
    x, h = _both_sides(gate, "i f g o", p)
    i, f, g, o = (
        x[name] + getattr(p, f"s_x_{name}") + h[name] + getattr(p, f"s_h_{name}") + getattr(p, f"b_{name}")
        for name in ("i", "f", "g", "o")
    )
    c = sigma(f) * state.c + sigma(i) * phi(g)
    return sigma(o) * phi(p.g_c * _normalise({"c": c})["c"] + p.s_c), c


@register
@cell(
    gates="r z n", states="h", bias="",
    parameters=" ".join(_each("g_x b g_h s_h", "r z n")),
    initial=dict.fromkeys(_each("g_x g_h", "r z n"), 1.0),
    phi="tanh", sigma="sigmoid", forget="z", layer="LayerNormGRU",
)  # fmt: skip
def layer_norm_gru(gate: Any, state: Any, p: Any, phi: Any, sigma: Any) -> Any:
    """Gated recurrent unit with layer normalisation (Ba, Kiros & Hinton 2016, 1607.06450).

    LN(v; g, s) = g * (v - mean(v)) / sqrt(var(v) + 1e-5) + s
    r, z = sigma(LN(W x_t; g_x, b) + LN(U h_{t-1}; g_h, s_h))               each over both gates at once: 2H entries
    n    = phi(LN(W_n x_t; g_x, b) + r * LN(U_n h_{t-1}; g_h, s_h))         candidate
    h_t  = z * h_{t-1} + (1 - z) * n

    The reset gate stands behind the product, as in `gru`. The paper writes 1 - z for this z. The shifts behind W are
    this cell's biases, `b_r`, `b_z` and `b_n`.

    Shapes: x (D), h (H), W (3H, D), U (3H, H), every gain and shift (H); blocks in the order r, z, n.
    """
    x, h = _both_sides(gate, "r z", p)
    x_n, h_n = _both_sides(gate, "n", p)
    r = sigma(x["r"] + p.b_r + h["r"] + p.s_h_r)
    z = sigma(x["z"] + p.b_z + h["z"] + p.s_h_z)
    n = phi(x_n["n"] + p.b_n + r * (h_n["n"] + p.s_h_n))
    return n + z * (state.h - n)
