"""Outputs, final states and every gradient against torch's own modules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from .pairs import BATCH, FORMS, INPUT, KINDS, STEPS, assert_agree, everything, pair, sequence, states


@pytest.mark.parametrize("given_state", [False, True], ids=["zeros", "given"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch_first", [False, True], ids=["time", "batch"])
@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one", "both"])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_torch(
    kind: str, num_layers: int, bidirectional: bool, bias: bool, batch_first: bool, form: str, given_state: bool
) -> None:
    ours, oracle = pair(
        kind, num_layers=num_layers, bidirectional=bidirectional, bias=bias, batch_first=batch_first,
        dtype=torch.float64,
    )  # fmt: skip
    x, initial = sequence(ours, form), states(ours, form) if given_state else []
    assert_agree(everything(ours, x, initial, form), everything(oracle, x, initial, form))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_torch_in_float32(kind: str, form: str) -> None:
    ours, oracle = pair(kind, num_layers=2, bidirectional=True)
    x, initial = sequence(ours, form), states(ours, form)
    assert_agree(everything(ours, x, initial, form), everything(oracle, x, initial, form))


def _transposed(x: Tensor) -> Tensor:
    return x.transpose(0, 1).contiguous().transpose(0, 1)


def _last_first(x: Tensor) -> Tensor:
    return x.transpose(0, -1).contiguous().transpose(0, -1)


def _sliced(x: Tensor) -> Tensor:
    return torch.cat([torch.full_like(x, torch.nan), x, torch.full_like(x, torch.nan)], -1).narrow(
        -1, x.shape[-1], x.shape[-1]
    )


def _every_other(x: Tensor) -> Tensor:
    return torch.stack([x, torch.full_like(x, torch.nan)], 1).flatten(0, 1)[::2]


def _expanded(x: Tensor) -> Tensor:
    return x[:, :1].expand(x.shape)


@pytest.mark.parametrize("stride", [_transposed, _last_first, _sliced, _every_other, _expanded])
@pytest.mark.parametrize("batch_first", [False, True], ids=["time", "batch"])
@pytest.mark.parametrize("kind", KINDS)
def test_any_strides(kind: str, batch_first: bool, stride: Any) -> None:
    ours, oracle = pair(kind, bidirectional=True, batch_first=batch_first, dtype=torch.float64)
    x, initial = stride(sequence(ours)), [stride(state) for state in states(ours)]
    assert not x.is_contiguous()
    assert_agree(everything(ours, x, initial), everything(oracle, x, initial))


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_that_is_expanded_or_missing(kind: str) -> None:
    ours, oracle = pair(kind, num_layers=2, bidirectional=True, dtype=torch.float64)
    x = sequence(ours)
    for module in (ours, oracle):
        module(x)[0][2:4, :, 1].sum().backward()
    for found, expected in zip(ours.parameters(), oracle.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_empty_batch(kind: str) -> None:
    ours, oracle = pair(kind, dtype=torch.float64)
    x = torch.zeros(STEPS, 0, INPUT, dtype=torch.float64)
    found, expected = ours(x), oracle(x)
    assert found[0].shape == expected[0].shape
    hidden = [made[1][0] if kind == "LSTM" else made[1] for made in (found, expected)]
    assert hidden[0].shape == hidden[1].shape


@pytest.mark.parametrize("form", ["padded", "sorted", "unsorted"])
@pytest.mark.parametrize("kind", KINDS)
def test_dropout_draws_as_torch_does(kind: str, form: str) -> None:
    ours, oracle = pair(kind, num_layers=3, dropout=0.4, dtype=torch.float64)
    x, initial = sequence(ours), states(ours)
    found = []
    for module in (ours, oracle):
        torch.manual_seed(7)
        found.append(everything(module, x, initial, form))
    assert_agree(*found)


@pytest.mark.parametrize("batch_first", [False, True], ids=["time", "batch"])
@pytest.mark.parametrize("probability", [0.0, 0.25, 0.5, 1.0])
def test_dropout_acts_between_layers_only(probability: float, batch_first: bool) -> None:
    ours, _ = pair("RNN_RELU", num_layers=2, dropout=probability, batch_first=batch_first)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.zero_()
        ours.bias_ih_l0.fill_(1.0)
        ours.weight_ih_l1.copy_(torch.eye(ours.hidden_size))
    y, h = ours(torch.zeros(40, 50, INPUT))
    scale = 1 / (1 - probability) if probability < 1 else 0.0
    assert set(y.unique().tolist()) <= {0.0, torch.tensor(scale).item()}
    assert (y == 0).float().mean().item() == pytest.approx(probability, abs=0.02)
    assert (h[0] == 1).all()
    torch.testing.assert_close(h[1], y[:, -1] if batch_first else y[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_rests_in_evaluation(kind: str) -> None:
    ours, oracle = pair(kind, num_layers=2, dropout=0.9, dtype=torch.float64)
    plain, _ = pair(kind, num_layers=2, dtype=torch.float64)
    plain.load_state_dict(ours.state_dict())
    x = sequence(ours)
    assert not torch.equal(ours(x)[0], plain(x)[0])
    assert torch.equal(ours.eval()(x)[0], plain(x)[0])
    torch.testing.assert_close(ours(x)[0], oracle.eval()(x)[0], atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_state_carried_over_chunks(kind: str) -> None:
    ours, _ = pair(kind, num_layers=2, dtype=torch.float64)
    x = sequence(ours)
    whole, end = ours(x)
    first, state = ours(x[:3])
    second, last = ours(x[3:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(last, end, atol=1e-10, rtol=1e-10)
    assert whole.shape == (STEPS, BATCH, ours.hidden_size)
