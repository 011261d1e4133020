"""`saved_dtype` of the modules: less is kept, and the gradients are nearly those of keeping all of it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from ostinato import nn

from .test_recompute import MADE, gradients
from .zoo import sequence


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("form", ["sequence", "packed"])
def test_outputs_are_the_same_and_gradients_nearly(kind: str, form: str) -> None:
    module = MADE[kind]().float()
    x: Any = sequence(module, 7, 4).float()
    if form == "packed":
        x = pack_padded_sequence(x, torch.tensor([3, 7, 1, 5]), enforce_sorted=False)
    y, expected = gradients(module, x)
    for name, bound in (("float16", 2e-3), ("bfloat16", 1.6e-2)):
        module.saved_dtype = name
        again, found = gradients(module, x)
        assert torch.equal(again, y)
        largest = max(one.abs().max() for one in expected)
        errors = [(one - other).abs().max() / largest for one, other in zip(found, expected, strict=True)]
        assert 1e-6 < max(errors) < bound


def test_the_argument() -> None:
    for made in (
        nn.LSTM(2, 3, saved_dtype="float16"),
        nn.JANET(2, 3, saved_dtype="float16"),
        nn.EchoState(2, 3, saved_dtype="float16"),
    ):
        assert made.saved_dtype == "float16" and "saved_dtype='float16'" in repr(made)
        assert copy.deepcopy(made).saved_dtype == "float16"
    assert "saved_dtype" not in repr(nn.LSTM(2, 3)) + repr(nn.JANET(2, 3))
    for kind in (nn.GRU, nn.JANET):
        with pytest.raises(ValueError, match="saved_dtype is 'half'; expected 'bfloat16', 'float16' or None"):
            kind(2, 3, saved_dtype="half")
        with pytest.raises(ValueError, match="saved_dtype='float16' rounds what recompute=7 does not keep"):
            kind(2, 3, saved_dtype="float16", recompute=7)
    reverted = nn.revert(torch.nn.Sequential(nn.LSTM(2, 3, saved_dtype="float16")))
    assert "saved_dtype" not in vars(reverted[0])


@pytest.mark.parametrize("kind", [nn.GRU, nn.JANET])
def test_single_precision_alone(kind: Any) -> None:
    module = kind(2, 3, saved_dtype="float16", dtype=torch.float64)
    with pytest.raises(ValueError, match=r"saved_dtype='float16' rounds what float32 scans keep; the input is"):
        module(torch.zeros(4, 1, 2, dtype=torch.float64))


def test_the_reference_and_torch_s_own_do_not_round() -> None:
    x = torch.randn(4, 1, 2)
    for made in (nn.GRU(2, 3, saved_dtype="float16", backend="reference"), nn.JANET(2, 3, saved_dtype="float16")):
        made.backend = "reference"
        with pytest.raises(RuntimeError, match="saved_dtype is 'float16', which the compiled kernels alone can do"):
            made(x)
        with torch.no_grad():
            assert made(x)[0].isfinite().all()
    left = nn.GRU(2, 3, saved_dtype="float16", backend="torch")
    with pytest.raises(RuntimeError, match=r"saved_dtype is 'float16', which torch's own.*; set saved_dtype to None"):
        left(x)
    with torch.no_grad():
        assert left(x)[0].isfinite().all()


def test_under_autocast_the_weights_say_the_dtype() -> None:
    module = nn.LSTM(2, 3, saved_dtype="float16")
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = module(torch.randn(4, 1, 2))
    y.sum().backward()
    assert y.dtype == torch.float32 and module.weight_hh_l0.grad.any()
