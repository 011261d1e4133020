"""First and second derivatives against finite differences, and torch.func."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, stack_module_state
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from ostinato import nn

from .pairs import KINDS, bundle, pair, sequence, states


def _as_function(module: Any, lengths: list[int] | None) -> Callable[..., tuple[Tensor, ...]]:
    """The module as a function of input, initial states and weights."""
    count = 2 if module.mode == "LSTM" else 1
    names = [name for name, _ in module.named_parameters()]

    def run(x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        given = x if lengths is None else pack_padded_sequence(x, lengths, enforce_sorted=False)
        hx = bundle(module, list(others[:count]))
        y, hidden = functional_call(module, dict(zip(names, others[count:], strict=True)), (given, hx))
        return (y.data if isinstance(y, PackedSequence) else y, *(hidden if module.mode == "LSTM" else (hidden,)))

    return run


def _point(kind: str) -> tuple[Any, tuple[Tensor, ...]]:
    ours, more = KINDS[kind][0], KINDS[kind][2]
    module: Any = ours(2, 3, bidirectional=True, dtype=torch.float64, **more)
    x = torch.randn(3, 2, 2, dtype=torch.float64)
    initial = [torch.randn(2, 2, 3, dtype=torch.float64) for _ in range(2 if kind == "LSTM" else 1)]
    weights = [parameter.detach() for parameter in module.parameters()]
    return module, tuple(tensor.requires_grad_() for tensor in (x, *initial, *weights))


@pytest.mark.parametrize("lengths", [None, [1, 3]], ids=["padded", "packed"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind: str, lengths: list[int] | None) -> None:
    module, point = _point(kind)
    assert gradcheck(_as_function(module, lengths), point, fast_mode=True)


@pytest.mark.parametrize("lengths", [None, [1, 3]], ids=["padded", "packed"])
@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives(kind: str, lengths: list[int] | None) -> None:
    module, point = _point(kind)
    assert gradgradcheck(_as_function(module, lengths), point, fast_mode=True)


@pytest.mark.parametrize("kind", KINDS)
def test_repeated_backward_gives_equal_gradients(kind: str) -> None:
    ours, _ = pair(kind, num_layers=2, bidirectional=True)
    x = sequence(ours).requires_grad_()
    loss = ours(x, bundle(ours, states(ours)))[0].square().sum()
    leaves = [x, *ours.parameters()]
    once, twice = (torch.autograd.grad(loss, leaves, retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, twice, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_ensemble_by_vmap(kind: str) -> None:
    members = [pair(kind, dtype=torch.float64)[0] for _ in range(3)]
    x = sequence(members[0])
    stacked, buffers = stack_module_state(members)

    def run(weights: dict[str, Tensor]) -> Tensor:
        found: Tensor = functional_call(members[0], (weights, buffers), (x,))[0]
        return found

    expected = torch.stack([member(x)[0] for member in members])
    torch.testing.assert_close(torch.vmap(run)(stacked), expected, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_another_dtype_by_functional_call(kind: str) -> None:
    ours, _ = pair(kind)
    weights = {name: parameter.double() for name, parameter in ours.named_parameters()}
    x = sequence(ours).double()
    found = functional_call(ours, weights, (x,))[0]
    torch.testing.assert_close(found, ours.double()(x)[0], atol=1e-10, rtol=1e-10)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch.func.jacfwd itself calls it
def test_jacobian_by_func() -> None:
    layer = nn.GRU(2, 3, dtype=torch.float64)
    x = torch.randn(4, 1, 2, dtype=torch.float64)
    forward, backward = (transform(lambda x: layer(x)[0])(x) for transform in (torch.func.jacfwd, torch.func.jacrev))
    torch.testing.assert_close(forward, backward)
    assert backward[0, ..., 1:, :, :].count_nonzero() == 0, "a step must not depend on later ones"
