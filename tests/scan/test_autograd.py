"""The scan as one operation of automatic differentiation: numerical gradients, double backward, order, threads."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import count, permutations
from threading import Barrier
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from ostinato.cells import CELLS, Cell
from ostinato.scan import Request, Weights, call, scan

from .problems import (
    Problem,
    Results,
    assert_close,
    assert_identical,
    evaluate,
    every_cell,
    forward,
    judged,
    leaves,
    oracle,
    representatives,
    tensors,
    wanting,
)

EVERY_CELL = pytest.mark.parametrize("cell", every_cell(), ids=lambda cell: cell.name)
REPRESENTATIVES = pytest.mark.parametrize("cell", representatives(), ids=lambda cell: cell.name)
JUDGED = pytest.mark.parametrize("cell, backend", judged(), ids=lambda one: getattr(one, "name", one))
DTYPE = torch.float64

RAGGED = {
    "plain": {},
    "lengths": {"lengths": (3, 0, 2)},
    "mask": {"mask": ((True, False, True), (False, False, True), (True, True, False)), "padding": "repeat"},
    "packed": {"lengths": (3, 2, 1), "layout": "packed"},
}


def _differentiable(problem: Problem, backend: str) -> tuple[Callable, tuple[torch.Tensor, ...]]:
    """A scan as a function of whatever its results depend on smoothly, and those tensors."""
    given = tensors(problem)
    smooth = {name: t.requires_grad_() for name, t in given.items() if name in problem.smooth}

    def results(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        out = forward(problem, {**given, **dict(zip(smooth, values, strict=True))}, backend)
        return tuple(t for t in out.values() if t.requires_grad)

    return results, tuple(smooth.values())


@EVERY_CELL
def test_numerical_gradients(cell: Cell, engine: str) -> None:
    problem = Problem(cell, H=3, B=3, T=3, D=2, K=2, every=True, **RAGGED["mask"])
    assert torch.autograd.gradcheck(*_differentiable(problem, engine), fast_mode=True)


GRADIENTS = {
    "one number": lambda w: w.flatten()[0].expand_as(w),  # what a sum hands back, without memory of its own
    "features apart": lambda w: w.transpose(-1, -2).contiguous().transpose(-1, -2),
    "rows apart": lambda w: w.repeat_interleave(2, dim=-2)[..., ::2, :],
}


@EVERY_CELL
@pytest.mark.parametrize("laid", GRADIENTS.values(), ids=GRADIENTS)
@pytest.mark.parametrize("recompute", [None, 2], ids=["whole", "in pieces"])
def test_gradients_may_come_laid_out_in_any_way(
    cell: Cell, laid: Callable[[torch.Tensor], torch.Tensor], recompute: int | None, engine: str
) -> None:
    problem = Problem(cell, H=5, B=3, T=4, D=2, K=2, every=True, recompute=recompute)
    results = []
    for tight in (False, True):
        given = leaves(problem, DTYPE)
        out = {name: one for name, one in forward(problem, given, engine).items() if one.requires_grad}
        generator = torch.Generator().manual_seed(1)
        weights = [laid(torch.randn(one.shape, generator=generator, dtype=DTYPE)) for one in out.values()]
        wrt = wanting(given)
        found = torch.autograd.grad(
            [*out.values()], [*wrt.values()], [w.contiguous() if tight else w for w in weights],
            allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        results.append(dict(zip(wrt, found, strict=True)))
    assert_identical(*results)


@pytest.mark.parametrize("recompute", [None, 2], ids=["whole", "in pieces"])
@REPRESENTATIVES
def test_what_is_saved_may_be_packed_and_laid_out_anew(cell: Cell, recompute: int | None, engine: str) -> None:
    problem = Problem(cell, T=5, recompute=recompute)
    unpacked: list[int] = []

    def unpack(packed: tuple[int, torch.Tensor]) -> torch.Tensor:
        number, tensor = packed
        unpacked.append(number)
        return tensor.mT if tensor.dim() > 1 else tensor

    numbers = count()
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: (next(numbers), t.detach().mT.contiguous() if t.dim() > 1 else t.detach()), unpack
    ):
        found = evaluate(problem, tensors(problem), engine)
    assert_close(found, oracle(problem), DTYPE, problem.T)
    assert len(unpacked) == len(set(unpacked))  # each once, as checkpoints ask


@REPRESENTATIVES
def test_checkpoints(cell: Cell, engine: str) -> None:
    problem = Problem(cell)
    results = []
    for kept in (True, False):
        given = leaves(problem)
        run = partial(forward, problem, given, engine)
        out = run() if kept else checkpoint(run, use_reentrant=False)
        sum(one.square().sum() for one in out.values() if one.requires_grad).backward()
        results.append({name: one.grad for name, one in given.items() if one.grad is not None})
    assert_identical(*results)


@pytest.mark.skipif(
    not hasattr(torch._C._autograd, "_top_saved_tensors_default_hooks"),
    reason="PyTorch cannot say what packs",
)
def test_a_checkpoint_holds_nothing_until_it_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    held: set[int] = set()

    class Counted(call.Lease):
        def __init__(self, count: int, dtype: torch.dtype) -> None:
            super().__init__(count, dtype)
            held.add(id(self))

        def release(self) -> None:
            held.discard(id(self))
            super().release()

    monkeypatch.setattr(call, "Lease", Counted)
    problem = Problem(CELLS["lstm"], H=17, B=7, T=5)
    run = partial(forward, problem, leaves(problem), "cpu")
    plain = run()
    assert len(held) == 1
    del plain
    assert not held
    out = checkpoint(run, use_reentrant=False)
    assert not held
    out["outputs"].sum().backward()
    del out
    assert not held


def test_a_further_sequence_may_overlap_itself() -> None:
    cell = CELLS["depth_gated_lstm"]
    problem = Problem(cell, H=5, B=1, T=3)
    given = tensors(problem)
    windows = torch.randn(7, dtype=DTYPE).unfold(0, 5, 1).unsqueeze(0)
    (name,) = [one for one in problem.entering if one != "x"]
    assert given[name].shape == windows.shape
    results = [evaluate(problem, {**given, name: windows}, backend, [name]) for backend in ("cpu", "reference")]
    assert_close(*results, DTYPE, problem.T)


@JUDGED
@pytest.mark.parametrize("ragged", RAGGED.values(), ids=RAGGED)
def test_numerical_gradients_of_ragged_rows(cell: Cell, ragged: dict[str, object], backend: str) -> None:
    problem = Problem(cell, H=3, B=3, T=3, D=2, **ragged)
    assert torch.autograd.gradcheck(*_differentiable(problem, backend), fast_mode=True)


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "projected_lstm"])
def test_numerical_gradients_entry_by_entry(name: str, backend: str) -> None:
    problem = Problem(CELLS[name], H=2, B=2, T=3, D=2)
    assert torch.autograd.gradcheck(*_differentiable(problem, backend))


@REPRESENTATIVES
def test_double_backward(cell: Cell, engine: str) -> None:
    problem = Problem(cell, H=3, B=1, T=2, D=2, every=True)
    assert torch.autograd.gradgradcheck(*_differentiable(problem, engine), fast_mode=True)


@JUDGED
def test_a_penalty_on_the_gradient_agrees_with_the_reference(cell: Cell, backend: str) -> None:
    problem = Problem(cell, H=4, B=3, T=4, lengths=(4, 1, 3))

    def penalised(one: str) -> Results:
        given = leaves(problem)
        wrt = wanting(given)
        y = forward(problem, given, one)["outputs"]
        (slope,) = torch.autograd.grad(y.square().sum(), given["x"], create_graph=True)
        gradients = torch.autograd.grad(slope.square().sum() + y.sum(), list(wrt.values()), materialize_grads=True)
        return {"outputs": y.detach(), "slope": slope.detach(), **dict(zip(wrt, gradients, strict=True))}

    assert_close(penalised(backend), penalised("reference"), DTYPE, 10 * problem.T)


@REPRESENTATIVES
def test_backward_twice_gives_the_same(cell: Cell, engine: str) -> None:
    problem = Problem(cell, H=17, B=7, T=5, D=3, K=2, every=True)
    given = leaves(problem)
    wrt = wanting(given)
    total = sum(t.sin().sum() for t in wanting(forward(problem, given, engine)).values())
    first, second, third = (
        torch.autograd.grad(total, list(wrt.values()), retain_graph=again, materialize_grads=True)
        for again in (True, True, False)
    )
    assert_identical(dict(zip(wrt, first, strict=True)), dict(zip(wrt, second, strict=True)))
    assert_identical(dict(zip(wrt, first, strict=True)), dict(zip(wrt, third, strict=True)))


def test_backward_after_the_graph_was_freed_is_refused(backend: str) -> None:
    problem = Problem(CELLS["lstm"])
    given = leaves(problem)
    y = forward(problem, given, backend)["outputs"].sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_a_changed_weight_is_noticed_before_its_gradient_is_wrong(backend: str) -> None:
    problem = Problem(CELLS["lstm"])
    given = leaves(problem)
    y = forward(problem, given, backend)["outputs"].sum()
    with torch.no_grad():
        given["U_0"].mul_(2)
    with pytest.raises(RuntimeError, match=r"modified.*inplace"):
        y.backward()
    out = forward(problem, given, backend)["outputs"]
    total = out.sin_().sum()  # with an output that was changed as well
    with torch.no_grad():
        given["U_0"].mul_(2)
    with pytest.raises(RuntimeError, match=r"modified.*inplace"):
        total.backward()


def _identity(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


#: What packs the tensors that are saved, and unpacks them.
HOOKS: dict[str, tuple[Callable[..., Any], Callable[..., Any]] | None] = {
    "not hooked": None, "handed on": (_identity, _identity), "detached": (torch.Tensor.detach, _identity),
    "copied": (torch.clone, _identity),
}  # fmt: skip


@REPRESENTATIVES
@pytest.mark.parametrize("kept", [{}, {"recompute": 3}, {"saved_dtype": "float16"}], ids=["whole", "pieces", "rounded"])
@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("hooks", HOOKS)
def test_an_output_may_be_changed_in_place(
    cell: Cell, kept: dict[str, Any], twice: bool, hooks: str, engine: str
) -> None:
    """As PyTorch's GRU and Elman network let it, and its LSTM does not."""
    dtype = torch.float32 if "saved_dtype" in kept else DTYPE
    problem = Problem(cell, H=9, B=3, T=7, K=2, every=True, **kept)
    found = []
    for in_place in (False, True):
        given = leaves(problem, dtype)
        with torch.autograd.graph.saved_tensors_hooks(*HOOKS[hooks]) if HOOKS[hooks] else nullcontext():
            out = [one for one in forward(problem, given, engine).values() if one.requires_grad]
        first = torch.autograd.grad(out[0].sum(), given["x"], retain_graph=True)[0] if twice else given["x"].detach()
        changed = [one.mul_(2).relu_() if in_place else (2 * one).relu() for one in out]
        kept_by_user = [one.detach().clone() for one in changed]
        wrt = wanting(given)
        gradients = torch.autograd.grad(sum(one.sum() for one in changed), list(wrt.values()), materialize_grads=True)
        assert all(torch.equal(one, same) for one, same in zip(changed, kept_by_user, strict=True))
        found.append({"first": first, **dict(zip(wrt, gradients, strict=True))})
    assert_identical(*found)


