"""Cells that no build registers, one for each thing that the contract has room for."""

from __future__ import annotations

from typing import Any

from ostinato.cells import CELLS, Cell, cell, ops


@cell(gates="i f g o", states="h c", parameters="p_i p_f p_o", phi="tanh", sigma="sigmoid")
def peephole_lstm(gate: Any, state: Any, p: Any, phi: Any, sigma: Any) -> Any:
    """Per-unit parameters; the output gate sees the new cell state."""
    i = sigma(gate.i + p.p_i * state.c)
    f = sigma(gate.f + p.p_f * state.c)
    c = f * state.c + i * phi(gate.g)
    return sigma(gate.o + p.p_o * c) * phi(c), c


@cell(gates="a", states="h", parameters="gain shift", phi="tanh")
def layer_norm_elman(gate: Any, p: Any, phi: Any) -> Any:
    """Row reductions between the product and the pointwise part."""
    centred = gate.a - ops.row_mean(gate.a)
    spread = ops.sqrt(ops.row_mean(centred * centred) + 1e-5)
    return phi(p.gain * centred / spread + p.shift)


@cell(gates="i f g o", states="h c", parameters="gain", phi="tanh", sigma="sigmoid")
def layer_norm_lstm(gate: Any, state: Any, p: Any, phi: Any, sigma: Any) -> Any:
    """A reduction of a new state, after which the pointwise part goes on."""
    c = sigma(gate.f) * state.c + sigma(gate.i) * phi(gate.g)
    centred = c - ops.row_mean(c)
    return sigma(gate.o) * phi(p.gain * centred / ops.sqrt(ops.row_mean(centred * centred) + 1e-5)), c


@cell(gates="z n", states="h", sigma="sigmoid")
def min_gru(gate: Any, state: Any, sigma: Any) -> Any:
    """No recurrent product at all."""
    return state.h + sigma(gate.x.z) * (gate.x.n - state.h)


@cell(gates="a", states="h", parameters="u", phi="relu")
def ind_rnn(gate: Any, state: Any, p: Any, phi: Any) -> Any:
    """A recurrent vector instead of a matrix."""
    return phi(gate.x.a + p.u * state.h)


@cell(gates="d e z y", states="y z", phi="tanh", sigma="sigmoid")
def lem(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """A second product that reads a state of the same step."""
    z = state.z + sigma(gate.d) * (phi(gate.z) - state.z)
    return state.y + sigma(gate.e) * (phi(gate.using(h=z).y) - state.y), z


@cell(gates="i f g o r", states="r c", phi="tanh", sigma="sigmoid")
def projected_lstm(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """A step that ends with a product."""
    c = sigma(gate.f) * state.c + sigma(gate.i) * phi(gate.g)
    return gate.using(h=sigma(gate.o) * phi(c)).h.r, c


@cell(gates="i f g o", states="h c n m", phi="tanh", sigma="sigmoid")
def slstm(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """Four states, max, exp and a division."""
    decay = -(ops.maximum(-gate.f, 0.0) + ops.log1p(ops.exp(-ops.absolute(gate.f)))) + state.m
    m = ops.maximum(decay, gate.i)
    i, f = ops.exp(gate.i - m), ops.exp(decay - m)
    c, n = f * state.c + i * phi(gate.g), f * ops.absolute(state.n) + i
    return sigma(gate.o) * c / n, c, n, m


@cell(gates="a", states="h", phi="tanh")
def waiting(gate: Any, state: Any, t: Any, phi: Any) -> Any:
    """The number of the step: the first two steps decay, later ones run, ever more slowly."""
    return ops.select(t - 1.5, phi(gate.a) / (t + 1.0), 0.5 * state.h)


@cell(gates="a b", states="h c", phi="tanh")
def three_products(gate: Any, state: Any, phi: Any) -> Any:
    """Products in a chain, and a state that passes through unchanged but for its name."""
    first = phi(gate.using(h=state.c).a)
    return phi(gate.using(h=first * state.h).b), state.h


OWN: list[Cell] = [
    peephole_lstm, layer_norm_elman, layer_norm_lstm, min_gru, ind_rnn, lem, projected_lstm, slstm, waiting,
    three_products,
]  # fmt: skip
EVERY: list[Cell] = [*CELLS.values(), *OWN]
