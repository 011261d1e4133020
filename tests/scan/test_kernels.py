"""The engine kernels against the float64 reference: every cell, every result, awkward sizes, poisoned memory."""

from __future__ import annotations

import pytest
import torch

from ostinato.cells import CELLS, Cell

from .problems import (
    REPRESENTATIVES,
    Problem,
    assert_close,
    evaluate,
    every_cell,
    oracle,
    representatives,
    tensors,
)

HIDDEN, BATCHES, STEPS = (1, 3, 17, 45, 64, 65), (1, 2, 7, 33), (1, 2, 50)


def covering(name: str) -> list[Problem]:
    """One problem for each pair of H and B, so that also each pair with T and with D occurs; half of them for the
    representatives other than the LSTM, every sixth for the other cells."""
    part = 1 if name == "lstm" else 2 if name in REPRESENTATIVES else 6
    problems = []
    for i, H in enumerate(HIDDEN):
        for j, B in enumerate(BATCHES):
            if (i + 2 * j) % part:
                continue
            if H == 1 and name.startswith("layer_norm"):  # one unit less its own mean: nothing but rounding is left
                continue
            steps = STEPS[(i + j) % 3]
            one = Problem(
                CELLS[name], H=H, B=B, T=steps if part < 6 else min(steps, 9), D=(1, 5, H)[(i + 2 * j) % 3],
                K=1 + (i // 2 + j) % 2, bias=(i + j // 2) % 3 != 0, state=(i // 3 + j) % 2 == 0,
                every=(i // 2 + j // 2) % 2 == 0, seed=10 * i + j,
            )  # fmt: skip
            problems.append(one)
    return problems


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("problem", [p for c in every_cell() for p in covering(c.name)], ids=str)
def test_every_result_agrees_with_the_reference(
    problem: Problem, dtype: torch.dtype, engine: str, poisoned: None
) -> None:
    got = evaluate(problem, tensors(problem, dtype), engine)
    assert all(result.dtype == dtype for result in got.values())
    assert_close(got, oracle(problem), dtype, problem.T)


def test_the_covering_covers() -> None:
    problems = covering("lstm")
    assert {(p.H, p.B) for p in problems} == {(h, b) for h in HIDDEN for b in BATCHES}
    assert {(p.H, p.T) for p in problems} == {(h, t) for h in HIDDEN for t in STEPS}
    assert {(p.B, p.T) for p in problems} == {(b, t) for b in BATCHES for t in STEPS}
    assert {p.D for p in problems if p.H == 17} == {1, 5, 17}
    assert {(p.K, p.bias, p.state) for p in problems} == {(k, b, s) for k in (1, 2) for b in (0, 1) for s in (0, 1)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("cell", representatives(), ids=lambda c: c.name)
def test_errors_stay_small_over_many_steps(cell: Cell, dtype: torch.dtype, engine: str) -> None:
    problem = Problem(cell, H=19, B=3, T=150, D=3)
    assert_close(evaluate(problem, tensors(problem, dtype), engine), oracle(problem), dtype, problem.T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("P", [1, 16, 17, 33])
def test_projections_of_every_size(P: int, dtype: torch.dtype, engine: str, poisoned: None) -> None:
    problem = Problem(CELLS["projected_lstm"], H=33, B=5, T=6, D=3, K=2, P=P, every=True)
    assert_close(evaluate(problem, tensors(problem, dtype), engine), oracle(problem), dtype, problem.T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("H, D", [(1, 40), (5, 40), (40, 1), (16, 17), (17, 16)])
def test_computed_values_as_wide_as_the_input(H: int, D: int, dtype: torch.dtype, engine: str, poisoned: None) -> None:
    """What the Mogrifier makes of x is wider than its units, or narrower."""
    problem = Problem(CELLS["mogrifier_lstm"], H=H, B=5, T=6, D=D, K=2, every=True)
    assert_close(evaluate(problem, tensors(problem, dtype), engine), oracle(problem), dtype, problem.T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("name", ["slstm", "clockwork"])
def test_blocks_as_wide_as_panels(name: str, dtype: torch.dtype, engine: str, poisoned: None) -> None:
    """Three heads or modules, each of so many units that products with the others can be left out."""
    problem = Problem(CELLS[name], H=192, B=3, T=9, D=3, state=False, every=True)
    given = {key: t * 0.3 if key == "x" else t for key, t in tensors(problem, dtype).items()}
    want = evaluate(problem, {key: t.double() for key, t in given.items()}, "reference")
    assert_close(evaluate(problem, given, engine), want, dtype, problem.T)


@pytest.mark.parametrize("result", ["outputs", "h", "c", "dx", "dW_0", "dU_0", "db_0", "db_u_0", "dh0", "dc0"])
def test_the_comparison_sees_one_wrong_entry(result: str) -> None:
    problem = Problem(CELLS["lstm"])
    want = oracle(problem)
    got = {name: tensor.float().contiguous() for name, tensor in want.items()}
    assert_close(got, want, torch.float32, problem.T)
    got[result].view(-1)[-1] += 3e-5 * want[result].abs().max()
    with pytest.raises(AssertionError, match=result):
        assert_close(got, want, torch.float32, problem.T)
    got[result].view(-1)[-1] = float("nan")
    with pytest.raises(AssertionError, match=result):
        assert_close(got, want, torch.float32, problem.T)