@REPRESENTATIVES
def test_a_checkpoint_with_a_change_in_place(cell: Cell, engine: str) -> None:
    problem = Problem(cell, H=9, B=3, T=7, K=2)
    found = []
    for checked in (False, True):
        given = leaves(problem)

        def run(given: Results = given) -> torch.Tensor:
            return forward(problem, given, engine)["outputs"].mul_(2).relu_().square()

        out = checkpoint(run, use_reentrant=False) if checked else run()
        wrt = wanting(given)
        gradients = torch.autograd.grad(out.sum(), list(wrt.values()), allow_unused=True, materialize_grads=True)
        found.append(dict(zip(wrt, gradients, strict=True)))
    assert_identical(*found)


@REPRESENTATIVES
def test_several_gradients_at_once(cell: Cell, engine: str) -> None:
    problem = Problem(cell, H=4, B=2, T=3)
    given = leaves(problem)
    y, wrt = forward(problem, given, engine)["outputs"], wanting(given)
    all_of_them = torch.eye(y.numel(), dtype=DTYPE)[::5].view(-1, *y.shape)
    batched = torch.autograd.grad(
        y, list(wrt.values()), all_of_them, is_grads_batched=True, retain_graph=True, allow_unused=True
    )
    assert not any(one.requires_grad for one in batched if one is not None)
    for number, one in enumerate(all_of_them):
        single = torch.autograd.grad(y, list(wrt.values()), one, retain_graph=True, allow_unused=True)
        for name, a, b in zip(wrt, batched, single, strict=True):
            zeros = torch.zeros_like(wrt[name])
            theirs = zeros if a is None else a[number]
            torch.testing.assert_close(theirs, zeros if b is None else b, rtol=1e-9, atol=1e-12, msg=name)


