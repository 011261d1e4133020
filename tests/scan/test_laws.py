"""Laws that hold for every cell and every shape."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostinato.cells import Cell

from .problems import (
    Problem,
    Results,
    assert_close,
    assert_identical,
    at_steps,
    evaluate,
    every_cell,
    forward,
    judged,
    leaves,
    of_rows,
    representatives,
    tensors,
    wanting,
)

DTYPE = torch.float64
EVERY_CELL = pytest.mark.parametrize("cell", every_cell(), ids=lambda cell: cell.name)
REPRESENTATIVES = pytest.mark.parametrize("cell", representatives(), ids=lambda cell: cell.name)
JUDGED = pytest.mark.parametrize("cell, backend", judged(), ids=lambda one: getattr(one, "name", one))
few, fewer = (
    settings(
        max_examples=count, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    for count in (6, 3)
)
sizes = st.fixed_dictionaries(
    {
        "H": st.integers(1, 20),
        "B": st.integers(1, 15),
        "T": st.integers(1, 9),
        "D": st.integers(1, 9),
        "K": st.integers(1, 2),
        "seed": st.integers(0, 10**6),
    }
)


def with_gradients(given: Results, out: Results) -> Results:
    """Results, and the gradients of the sum of their squares."""
    wrt = wanting(given)
    total = sum(t.square().sum() for t in out.values() if t.requires_grad)
    gradients = torch.autograd.grad(total, list(wrt.values()), materialize_grads=True)
    return {**{n: t.detach() for n, t in out.items()}, **{f"d{n}": g for n, g in zip(wrt, gradients, strict=True)}}


@EVERY_CELL
@fewer
@given(size=sizes, cut=st.floats(0, 1))
def test_a_sequence_in_two_parts_is_one(cell: Cell, engine: str, size: dict[str, int], cut: float) -> None:
    whole = Problem(cell, **{**size, "K": 1, "T": size["T"] + 1}, every=True)
    k = 1 + int(cut * (whole.T - 2))
    inputs = leaves(whole)
    first = forward(replace(whole, T=k), at_steps(whole, inputs, lambda t: t[:, :k]), engine)
    carried = {f"{name}0": first[name] for name in cell.states}
    rest = at_steps(whole, {**inputs, **carried}, lambda t: t[:, k:])
    second = forward(replace(whole, T=whole.T - k), rest, engine)
    got = {**second, **{name: torch.cat([first[name], second[name]], 1) for name in whole.sequences}}
    want = forward(whole, inputs, engine)
    assert_close(with_gradients(inputs, got), with_gradients(inputs, want), DTYPE, whole.T)


@JUDGED
@few
@given(size=sizes, ragged=st.booleans())
def test_permuting_the_batch_permutes_the_results(cell: Cell, backend: str, size: dict[str, int], ragged: bool) -> None:
    generator = torch.Generator().manual_seed(size["seed"])
    order = torch.randperm(size["B"], generator=generator)
    lengths = torch.randint(0, size["T"] + 1, (size["B"],), generator=generator)
    straight = Problem(cell, **size, lengths=tuple(lengths.tolist()) if ragged else None, every=True)
    permuted = replace(straight, lengths=tuple(lengths[order].tolist()) if ragged else None)
    inputs = tensors(straight)
    want = forward(straight, inputs, backend)
    want = {name: t[order] if name in straight.sequences else t[:, order] for name, t in want.items()}
    got = forward(permuted, of_rows(straight, inputs, order), backend)
    if backend == "cpu":
        assert_identical(got, want)
    assert_close(got, want, DTYPE, straight.T)


@JUDGED
@few
@given(size=sizes, more=st.integers(1, 4))
def test_appended_padding_changes_nothing(cell: Cell, backend: str, size: dict[str, int], more: int) -> None:
    lengths = torch.randint(0, size["T"] + 1, (size["B"],), generator=torch.Generator().manual_seed(size["seed"]))
    short = Problem(cell, **size, lengths=tuple(lengths.tolist()), every=True)
    long = replace(short, T=short.T + more)
    inputs = tensors(short)

    def results(problem: Problem, given: Results) -> Results:
        given = {name: t.requires_grad_(name not in problem.constants) for name, t in given.items()}
        return with_gradients(given, forward(problem, given, backend))

    def padded(t: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(t, (0, 0, 0, more), value=torch.nan)

    got = results(long, at_steps(long, inputs, padded))
    want = results(short, {name: t.detach() for name, t in inputs.items()})
    for name in (*short.sequences, *(f"d{name}" for name in short.entering)):
        assert got[name][:, short.T :].eq(0).all()
        got[name] = got[name][:, : short.T]
    assert_close(got, want, DTYPE, short.T)


@JUDGED
@few
@given(size=sizes)
def test_reverse_is_flipping_the_input(cell: Cell, backend: str, size: dict[str, int]) -> None:
    forwards = Problem(cell, **{**size, "K": 1}, every=True)
    inputs = leaves(forwards)
    want = with_gradients(inputs, forward(replace(forwards, reverse=(True,)), inputs, backend))
    got = forward(forwards, at_steps(forwards, inputs, lambda t: t.flip(1)), backend)
    got = {name: t.flip(1) if name in forwards.sequences else t for name, t in got.items()}
    assert_close(with_gradients(inputs, got), want, DTYPE, forwards.T)


@JUDGED
@few
@given(size=sizes, b=st.integers(0, 14))
def test_a_row_alone_is_the_row_in_its_batch(cell: Cell, backend: str, size: dict[str, int], b: int) -> None:
    batch = Problem(cell, **size, every=True)
    row = slice(b % batch.B, b % batch.B + 1)
    inputs = leaves(batch)
    together = with_gradients(inputs, forward(batch, inputs, backend))
    one = {name: t.detach().requires_grad_(t.requires_grad) for name, t in of_rows(batch, inputs, row).items()}
    alone = with_gradients(one, forward(replace(batch, B=1), one, backend))
    want = {name: together[name][row] for name in (*batch.sequences, *(f"d{name}" for name in batch.entering))}
    want |= {name: together[name][:, row] for n in cell.states for name in (n, f"d{n}0")}
    got = {name: alone[name] for name in want}
    if backend == "cpu":
        assert_identical(got, want)
    assert_close(got, want, DTYPE, batch.T)


def assert_threads_agree(problem: Problem, dtype: torch.dtype, engine: str, numbers: tuple[int, ...]) -> None:
    """Results and gradients on so many threads are those on one, bit for bit."""
    inputs = tensors(problem, dtype)
    torch.set_num_threads(1)
    one = evaluate(problem, inputs, engine)
    for threads in numbers:
        torch.set_num_threads(threads)
        assert_identical(evaluate(problem, inputs, engine), one)


@REPRESENTATIVES
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
def test_the_number_of_threads_changes_no_bit(cell: Cell, ragged: bool, engine: str) -> None:
    """Many rows, more rows than units, one long row, few rows; all of them enough work for several threads."""
    for H, B, T, dtype in (
        (65, 33, 9, torch.float32), (17, 90, 15, torch.float64),
        (45, 1, 150, torch.float32), (64, 5, 16, torch.float64),
    ):  # fmt: skip
        steps = torch.randint(0, T + 1, (B,), generator=torch.Generator().manual_seed(B)).tolist()
        problem = Problem(cell, H=H, B=B, T=T, D=5, K=2, lengths=tuple(steps) if ragged else None, every=True)
        assert_threads_agree(problem, dtype, engine, (2, 3))


@REPRESENTATIVES
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
def test_threads_without_rows_that_help_the_others_change_no_bit(cell: Cell, ragged: bool, engine: str) -> None:
    """So many steps of so few rows that other threads make the products of the input."""
    for B, T in ((1, 700), (2, 400)):
        lengths = tuple(T - 90 * b for b in range(B)) if ragged else None
        problem = Problem(cell, H=64, B=B, T=T, D=64, lengths=lengths, every=True)
        assert_threads_agree(problem, DTYPE, engine, (2, 4, 7))


@EVERY_CELL
@pytest.mark.parametrize("kind", ["full", "ragged", "masked"])
def test_threads_that_share_the_rows_of_large_matrices_change_no_bit(cell: Cell, kind: str, engine: str) -> None:
    """Few rows for so large matrices that the threads divide these; more threads than crews, of unlike size."""
    for H, B, T in ((300, 2, 7), (400, 33, 3)):
        runs = torch.rand(B, T, generator=torch.Generator().manual_seed(B)) < 0.7
        problem = Problem(
            cell, H=H, B=B, T=T, D=5, every=True, clip=0.5, truncate=2,
            lengths=tuple(runs.sum(1).tolist()) if kind == "ragged" else None,
            mask=tuple(tuple(row) for row in runs.tolist()) if kind == "masked" else None,
        )  # fmt: skip
        assert_threads_agree(problem, DTYPE, engine, (2, 7))
