"""A scan that keeps 16 bits of what its backward pass needs: the same outputs to the bit, and gradients whose error is
that of rounding once what was kept, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ostinato.cells import CELLS, Cell
from ostinato.compiler.plan import Plan
from ostinato.scan import call, make_request, pieces, record, scan

from .problems import (
    FLOOR,
    Problem,
    Results,
    arguments,
    assert_close,
    assert_identical,
    cotangents,
    error,
    evaluate,
    every_cell,
    of_rows,
    oracle,
    representatives,
    tensors,
)
from .test_own_cells import OWN
from .test_recompute import SETTINGS

KINDS = ("bfloat16", "float16")

#: The largest error of a gradient relative to its largest entry: some eight times half a unit in the last place, in
#: these short problems.
BOUNDS = {"bfloat16": 1.6e-2, "float16": 2e-3}

#: Cells that run through more operations than any other.
ROUGHER = {"rg_lru": 2}

SINGLE = torch.float32


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_TOKENS", 12)


def results(problem: Problem) -> tuple[Results, Results]:
    """Outputs and gradients on the kernels."""
    found = evaluate(problem, tensors(problem, SINGLE), "cpu")
    gradients = {name for name in found if name[0] == "d" and name[1:] in tensors(problem)}
    return {n: t for n, t in found.items() if n not in gradients}, {n: found[n] for n in gradients}


def worst(got: Results, want: Results) -> float:
    """The largest error of any gradient; much smaller ones are held to the accuracy of the largest."""
    largest = max(float(want[name].abs().max()) for name in got if want[name].numel())
    return max(error(got[name], want[name], FLOOR * largest) for name in got)


def rounding(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Make ordinary scans round what they kept, in place and all at once."""
    run = call.Caller.forward

    def forward(self: call.Caller, found: Any, finals: Any, leases: Sequence[call.Lease | None]) -> None:
        run(self, found, finals, leases)
        states = [slot for slot in Plan(self.request.cell).storage.history if slot is not None]
        for lease in leases:
            assert lease is not None
            kept = lease.tensor((self.form.tokens, self.form.description["slots"], self.form.width), SINGLE)
            exact = kept[:, states].clone()
            kept.copy_(kept.to(getattr(torch, kind)))
            kept[:, states] = exact

    monkeypatch.setattr(call.Caller, "forward", forward)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", every_cell(), ids=lambda cell: cell.name)
def test_every_cell(cell: Cell, kind: str, poisoned: None) -> None:
    problem = Problem(cell, B=4, T=11, H=9, K=2, lengths=(5, 0, 11, 3))
    outputs, _ = results(problem)
    again, gradients = results(replace(problem, saved_dtype=kind))
    assert_identical(again, outputs)
    assert worst(gradients, oracle(problem)) <= BOUNDS[kind] * ROUGHER.get(cell.name, 1)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("cell", representatives(), ids=lambda cell: cell.name)
