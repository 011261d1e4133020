"""How gradients come back through time: cut into pieces, clipped at every step, and told step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ostinato.cells import CELLS, Cell
from ostinato.scan import Weights, make_request, record, scan

from .problems import (
    Problem,
    Results,
    as_batch,
    assert_close,
    assert_identical,
    cotangents,
    evaluate,
    every_cell,
    forward,
    leaves,
    oracle,
    representatives,
    tensors,
    wanting,
)

EVERY_CELL = pytest.mark.parametrize("cell", every_cell(), ids=lambda cell: cell.name)
REPRESENTATIVES = pytest.mark.parametrize("cell", representatives(), ids=lambda cell: cell.name)
BOUNDS = pytest.mark.parametrize(
    "bounds", [{"truncate": 2}, {"clip": 0.05}, {"truncate": 3, "clip": 0.1}], ids=["cut", "clipped", "both"]
)
DTYPE = torch.float64
HOLES = "xx.xx.x", ".x..x..", "...x...", "x.....x", ".......", "xxxxxxx"
RUNS = {
    "full": {},
    "right": {"lengths": (7, 3, 0, 4, 6, 2)},
    "left": {"mask": tuple(tuple(t >= first for t in range(7)) for first in (0, 4, 7, 3, 1, 6))},
    "holes": {"mask": tuple(tuple(c == "x" for c in row) for row in HOLES)},
}  # fmt: skip


def flowing(problem: Problem, given: Results, backend: str) -> Results:
    """All results, and the gradients of all states along the sequence, as a batch."""
    with record() as flows:
        results = evaluate(problem, given, backend)
    (flow,) = flows
    assert flow.request.layout == problem.layout and flow.request.flow is None
    return {**results, **{f"flow of {name}": as_batch(problem, g) for name, g in flow.gradients.items()}}


@EVERY_CELL
@BOUNDS
def test_kernels_agree_with_the_reference(cell: Cell, bounds: dict[str, float], engine: str) -> None:
    problem = Problem(cell, H=9, B=6, T=7, D=3, K=2, **bounds, **RUNS["holes"])
    assert_close(flowing(problem, tensors(problem), engine), flowing(problem, tensors(problem), "reference"), DTYPE, 7)


@REPRESENTATIVES
@pytest.mark.parametrize("padding", ["zero", "repeat"])
@pytest.mark.parametrize("runs", RUNS)
def test_ragged_rows(cell: Cell, runs: str, padding: str) -> None:
    for reverse in ((False,), (True,)):
        problem = Problem(cell, H=5, B=6, T=7, reverse=reverse, truncate=2, clip=0.1, padding=padding, **RUNS[runs])
        assert_close(
            flowing(problem, tensors(problem), "cpu"), flowing(problem, tensors(problem), "reference"), DTYPE, 7
        )


@REPRESENTATIVES
@pytest.mark.parametrize("layout", ["time", "packed"])
def test_layouts(cell: Cell, layout: str, backend: str) -> None:
    problem = Problem(cell, H=5, B=4, T=6, K=2, lengths=(6, 5, 3, 1), truncate=2, clip=0.1)
    want = flowing(problem, tensors(problem), "reference")
    assert_close(flowing(replace(problem, layout=layout), tensors(problem), backend), want, DTYPE, problem.T)


def _lstm(x: Tensor, W: Tensor, U: Tensor, b: Tensor, h: Tensor, c: Tensor, every: int) -> tuple[Tensor, Tensor]:
    """An LSTM in plain torch whose states are detached every few steps."""
    outputs = []
    for t in range(x.shape[1]):
        if t and t % every == 0:
            h, c = h.detach(), c.detach()
        i, f, g, o = (x[:, t] @ W.T + h @ U.T + b).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return torch.stack(outputs, 1), c


@pytest.mark.parametrize("every", [1, 3, 4, 10, 11])
def test_truncation_is_detaching(every: int, engine: str) -> None:
    B, T, D, H = 3, 10, 2, 5
    shapes = ((B, T, D), (4 * H, D), (4 * H, H), (4 * H,), (B, H), (B, H))
    given = [torch.randn(shape, dtype=DTYPE, requires_grad=True) for shape in shapes]
    x, W, U, b, h, c = given
    pull = torch.randn(B, T, H, dtype=DTYPE), torch.randn(B, H, dtype=DTYPE)
    y, (_, last) = scan(CELLS["lstm"], x, [Weights(W, U, b)], [h[None], c[None]], truncate=every, backend=engine)
    got = torch.autograd.grad([y, last], given, [pull[0], pull[1][None]])
    want = torch.autograd.grad(_lstm(*given, every), given, pull)
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("clip", [0.01, 0.3])
def test_clipping_is_a_hook_on_every_state(clip: float, engine: str) -> None:
    B, T, H = 2, 8, 4
    x, W, U = (torch.randn(s, dtype=DTYPE, requires_grad=True) for s in ((B, T, 3), (H, 3), (H, H)))
    pull = torch.randn(B, T, H, dtype=DTYPE)
    h, outputs = torch.zeros(B, H, dtype=DTYPE), []
    for t in range(T):
        before = h.clone()
        if before.requires_grad:
            before.register_hook(lambda gradient: gradient.clamp(-clip, clip))
        h = (x[:, t] @ W.T + before @ U.T).tanh()
        outputs.append(h)
    want = torch.autograd.grad(torch.stack(outputs, 1), (x, W, U), pull)
    y, _ = scan(CELLS["elman"], x, [Weights(W, U)], clip=clip, backend=engine)
    got = torch.autograd.grad(y, (x, W, U), pull)
    free = torch.autograd.grad(scan(CELLS["elman"], x, [Weights(W, U)], backend=engine)[0], (x, W, U), pull)
    assert (free[2] - want[2]).abs().max() > 1e-3
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_the_flow_is_what_autograd_brings_to_every_state(backend: str) -> None:
    problem = Problem(CELLS["lstm"], H=4, B=3, T=6, D=2)
    given, pull = leaves(problem), cotangents(problem)["outputs"]
    W, U, b = (given[f"{name}_0"] for name in ("W", "U", "b"))
    h, c = given["h0"][0], given["c0"][0]
    states, outputs = [], []
    for t in range(problem.T):
        i, f, g, o = (given["x"][:, t] @ W.T + h @ U.T + b + given["b_u_0"]).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h, c = o.sigmoid() * c.tanh(), c.clone()  # the state that goes on is not the one that the output comes from
        states.append((h, c))
        outputs.append(h)
    want = torch.autograd.grad(
        torch.stack(outputs, 1), [one for pair in states for one in pair], pull, materialize_grads=True
    )
    with record() as flows:
        y = forward(problem, given, backend)["outputs"]
    assert flows[0].gradients == {}
    y.backward(pull)
    for k, name in enumerate(("h", "c")):
        torch.testing.assert_close(flows[0].gradients[name], torch.stack(want[k::2], 1), rtol=1e-12, atol=1e-12)


@REPRESENTATIVES
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(T=st.integers(1, 9), every=st.integers(1, 10))
def test_pieces_are_scans_of_their_own(cell: Cell, T: int, every: int) -> None:
    """The gradient of a truncated scan is that of its pieces, each begun where the one before ended."""
    problem = Problem(cell, H=4, B=2, T=T, D=2, truncate=every)
    given = tensors(problem)
    whole = evaluate(problem, given, "cpu", loss=["outputs"])
    total: dict[str, Tensor] = {}
    state = {name: given[f"{name}0"] for name in cell.states}
    pull = cotangents(problem)["outputs"]
    for first in range(0, T, every):
        here = {n: t[:, first : first + every] if n == "x" or n[:-2] in cell.inputs else t for n, t in given.items()}
        here.update({f"{name}0": value for name, value in state.items()})
        piece = replace(problem, T=len(range(first, min(first + every, T))), truncate=None)
        ready = {name: t.detach().requires_grad_(name not in problem.constants) for name, t in here.items()}
        out = forward(piece, ready, "cpu")
        state = {name: out[name].detach() for name in cell.states}
        wrt = [
            n for n in ready if ready[n].requires_grad and (first == 0 or not n.endswith("0") or n in problem.smooth)
        ]
        grads = torch.autograd.grad(
            out["outputs"], [ready[n] for n in wrt], pull[:, first : first + every], materialize_grads=True
        )
        for name, gradient in zip(wrt, grads, strict=True):
            if name == "x" or name[:-2] in cell.inputs:
                total[name] = torch.cat([total[name], gradient], 1) if name in total else gradient
            elif name[:-1] in cell.states:
                total.setdefault(name, gradient)
            else:
                total[name] = total.get(name, 0) + gradient
    assert_close({f"d{n}": g for n, g in total.items()}, whole, DTYPE, T)


@REPRESENTATIVES
def test_the_number_of_threads_changes_no_bit(cell: Cell) -> None:
    problem = Problem(cell, H=17, B=40, T=20, D=5, K=2, truncate=4, clip=0.05, mask=None)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(flowing(problem, tensors(problem, torch.float32), "cpu"))
    finally:
        torch.set_num_threads(before)
    assert_identical(*results)


def _penalty(problem: Problem, backend: str) -> list[Tensor]:
    given = leaves(problem)
    out = forward(problem, given, backend)["outputs"]
    (first,) = torch.autograd.grad(out.square().sum(), given["W_0"], create_graph=True)
    return list(torch.autograd.grad(first.square().sum(), list(wanting(given).values()), materialize_grads=True))


def test_gradients_of_gradients_are_cut_too() -> None:
    problem = Problem(CELLS["lstm"], H=3, B=2, T=4, truncate=2)
    for one, other in zip(_penalty(problem, "cpu"), _penalty(problem, "reference"), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_a_clipped_gradient_is_not_differentiated(backend: str) -> None:
    with pytest.raises(RuntimeError, match="clipped at every step has no derivative"):
        _penalty(Problem(CELLS["lstm"], H=3, B=2, T=4, clip=0.2), backend)


def test_without_a_bound_nothing_changes() -> None:
    problem = Problem(CELLS["lstm"], H=5, B=3, T=6)
    for loose in ({"truncate": 6}, {"truncate": 100}, {"clip": float("inf")}, {"clip": 1e9}):
        assert_close(evaluate(replace(problem, **loose), tensors(problem), "cpu"), oracle(problem), DTYPE, 6)


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"truncate": 0}, "truncate_gradient is 0; expected a whole number of steps of at least 1, or None"),
        ({"truncate": 2.5}, "truncate_gradient is 2.5"),
        ({"truncate": True}, "truncate_gradient is True"),
        ({"clip": 0}, "clip_recurrent_gradient is 0; expected a number above 0, or None"),
        ({"clip": float("nan")}, "clip_recurrent_gradient is nan"),
        ({"clip": "1"}, "clip_recurrent_gradient is '1'"),
    ],
)
def test_bad_bounds_are_named(given: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make_request(CELLS["elman"], torch.zeros(1, 2, 3), [Weights(torch.zeros(4, 3), torch.zeros(4, 4))], **given)