def _wave(seed: int, cell: Cell) -> Problem:
    return Problem(cell, H=(17, 5, 33)[seed], B=(7, 9, 2)[seed], T=(6, 3, 9)[seed], D=3, K=1 + seed % 2, seed=seed)


def _gradients(given: Results, out: Results) -> Results:
    """The gradients of the sum of the squares of some results."""
    wrt, total = wanting(given), sum(t.square().sum() / 2 for t in wanting(out).values())
    return dict(zip(wrt, torch.autograd.grad(total, list(wrt.values()), materialize_grads=True), strict=True))


@REPRESENTATIVES
@pytest.mark.parametrize("order", list(permutations(range(3)))[1:4], ids=str)
def test_several_forwards_before_their_backwards(cell: Cell, order: tuple[int, ...], engine: str) -> None:
    problems = [_wave(k, cell) for k in range(3)]
    inputs = [leaves(p) for p in problems]
    outs = [forward(p, given, engine) for p, given in zip(problems, inputs, strict=True)]
    kept = [{name: t.detach().clone() for name, t in out.items()} for out in outs]
    for k in order:
        again = leaves(problems[k])
        alone = forward(problems[k], again, engine)
        assert_identical(_gradients(inputs[k], outs[k]), _gradients(again, alone))
        assert_identical(kept[k], alone)
        assert_identical(outs[k], kept[k])


