"""One scan, however its tensors lie in memory and whichever of them want a gradient."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
import torch

from ostinato.cells import CELLS, Cell
from ostinato.compiler import trace
from ostinato.scan import Weights, scan

from .problems import (
    Problem,
    arguments,
    assert_close,
    at_steps,
    cotangents,
    evaluate,
    forward,
    judged,
    leaves,
    oracle,
    representatives,
    tensors,
    wanting,
)

REPRESENTATIVES = pytest.mark.parametrize("cell", representatives(), ids=lambda cell: cell.name)
JUDGED = pytest.mark.parametrize("cell, backend", judged(), ids=lambda one: getattr(one, "name", one))
DTYPE = torch.float64


@JUDGED
@pytest.mark.parametrize("K", [1, 2])
def test_batch_time_and_packed_layouts_agree(cell: Cell, K: int, backend: str) -> None:
    ragged = Problem(cell, H=7, B=5, T=6, D=3, K=K, lengths=(6, 4, 4, 2, 1), every=True)
    for layout in ("batch", "time", "packed"):
        problem = replace(ragged, layout=layout)
        assert_close(evaluate(problem, tensors(problem), backend), oracle(problem), DTYPE, problem.T)


@pytest.mark.parametrize("layout", ["batch", "time"])
def test_outputs_stand_in_the_layout_of_the_input(layout: str, backend: str) -> None:
    problem = Problem(CELLS["lstm"], H=3, B=4, T=6, D=2, layout=layout)
    given = tensors(problem)
    x = given["x"] if layout == "batch" else given["x"].transpose(0, 1)
    y, (h, c) = scan(CELLS["lstm"], x, [Weights(given["W_0"], given["U_0"])], layout=layout, backend=backend)
    assert y.shape == (*x.shape[:2], 3)
    assert h.shape == c.shape == (1, 4, 3)


def _sliced(x: torch.Tensor) -> torch.Tensor:
    return torch.full((*x.shape[:2], 3 * x.shape[2]), float("nan"), dtype=x.dtype)[:, :, 1::3].copy_(x)


def _transposed(x: torch.Tensor) -> torch.Tensor:
    return x.permute(2, 1, 0).contiguous().permute(2, 1, 0)


def _offset(x: torch.Tensor) -> torch.Tensor:
    return torch.full((x.numel() + 1,), float("nan"), dtype=x.dtype)[1:].copy_(x.flatten()).view(x.shape)


def _strided(x: torch.Tensor) -> torch.Tensor:
    return torch.full((*x.shape, 2), float("nan"), dtype=x.dtype)[..., 0].copy_(x)


def _strided_rows(x: torch.Tensor) -> torch.Tensor:
    return torch.full((2 * x.shape[0], x.shape[1]), float("nan"), dtype=x.dtype)[::2].copy_(x)


@JUDGED
@pytest.mark.parametrize("layout", ["batch", "time"])
@pytest.mark.parametrize("lie", [_sliced, _transposed, _offset])
def test_the_input_may_lie_anyhow(cell: Cell, layout: str, lie: object, backend: str) -> None:
    problem = Problem(cell, H=9, B=4, T=5, D=3, layout=layout)
    given = at_steps(problem, tensors(problem), lie)
    assert_close(evaluate(problem, given, backend), oracle(problem), DTYPE, problem.T)


@JUDGED
def test_weights_states_and_gradients_may_lie_anyhow(cell: Cell, backend: str) -> None:
    problem = Problem(cell, H=9, B=3, T=5, D=3)
    given = tensors(problem)
    for name in {"W_0", "U_0", *(f"{matrix}_0" for matrix in cell.matrices)} & set(given):
        given[name] = given[name].T.contiguous().T
    for name in cell.states:
        given[f"{name}0"] = _transposed(given[f"{name}0"])
    for name in ("b_0", *(f"{vector}_0" for vector in cell.vectors)):
        given[name] = _strided(given[name])
    assert_close(evaluate(problem, given, backend), oracle(problem), DTYPE, problem.T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("H, D", [(21, 270), (270, 35)])
@pytest.mark.parametrize("lie", [torch.Tensor.contiguous, lambda x: x.T.contiguous().T, _strided, _strided_rows])
def test_large_weights_may_lie_anyhow(lie: Any, H: int, D: int, dtype: torch.dtype, engine: str) -> None:
    """Larger than what is copied at a time, in squares where rows of the one stand as columns of the other."""
    problem = Problem(CELLS["lstm"], H=H, B=3, T=3, D=D, K=2)
    given = tensors(problem, dtype)
    for name in ("W_0", "U_0", "W_1", "U_1"):
        given[name] = lie(given[name])
    assert_close(evaluate(problem, given, engine), oracle(problem), dtype, problem.T)


@pytest.mark.parametrize("name", ["slstm", "clockwork"])
def test_the_reach_of_units_may_lie_anyhow(name: str, backend: str) -> None:
    problem = Problem(CELLS[name], H=9, B=3, T=5, D=3)
    given = arguments(problem, tensors(problem))
    (weights,) = given["weights"]
    for lying in (weights.reach.T.contiguous().T, torch.stack([weights.reach, weights.reach * 0], -1)[..., 0]):
        assert not lying.is_contiguous()
        got, want = (
            scan(**{**given, "weights": [replace(weights, reach=reach)]}, backend=backend)[0]
            for reach in (lying, weights.reach)
        )
        assert torch.equal(got, want)


@pytest.mark.parametrize("name", ["depth_gated_lstm", "zoneout_lstm", "rnn_drop_lstm"])
@pytest.mark.parametrize("side", [0, 1, 2], ids=["one batch", "one step", "one unit"])
def test_expanded_sequences(name: str, side: int, backend: str) -> None:
    """A mask that is the same at every step, as a view of one step; likewise over rows and units."""
    problem = Problem(CELLS[name], H=5, B=3, T=4, K=2)
    given = tensors(problem)
    expanded = {n: given[n].select(side, 0).unsqueeze(side).expand_as(given[n]) for n in problem.entering[1:]}
    assert all(t.stride(side) == 0 for t in expanded.values())
    dense = {n: t.clone() for n, t in expanded.items()}
    got, want = evaluate(problem, {**given, **expanded}, backend), evaluate(problem, {**given, **dense}, "reference")
    assert_close(got, want, DTYPE, problem.T)


@JUDGED
def test_an_expanded_batch_and_an_expanded_gradient(cell: Cell, backend: str) -> None:
    problem = Problem(cell, H=4, B=3, T=5, D=2, state=False)
    given = at_steps(problem, tensors(problem), lambda t: t[:1].clone())
    row = given["x"]
    wide = at_steps(problem, given, lambda t: t.expand(3, -1, -1))
    y = forward(problem, {**wide, "x": wide["x"].requires_grad_()}, backend)["outputs"]
    (gradient,) = torch.autograd.grad(y.sum(), wide["x"])  # the gradient of sum is an expanded scalar
    alone = {**given, "x": row.requires_grad_()}
    wanted = forward(replace(problem, B=1), alone, "reference")["outputs"]
    (gradient_alone,) = torch.autograd.grad(wanted.sum(), row)
    got, want = (
        {"outputs": y.detach(), "dx": gradient},
        {"outputs": wanted.detach().expand_as(y), "dx": gradient_alone.expand_as(gradient)},
    )
    assert_close(got, want, DTYPE, problem.T)


@JUDGED
def test_reverse_is_its_own_word_for_each_direction(cell: Cell, backend: str) -> None:
    for reverse in ((False, False), (True, False), (True, True), (False, True)):
        problem = Problem(cell, H=4, B=2, T=5, K=2, reverse=reverse, lengths=(5, 3), every=True)
        assert_close(evaluate(problem, tensors(problem), backend), oracle(problem), DTYPE, problem.T)
    problem = Problem(cell, H=4, B=2, T=5, reverse=(True,))
    assert_close(evaluate(problem, tensors(problem), backend), oracle(problem), DTYPE, problem.T)


@JUDGED
def test_two_directions_are_two_scans_side_by_side(cell: Cell, backend: str) -> None:
    problem = Problem(cell, H=5, B=3, T=4, K=2, every=True)
    given = tensors(problem)
    both = forward(problem, given, backend)
    for k in range(2):
        one = {name.removesuffix(f"_{k}") + "_0": t for name, t in given.items() if name.endswith(f"_{k}")}
        one["x"] = given["x"]
        for name in cell.states:
            one[f"{name}0"] = given[f"{name}0"][k : k + 1]
        alone = forward(replace(problem, K=1, reverse=(k == 1,)), one, backend)
        side = {name: both[name].chunk(2, -1)[k] for name in problem.sequences}
        side |= {name: both[name][k : k + 1] for name in cell.states}
        assert_close(side, alone, DTYPE, problem.T)


@JUDGED
def test_gate_blocks_may_come_in_another_order(cell: Cell, backend: str) -> None:
    problem = Problem(cell, H=3, B=2, T=4)
    given = tensors(problem)
    order = tuple(reversed(cell.gates))
    H, blocks = problem.H, trace(cell).blocks

    def reordered(tensor: torch.Tensor, matrix: str) -> torch.Tensor:
        cut = dict(zip(blocks[matrix], tensor.split(H), strict=True))
        return torch.cat([cut[gate] for gate in order if gate in cut])

    names = {name: m for name, m in {"W": "W", "b": "W", "U": "U", "b_u": "U"}.items() if f"{name}_0" in given}
    blocks_of = {name: given[f"{name}_0"].requires_grad_() for name in names}
    held = {name: reordered(blocks_of[name], matrix) for name, matrix in names.items()}
    called = arguments(problem, given)
    weights = [replace(called["weights"][0], **held, order=order)]
    y, _ = scan(**{**called, "weights": weights}, backend=backend)
    weight = cotangents(problem)["outputs"]
    gradients = torch.autograd.grad(y, list(blocks_of.values()), weight)
    want = evaluate(problem, {n: t.detach() for n, t in given.items()}, "reference", loss=["outputs"])
    got = {"outputs": y.detach(), **{f"d{name}_0": g for name, g in zip(blocks_of, gradients, strict=True)}}
    assert_close(got, want, DTYPE, problem.T)


def _subsets() -> list[tuple[str, ...]]:
    names = ("x", "h0", "c0", "W_0", "U_0", "b_0", "b_u_0")
    return [(name,) for name in names] + [tuple(n for n in names if n != name) for name in names] + [("x", "h0", "c0")]


@pytest.mark.parametrize("wrt", _subsets(), ids="+".join)
def test_only_the_gradients_that_are_asked_for(wrt: tuple[str, ...], backend: str) -> None:
    problem = Problem(CELLS["lstm"], H=5, B=3, T=4)
    got = evaluate(problem, tensors(problem), backend, wrt=wrt)
    assert {name for name in got if name.startswith("d")} == {f"d{name}" for name in wrt}
    assert_close(got, oracle(problem), DTYPE, problem.T)


@JUDGED
def test_frozen_weights_and_a_frozen_input(cell: Cell, backend: str) -> None:
    problem = Problem(cell, H=5, B=3, T=4, K=2)
    given = tensors(problem)
    weights = [name for name in given if "_" in name and name not in problem.entering]
    for wrt in (weights, ["x"], weights[: len(weights) // 2], [n for n in given if n not in weights]):
        assert_close(evaluate(problem, given, backend, wrt=wrt), oracle(problem), DTYPE, problem.T)


@JUDGED
def test_a_loss_may_see_any_of_the_results(cell: Cell, backend: str) -> None:
    problem = Problem(cell, H=5, B=3, T=4, K=2, lengths=(4, 2, 3), every=True)
    given = tensors(problem)
    names = [*problem.sequences, *cell.states]
    if cell.clock:  # which has no gradient
        names = [name for name in names if not name.endswith(cell.clock[0])]
    for size in {1, len(names) - 1}:
        for loss in combinations(names, size):
            want = evaluate(problem, given, "reference", loss=loss)
            assert_close(evaluate(problem, given, backend, loss=loss), want, DTYPE, problem.T)


@JUDGED
def test_a_zero_gradient_gives_exact_zeros(cell: Cell, backend: str) -> None:
    problem = Problem(cell, H=5, B=3, T=4)
    given = leaves(problem)
    out = wanting(forward(problem, given, backend))
    zeros = [t.detach() * 0 for t in out.values()]
    gradients = torch.autograd.grad(list(out.values()), list(wanting(given).values()), zeros, materialize_grads=True)
    assert all(gradient.eq(0).all() for gradient in gradients)


def test_nothing_requires_a_gradient_of_a_scan_of_constants(backend: str) -> None:
    problem = Problem(CELLS["gru"])
    assert not any(t.requires_grad for t in forward(problem, tensors(problem), backend).values())
