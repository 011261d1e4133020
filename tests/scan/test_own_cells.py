"""Cells of a user's own that ask for more than any registered cell: compiled, and against the float64 reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ostinato.cells import Cell, cell, ops
from ostinato.scan import Weights, scan

from ..compiler import cells
from .problems import Problem, assert_close, evaluate, oracle, tensors


@cell(gates="i f g o", states="r:P c m:P", matrices="R:PH Q:PP V:HP S:HD T:DD", phi="tanh", sigma="sigmoid")
def two_projections(gate: Any, state: Any, x: Any, matrix: Any, phi: Any, sigma: Any) -> Any:
    """Matrices of every kind of shape; products of x as it is, of a projected state, and of projected values."""
    seen = matrix.T @ x
    forget = sigma(gate.using(x=x * sigma(seen)).f + matrix.V @ state.m)
    c = forget * state.c + sigma(gate.i) * phi(gate.g + matrix.S @ seen)
    projected = matrix.R @ (sigma(gate.o) * phi(c))
    return projected, c, phi(matrix.Q @ projected) - 0.5 * state.m


@cell(gates="a b", states="h c", blocks="heads", sequences="s", phi="tanh", sigma="sigmoid")
def chained_heads(gate: Any, state: Any, sequence: Any, phi: Any, sigma: Any) -> Any:
    """Heads in a product of something just computed, with a sequence and a mean between."""
    a = phi(gate.a)
    new = phi(gate.using(h=a * sequence.s).h.b)
    centred = a - ops.row_mean(a)
    return new + 0.1 * centred, sigma(gate.x.b) * state.c + centred


@cell(
    gates="r z n", states="h c t", constants={"period": 1.0}, blocks="clockwork", clock="t period",
    phi="tanh", sigma="sigmoid",
)  # fmt: skip
def clocked_gru(gate: Any, state: Any, constant: Any, phi: Any, sigma: Any) -> Any:
    """Units that sleep, whose reset gates the others read all the same."""
    waiting = ops.remainder(state.t, constant.period)
    z = sigma(gate.z + state.c)
    n = phi(gate.using(h=sigma(gate.r) * state.h).n)
    h = z * state.h + (1.0 - z) * n
    return ops.select(waiting, state.h, h), ops.select(waiting, state.c, n * z), state.t + 1.0


@cell(gates="a b", states="h n m s", phi="tanh")
def shared_states(gate: Any, state: Any, t: Any, phi: Any) -> Any:
    """States, and a vector in a product, that hold one number for all units."""
    mean = ops.row_mean(phi(gate.a))
    shared = gate.using(h=ops.row_mean(state.h)).h.b
    return phi(gate.x.b + shared + 0.1 * state.n) + ops.minimum(t, state.m + 2.0), t + 1.0, mean, 0.5


@cell(gates="a b g", states="h c d", phi="tanh", sigma="sigmoid")
def functions_of_functions(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """Functions of functions, which read at last what is overwritten before they are known."""
    far = phi(sigma(phi(gate.a)) - sigma(gate.g))
    return far * state.c + state.d, sigma(gate.b) - 0.5 * state.h, ops.exp(-ops.absolute(far)) * state.c


@cell(gates="a", states="h n", constants={"half": 24.5})
def every_49_steps(gate: Any, state: Any, constant: Any) -> Any:
    """What waits for whole numbers of quotients that are not rounded on the way."""
    by_number = ops.remainder(state.n / 49.0, 1.0)
    by_constant = ops.remainder(state.n / (2.0 * constant.half), 1.0)
    return ops.select(by_number, state.h, gate.x.a) + ops.select(by_constant, 0.0, 1.0), state.n + 1.0


@cell(gates="a", states="h n", constants={"period": 0.3})
def remainders(gate: Any, state: Any, constant: Any) -> Any:
    return ops.remainder(gate.x.a, constant.period) - ops.remainder(-gate.x.a, 0.7) + ops.remainder(
        gate.x.a, -9.1
    ), state.n


OWN = pytest.mark.parametrize(
    "own",
    [
        two_projections, chained_heads, clocked_gru, cells.gated_by_mean, cells.squeeze, cells.coded_time,
        shared_states, cells.bounded_by_numbers, functions_of_functions, cells.late_mean,
    ],
    ids=lambda own: own.name,
)  # fmt: skip
RAGGED: dict[str, dict[str, Any]] = {
    "full": {},
    "lengths": {"lengths": (3, 0, 6, 1)},
    "mask": {"mask": ((1, 0, 1, 1, 0, 1), (0, 0, 1, 0, 1, 0), (1,) * 6, (0,) * 6), "padding": "repeat"},
}


@OWN
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("ragged", RAGGED)
def test_every_result_agrees_with_the_reference(
    own: Cell, ragged: str, dtype: torch.dtype, engine: str, poisoned: None
) -> None:
    given = dict(RAGGED[ragged])
    if "mask" in given:
        given["mask"] = tuple(tuple(map(bool, row)) for row in given["mask"])
    for H, D in ((5, 3), (33, 40)):
        problem = Problem(own, H=H, B=4, T=6, D=D, K=2, P=H // 4 + 1, every=True, **given)
        assert_close(evaluate(problem, tensors(problem, dtype), engine), oracle(problem), dtype, problem.T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
def test_events_at_whole_quotients(dtype: torch.dtype, engine: str) -> None:
    x = torch.arange(250.0, dtype=dtype).view(1, -1, 1)
    weights = [Weights(torch.ones(1, 1, dtype=dtype), None, parameters=(torch.full((1,), 24.5, dtype=dtype),))]
    found, expected = (scan(every_49_steps, x, weights, backend=one)[0].flatten() for one in (engine, "reference"))
    assert torch.equal(found, expected)
    assert (found.diff() != 0).nonzero().flatten().tolist() == [48, 97, 146, 195, 244]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3, 1e6, 1e9])
def test_remainders_are_exact(scale: float, dtype: torch.dtype, engine: str) -> None:
    x = scale * torch.randn(4, 50, 1, generator=torch.Generator().manual_seed(1), dtype=dtype)
    weights = [Weights(torch.ones(1, 1, dtype=dtype), None, parameters=(torch.full((1,), 0.3, dtype=dtype),))]
    found, expected = (scan(remainders, x, weights, backend=one)[0] for one in (engine, "reference"))
    torch.testing.assert_close(found, expected, rtol=0, atol=10 * torch.finfo(dtype).eps)
