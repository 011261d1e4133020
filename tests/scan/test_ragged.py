"""Rows of different lengths and masks: what does not run is never read, and leaves no trace."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import cycle

import pytest
import torch

from ostinato.cells import CELLS, Cell
from ostinato.scan import Weights, make_request, scan

from .problems import (
    Problem,
    Results,
    assert_close,
    assert_identical,
    at_steps,
    cotangents,
    evaluate,
    every_cell,
    forward,
    judged,
    leaves,
    of_rows,
    oracle,
    representatives,
    tensors,
    wanting,
)

pytestmark = pytest.mark.usefixtures("poisoned")
EVERY_CELL = pytest.mark.parametrize("cell", every_cell(), ids=lambda cell: cell.name)
REPRESENTATIVES = pytest.mark.parametrize("cell", representatives(), ids=lambda cell: cell.name)
JUDGED = pytest.mark.parametrize("cell, backend", judged(), ids=lambda one: getattr(one, "name", one))
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
    """NaN and infinity in whatever comes in at a step that does not run."""
    runs = problem.runs.unsqueeze(-1)

    def spoilt(entering: torch.Tensor) -> torch.Tensor:
        bad = torch.rand(entering.shape, generator=torch.Generator().manual_seed(5)) < 0.5
        return torch.where(runs, entering, torch.where(bad, torch.nan, torch.inf).to(entering.dtype))

    return at_steps(problem, given, spoilt)


@lru_cache(maxsize=32)
def plain(problem: Problem) -> Results:
    """Every result by running each row alone on nothing but the steps it runs: masks spelled out."""
    given, weights = leaves(problem), cotangents(problem)
    found: dict[str, list[torch.Tensor]] = {name: [] for name in (*problem.sequences, *problem.cell.states)}
    for b, runs in enumerate(problem.runs):
        one = of_rows(problem, given, slice(b, b + 1))
        steps = runs.nonzero()[:, 0]
        out = {name: one[f"{name}0"] for name in problem.cell.states}
        alone = {}
        if len(steps):
            row = replace(problem, B=1, T=len(steps), lengths=None, mask=None, layout="batch")
            out = forward(row, at_steps(problem, one, lambda t, steps=steps: t[:, steps]), "reference")
        for name, state in problem.sequences.items():
            y = torch.zeros(problem.T, problem.K * problem.state_size(state), dtype=DTYPE)
            y = y.index_put((steps,), out[name][0]) if len(steps) else y
            alone[name] = _repeated(y, runs, one[f"{state}0"]) if problem.padding == "repeat" else y
        for name, values in found.items():
            values.append(alone[name] if name in alone else out[name])
    out = {name: torch.stack(v) if name in problem.sequences else torch.cat(v, 1) for name, v in found.items()}
    loss = sum((one * weights[name]).sum() for name, one in out.items())
    wrt = wanting(given)
    gradients = torch.autograd.grad(loss, list(wrt.values()), materialize_grads=True)
    return {**{n: t.detach() for n, t in out.items()}, **{f"d{n}": g for n, g in zip(wrt, gradients, strict=True)}}


def _repeated(y: torch.Tensor, runs: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """An output sequence that at steps that did not run holds the state carried so far, from the initial (K, 1, S)."""
    directions = []
    for k, part in enumerate(y.split(first.shape[-1], -1)):
        order = list(range(len(y)))[:: -1 if k == 1 else 1]
        held, filled = first[k, 0], {}
        for t in order:
            held = filled[t] = part[t] if runs[t] else held
        directions.append(torch.stack([filled[t] for t in range(len(y))]))
    return torch.cat(directions, -1)


def check(problem: Problem, dtype: torch.dtype, backend: str) -> None:
    """A scan whose input is poisoned wherever it does not run gives what its rows give alone."""
    got = evaluate(problem, poison(problem, tensors(problem, dtype)), backend)
    assert_close(got, plain(problem), dtype, problem.T)
    for name in problem.entering:
        assert got[f"d{name}"][~problem.runs].eq(0).all()
    if problem.padding == "zero":
        assert all(got[name][~problem.runs].eq(0).all() for name in problem.sequences)


@EVERY_CELL
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("kind", ["lengths", "mask"])
def test_every_cell(cell: Cell, dtype: torch.dtype, kind: str, engine: str) -> None:
    ragged = {"lengths": (3, 6, 0, 2)} if kind == "lengths" else {"mask": MASKS["holes"], "padding": "repeat"}
    check(Problem(cell, H=19, B=4, T=6, D=3, K=2, every=True, **ragged), dtype, engine)


@REPRESENTATIVES
@pytest.mark.parametrize(
    "kind, padding", [("unsorted", "zero"), *zip(LENGTHS, cycle(["repeat", "zero"]), strict=False)]
)
def test_lengths(cell: Cell, kind: str, padding: str, engine: str) -> None:
    lengths = LENGTHS[kind]
    check(Problem(cell, H=19, B=len(lengths), T=6, D=3, K=2, lengths=lengths, padding=padding), DTYPE, engine)


@REPRESENTATIVES
@pytest.mark.parametrize("kind, padding", [("holes", "repeat"), *zip(MASKS, cycle(["repeat", "zero"]), strict=False)])
def test_masks(cell: Cell, kind: str, padding: str, engine: str) -> None:
    check(Problem(cell, H=19, B=4, T=6, D=3, K=2, mask=MASKS[kind], padding=padding), DTYPE, engine)


@PADDINGS
@pytest.mark.parametrize("mask", [*MASKS.values(), None], ids=[*MASKS, "lengths"])
@pytest.mark.parametrize("name", ["depth_gated_lstm", "clockwork"])
def test_the_reference(name: str, padding: str, mask: tuple[tuple[bool, ...], ...] | None) -> None:
    lengths = None if mask else LENGTHS["unsorted"]
    rows = len(mask or LENGTHS["unsorted"])
    problem = Problem(CELLS[name], H=5, B=rows, T=6, K=2, mask=mask, lengths=lengths, padding=padding, every=True)
    check(problem, DTYPE, "reference")


@JUDGED
@PADDINGS
def test_lengths_are_a_mask(cell: Cell, padding: str, backend: str) -> None:
    ragged = Problem(cell, H=5, B=8, T=6, D=3, K=2, lengths=LENGTHS["unsorted"], padding=padding, every=True)
    mask = tuple(tuple(row) for row in ragged.runs.tolist())
    given = poison(ragged, tensors(ragged))
    masked = replace(ragged, lengths=None, mask=mask)
    assert_close(evaluate(masked, given, backend), evaluate(ragged, given, backend), DTYPE, ragged.T)


@REPRESENTATIVES
def test_many_ragged_rows(cell: Cell, engine: str) -> None:
    lengths = tuple(int(n) for n in torch.randint(0, 21, (53,), generator=torch.Generator().manual_seed(1)))
    problem = Problem(cell, H=17, B=53, T=20, D=5, K=2, lengths=lengths, every=True)
    got = evaluate(problem, poison(problem, tensors(problem)), engine)
    assert_close(got, oracle(problem), DTYPE, problem.T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("state", [True, False], ids=["clocks apart", "one clock"])
def test_poison_does_not_reach_units_that_sleep(state: bool, dtype: torch.dtype, engine: str) -> None:
    """Modules of 96 units, so that the products of those that sleep are left out, with masks between the steps."""
    mask = _mask("x.xx.x.xx", "...x..xxx", "xxxxxxxx.", ".x.x.x.x.")
    problem = Problem(CELLS["clockwork"], H=288, B=4, T=9, D=3, K=2, state=state, mask=mask)
    got = evaluate(problem, poison(problem, tensors(problem, dtype)), engine)
    assert_close(got, oracle(problem), dtype, problem.T)


@JUDGED
def test_garbage_in_a_gradient_of_padding_stays_there(cell: Cell, backend: str) -> None:
    """What the loss says about outputs that are constant zeros reaches nothing, not even where it says NaN."""
    problem = Problem(cell, H=5, B=8, T=6, lengths=LENGTHS["unsorted"])
    given = leaves(problem)
    y = forward(problem, given, backend)["outputs"]
    clean = torch.where(problem.runs.unsqueeze(-1), cotangents(problem)["outputs"], 0.0)
    dirty = torch.where(problem.runs.unsqueeze(-1), clean, torch.nan)
    wrt = wanting(given)
    want = torch.autograd.grad(y, list(wrt.values()), clean, retain_graph=True, materialize_grads=True)
    got = torch.autograd.grad(y, list(wrt.values()), dirty, materialize_grads=True)
    assert_identical(dict(zip(wrt, got, strict=True)), dict(zip(wrt, want, strict=True)))


@JUDGED
def test_a_workspace_left_full_of_nan_does_no_harm(cell: Cell, backend: str) -> None:
    problem = Problem(cell, H=5, B=8, T=6, D=3, lengths=LENGTHS["unsorted"])
    given = tensors(problem)
    before = evaluate(problem, given, backend)
    nan = {name: t * torch.nan for name, t in given.items() if name in problem.smooth}
    spoilt = evaluate(problem, {**given, **nan}, backend)
    assert spoilt["outputs"][problem.runs].isnan().all()
    assert_identical(evaluate(problem, given, backend), before)


def test_packed_rows_of_zero_length_do_not_exist(backend: str) -> None:
    """A packed batch has as many rows as its first step; every one of them has at least one step."""
    problem = Problem(CELLS["lstm"], H=3, B=4, T=5, lengths=(5, 5, 2, 1), layout="packed")
    got = evaluate(problem, tensors(problem), backend)
    assert got["h"].shape == (1, 4, 3)
    assert_close(got, oracle(problem), DTYPE, problem.T)


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
