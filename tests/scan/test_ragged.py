"""Rows of different lengths and masks: what does not run is never read, and leaves no trace."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ostinato.cells import CELLS, Cell
from ostinato.scan import Weights, make_request, scan

from .problems import (
    Problem,
    Results,
    assert_close,
    assert_identical,
    cotangents,
    evaluate,
    every_cell,
    forward,
    oracle,
    tensors,
)

pytestmark = pytest.mark.usefixtures("poisoned")
CELLS_UNDER_TEST = pytest.mark.parametrize("cell", every_cell(), ids=lambda cell: cell.name)
PADDINGS = pytest.mark.parametrize("padding", ["zero", "repeat"])
DTYPE = torch.float64

LENGTHS = {
    "unsorted": (3, 6, 0, 1, 6, 2, 5, 0),
    "all zero": (0,) * 8,
    "one row runs": (0, 0, 0, 4, 0, 0, 0, 0),
    "full": (6,) * 8,
    "falling": (6, 5, 5, 4, 3, 2, 1, 1),
}


def _mask(*rows: str) -> tuple[tuple[bool, ...], ...]:
    return tuple(tuple(step == "x" for step in row) for row in rows)


MASKS = {
    "right": _mask("xxxxx.", "xx....", "xxxxxx", "x....."),
    "left": _mask(".xxxxx", "....xx", "xxxxxx", ".....x"),
    "holes": _mask("x.xx.x", ".x..x.", "xxx..x", "x....x"),
    "a row never runs": _mask("......", "xx.x..", "......", "xxxxxx"),
    "nothing runs": _mask(*["......"] * 4),
}


def poison(problem: Problem, given: Results) -> Results:
    """NaN and infinity in the input of every step that does not run."""
    bad = torch.where(
        torch.rand(given["x"].shape, generator=torch.Generator().manual_seed(5)) < 0.5, torch.nan, torch.inf
    )
    runs = problem.runs.unsqueeze(-1)
    return {**given, "x": torch.where(runs, given["x"], bad.to(given["x"].dtype))}


def plain(problem: Problem, given: Results) -> Results:
    """Every result by running each row alone on nothing but the steps it runs: masks spelled out."""
    leaves = {name: t.detach().requires_grad_() for name, t in given.items()}
    H, weights = problem.H, cotangents(problem, given["x"].dtype)
    loss = torch.zeros((), dtype=given["x"].dtype)
    rows, finals = [], {name: [] for name in problem.cell.states}
    for b, runs in enumerate(problem.runs):
        state = {name: leaves[f"{name}0"][:, b : b + 1] for name in problem.cell.states}
        y = torch.zeros(problem.T, problem.K * H, dtype=given["x"].dtype)
        steps = runs.nonzero()[:, 0]
        if len(steps):
            row = replace(problem, B=1, T=len(steps), lengths=None, mask=None, layout="batch")
            one = {**leaves, "x": leaves["x"][b : b + 1, steps], **{f"{n}0": s for n, s in state.items()}}
            out = forward(row, one, "reference")
            y = y.index_put((steps,), out["outputs"][0])
            final = {name: out[name] for name in problem.cell.states}
        else:
            final = state
        if problem.padding == "repeat":
            y = _repeated(problem, y, runs, state[problem.cell.states[0]])
        rows.append(y)
        for name, values in finals.items():
            values.append(final[name])
    out = {"outputs": torch.stack(rows), **{name: torch.cat(values, 1) for name, values in finals.items()}}
    loss = sum((out[name] * weights[name]).sum() for name in out)
    gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    return {**{n: t.detach() for n, t in out.items()}, **{f"d{n}": g for n, g in zip(leaves, gradients, strict=True)}}


def _repeated(problem: Problem, y: torch.Tensor, runs: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    directions = []
    for k, part in enumerate(y.split(problem.H, -1)):
        order = list(range(problem.T))[:: -1 if k == 1 else 1]
        held, filled = first[k, 0], dict.fromkeys(order, first[k, 0])
        for t in order:
            held = part[t] if runs[t] else held
            filled[t] = held
        directions.append(torch.stack([filled[t] for t in range(problem.T)]))
    return torch.cat(directions, -1)


@CELLS_UNDER_TEST
@PADDINGS
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
def test_lengths(cell: Cell, padding: str, lengths: tuple[int, ...], dtype: torch.dtype, backend: str) -> None:
    problem = Problem(cell, H=7, B=8, T=6, D=3, K=2, lengths=lengths, padding=padding)
    given = tensors(problem, dtype)
    got = evaluate(problem, poison(problem, given), backend)
    assert_close(got, plain(problem, {n: t.double() for n, t in given.items()}), dtype, problem.T)
    assert got["dx"][~problem.runs].eq(0).all()
    if padding == "zero":
        assert got["outputs"][~problem.runs].eq(0).all()


@CELLS_UNDER_TEST
@PADDINGS
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
def test_masks(cell: Cell, padding: str, mask: tuple[tuple[bool, ...], ...], dtype: torch.dtype, backend: str) -> None:
    problem = Problem(cell, H=7, B=4, T=6, D=3, K=2, mask=mask, padding=padding)
    given = tensors(problem, dtype)
    got = evaluate(problem, poison(problem, given), backend)
    assert_close(got, plain(problem, {n: t.double() for n, t in given.items()}), dtype, problem.T)
    assert got["dx"][~problem.runs].eq(0).all()


@CELLS_UNDER_TEST
@PADDINGS
def test_lengths_are_a_mask(cell: Cell, padding: str, backend: str) -> None:
    ragged = Problem(cell, H=5, B=8, T=6, D=3, K=2, lengths=LENGTHS["unsorted"], padding=padding)
    mask = tuple(tuple(row) for row in ragged.runs.tolist())
    given = poison(ragged, tensors(ragged))
    masked = replace(ragged, lengths=None, mask=mask)
    assert_close(evaluate(masked, given, backend), evaluate(ragged, given, backend), DTYPE, ragged.T)


@CELLS_UNDER_TEST
def test_many_ragged_rows(cell: Cell, backend: str) -> None:
    lengths = tuple(int(n) for n in torch.randint(0, 21, (53,), generator=torch.Generator().manual_seed(1)))
    problem = Problem(cell, H=17, B=53, T=20, D=5, K=2, lengths=lengths)
    got = evaluate(problem, poison(problem, tensors(problem)), backend)
    assert_close(got, oracle(problem, DTYPE), DTYPE, problem.T)


@CELLS_UNDER_TEST
def test_garbage_in_a_gradient_of_padding_stays_there(cell: Cell, backend: str) -> None:
    """What the loss says about outputs that are constant zeros reaches nothing, not even where it says NaN."""
    problem = Problem(cell, H=5, B=8, T=6, lengths=LENGTHS["unsorted"])
    leaves = {name: t.requires_grad_() for name, t in tensors(problem).items()}
    y = forward(problem, leaves, backend)["outputs"]
    clean = torch.where(problem.runs.unsqueeze(-1), cotangents(problem)["outputs"], 0.0)
    dirty = torch.where(problem.runs.unsqueeze(-1), clean, torch.nan)
    want = torch.autograd.grad(y, list(leaves.values()), clean, retain_graph=True)
    got = torch.autograd.grad(y, list(leaves.values()), dirty)
    assert_identical(dict(zip(leaves, got, strict=True)), dict(zip(leaves, want, strict=True)))


@CELLS_UNDER_TEST
def test_a_workspace_left_full_of_nan_does_no_harm(cell: Cell, backend: str) -> None:
    problem = Problem(cell, H=5, B=8, T=6, D=3, lengths=LENGTHS["unsorted"])
    given = tensors(problem)
    before = evaluate(problem, given, backend)
    spoilt = evaluate(problem, {name: t * torch.nan for name, t in given.items()}, backend)
    assert spoilt["outputs"][problem.runs].isnan().all()
    assert_identical(evaluate(problem, given, backend), before)


def test_packed_rows_of_zero_length_do_not_exist(backend: str) -> None:
    """A packed batch has as many rows as its first step; every one of them has at least one step."""
    problem = Problem(CELLS["lstm"], H=3, B=4, T=5, lengths=(5, 5, 2, 1), layout="packed")
    got = evaluate(problem, tensors(problem), backend)
    assert got["h"].shape == (1, 4, 3)
    assert_close(got, oracle(problem, DTYPE), DTYPE, problem.T)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_mask_of_one_side_is_never_computed(side: str, reverse: bool) -> None:
    lengths = torch.tensor([4, 0, 2, 5])
    steps = torch.arange(5)
    mask = (steps if side == "right" else steps.flip(0)) < lengths.unsqueeze(1)
    H, D = 3, 2
    generator = torch.Generator().manual_seed(0)
    w = [Weights(*(torch.randn(size, generator=generator) for size in ((4 * H, D), (4 * H, H), (4 * H,))))]
    x, states = torch.randn(4, 5, D, generator=generator), torch.randn(2, 1, 4, H, generator=generator).unbind()
    asked = make_request(CELLS["lstm"], x, w, states, mask=mask, reverse=[reverse], padding="repeat")
    assert (asked.mask, asked.padded) == (None, side)
    assert asked.lengths.tolist() == lengths.tolist()
    _, finals = scan(CELLS["lstm"], x, w, states, mask=mask, reverse=[reverse], padding="repeat", backend="cpu")
    for row, length in enumerate(lengths.tolist()):
        runs = x[row : row + 1, :length] if side == "right" else x[row : row + 1, 5 - length :]
        if length == 0:
            expected = [state[:, row : row + 1] for state in states]
        else:
            initial = [state[:, row : row + 1] for state in states]
            _, expected = scan(CELLS["lstm"], runs, w, initial, reverse=[reverse], backend="reference")
        for final, one in zip(finals, expected, strict=True):
            torch.testing.assert_close(final[:, row : row + 1], one)
