"""Every instruction set this machine can run computes the same mathematics, and the best one is chosen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from ostinato.cells import ACTIVATIONS, CELLS, Cell
from ostinato.scan import Weights, scan

from .problems import Problem, assert_close, evaluate, every_cell, oracle, representatives, tensors

SETS = ("baseline", "avx2", "avx512", "amx")
pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture(params=SETS)
def instruction_set(request: pytest.FixtureRequest, engine: str) -> Iterator[str]:
    from ostinato.scan import _engine

    if request.param not in _engine.instruction_sets():
        pytest.skip(f"this machine has no {request.param}")
    before = _engine.instruction_set()
    _engine.use_instruction_set(request.param)
    yield request.param
    _engine.use_instruction_set(before)


def _runnable() -> list[str]:
    """What torch, with a test of its own, says this processor can do."""
    capability = torch.backends.cpu.get_cpu_capability()
    return list(SETS[: {"DEFAULT": 1, "AVX2": 2, "AVX512": 3}.get(capability, 1)])


@pytest.mark.skipif("ATEN_CPU_CAPABILITY" in os.environ, reason="torch has been told what the processor can do")
def test_the_best_instruction_set_is_chosen() -> None:
    from ostinato.scan import _engine, cpu

    found = _engine.instruction_sets()
    assert [name for name in found if name != "amx"] == _runnable()[::-1]
    assert found.index("amx") == 1 if "amx" in found else True
    if "OSTINATO_ISA" not in os.environ:
        assert cpu.instruction_set() == _runnable()[-1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("cell", representatives(), ids=lambda cell: cell.name)
def test_each_agrees_with_the_reference(
    cell: Cell, dtype: torch.dtype, instruction_set: str, engine: str, poisoned: None
) -> None:
    for H, B, T in ((3, 7, 2), (17, 13, 5), (64, 33, 3), (65, 5, 4)):
        lengths = (
            None if H % 2 else tuple(torch.randint(0, T + 1, (B,), generator=torch.Generator().manual_seed(H)).tolist())
        )
        problem = Problem(cell, H=H, B=B, T=T, D=H // 4 + 1, K=2, lengths=lengths)
        assert_close(evaluate(problem, tensors(problem, dtype), engine), oracle(problem), dtype, T)


@pytest.mark.parametrize("cell", every_cell(), ids=lambda cell: cell.name)
def test_each_has_every_cell(cell: Cell, instruction_set: str, engine: str, poisoned: None) -> None:
    problem = Problem(cell, H=21, B=3, T=2, D=3, lengths=(2, 0, 1), every=True)
    for dtype in (torch.float32, torch.float64):
        assert_close(evaluate(problem, tensors(problem, dtype), engine), oracle(problem), dtype, problem.T)


@pytest.mark.parametrize("name", ["softplus", "gelu", "exponential", "mish", "log_sigmoid", "squareplus"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
def test_the_functions_of_each_agree_with_the_reference(
    name: str, dtype: torch.dtype, instruction_set: str, engine: str
) -> None:
    problem = Problem(CELLS["elman"], H=37, B=5, T=2, D=3, named=(("phi", name),), scale=0.5)
    assert_close(evaluate(problem, tensors(problem, dtype), engine), oracle(problem), dtype, problem.T)


def _python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_the_environment_chooses() -> None:
    ran = _python("from ostinato.scan import cpu; print(cpu.instruction_set())", OSTINATO_ISA="baseline")
    assert (ran.returncode, ran.stdout.strip()) == (0, "baseline"), ran.stderr


def test_an_unknown_instruction_set_is_refused_by_name() -> None:
    ran = _python("import torch, ostinato.scan.cpu", OSTINATO_ISA="mmx")
    assert ran.returncode != 0
    assert "'mmx'" in ran.stderr
    assert "baseline" in ran.stderr


#: The largest error in units of eps relative to the value, for the functions the kernels compute themselves.
RELATIVE = {"sigmoid": 2, "tanh": 2.5, "exponential": 2, "softplus": 2.5, "log_sigmoid": 2.5, "silu": 3, "mish": 4}
#: For the others relative to 1 + |value|, for their formulas cancel where the value is small; squareplus the most.
ABSOLUTE = {**dict.fromkeys(ACTIVATIONS, 2.0), "squareplus": 40.0}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
def test_each_computes_functions_to_a_few_units_in_the_last_place(
    name: str, dtype: torch.dtype, instruction_set: str, engine: str
) -> None:
    sizes = torch.logspace(-8, 1.9, 2000, dtype=torch.float64)
    x = torch.cat([-sizes, torch.zeros(1, dtype=torch.float64), sizes]).to(dtype)
    identity = Weights(torch.ones(1, 1, dtype=dtype), torch.zeros(1, 1, dtype=dtype))
    y, _ = scan(CELLS["elman"], x.view(-1, 1, 1), [identity], activations={"phi": name}, backend=engine)
    want = ACTIVATIONS[name].value(x.double())
    scale = want.abs() if name in RELATIVE else 1 + want.abs()
    error = (y.view(-1).double() - want).abs() / scale / torch.finfo(dtype).eps
    normal = (want == 0) | ((want.abs() > torch.finfo(dtype).tiny) & (want.abs() < torch.finfo(dtype).max))
    assert normal.sum() > 3900
    assert error[normal & (scale > 0)].max() <= RELATIVE.get(name, ABSOLUTE[name])