def test_what_was_kept_is_rounded_once_and_nothing_else(
    cell: Cell, setting: str, poisoned: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Problem(cell, B=4, T=11, **SETTINGS[setting])
    outputs, gradients = results(replace(problem, saved_dtype="float16"))
    rounding(monkeypatch, "float16")
    expected, theirs = results(problem)
    assert_identical(outputs, expected)
    assert set(gradients) == set(theirs)
    assert_close(gradients, theirs, SINGLE, problem.T)


@OWN
def test_cells_of_ones_own(own: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(own, B=3, T=9)
    _, gradients = results(replace(problem, saved_dtype="float16"))
    rounding(monkeypatch, "float16")
    assert_close(gradients, results(problem)[1], SINGLE, problem.T)


@pytest.mark.parametrize("name", ["lstm", "gru", "layer_norm_lstm"])
def test_three_bits_more_are_an_eighth_of_the_error(name: str) -> None:
    problem = Problem(CELLS[name], H=24, B=8, T=30)
    exact, brain, half = (
        worst(results(replace(problem, saved_dtype=kind))[1], oracle(problem)) for kind in (None, *KINDS)
    )
    assert exact < 1e-5 < half
    assert 4 < brain / half < 16


def test_a_count_of_steps_is_not_rounded() -> None:
    # from 256 on bfloat16 knows even numbers only
    problem = Problem(CELLS["clockwork"], H=6, B=2, T=300, state=False)
    _, gradients = results(replace(problem, saved_dtype="bfloat16"))
    assert worst(gradients, oracle(problem)) <= BOUNDS["bfloat16"]


@pytest.mark.parametrize("tokens", [1, 40, 10000])
@pytest.mark.parametrize("cell", representatives(), ids=lambda cell: cell.name)
def test_pieces_of_any_length(cell: Cell, tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(cell, B=4, T=11, K=2, lengths=(5, 0, 11, 3), saved_dtype="float16")
    outputs, gradients = results(problem)
    monkeypatch.setattr(pieces, "_TOKENS", tokens)
    again, theirs = results(problem)
    assert_identical(again, outputs)
    assert_close(theirs, gradients, SINGLE, problem.T)


@pytest.mark.parametrize("cell", representatives(), ids=lambda cell: cell.name)
def test_rows_do_not_see_each_other(cell: Cell) -> None:
    problem = Problem(cell, B=5, T=8, saved_dtype="bfloat16")
    given = tensors(problem, SINGLE)
    weights = cotangents(problem, SINGLE)["outputs"]

    def gradient(rows: slice) -> Tensor:
        x = given["x"][rows].clone().requires_grad_()
        of_these = of_rows(problem, {**given, "x": given["x"]}, rows)
        y, _ = scan(**arguments(problem, {**of_these, "x": x}), backend="cpu")
        return torch.autograd.grad(y, x, weights[rows])[0]

    whole = gradient(slice(None))
    assert torch.equal(torch.cat([gradient(slice(0, 2)), gradient(slice(2, 5))]), whole)


def test_the_result_does_not_depend_on_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_TOKENS", 350)
    problem = Problem(CELLS["lstm"], H=64, B=70, T=20, D=32, K=2, saved_dtype="float16")
    one = evaluate(problem, tensors(problem, SINGLE), "cpu")
    torch.set_num_threads(2)
    assert_identical(evaluate(problem, tensors(problem, SINGLE), "cpu"), one)


@pytest.mark.parametrize("setting", ["full", "cut ragged", "holes", "packed", "clipped"])
def test_the_flow_of_the_gradients(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(CELLS["lstm"], B=4, T=11, **SETTINGS[setting])
    flows = []
    with record() as taken:
        results(replace(problem, saved_dtype="float16"))
    flows.append(taken[0].gradients)
    rounding(monkeypatch, "float16")
    with record() as taken:
        results(problem)
    flows.append(taken[0].gradients)
    assert_close(flows[0], flows[1], SINGLE, 11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so(bad: float, kind: str) -> None:
    problem = Problem(CELLS["lstm"], B=3, T=6)
    found = []
    for one in (None, kind):
        given = tensors(problem, SINGLE)
        given["x"][1, 3] = bad
        found.append(evaluate(replace(problem, saved_dtype=one), given, "cpu"))
    for name, value in found[0].items():
        assert torch.equal(found[1][name].isfinite(), value.isfinite()), name
    assert not found[1]["dW_0"].isfinite().all()
    assert found[1]["dx"][0].isfinite().all()


def test_a_number_beyond_the_range_is_infinite_and_not_another_one() -> None:
    problem = Problem(CELLS["lstm"], T=3, state=False, named=(("phi", "linear"),))
    found = {}
    for kind in KINDS:
        given = tensors(problem, SINGLE)
        given["x"] *= 1e6
        found[kind] = evaluate(replace(problem, saved_dtype=kind), given, "cpu")["db_0"]
    assert found["bfloat16"].isfinite().all()
    assert not found["float16"].isfinite().all()


def graph(problem: Problem, wanted: tuple[str, ...] = ("x", "W_0", "U_0")) -> tuple[Tensor, list[Tensor]]:
    given = {name: one.requires_grad_(name in wanted) for name, one in tensors(problem, SINGLE).items()}
    y, _ = scan(**arguments(problem, given), backend="cpu")
    return y, [given[name] for name in wanted]


def test_going_back_twice() -> None:
    problem = Problem(CELLS["lstm"], T=7, saved_dtype="float16")
    y, given = graph(problem)
    weights = cotangents(problem, SINGLE)["outputs"]
    first = torch.autograd.grad(y, given, weights, retain_graph=True)
    second = torch.autograd.grad(y, given, weights, retain_graph=True)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    third = torch.autograd.grad(y, given, weights, create_graph=True)  # the reference's, which rounds nothing
    torch.testing.assert_close(third, first, rtol=BOUNDS["float16"], atol=BOUNDS["float16"])
    (curvature,) = torch.autograd.grad(third[1].square().sum(), given[:1])
    assert curvature.isfinite().all() and curvature.any()


@pytest.mark.parametrize("wanted", [("x",), ("U_0",), ("b_0", "h0"), ("c0",)])
def test_only_what_is_wanted(wanted: tuple[str, ...]) -> None:
    problem = Problem(CELLS["lstm"], T=7, saved_dtype="float16")
    names = ("x", "W_0", "U_0", "b_0", "b_u_0", "h0", "c0")
    y, given = graph(problem, names)
    everything = dict(zip(names, torch.autograd.grad(y.sum(), given), strict=True))
    y, given = graph(problem, wanted)
    found = torch.autograd.grad(y.sum(), given)
    assert all(torch.equal(one, everything[name]) for one, name in zip(found, wanted, strict=True))


@pytest.mark.parametrize(("name", "share"), [("lstm", 12 / 20), ("gru", 8 / 16)])
def test_what_is_kept(name: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    lent: dict[int, int] = {}

    class Counted(call.Lease):
        def __init__(self, count: int, dtype: torch.dtype) -> None:
            lent[id(self)] = count * dtype.itemsize
            super().__init__(count, dtype)

        def release(self) -> None:
            lent.pop(id(self), None)
            super().release()

    monkeypatch.setattr(call, "Lease", Counted)
    monkeypatch.setattr("ostinato.scan.saved.Lease", Counted)
    problem = Problem(CELLS[name], H=8, B=4, T=100, lengths=(100, 90, 1, 50))
    y, _ = graph(problem)
    all_of_it = sum(lent.values())
    del y
    lent.clear()
    y, given = graph(replace(problem, saved_dtype="bfloat16"))
    assert sum(lent.values()) == pytest.approx(share * all_of_it)
    torch.autograd.grad(y.sum(), given)
    assert not lent


def test_nothing_is_rounded_where_nothing_is_kept() -> None:
    problem = Problem(CELLS["lstm"], saved_dtype="float16")
    with torch.no_grad():
        scan(**arguments(problem, tensors(problem, SINGLE)), backend="reference")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"saved_dtype": "int8"}, r"saved_dtype is 'int8'; expected 'bfloat16', 'float16' or None"),
        ({"saved_dtype": torch.float16}, r"saved_dtype is torch.float16; expected 'bfloat16', 'float16' or None"),
        ({"recompute": True}, r"saved_dtype='float16' rounds what recompute=True does not keep; leave one of them out"),
    ],
)
def test_what_does_not_fit(given: dict[str, Any], sentence: str) -> None:
    problem = Problem(CELLS["lstm"], saved_dtype="float16")
    with pytest.raises(ValueError, match=sentence):
        make_request(**{**arguments(problem, tensors(problem, SINGLE)), **given})


def test_another_dtype_than_single() -> None:
    problem = Problem(CELLS["lstm"], saved_dtype="bfloat16")
    with pytest.raises(ValueError, match=r"rounds what float32 scans keep; the input is torch.float64"):
        make_request(**arguments(problem, tensors(problem)))


@pytest.mark.parametrize("backend", ["reference", None])
def test_the_reference_does_not_round(backend: Any) -> None:
    problem = Problem(CELLS["lstm"], saved_dtype="bfloat16")
    given = {name: one.requires_grad_() for name, one in tensors(problem, SINGLE).items()}
    asked = arguments(problem, given)
    asked["activations"] = {"phi": torch.tanh}
    with pytest.raises(RuntimeError, match=r"saved_dtype is 'bfloat16', which the compiled kernels alone can do.*None"):
        scan(**asked, backend=backend)
