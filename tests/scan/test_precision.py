"""Products of bfloat16, on the matrix unit or in vectors: as exact as asked for, and as lawful as all others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ostinato.cells import CELLS, Cell
from ostinato.scan import Weights, _engine, scan, watch

from . import test_stream
from .problems import (
    FLOOR,
    TOLERANCES,
    Problem,
    Results,
    assert_identical,
    error,
    evaluate,
    every_cell,
    forward,
    of_rows,
    oracle,
    representatives,
    tensors,
)

pytestmark = [
    pytest.mark.usefixtures("engine"),
    pytest.mark.skipif(not _engine.multipliers(), reason="this machine multiplies no bfloat16 (AMX, AVX512-BF16)"),
    pytest.mark.skipif(
        not hasattr(torch.backends.mkldnn, "rnn"), reason="this PyTorch has no torch.backends.mkldnn.rnn"
    ),
]

SINGLE = torch.float32

#: The largest error of any result relative to its largest entry: some units in the last place of 16 bits and of 8.
BOUNDS = {"tf32": 2e-4, "bf16": 6e-2}

#: Where the slope of relu jumps, a rounded argument may be on the other side.
ROUGHER = {"light_gru": 2}


@contextmanager
def using(kind: str) -> Iterator[None]:
    """Products as exact as `kind` says."""
    before = torch.backends.mkldnn.rnn.fp32_precision
    torch.backends.mkldnn.rnn.fp32_precision = kind
    try:
        yield
    finally:
        torch.backends.mkldnn.rnn.fp32_precision = before


@contextmanager
def used(instruction_set: str) -> Iterator[None]:
    before = _engine.instruction_set()
    _engine.use_instruction_set(instruction_set)
    try:
        yield
    finally:
        _engine.use_instruction_set(before)


@pytest.fixture(autouse=True, params=["amx", "avx512_bf16"])
def multiplier(request: pytest.FixtureRequest) -> Iterator[str]:
    """What multiplies bfloat16; the best instruction set, whatever the environment chose."""
    if request.param not in _engine.multipliers():
        pytest.skip(f"this machine has no {request.param}")
    before = _engine.multiplier()
    _engine.use_multiplier(request.param)
    try:
        with used("avx512"):
            yield request.param
    finally:
        _engine.use_multiplier(before)


#: What vectors of bfloat16 do not serve.
MATRIX_UNIT = pytest.mark.parametrize("multiplier", ["amx"], indirect=True)


def found(problem: Problem, kind: str = "ieee") -> Results:
    with using(kind):
        return evaluate(problem, tensors(problem, SINGLE), "cpu")


def worst(got: Results, want: Results) -> float:
    """The largest error of any result; much smaller ones are held to the accuracy of the largest."""
    largest = max(float(one.abs().max()) for one in want.values() if one.numel())
    return max(error(got[name], want[name], FLOOR * largest) for name in want)


@pytest.mark.parametrize("kind", BOUNDS)
@pytest.mark.parametrize("cell", every_cell(), ids=lambda cell: cell.name)
def test_every_cell(cell: Cell, kind: str, poisoned: None) -> None:
    lengths = tuple(range(17))
    problem = Problem(cell, H=21, B=17, T=16, D=6, K=2, lengths=lengths, every=True)
    assert worst(found(problem, kind), oracle(problem)) <= BOUNDS[kind] * ROUGHER.get(cell.name, 1)


@pytest.mark.parametrize("H, B, D", [(1, 16, 1), (33, 31, 40), (64, 32, 1), (65, 49, 65), (100, 100, 17)])
@pytest.mark.parametrize("name", ["lstm", "gru", "projected_lstm"])
def test_odd_sizes_whole_and_in_tiles(name: str, H: int, B: int, D: int, poisoned: None) -> None:
    for problem in (
        Problem(CELLS[name], H=H, B=B, T=3, D=D),
        Problem(CELLS[name], H=H, B=B, T=4, D=D, lengths=tuple(k % 5 for k in range(B))),
        Problem(
            CELLS[name], H=H, B=B, T=2, D=D, mask=tuple((k % 3 > 0, k % 2 > 0) for k in range(B)), padding="repeat"
        ),
    ):
        for kind, bound in BOUNDS.items():
            assert worst(found(problem, kind), oracle(problem)) <= bound


@MATRIX_UNIT
def test_each_step_up_is_as_many_bits_more_exact() -> None:
    problem = Problem(CELLS["lstm"], H=128, B=32, T=10, D=128)
    brain, pair, single = (worst(found(problem, kind), oracle(problem)) for kind in ("bf16", "tf32", "ieee"))
    assert single < TOLERANCES[SINGLE]
    assert 100 < brain / pair < 2000
    assert brain > 1e-3


@MATRIX_UNIT
@pytest.mark.parametrize("name", ["lstm", "gru", "elman"])
def test_three_parts_are_as_exact_as_float32(name: str) -> None:
    problem = Problem(CELLS[name], H=128, B=32, T=10, D=128)
    with used("amx"):
        split = worst(found(problem), oracle(problem))
    assert split <= 1.2 * worst(found(problem), oracle(problem))


def test_numbers_of_8_bits_are_multiplied_exactly() -> None:
    generator = torch.Generator().manual_seed(0)

    def small(*shape: int) -> Tensor:
        return torch.randint(-64, 65, shape, generator=generator).float() / 64

    x, W = small(16, 1, 48), small(20, 48)
    with using("bf16"):
        y, _ = scan(CELLS["elman"], x, [Weights(W, torch.zeros(20, 20))], activations={"phi": "linear"}, backend="cpu")
    assert torch.equal(y[:, 0], x[:, 0] @ W.T)


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FFFFFFF, -1], ids=hex)
@pytest.mark.parametrize("kind", BOUNDS)
def test_nan_stays_nan_and_in_its_row(kind: str, bits: int) -> None:
    problem = Problem(CELLS["lstm"], H=40, B=20, T=3, D=9)
    given = tensors(problem, SINGLE)
    with using(kind):
        clean = forward(problem, given, "cpu")["outputs"]
        given["x"][7, 1, 3] = torch.tensor(bits, dtype=torch.int32).view(SINGLE)
        assert given["x"].isnan().sum() == 1
        y = forward(problem, given, "cpu")["outputs"]
    assert y[7, 1:].isnan().all()
    others = torch.arange(20) != 7
    assert torch.equal(y[others], clean[others]) and torch.equal(y[7, 0], clean[7, 0])


@pytest.mark.parametrize("kind", BOUNDS)
@pytest.mark.parametrize("cell", representatives(), ids=lambda cell: cell.name)
def test_the_laws_hold_to_the_bit(cell: Cell, kind: str) -> None:
    """The number of threads, the order of the rows, and whether gradients are wanted."""
    problem = Problem(cell, H=40, B=37, T=6, D=9, lengths=tuple(k % 7 for k in range(37)), every=True)
    given = tensors(problem, SINGLE)
    with using(kind):
        alone = evaluate(problem, given, "cpu")
        for threads in (2, 3):
            torch.set_num_threads(threads)
            assert_identical(evaluate(problem, given, "cpu"), alone)
        with torch.no_grad():
            assert_identical(forward(problem, given, "cpu"), alone)
        order = torch.arange(37).flip(0)
        turned = replace(problem, lengths=tuple(reversed(problem.lengths or ())))
        found = forward(turned, of_rows(problem, given, order), "cpu")
    assert_identical({name: found[name][order] for name in problem.sequences}, alone)


@pytest.mark.parametrize("kind", BOUNDS)
def test_threads_that_share_the_rows_of_large_matrices_change_no_bit(kind: str) -> None:
    problem = Problem(CELLS["lstm"], H=400, B=33, T=3, D=5)
    one = found(problem, kind)
    for threads in (2, 7):
        torch.set_num_threads(threads)
        assert_identical(found(problem, kind), one)


@pytest.mark.parametrize("kind", BOUNDS)
@pytest.mark.parametrize("options", [{"recompute": 2}, {"saved_dtype": "float16"}], ids=str)
def test_in_pieces_the_outputs_are_the_same_to_the_bit(options: dict[str, Any], kind: str) -> None:
    problem = Problem(CELLS["gru"], H=24, B=20, T=9, D=7)
    whole = found(problem, kind)
    pieces = found(replace(problem, **options), kind)
    assert_identical({name: pieces[name] for name in ("outputs", "h")}, whole)


def test_a_step_at_a_time_is_the_scan_to_the_bit() -> None:
    problem = Problem(CELLS["lstm"], H=40, B=18, T=4, D=9)
    with using("bf16"):
        test_stream.assert_the_scan(problem, SINGLE)


@pytest.mark.parametrize(
    "problem",
    [
        Problem(CELLS["slstm"], H=40, B=20, T=4, D=9),
        Problem(CELLS["clockwork"], H=40, B=20, T=4, D=9),
    ],
    ids=["heads", "modules that sleep"],
)
def test_what_stays_float32(problem: Problem) -> None:
    with watch() as ran:
        assert_identical(found(problem, "bf16"), found(problem))
    assert {choice.reason for choice in ran} == {f"compiled kernel of {problem.cell.name}, avx512"}


@pytest.mark.parametrize("B", [1, 2, 7, 15])
def test_few_rows_stay_float32_on_the_matrix_unit_alone(B: int, multiplier: str) -> None:
    problem = Problem(CELLS["lstm"], H=40, B=B, T=4, D=9)
    brain, exact = found(problem, "bf16"), found(problem)
    assert torch.equal(brain["outputs"], exact["outputs"]) == (multiplier == "amx")
    assert worst(brain, oracle(problem)) <= BOUNDS["bf16"]


def test_in_vectors_a_row_alone_is_the_row_in_its_batch(multiplier: str) -> None:
    if multiplier == "amx":
        pytest.skip("the matrix unit serves no single row")
    batch = Problem(CELLS["lstm"], H=40, B=20, T=4, D=9)
    given = tensors(batch, SINGLE)
    with using("bf16"):
        together = forward(batch, given, "cpu")["outputs"]
        alone = forward(replace(batch, B=1), of_rows(batch, given, torch.tensor([3])), "cpu")["outputs"]
    assert torch.equal(alone[0], together[3])


def test_float64_stays_float64() -> None:
    problem = Problem(CELLS["lstm"], H=40, B=20, T=4, D=9)
    with using("bf16"):
        double = evaluate(problem, tensors(problem), "cpu")
    assert worst(double, oracle(problem)) < 1e-13


@MATRIX_UNIT
def test_the_choice_says_how_exact_and_follows_every_change() -> None:
    problem = Problem(CELLS["lstm"], H=40, B=20, T=4, D=9)
    with watch() as ran:
        results = [found(problem, kind) for kind in ("none", "bf16", "tf32", "bf16", "ieee")]
    assert_identical(results[0], results[4])
    assert_identical(results[1], results[3])
    assert not torch.equal(results[1]["outputs"], results[2]["outputs"])
    plain, brain = "compiled kernel of lstm, avx512", "compiled kernel of lstm, avx512, products of bfloat16"
    pair = "compiled kernel of lstm, avx512, products of two bfloat16 a number"
    assert [choice.reason for choice in ran] == [plain, brain, pair, brain, plain]


def test_the_switch_for_everything_reaches_the_kernels() -> None:
    problem = Problem(CELLS["lstm"], H=40, B=20, T=4, D=9)
    want = found(problem, "bf16")
    with using("none"):
        torch.backends.fp32_precision = "bf16"
        try:
            got = evaluate(problem, tensors(problem, SINGLE), "cpu")
        finally:
            torch.backends.fp32_precision = "none"
    assert_identical(got, want)


def test_bfloat16_multiplies_what_it_is() -> None:
    problem = Problem(CELLS["lstm"], H=40, B=20, T=4, D=9)
    given = {name: tensor.to(torch.bfloat16) for name, tensor in tensors(problem).items()}
    with watch() as ran:
        got = evaluate(problem, given, "cpu")
        with using("bf16"):
            want = evaluate(problem, {name: tensor.float() for name, tensor in given.items()}, "cpu")
    assert_identical({name: want[name].to(torch.bfloat16) for name in ("outputs", "h", "c")}, got)
    lstm = "compiled kernel of lstm, avx512"
    assert [one.reason for one in ran] == [
        f"{lstm}, bfloat16 as float32, products of bfloat16", f"{lstm}, products of bfloat16"
    ]  # fmt: skip


def test_vectors_multiply_single_bfloat16_alone(multiplier: str) -> None:
    problem = Problem(CELLS["lstm"], H=40, B=20, T=4, D=9)
    exact = found(problem)
    assert not torch.equal(found(problem, "bf16")["outputs"], exact["outputs"])
    assert torch.equal(found(problem, "tf32")["outputs"], exact["outputs"]) == (multiplier == "avx512_bf16")


def test_vectors_round_as_the_matrix_unit_does() -> None:
    if len(_engine.multipliers()) < 2:
        pytest.skip("this machine has but one of AMX and AVX512-BF16")
    problem = Problem(CELLS["lstm"], H=70, B=20, T=1, D=50)  # a second step would round what differs in its last bits
    results = []
    for name in _engine.multipliers():
        _engine.use_multiplier(name)
        results.append(found(problem, "bf16")["outputs"])
    assert error(*results) < TOLERANCES[SINGLE]


def test_a_multiplier_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="nothing on this machine multiplies bfloat16 as 'mmx'"):
        _engine.use_multiplier("mmx")


def test_another_instruction_set_has_no_matrix_unit() -> None:
    problem = Problem(CELLS["lstm"], H=40, B=20, T=4, D=9)
    with used("avx2"):
        assert_identical(found(problem, "bf16"), found(problem))
