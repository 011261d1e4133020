"""The functions that equations are written in, on numbers and on tensors."""

from __future__ import annotations

import math

import pytest
import torch

import ostinato.scan  # noqa: F401 - brings the functions of torch tensors
from ostinato.cells import ops

VALUES = (-40.0, -2.5, -0.5, -1e-9, 0.0, 1e-9, 0.5, 2.5, 40.0)
TRUTH = {
    "exp": math.exp,
    "erf": math.erf,
    "tanh": math.tanh,
    "absolute": abs,
    "sigmoid": lambda x: 0.5 * (1 + math.tanh(x / 2)),
}


def tensor(x: float) -> torch.Tensor:
    return torch.tensor([x], dtype=torch.float64)


def test_there_is_a_function_for_every_name() -> None:
    for name in ops.FUNCTIONS:
        assert callable(getattr(ops, name))
        for value in (1.0, 1, tensor(1.0)):
            assert callable(getattr(ops.namespace(value), name))


@pytest.mark.parametrize("name", TRUTH)
@pytest.mark.parametrize("x", VALUES)
def test_functions_of_one_value(name: str, x: float) -> None:
    function = getattr(ops, name)
    assert function(x) == pytest.approx(TRUTH[name](x), rel=1e-14, abs=1e-15)
    assert function(tensor(x)).item() == pytest.approx(TRUTH[name](x), rel=1e-14, abs=1e-15)


@pytest.mark.parametrize("name, truth", [("log1p", math.log1p), ("sqrt", math.sqrt)])
@pytest.mark.parametrize("x", [x for x in VALUES if x >= 0])
def test_functions_of_one_value_not_below_zero(name: str, truth: object, x: float) -> None:
    assert getattr(ops, name)(x) == pytest.approx(truth(x), rel=1e-14)
    assert getattr(ops, name)(tensor(x)).item() == pytest.approx(truth(x), rel=1e-14)


@pytest.mark.parametrize("x", [-1000.0, 1000.0])
def test_the_sigmoid_of_a_large_number(x: float) -> None:
    assert ops.sigmoid(x) == (1.0 if x > 0 else 0.0)


def test_functions_of_several_values() -> None:
    for lift in (float, tensor):
        assert float(ops.minimum(lift(2.0), lift(3.0))) == 2
        assert float(ops.maximum(lift(2.0), lift(3.0))) == 3
        assert float(ops.maximum(lift(2.0), 3.0)) == 3
        for condition, chosen in ((1.0, 5.0), (0.0, 7.0), (-1.0, 7.0)):
            assert float(ops.select(lift(condition), lift(5.0), lift(7.0))) == chosen
            assert float(ops.select(lift(condition), 5.0, 7.0)) == chosen


@pytest.mark.parametrize(
    "x, y, left", [(7.0, 3.0, 1.0), (-1.0, 3.0, 2.0), (6.0, 3.0, 0.0), (2.5, 1.0, 0.5), (0.0, 4.0, 0.0)]
)
def test_the_remainder_has_the_sign_of_the_divisor(x: float, y: float, left: float) -> None:
    assert ops.remainder(x, y) == left
    assert ops.remainder(tensor(x), tensor(y)).item() == left
    assert ops.remainder(tensor(x), y).item() == left


def test_a_remainder_rises_with_its_dividend_and_has_no_other_slope() -> None:
    x, y = tensor(7.5).requires_grad_(), tensor(3.0).requires_grad_()
    slopes = torch.autograd.grad(ops.remainder(x, y), (x, y), allow_unused=True, materialize_grads=True)
    assert [slope.item() for slope in slopes] == [1.0, 0.0]


def test_numbers_chosen_by_a_tensor_have_its_precision() -> None:
    for dtype in (torch.float32, torch.float64):
        chosen = ops.select(torch.tensor([1.0, -1.0], dtype=dtype), 0.1, 0.2)
        assert torch.equal(chosen, torch.tensor([0.1, 0.2], dtype=dtype))
        assert chosen.dtype == dtype


def test_no_gradient_flows_into_a_condition() -> None:
    x = tensor(2.0).requires_grad_()
    ops.select(x, 3 * x.detach() + 0 * x, x * x).sum().backward()
    assert x.grad.item() == 0


def test_the_mean_of_a_row_broadcasts() -> None:
    x = torch.tensor([[1.0, 2, 6], [0, 0, 3]])
    assert ops.row_mean(x).tolist() == [[3], [1]]
    assert (x - ops.row_mean(x)).sum(-1).tolist() == [0, 0]
    with pytest.raises(TypeError, match="tensor with units"):
        ops.row_mean(3.0)


@pytest.mark.parametrize("value", ["text", None, [1.0], 1j])
def test_a_value_of_no_known_kind_is_named(value: object) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        ops.exp(value)
