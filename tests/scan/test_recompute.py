"""A scan that runs pieces again in its backward pass: the same outputs to the bit, and gradients up to rounding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from ostinato.cells import CELLS, Cell
from ostinato.scan import call, make_request, record, scan

from .problems import (
    Problem,
    arguments,
    assert_close,
    assert_identical,
    cotangents,
    evaluate,
    every_cell,
    oracle,
    representatives,
    tensors,
)

HOLES = tuple(tuple(c == "x" for c in row) for row in ("xx.xx.x.xx.", ".x..x......", "....x......", "x.......x.x"))
LENGTHS = (5, 0, 11, 3)
FALLING = (11, 7, 7, 1)

SETTINGS: dict[str, dict[str, Any]] = {
    "full": {},
    "both directions": {"K": 2, "layout": "time"},
    "lengths": {"lengths": LENGTHS, "K": 2},
    "left": {"mask": tuple(tuple(t >= first for t in range(11)) for first in (0, 4, 11, 8)), "K": 2},
    "packed": {"lengths": FALLING, "K": 2, "layout": "packed"},
    "holes": {"mask": HOLES, "padding": "repeat", "K": 2},
    "cut": {"truncate": 3, "K": 2},
    "cut ragged": {"truncate": 4, "lengths": LENGTHS, "K": 2},
    "cut packed": {"truncate": 2, "lengths": FALLING, "K": 2, "layout": "packed"},
    "cut holes": {"truncate": 2, "mask": HOLES, "K": 2},
    "clipped": {"clip": 0.05, "K": 2},
    "every output": {"every": True, "state": False, "reverse": (True,)},
}


def split(problem: Problem, dtype: torch.dtype) -> tuple[dict[str, Any], dict[str, Any]]:
    """Outputs and gradients on the kernels."""
    found = evaluate(problem, tensors(problem, dtype), "cpu")
    gradients = {name for name in found if name[0] == "d" and name[1:] in tensors(problem)}
    return {n: t for n, t in found.items() if n not in gradients}, {n: found[n] for n in gradients}


def assert_the_same(problem: Problem, pieces: bool | int, dtype: torch.dtype = torch.float64) -> None:
    outputs, gradients = split(problem, dtype)
    again, theirs = split(replace(problem, recompute=pieces), dtype)
    assert_identical(again, outputs)
    assert set(theirs) == set(gradients)
    assert_close(theirs, gradients, dtype, problem.T)


@pytest.mark.parametrize("cell", every_cell(), ids=lambda cell: cell.name)
def test_every_cell(cell: Cell, poisoned: None) -> None:
    assert_the_same(Problem(cell, B=4, T=11, K=2, lengths=LENGTHS), 4)
    assert_the_same(Problem(cell, B=4, T=11), True, torch.float32)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("cell", representatives(), ids=lambda cell: cell.name)
def test_every_setting(cell: Cell, setting: str, poisoned: None) -> None:
    for pieces in (1, 4):
        assert_the_same(Problem(cell, B=4, T=11, **SETTINGS[setting]), pieces)


def test_what_comes_back_is_the_reference_s() -> None:
    problem = Problem(CELLS["gru_reset_before"], B=4, T=11, **SETTINGS["cut holes"], recompute=3)
    assert_close(evaluate(problem, tensors(problem), "cpu"), oracle(problem), torch.float64, 11)


def test_the_result_does_not_depend_on_the_threads() -> None:
    problem = Problem(CELLS["lstm"], H=64, B=70, T=20, D=32, K=2, recompute=6)
    one = evaluate(problem, tensors(problem, torch.float32), "cpu")
    torch.set_num_threads(2)
    assert_identical(evaluate(problem, tensors(problem, torch.float32), "cpu"), one)


@pytest.mark.parametrize("setting", ["full", "cut ragged", "holes", "packed", "clipped"])
def test_the_flow_of_the_gradients(setting: str) -> None:
    problem = Problem(CELLS["lstm"], B=4, T=11, **SETTINGS[setting])
    flows = []
    for pieces in (None, 4):
        with record() as taken:
            evaluate(replace(problem, recompute=pieces), tensors(problem), "cpu")
        flows.append(taken[0].gradients)
    assert_close(flows[1], flows[0], torch.float64, 11)


def graph(problem: Problem, wanted: tuple[str, ...] = ("x", "W_0", "U_0")) -> tuple[Any, list[Any]]:
    given = {name: one.requires_grad_(name in wanted) for name, one in tensors(problem).items()}
    y, _ = scan(**arguments(problem, given), backend="cpu")
    return y, [given[name] for name in wanted]


def test_going_back_twice() -> None:
    problem = Problem(CELLS["lstm"], T=7, recompute=3)
    y, given = graph(problem)
    weights = cotangents(problem)["outputs"]
    first = torch.autograd.grad(y, given, weights, retain_graph=True)
    second = torch.autograd.grad(y, given, weights, retain_graph=True)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    third = torch.autograd.grad(y, given, weights, create_graph=True)
    torch.testing.assert_close(third, first)
    (curvature,) = torch.autograd.grad(third[1].square().sum(), given[:1])
    assert curvature.isfinite().all() and curvature.any()


@pytest.mark.parametrize("wanted", [("x",), ("U_0",), ("b_0", "h0"), ("c0",)])
def test_only_what_is_wanted(wanted: tuple[str, ...]) -> None:
    problem = Problem(CELLS["lstm"], T=7)
    found = []
    for pieces in (None, 2):
        y, given = graph(replace(problem, recompute=pieces), wanted)
        found.append(torch.autograd.grad(y.sum(), given))
    torch.testing.assert_close(found[1], found[0], rtol=1e-12, atol=1e-14)


def test_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    released: list[call.Lease] = []  # kept, so that no two have one address

    class Counted(call.Lease):
        def __init__(self, count: int, dtype: torch.dtype) -> None:
            sizes.append(count)
            super().__init__(count, dtype)

        def release(self) -> None:
            released.append(self)
            super().release()

    monkeypatch.setattr(call, "Lease", Counted)
    problem = Problem(CELLS["lstm"], H=8, B=4, T=100, lengths=(100, 90, 1, 50))
    graph(problem)
    (all_of_it,) = sizes
    sizes.clear()
    released.clear()
    y, given = graph(replace(problem, recompute=True))
    assert len(sizes) == 1 and len({*map(id, released)}) == 1  # nothing stays behind the forward pass
    torch.autograd.grad(y.sum(), given)
    assert all_of_it / 10 <= max(sizes) <= all_of_it / 241 * 40 + 1 and len(sizes) == len({*map(id, released)})


@pytest.mark.parametrize("pieces", [0, -3, 2.5, "all"])
def test_what_is_no_number_of_steps(pieces: Any) -> None:
    given = arguments(Problem(CELLS["lstm"]), tensors(Problem(CELLS["lstm"])))
    with pytest.raises(ValueError, match=r"recompute is .*; expected True or False, or a whole number of steps"):
        scan(**{**given, "recompute": pieces})


def test_the_length_of_a_piece() -> None:
    def chosen(recompute: bool | int | None, steps: int) -> int:
        problem = Problem(CELLS["lstm"], T=steps, recompute=recompute)
        return make_request(**arguments(problem, tensors(problem))).recompute

    assert [chosen(True, steps) for steps in (1, 2, 4, 9, 10, 101)] == [0, 0, 2, 3, 4, 11]
    assert [chosen(one, 10) for one in (None, False, 1, 9, 10, 1000)] == [0, 0, 1, 9, 0, 0]
