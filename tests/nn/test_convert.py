"""Models of torch's modules made into ours in place, and back."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from ostinato import nn, scan

from .pairs import HIDDEN, INPUT, KINDS, STEPS


class Tagger(torch.nn.Module):
    """A model as users write them: recurrent layers at several depths, one of them used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = torch.nn.LSTM(INPUT, HIDDEN, 2, bidirectional=True)
        self.blocks = torch.nn.ModuleList([torch.nn.GRU(2 * HIDDEN, HIDDEN), torch.nn.RNN(HIDDEN, HIDDEN)])
        self.again = self.blocks[1]
        self.head = torch.nn.Linear(HIDDEN, 2)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.encoder(x)
        for block in (*self.blocks, self.again):
            x, _ = block(x)
        found: Tensor = self.head(x)
        return found


def test_model_keeps_everything_but_the_classes() -> None:
    model = Tagger()
    x = torch.randn(STEPS, 2, INPUT)
    before = model(x)
    parameters = dict(model.named_parameters())
    seen: list[str] = []
    model.encoder.register_forward_hook(lambda module, *_: seen.append(type(module).__module__))

    assert nn.convert(model) is model
    assert [type(m) for m in (model.encoder, *model.blocks, model.again)] == [nn.LSTM, nn.GRU, nn.RNN, nn.RNN]
    assert model.again is model.blocks[1]
    assert all(parameters[name] is parameter for name, parameter in model.named_parameters())
    with scan.watch() as taken:
        torch.testing.assert_close(model(x), before)
    assert len(taken) == 5
    assert seen == [nn.LSTM.__module__]

    model.encoder.backend = "reference"
    assert nn.revert(model) is model
    assert [type(m) for m in (model.encoder, *model.blocks)] == [torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN]
    assert not hasattr(model.encoder, "backend")
    assert torch.equal(model(x), before)
    assert seen[1:] == [torch.nn.LSTM.__module__]


@pytest.mark.parametrize("kind", KINDS)
def test_the_module_itself(kind: str) -> None:
    ours, torchs, more = KINDS[kind]
    layer: Any = torchs(INPUT, HIDDEN, **more)
    x = torch.randn(STEPS, 2, INPUT)
    before = layer(x)[0]
    assert type(nn.convert(layer)) is ours
    torch.testing.assert_close(layer(x)[0], before)
    assert type(pickle.loads(pickle.dumps(layer))) is ours
    assert layer.backend is None
    assert type(nn.revert(copy.deepcopy(layer))) is torchs


def test_training_goes_on_with_the_same_optimizer() -> None:
    model = Tagger()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    x, target = torch.randn(STEPS, 2, INPUT), torch.zeros(STEPS, 2, 2)
    losses = []
    nn.convert(model)
    for _ in range(20):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_subclasses_of_others_are_left_alone() -> None:
    class Mine(torch.nn.GRU):
        pass

    model = torch.nn.Sequential(Mine(INPUT, HIDDEN), torch.nn.Linear(HIDDEN, 1), nn.LSTM(INPUT, HIDDEN))
    assert [type(m) for m in nn.convert(model)] == [Mine, torch.nn.Linear, nn.LSTM]
