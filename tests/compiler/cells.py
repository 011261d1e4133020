"""Cells that no build registers, one for each thing that the contract has room for and no registered cell needs."""

from __future__ import annotations

import math
from typing import Any

from ostinato.cells import CELLS, Cell, Mask, cell, ops


@cell(gates="a", states="h", parameters="gain shift", phi="tanh")
def layer_norm_elman(gate: Any, p: Any, phi: Any) -> Any:
    """A reduction of a product that is itself the step's input; it reads the state through nothing else."""
    centred = gate.a - ops.row_mean(gate.a)
    spread = ops.sqrt(ops.row_mean(centred * centred) + 1e-5)
    return phi(p.gain * centred / spread + p.shift)


@cell(gates="i f g o r", states="r c", phi="tanh", sigma="sigmoid")
def square_projection(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """A step that ends with a product with a gate's block of U, which has none of W."""
    c = sigma(gate.f) * state.c + sigma(gate.i) * phi(gate.g)
    return gate.using(h=sigma(gate.o) * phi(c)).h.r, c


@cell(gates="a", states="h", phi="tanh")
def waiting(gate: Any, state: Any, t: Any, phi: Any) -> Any:
    """The number of the step: the first two steps decay, later ones run, ever more slowly."""
    return ops.select(t - 1.5, phi(gate.a) / (t + 1.0), 0.5 * state.h)


@cell(gates="a b", states="h c", phi="tanh")
def three_products(gate: Any, state: Any, phi: Any) -> Any:
    """Products in a chain, and a state that passes through unchanged but for its name."""
    first = phi(gate.using(h=state.c).a)
    return phi(gate.using(h=first * state.h).b), state.h


@cell(gates="i f g o", states="r:P c m:P", matrices="R:PH Q:PP V:HP S:HD T:DD", phi="tanh", sigma="sigmoid")
def two_projections(gate: Any, state: Any, x: Any, matrix: Any, phi: Any, sigma: Any) -> Any:
    """Matrices of every kind of shape; products of x as it is, of a projected state, and of projected values."""
    seen = matrix.T @ x
    forget = sigma(gate.using(x=x * sigma(seen)).f + matrix.V @ state.m)
    c = forget * state.c + sigma(gate.i) * phi(gate.g + matrix.S @ seen)
    projected = matrix.R @ (sigma(gate.o) * phi(c))
    return projected, c, phi(matrix.Q @ projected) - 0.5 * state.m


@cell(
    gates="a", states="h", parameters="gain", constants={"leak": 0.5}, sequences="below",
    masks={"drop": Mask("dropout", "rate", 0.25)}, phi="tanh",
)  # fmt: skip
def everything_beside_x(gate: Any, state: Any, p: Any, constant: Any, sequence: Any, x: Any, phi: Any) -> Any:
    """A trained vector with a constant, a sequence with a mask, what they make in a product, and x entry by entry."""
    seen = sequence.drop * (state.h + p.gain * sequence.below)
    return (1.0 - constant.leak) * state.h + constant.leak * phi(gate.using(h=seen).a + x)


@cell(gates="a", states="h n", constants={"period": 3.0}, phi="tanh")
def wrapping(gate: Any, state: Any, constant: Any, phi: Any) -> Any:
    """A remainder that a gradient flows through."""
    angle = ops.remainder(state.n + gate.a, constant.period)
    return phi(angle) * state.h + angle, angle - 0.25 * state.n


@cell(
    gates="r z n", states="h c t", constants={"period": 1.0}, clock="t period", phi="tanh", sigma="sigmoid"
)  # fmt: skip
def clocked_gru(gate: Any, state: Any, constant: Any, phi: Any, sigma: Any) -> Any:
    """Units that sleep, whose reset gates the others read all the same."""
    waiting = ops.remainder(state.t, constant.period)
    z = sigma(gate.z + state.c)
    n = phi(gate.using(h=sigma(gate.r) * state.h).n)
    h = z * state.h + (1.0 - z) * n
    return ops.select(waiting, state.h, h), ops.select(waiting, state.c, n * z), state.t + 1.0


@cell(gates="a", states="h m")
def gated_by_mean(gate: Any, state: Any) -> Any:
    """A mean inside of a function, which two levels of the backward step read; the gate is a state as well."""
    a = gate.a
    return a * ops.tanh(ops.row_mean(state.m)) * a, a


@cell(gates="a", states="h", phi="tanh", sigma="gelu")
def squeeze(gate: Any, state: Any, t: Any, phi: Any, sigma: Any) -> Any:
    """Run-time activations of what all units of a row share."""
    return phi(ops.row_mean(state.h)) * sigma(gate.a) + sigma(0.1 * t) * phi(0.5)


@cell(gates="a", states="h", constants={"rate": 0.3}, matrices="V:HH", phi="tanh")
def coded_time(gate: Any, t: Any, constant: Any, matrix: Any, phi: Any) -> Any:
    """A product of a vector that no gradient comes back from."""
    return phi(gate.a + matrix.V @ ops.tanh(t * constant.rate))


@cell(gates="a", states="h")
def bounded_by_numbers(gate: Any) -> Any:
    """Numbers in front, and one that bounds nothing."""
    return ops.maximum(-0.5, ops.minimum(0.5, ops.maximum(gate.a, -math.inf))) + 0.1 * ops.remainder(5.0, 3.0)


@cell(gates="a b c", states="h", phi="tanh")
def late_mean(gate: Any, state: Any, phi: Any) -> Any:
    """A light value made of a mean, which is read again when the gradient of a gate that keeps nothing is known."""
    centred = state.h - ops.row_mean(phi(gate.a))
    return phi(gate.using(h=centred * state.h).h.b) * centred + gate.x.c


OWN: list[Cell] = [
    layer_norm_elman, square_projection, waiting, three_products, two_projections, everything_beside_x, wrapping,
    clocked_gru, gated_by_mean, squeeze, coded_time, bounded_by_numbers,
    late_mean,
]  # fmt: skip
EVERY: list[Cell] = [*CELLS.values(), *OWN]
