"""Activations by name: values and slopes against torch and Keras, and each formula against its own derivative."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import ostinato.scan  # noqa: F401 - brings the functions of torch tensors
from ostinato.cells import ACTIVATIONS, activation

BY_NAME = pytest.mark.parametrize("name", ACTIVATIONS)

#: The same function by torch, where torch has it.
TORCH: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": functional.relu,
    "linear": lambda x: x,
    "hard_sigmoid": lambda x: functional.relu6(x + 3) / 6,  # the slope of torch's hardsigmoid is 1/6 in float32
    "hard_tanh": functional.hardtanh,
    "relu6": functional.relu6,
    "leaky_relu": lambda x: functional.leaky_relu(x, 0.2),
    "softsign": functional.softsign,
    "softplus": lambda x: functional.softplus(x, threshold=1000),
    "log_sigmoid": functional.logsigmoid,
    "exponential": torch.exp,
    "elu": functional.elu,
    "celu": functional.celu,
    "selu": functional.selu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "hard_silu": functional.hardswish,
    "mish": functional.mish,
    "tanh_shrink": functional.tanhshrink,
    "hard_shrink": functional.hardshrink,
    "soft_shrink": functional.softshrink,
}
#: Keras' gelu is the tanh approximation unless told otherwise; the cells' is exact, as torch's.
ONLY_LIKE_TORCH = {"gelu"}


def points() -> Tensor:
    """Both signs and many sizes, none at a kink."""
    sizes = torch.logspace(-3, 1.3, 60, dtype=torch.float64)
    return torch.cat([-sizes, sizes]).sort().values


def value_and_slope(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    y = function(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    return y.detach(), slope


def close(got: Tensor, want: Tensor, bound: float = 1e-12) -> bool:
    return torch.allclose(got, want, rtol=bound, atol=bound)


@pytest.mark.parametrize("name", TORCH)
def test_values_and_slopes_are_torchs(name: str) -> None:
    got, want = (value_and_slope(f, points()) for f in (ACTIVATIONS[name].value, TORCH[name]))
    assert close(got[0], want[0])
    assert close(got[1], want[1])


@pytest.mark.parametrize(
    "name", sorted({"relu", "relu6", "leaky_relu", "elu", "celu", "selu", "softsign", "silu", "mish"})
)
def test_slopes_at_zero_are_torchs(name: str) -> None:
    zero = torch.zeros(1, dtype=torch.float64)
    _, got = value_and_slope(ACTIVATIONS[name].value, zero)
    _, want = value_and_slope(TORCH[name], zero)
    assert close(got, want)


@BY_NAME
def test_values_are_keras(name: str) -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="Keras is an optional dependency")
    function = keras.activations.get(name)
    if name in ONLY_LIKE_TORCH:
        function = lambda x: keras.activations.gelu(x, approximate=False)  # noqa: E731
    want = torch.as_tensor(
        keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(points().numpy(), "float64")))
    )
    assert close(ACTIVATIONS[name].value(points()), want, 1e-7), "the constants of Keras are float32"


def test_every_activation_that_keras_names_is_here_or_left_out_on_purpose() -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="Keras is an optional dependency")
    named = {n for n in dir(keras.activations) if callable(getattr(keras.activations, n)) and n == n.lower()}
    across_units = {"softmax", "log_softmax", "glu", "sparsemax", "threshold"}
    functions_of_the_module = {"deserialize", "get", "serialize"}
    for name in named - across_units - functions_of_the_module:
        assert activation(name).name in ACTIVATIONS


@pytest.mark.parametrize("name", [name for name, one in ACTIVATIONS.items() if one.slope])
def test_the_slope_in_terms_of_the_output_is_the_derivative(name: str) -> None:
    one = ACTIVATIONS[name]
    y, slope = value_and_slope(one.value, points())
    assert close(one.slope(y), slope, 1e-10)


@BY_NAME
def test_slopes_are_numerical_derivatives(name: str) -> None:
    assert torch.autograd.gradcheck(ACTIVATIONS[name].value, points().requires_grad_())


@BY_NAME
def test_numbers_and_tensors_agree(name: str) -> None:
    for x in (-3.0, -0.75, -0.25, 0.25, 0.75, 3.0):
        tensor = ACTIVATIONS[name].value(torch.tensor(x, dtype=torch.float64)).item()
        assert ACTIVATIONS[name].value(x) == pytest.approx(tensor, rel=1e-14, abs=1e-15)


@BY_NAME
def test_finite_where_the_function_is(name: str) -> None:
    """Values and slopes at arguments where exp alone over- or underflows."""
    ends = torch.tensor([-800.0, -90.0, 90.0] + ([] if name == "exponential" else [800.0]))
    for dtype in (torch.float32, torch.float64):
        x = ends.to(dtype) if dtype == torch.float64 or name != "exponential" else ends[:1]
        y, slope = value_and_slope(ACTIVATIONS[name].value, x)
        assert y.isfinite().all()
        assert slope.isfinite().all()


@pytest.mark.parametrize(
    "name, meant", [("swish", "silu"), ("hard_swish", "hard_silu"), ("identity", "linear"), ("hardtanh", "hard_tanh")]
)
def test_other_names(name: str, meant: str) -> None:
    assert activation(name) is ACTIVATIONS[meant]


@pytest.mark.parametrize("name", ["tangent", "", "Tanh", None])
def test_an_unknown_name_is_told_the_names(name: Any) -> None:
    with pytest.raises(ValueError, match="tanh") as caught:
        activation(name)
    assert repr(name) in str(caught.value)