def test_the_same_sizes_again_leave_earlier_results_alone(backend: str) -> None:
    problem = Problem(CELLS["lstm"], H=17, B=7, T=5)
    other = replace(problem, seed=1)
    first = evaluate(problem, tensors(problem), backend)
    copies = {name: t.clone() for name, t in first.items()}
    evaluate(other, tensors(other), backend)
    forward(other, tensors(other), backend)
    assert_identical(first, copies)


@REPRESENTATIVES
def test_a_forward_whose_graph_is_dropped_costs_the_next_nothing(cell: Cell, engine: str) -> None:
    problem = Problem(cell, H=17, B=7, T=5)
    for _ in range(3):
        forward(problem, leaves(problem), engine)
    got = evaluate(problem, tensors(problem), engine)
    assert_close(got, oracle(problem), DTYPE, problem.T)


def test_nothing_of_a_scan_waits_for_the_garbage_collector(backend: str) -> None:
    """A mask makes every request one of its own, and each holds a copy of it."""
    problem = Problem(CELLS["lstm"], mask=((True, False, True, True),) * 3)
    gc.collect()
    gc.disable()
    try:
        before = sum(type(one) is Request for one in gc.get_objects())
        for _ in range(3):
            evaluate(problem, tensors(problem), backend)
        assert sum(type(one) is Request for one in gc.get_objects()) == before
    finally:
        gc.enable()


@REPRESENTATIVES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
def test_inference_gives_the_bits_of_training(cell: Cell, dtype: torch.dtype, engine: str) -> None:
    ragged = {"H": 45, "B": 33, "T": 3, "lengths": (3, 0, 1) * 11}
    for size in ({"H": 17, "B": 7, "T": 5}, {"H": 64, "B": 1, "T": 9}, ragged):
        problem = Problem(cell, D=3, K=2, every=True, **size)
        given = tensors(problem, dtype)
        training = forward(problem, leaves(problem, dtype), engine)
        assert any(t.requires_grad for t in training.values())
        with torch.no_grad():
            assert_identical(forward(problem, leaves(problem, dtype), engine), training)
        with torch.inference_mode():
            assert_identical(forward(problem, leaves(problem, dtype), engine), training)
        assert_identical(forward(problem, given, engine), training)


def test_python_threads_do_not_disturb_each_other(engine: str) -> None:
    problems = [replace(_wave(k % 3, cell), seed=k) for cell in representatives() for k in range(6)]
    given = [tensors(p) for p in problems]
    alone = [evaluate(p, g, engine) for p, g in zip(problems, given, strict=True)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda pair: evaluate(*pair, engine), zip(problems, given, strict=True)))
    for got, want in zip(together, alone, strict=True):
        assert_identical(got, want)


