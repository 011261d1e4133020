"""The gate between the cells of two layers."""

from __future__ import annotations

import torch

from ostinato import cells

from .layer import OPEN, SHUT, B, D, H, Layer, T, close, layer, normal, states


def shut(made: Layer, value: float = SHUT) -> Layer:
    return made.force("d", value).zero("p_below")


def test_a_shut_depth_gate_leaves_the_peephole_lstm() -> None:
    ours, x, below = shut(layer(cells.depth_gated_lstm)), normal(B, T, D), normal(B, T, H, seed=5)
    start = states(ours)
    y, finals = ours(x, start, below)
    want, last = layer(cells.peephole_lstm, seed=9).take(ours)(x, start)
    close([y, *finals], [want, *last])


def test_an_open_depth_gate_adds_the_cell_below() -> None:
    """Added, not mixed in: the other terms of c stay whole; and the output gate sees the sum."""
    ours, x, below = shut(layer(cells.depth_gated_lstm), OPEN), normal(B, 1, D), normal(B, 1, H, seed=5)
    start = states(ours)
    y, (_, c) = ours(x, start, below)
    _, (_, c_shut) = shut(layer(cells.depth_gated_lstm))(x, start, below)
    close(c, c_shut + below[:, 0])
    o = x[:, 0] @ ours.block("W", "o").T + start[0] @ ours.block("U", "o").T + ours.block("b", "o")
    close(y[:, 0], (o + ours.tensors["p_o"] * c).sigmoid() * c.tanh())


def test_what_the_depth_gate_reads() -> None:
    """x, this layer's old c and the lower layer's new one; not h, which has no block for it."""
    ours, x, below = layer(cells.depth_gated_lstm), normal(B, 1, D), normal(B, 1, H, seed=5)
    h, c = states(ours)
    for gate in "if":
        ours.force(gate, SHUT)
    _, (_, new) = ours(x, [h, c], below)
    low = below[:, 0]
    d = (
        x[:, 0] @ ours.block("W", "d").T
        + ours.tensors["p_d"] * c
        + ours.tensors["p_below"] * low
        + ours.block("b", "d")
    )
    close(new, d.sigmoid() * low)
    assert not ours.has("U", "d")


def test_a_stack_reads_the_cells_below() -> None:
    lower, upper = layer(cells.peephole_lstm), layer(cells.depth_gated_lstm, D=H, seed=1)
    x = normal(B, T, D).requires_grad_()
    (h, c), _ = lower(x, outputs=("h", "c"))
    y, _ = upper(h, None, c)
    alone, _ = upper(h, None, torch.zeros_like(c))
    assert (y - alone).abs().max() > 1e-2
    (gradient,) = torch.autograd.grad(y.sum(), c, retain_graph=True)
    assert (gradient != 0).all()
