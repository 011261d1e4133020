"""Laws that hold for every cell and every shape."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostinato.cells import Cell

from .problems import Problem, assert_close, assert_identical, evaluate, every_cell, forward, tensors

DTYPE = torch.float64
CELLS_UNDER_TEST = pytest.mark.parametrize("cell", every_cell(), ids=lambda cell: cell.name)
few = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
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


@CELLS_UNDER_TEST
@few
@given(size=sizes, cut=st.floats(0, 1))
def test_a_sequence_in_two_parts_is_one(cell: Cell, backend: str, size: dict[str, int], cut: float) -> None:
    whole = Problem(cell, **{**size, "K": 1, "T": size["T"] + 1})
    k = 1 + int(cut * (whole.T - 2))
    leaves = {name: t.requires_grad_() for name, t in tensors(whole).items()}
    first = forward(replace(whole, T=k), {**leaves, "x": leaves["x"][:, :k]}, backend)
    carried = {f"{name}0": first[name] for name in cell.states}
    second = forward(replace(whole, T=whole.T - k), {**leaves, **carried, "x": leaves["x"][:, k:]}, backend)
    got = {**second, "outputs": torch.cat([first["outputs"], second["outputs"]], 1)}
    want = forward(whole, leaves, backend)
    for out in (got, want):
        total = sum(t.square().sum() for t in out.values())
        grads = torch.autograd.grad(total, list(leaves.values()))
        out.update({f"d{name}": g for name, g in zip(leaves, grads, strict=True)})
    assert_close(got, want, DTYPE, whole.T)


@CELLS_UNDER_TEST
@few
@given(size=sizes, ragged=st.booleans())
def test_permuting_the_batch_permutes_the_results(cell: Cell, backend: str, size: dict[str, int], ragged: bool) -> None:
    generator = torch.Generator().manual_seed(size["seed"])
    order = torch.randperm(size["B"], generator=generator)
    lengths = torch.randint(0, size["T"] + 1, (size["B"],), generator=generator)
    straight = Problem(cell, **size, lengths=tuple(lengths.tolist()) if ragged else None)
    permuted = replace(straight, lengths=tuple(lengths[order].tolist()) if ragged else None)
    inputs = tensors(straight)
    mixed = {**inputs, "x": inputs["x"][order], **{f"{n}0": inputs[f"{n}0"][:, order] for n in cell.states}}
    want = forward(straight, inputs, backend)
    want = {"outputs": want["outputs"][order], **{name: want[name][:, order] for name in cell.states}}
    got = forward(permuted, mixed, backend)
    if backend == "cpu":
        assert_identical(got, want)
    assert_close(got, want, DTYPE, straight.T)


@CELLS_UNDER_TEST
@few
@given(size=sizes, more=st.integers(1, 4))
def test_appended_padding_changes_nothing(cell: Cell, backend: str, size: dict[str, int], more: int) -> None:
    lengths = torch.randint(0, size["T"] + 1, (size["B"],), generator=torch.Generator().manual_seed(size["seed"]))
    short = Problem(cell, **size, lengths=tuple(lengths.tolist()))
    long = replace(short, T=short.T + more)
    inputs = tensors(short)
    padding = torch.full((short.B, more, short.D), torch.nan, dtype=DTYPE)
    names = ("outputs", *cell.states)

    def results(problem: Problem, x: torch.Tensor) -> dict[str, torch.Tensor]:
        leaves = {name: t.clone().requires_grad_() for name, t in {**inputs, "x": x}.items()}
        out = forward(problem, leaves, backend)
        total = sum(out[name].square().sum() for name in names)
        grads = torch.autograd.grad(total, list(leaves.values()))
        return {**out, **{f"d{name}": g for name, g in zip(leaves, grads, strict=True)}}

    want, got = results(short, inputs["x"]), results(long, torch.cat([inputs["x"], padding], 1))
    assert got["outputs"][:, short.T :].eq(0).all()
    assert got["dx"][:, short.T :].eq(0).all()
    got["outputs"], got["dx"] = got["outputs"][:, : short.T], got["dx"][:, : short.T]
    assert_close(got, want, DTYPE, short.T)


@CELLS_UNDER_TEST
@few
@given(size=sizes)
def test_reverse_is_flipping_the_input(cell: Cell, backend: str, size: dict[str, int]) -> None:
    forwards = Problem(cell, **{**size, "K": 1})
    inputs = tensors(forwards)
    want = forward(replace(forwards, reverse=(True,)), inputs, backend)
    got = forward(forwards, {**inputs, "x": inputs["x"].flip(1)}, backend)
    assert_close({**got, "outputs": got["outputs"].flip(1)}, want, DTYPE, forwards.T)


@CELLS_UNDER_TEST
@few
@given(size=sizes, b=st.integers(0, 14))
def test_a_row_alone_is_the_row_in_its_batch(cell: Cell, backend: str, size: dict[str, int], b: int) -> None:
    batch = Problem(cell, **size)
    b %= batch.B
    inputs = tensors(batch)
    together = evaluate(batch, inputs, backend, loss=["outputs"], wrt=["x"])
    row = {**inputs, "x": inputs["x"][b : b + 1], **{f"{n}0": inputs[f"{n}0"][:, b : b + 1] for n in cell.states}}
    alone = forward(replace(batch, B=1), row, backend)
    want = {"outputs": together["outputs"][b : b + 1], **{name: together[name][:, b : b + 1] for name in cell.states}}
    if backend == "cpu":
        assert_identical(alone, want)
    assert_close(alone, want, DTYPE, batch.T)


@CELLS_UNDER_TEST
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("lengths", [None, "ragged"])
def test_the_number_of_threads_changes_no_bit(cell: Cell, dtype: torch.dtype, lengths: str | None, engine: str) -> None:
    for H, B, T in ((65, 33, 20), (17, 90, 15), (45, 1, 150), (64, 5, 30)):
        steps = torch.randint(0, T + 1, (B,), generator=torch.Generator().manual_seed(B)).tolist()
        problem = Problem(cell, H=H, B=B, T=T, D=5, K=2, lengths=tuple(steps) if lengths else None)
        inputs = tensors(problem, dtype)
        torch.set_num_threads(1)
        one = evaluate(problem, inputs, engine)
        for threads in (2, 3):
            torch.set_num_threads(threads)
            assert_identical(evaluate(problem, inputs, engine), one)