def test_gradients_accumulate_over_two_uses_of_one_weight(backend: str) -> None:
    problem = Problem(CELLS["gru"], H=5, B=3, T=4, D=5)
    given = leaves(problem)

    def twice(one: str) -> tuple[torch.Tensor, ...]:
        first = forward(problem, given, one)
        second = forward(problem, {**given, "x": first["outputs"]}, one)
        return torch.autograd.grad(second["outputs"].square().sum(), list(given.values()))

    got, want = (dict(zip(given, twice(one), strict=True)) for one in (backend, "reference"))
    assert_close(got, want, DTYPE, problem.T)


def test_weights_shared_by_both_directions_have_one_gradient_of_each(backend: str) -> None:
    problem = Problem(CELLS["lstm"], H=3, B=2, T=3, D=2)
    given = {name: t.requires_grad_() for name, t in tensors(problem).items()}

    def tied(x: torch.Tensor, state: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        both = [Weights(*weights), Weights(*weights)]
        return scan(problem.cell, x, both, [state, state], backend=backend)[0]

    state = given["h0"].detach().repeat(2, 1, 1).requires_grad_()
    inputs = (given["x"], state, given["W_0"], given["U_0"], given["b_0"])
    y = tied(*inputs).square().sum()
    for got, want in zip(
        torch.autograd.grad(y, inputs, create_graph=True), torch.autograd.grad(y, inputs), strict=True
    ):
        torch.testing.assert_close(got, want)
    assert torch.autograd.gradcheck(tied, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(tied, inputs, fast_mode=True)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_forward_mode_derivatives(backend: str) -> None:
    problem = Problem(CELLS["gru"], H=3, B=2, T=3, D=2)
    given = tensors(problem)
    if backend == "cpu":
        backend = None  # asked for by name it says that it cannot
    with forward_ad.dual_level():
        if backend is None:
            with pytest.raises(RuntimeError, match="forward-mode"):
                forward(problem, given, "cpu")
        dual = forward_ad.make_dual(given["x"], torch.ones_like(given["x"]))
        slope = forward_ad.unpack_dual(forward(problem, {**given, "x": dual}, backend)["outputs"]).tangent
    step = 1e-6
    ahead, behind = (forward(problem, {**given, "x": given["x"] + s}, "reference")["outputs"] for s in (step, -step))
    torch.testing.assert_close(slope, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-8)


def test_backward_passes_of_one_graph_at_the_same_time(engine: str) -> None:
    problem = Problem(CELLS["lstm"], H=64, B=16, T=200, D=64)
    given = leaves(problem)
    total = forward(problem, given, engine)["outputs"].square().sum()

    together_now = Barrier(4)

    def backward(_: int) -> Results:
        together_now.wait()
        found = torch.autograd.grad(total, list(given.values()), retain_graph=True, materialize_grads=True)
        return dict(zip(given, found, strict=True))

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(backward, range(4)))
    alone = dict(zip(given, torch.autograd.grad(total, list(given.values()), materialize_grads=True), strict=True))
    for got in together:
        assert_identical(got, alone)


def test_states_that_overlap_in_memory_have_their_own_gradients(backend: str) -> None:
    problem = Problem(CELLS["elman"], H=5, B=3, T=2)
    given = tensors(problem)
    sliding = torch.randn(7, dtype=DTYPE, generator=torch.Generator().manual_seed(0)).unfold(0, 5, 1).unsqueeze(0)
    got, want = (evaluate(problem, {**given, "h0": h0}, backend) for h0 in (sliding, sliding.contiguous()))
    assert_identical(got, want)


def test_numbers_that_are_negated_when_read(backend: str) -> None:
    problem = Problem(CELLS["lstm"])
    given = tensors(problem)
    lazy = {name: torch._neg_view(-t) for name, t in given.items()}
    assert all(t.is_neg() for t in lazy.values())
    assert_identical(forward(problem, lazy, backend), forward(problem, given, backend))


@pytest.mark.parametrize("name", ["relu", "relu6", "leaky_relu", "hard_tanh"])
def test_nan_stays_nan(name: str, backend: str) -> None:
    problem = Problem(CELLS["elman"], named=(("phi", name),))
    given = tensors(problem)
    assert forward(problem, {**given, "x": given["x"] * torch.nan}, backend)["outputs"].isnan().all()
