"""Random scans for the tests: their tensors, every result of one, and how far two may differ.

A result is a dictionary: "outputs", "h", "c" ... the final states, "dx", "dW0", "dh0" ... the gradients of a
random weighted sum of those, by the tensor's name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ostinato.cells import CELLS, Cell
from ostinato.compiler import trace
from ostinato.scan import Weights, scan

#: The largest error of any result, relative to the largest entry of the tensor; T steps may add eps * T to it.
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-13}

Results = dict[str, Tensor]


@dataclass(frozen=True)
class Problem:
    """One scan: sizes as in `scan`, K directions; `named` are activations by symbol."""

    cell: Cell
    H: int = 5
    B: int = 3
    T: int = 4
    D: int = 2
    K: int = 1
    bias: bool = True
    state: bool = True
    reverse: tuple[bool, ...] | None = None
    layout: str = "batch"
    lengths: tuple[int, ...] | None = None
    mask: tuple[tuple[bool, ...], ...] | None = None
    padding: str = "zero"
    named: tuple[tuple[str, str], ...] = ()
    scale: float = 1.0
    seed: int = 0

    def __str__(self) -> str:
        flags = [f"K{self.K}", "bias" if self.bias else "", "state" if self.state else "", *(n for _, n in self.named)]
        return "-".join([self.cell.name, f"H{self.H}", f"B{self.B}", f"T{self.T}", f"D{self.D}", *filter(None, flags)])

    @property
    def runs(self) -> Tensor:
        """(B, T) bool: the steps that run."""
        if self.mask is not None:
            return torch.tensor(self.mask)
        lengths = torch.tensor(self.lengths if self.lengths is not None else [self.T] * self.B)
        return torch.arange(self.T) < lengths.unsqueeze(1)


def tensors(problem: Problem, dtype: torch.dtype = torch.float64) -> Results:
    """The inputs of a problem by name, x as (B, T, D); the same numbers for both dtypes, rounded."""
    generator = torch.Generator().manual_seed(problem.seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    def weight(*shape: int) -> Tensor:
        unit = torch.rand(*shape, generator=generator, dtype=torch.float64) * 2 - 1
        return (unit * problem.scale / problem.H**0.5).to(dtype)

    H, blocks = problem.H, trace(problem.cell).blocks
    made = {"x": normal(problem.B, problem.T, problem.D)}
    for name in problem.cell.states if problem.state else ():
        made[f"{name}0"] = normal(problem.K, problem.B, H) * 0.5
    for k in range(problem.K):
        for matrix, bias, columns in (("W", "b", problem.D), ("U", "b_u", H)):
            rows = len(blocks[matrix]) * H
            if rows:
                made[f"{matrix}_{k}"] = weight(rows, columns)
            if rows and problem.bias:
                made[f"{bias}_{k}"] = weight(rows)
        for name in problem.cell.parameters:
            made[f"{name}_{k}"] = weight(H)
    return made


def cotangents(problem: Problem, dtype: torch.dtype = torch.float64) -> Results:
    """Random weights of the outputs (B, T, K * H) and of the final states (K, B, H): what the loss sums."""
    generator = torch.Generator().manual_seed(problem.seed + 1000)
    shapes = {"outputs": (problem.B, problem.T, problem.K * problem.H)}
    shapes.update(dict.fromkeys(problem.cell.states, (problem.K, problem.B, problem.H)))
    return {
        name: torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype) for name, shape in shapes.items()
    }


def packing(problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
    """batch_sizes, and the (row, step) of every token of the packed batch; rows must stand in falling length."""
    runs = problem.runs
    batch_sizes = runs.sum(0)
    batch_sizes = batch_sizes[batch_sizes > 0]
    steps, rows = runs.T.nonzero(as_tuple=True)
    return batch_sizes, rows, steps


def arguments(problem: Problem, given: Results) -> dict[str, Any]:
    """The keyword arguments of `scan` for a problem whose tensors are `given`."""
    weights = tuple(
        Weights(
            W=given.get(f"W_{k}"),
            U=given.get(f"U_{k}"),
            b=given.get(f"b_{k}"),
            b_u=given.get(f"b_u_{k}"),
            parameters=tuple(given[f"{name}_{k}"] for name in problem.cell.parameters),
        )
        for k in range(problem.K)
    )
    x, ragged = given["x"], {"lengths": problem.lengths}
    if problem.layout == "time":
        x = x.transpose(0, 1)
    elif problem.layout == "packed":
        batch_sizes, rows, steps = packing(problem)
        x, ragged = x[rows, steps], {"batch_sizes": batch_sizes}
    return {
        "cell": problem.cell,
        "x": x,
        "weights": weights,
        "initial_state": [given[f"{name}0"] for name in problem.cell.states] if problem.state else None,
        "layout": problem.layout,
        "reverse": problem.reverse,
        "mask": None if problem.mask is None else torch.tensor(problem.mask),
        "padding": problem.padding,
        "activations": dict(problem.named),
        **ragged,
    }


def as_batch(problem: Problem, y: Tensor) -> Tensor:
    """The outputs as (B, T, K * H), whatever the layout they came in."""
    if problem.layout == "time":
        return y.transpose(0, 1)
    if problem.layout == "packed":
        _, rows, steps = packing(problem)
        return y.new_zeros(problem.B, problem.T, y.shape[-1]).index_put((rows, steps), y)
    return y


def forward(problem: Problem, given: Results, backend: str) -> Results:
    """Outputs and final states."""
    y, finals = scan(**arguments(problem, given), backend=backend)
    return {"outputs": as_batch(problem, y), **dict(zip(problem.cell.states, finals, strict=True))}


def evaluate(
    problem: Problem,
    given: Results,
    backend: str,
    wrt: Iterable[str] | None = None,
    loss: Iterable[str] | None = None,
) -> Results:
    """Outputs, final states and the gradients with respect to `wrt` (default all) of `loss` (default everything)."""
    wrt = list(given if wrt is None else wrt)
    leaves = {name: t.detach().requires_grad_(name in wrt) for name, t in given.items()}
    out = forward(problem, leaves, backend)
    weights = cotangents(problem, given["x"].dtype)
    loss = list(out if loss is None else loss)
    grads = torch.autograd.grad(
        [out[name] for name in loss],
        [leaves[name] for name in wrt],
        [weights[name] for name in loss],
        materialize_grads=True,
    )
    return {**{n: t.detach() for n, t in out.items()}, **{f"d{n}": g for n, g in zip(wrt, grads, strict=True)}}


@cache
def _oracle(problem: Problem, dtype: torch.dtype) -> Results:
    given = {name: t.double() for name, t in tensors(problem, dtype).items()}
    return evaluate(problem, given, "reference")


def oracle(problem: Problem, dtype: torch.dtype) -> Results:
    """Every result by the reference in float64, from inputs rounded to `dtype`; always of the batch layout."""
    return _oracle(replace(problem, layout="batch"), dtype)


def error(got: Tensor, want: Tensor) -> float:
    """The largest difference relative to the largest entry of `want`; infinite where one of them is not finite."""
    if got.shape != want.shape:
        raise AssertionError(f"shapes {tuple(got.shape)} and {tuple(want.shape)}")
    if not (got.isfinite().all() and want.isfinite().all()):
        return float("inf")
    difference = (got.double() - want.double()).abs().max().item() if got.numel() else 0.0
    largest = want.abs().max().item() if want.numel() else 0.0
    return difference / largest if largest else (float("inf") if difference else 0.0)


def assert_close(got: Results, want: Results, dtype: torch.dtype, steps: int) -> None:
    """Every tensor of `got` within the tolerance of `dtype` after `steps` steps."""
    bound = TOLERANCES[dtype] + torch.finfo(dtype).eps * steps
    assert set(got) <= set(want), f"nothing to compare {set(got) - set(want)} with"
    errors = {name: error(got[name], want[name]) for name in got}
    wrong = {name: e for name, e in errors.items() if not e <= bound}
    assert not wrong, f"relative errors above {bound:.1e}: {wrong}"


def assert_identical(got: Results, want: Results) -> None:
    """Every tensor of `got` equal to its namesake, bit for bit."""
    different = [name for name in got if not torch.equal(got[name], want[name])]
    assert not different, f"not identical: { {n: error(got[n], want[n]) for n in different} }"


def every_cell() -> list[Cell]:
    return list(CELLS.values())
