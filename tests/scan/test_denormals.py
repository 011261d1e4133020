"""Numbers next to zero: flushed inside the kernels, untouched outside."""

from __future__ import annotations

import pytest
import torch

from ostinato.cells import CELLS, Cell

from .problems import Problem, evaluate, forward, judged, leaves, tensors

TINY = {torch.float32: 1e-40, torch.float64: 1e-310}
JUDGED = pytest.mark.parametrize("cell, backend", judged(), ids=lambda one: getattr(one, "name", one))
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])


def assert_denormals_survive() -> None:
    """In Python, in this thread's torch and in every thread of torch's pool."""
    assert 1e-310 / 2 > 0
    for dtype, tiny in TINY.items():
        assert torch.tensor([tiny], dtype=dtype).mul(0.5).item() > 0
        assert torch.full((1 << 18,), tiny, dtype=dtype).mul(0.5).gt(0).all()


@DTYPES
@pytest.mark.parametrize("threads", [1, 2])
def test_flushing_ends_with_the_scan(dtype: torch.dtype, threads: int, backend: str) -> None:
    torch.set_num_threads(threads)
    problem = Problem(CELLS["lstm"], H=65, B=33, T=9, K=2)
    given = leaves(problem, dtype)
    assert_denormals_survive()
    out = forward(problem, given, backend)
    assert_denormals_survive()
    out["outputs"].sum().backward()
    assert_denormals_survive()
    with torch.no_grad():
        forward(problem, given, backend)
    assert_denormals_survive()


def test_a_caller_who_flushes_still_flushes_afterwards(backend: str) -> None:
    problem = Problem(CELLS["lstm"])
    assert torch.set_flush_denormal(True), "this processor cannot flush denormals"
    try:
        evaluate(problem, tensors(problem), backend)
        assert torch.tensor([1e-40]).mul(0.5).item() == 0
    finally:
        torch.set_flush_denormal(False)
    assert_denormals_survive()


@DTYPES
@JUDGED
def test_denormal_inputs_weights_and_gradients(cell: Cell, dtype: torch.dtype, backend: str) -> None:
    problem = Problem(cell, H=9, B=4, T=6, D=3)
    given = {name: torch.full_like(t, TINY[dtype]) for name, t in tensors(problem, dtype).items()}
    got = evaluate(problem, given, backend)
    assert all(t.isfinite().all() for t in got.values())
    assert got["outputs"].abs().max() <= 1e-30
