"""`recompute` of the modules: less is kept, and the gradients are those of keeping all."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from ostinato import nn

from .zoo import make, sequence

MADE: dict[str, Any] = {
    "LSTM": lambda: nn.LSTM(3, 6, num_layers=2, bidirectional=True, dtype=torch.float64),
    "projected": lambda: nn.LSTM(3, 6, proj_size=2, dtype=torch.float64),
    "GRU": lambda: nn.GRU(3, 6, dtype=torch.float64),
    "RNN": lambda: nn.RNN(3, 6, dtype=torch.float64),
    "PeepholeLSTM": lambda: make("peephole_lstm", bidirectional=True),
    "DepthGatedLSTM": lambda: make("depth_gated_lstm", num_layers=3),
    "ZoneoutLSTM": lambda: make("zoneout_lstm"),
    "Clockwork": lambda: make("clockwork", num_layers=2),
}


def gradients(module: Any, x: Any) -> tuple[torch.Tensor, list[torch.Tensor]]:
    torch.manual_seed(1)  # of the masks
    y, _ = module(x)
    y = y.data if hasattr(y, "data") and not isinstance(y, torch.Tensor) else y
    return y.detach(), list(torch.autograd.grad(y.square().sum(), list(module.parameters())))


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("form", ["sequence", "packed"])
def test_the_gradients_are_the_same(kind: str, form: str) -> None:
    module = MADE[kind]()
    x: Any = sequence(module, 7, 4)
    if form == "packed":
        x = pack_padded_sequence(x, torch.tensor([3, 7, 1, 5]), enforce_sorted=False)
    y, expected = gradients(module, x)
    module.recompute = 3
    again, found = gradients(module, x)
    assert torch.equal(again, y)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-13)


def test_the_argument() -> None:
    for made in (nn.LSTM(2, 3, recompute=True), nn.JANET(2, 3, recompute=True), nn.EchoState(2, 3, recompute=True)):
        assert made.recompute is True and "recompute=True" in repr(made)
        assert copy.deepcopy(made).recompute is True
    assert "recompute" not in repr(nn.LSTM(2, 3)) + repr(nn.JANET(2, 3))
    for kind in (nn.GRU, nn.JANET):
        with pytest.raises(ValueError, match="recompute is 0; expected True or False, or a whole number"):
            kind(2, 3, recompute=0)
    reverted = nn.revert(torch.nn.Sequential(nn.LSTM(2, 3, recompute=5)))
    assert "recompute" not in vars(reverted[0])
