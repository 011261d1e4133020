"""Every activation by name, results and gradients, at run time and at full speed."""

from __future__ import annotations

import pytest
import torch

from ostinato.cells import ACTIVATIONS, CELLS
from ostinato.scan import Weights, scan, watch

from .problems import Problem, assert_close, error, evaluate, oracle, tensors

#: How a step may use them: one symbol and two, before and behind a product, several times over; what a cell computes
#: beside them is its own affair.
NAMES = ("elman", "lstm", "gru_reset_before")

#: Weights for the two that are ill-conditioned else: exp of exp overflows, x - tanh(x) cancels where x is small.
SCALES = {"exponential": 0.05, "tanh_shrink": 5.0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("cell", NAMES)
def test_every_activation(cell: str, name: str, dtype: torch.dtype, engine: str) -> None:
    cell = CELLS[cell]
    symbols = tuple(cell.activations)
    choices = {((symbols[0], name),), tuple((symbol, name) for symbol in symbols)}
    for named in sorted(choices):
        problem = Problem(cell, H=9, B=4, T=3, D=3, named=named, scale=SCALES.get(name, 0.7), seed=4)
        with watch() as taken:
            got = evaluate(problem, tensors(problem, dtype), engine)
        assert {choice.backend for choice in taken} == {engine}
        assert_close(got, oracle(problem), dtype, problem.T)


def test_the_activation_chosen_is_the_one_that_runs(engine: str) -> None:
    """No two activations give the same outputs, except those that are one function or agree where the cell works."""
    cell = CELLS["elman"]
    outputs = {}
    for name in ACTIVATIONS:
        problem = Problem(cell, H=9, B=4, T=1, D=3, named=(("phi", name),), scale=9.0)
        outputs[name] = evaluate(problem, tensors(problem), engine)["outputs"]
    same = {frozenset((a, b)) for a in outputs for b in outputs if a != b and error(outputs[a], outputs[b]) < 1e-9}
    assert same == {frozenset(("elu", "celu"))}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize(
    "name", ["sigmoid", "tanh", "softplus", "log_sigmoid", "silu", "gelu", "mish", "elu", "softsign"]
)
def test_large_arguments_stay_finite_and_right(name: str, dtype: torch.dtype, engine: str) -> None:
    """Where exp over- or underflows, every function and slope has a finite limit."""
    cell = CELLS["elman"]
    problem = Problem(cell, H=32, B=4, T=1, D=8, bias=False, state=False, named=(("phi", name),), scale=300.0)
    assert_close(evaluate(problem, tensors(problem, dtype), engine), oracle(problem), dtype, problem.T)


@pytest.mark.parametrize(
    "name", ["relu", "relu6", "leaky_relu", "elu", "selu", "hard_sigmoid", "hard_tanh", "hard_silu"]
)
def test_slopes_at_the_kink_are_the_references(name: str, engine: str) -> None:
    """At exactly 0 the slope is a convention; kernels and reference share it."""
    cell = CELLS["elman"]
    problem = Problem(cell, H=5, B=3, T=2, D=3, bias=False, named=(("phi", name),))
    given = {key: t * 0 if key in ("x", "h0") else t for key, t in tensors(problem).items()}
    want = evaluate(problem, given, "reference")
    assert_close(evaluate(problem, given, engine), want, torch.float64, problem.T)


@pytest.mark.parametrize("name, least", [("sigmoid", 0.0), ("tanh", -1.0)])
def test_sigmoid_and_tanh_stay_in_their_range_and_within_four_units_in_the_last_place(
    name: str, least: float, engine: str
) -> None:
    x = torch.cat([sign * torch.logspace(-6, 1.9, 20_000) for sign in (1, -1)])
    weights = Weights(W=torch.ones(1, 1), U=torch.zeros(1, 1))
    y, _ = scan(CELLS["elman"], x.view(-1, 1, 1), [weights], activations={"phi": name}, backend=engine)
    got, want = y.flatten(), getattr(torch, name)(x.double())
    unit = torch.nextafter(want.float().abs(), torch.tensor(torch.inf)).double() - want.float().abs().double()
    assert ((got.double() - want).abs() <= 4 * unit).all()
    assert got.min() >= least and got.max() <= 1
