"""A loop in PyTorch that breaks says where; one that does not learn gets a hint."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ostinato.nn
from ostinato.faults import TrainingFault
from ostinato.nn import watch_faults


class Network(nn.Module):
    """A recurrent layer and a head on its output at the last step."""

    def __init__(self, recurrent: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.recurrent = recurrent
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.recurrent(x)[0]
        predicted: Tensor = self.head(output[:, -1])
        return predicted


def network() -> Network:
    return Network(ostinato.nn.LSTM(3, 8, batch_first=True), nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1)))


def train(model: nn.Module, x: Tensor, y: Tensor, rate: float = 1e-3, epochs: int = 6, **options: Any) -> list[str]:
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    found: list[str] = []
    with watch_faults(model, **options) as watch:
        for _ in range(epochs):
            for rows in torch.arange(len(x)).split(16):
                loss = (model(x[rows]) - y[rows]).square().mean()
                optimizer.zero_grad()
                loss.backward()
                watch.check(loss)
                optimizer.step()
            found += watch.epoch_end()
    return found


@pytest.fixture
def data() -> tuple[Tensor, Tensor]:
    x = torch.randn(64, 20, 3)
    return x, x[:, -1, :1]


def test_an_exploding_network_names_the_step_and_the_largest_gradient(data: tuple[Tensor, Tensor]) -> None:
    rnn = ostinato.nn.RNN(3, 8, nonlinearity="relu", batch_first=True)
    model = Network(rnn, nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e3)
    largest: list[tuple[str, float]] = []
    with watch_faults(model) as watch, pytest.raises(TrainingFault, match=r"epoch 1, batch \d+: ") as caught:
        for _ in range(100):
            loss = (model(data[0]) - data[1]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            norms = {name: float(one.grad.norm()) for name, one in model.named_parameters() if one.grad is not None}
            largest.append(max(norms.items(), key=lambda one: one[1]))
            watch.check(loss)
            optimizer.step()
    assert caught.value.batch == len(largest) > 1
    assert caught.value.largest == (largest[-2][0], pytest.approx(largest[-2][1], rel=1e-5))
    assert f"that of {largest[-2][0]}, with the norm {largest[-2][1]:.3g}" in str(caught.value)
    assert caught.value.place in {"loss", "recurrent", "head", *dict(model.named_parameters())}
    assert not rnn._forward_hooks and not model._forward_pre_hooks


def test_it_is_not_entered_within_itself() -> None:
    model = network()
    watch = watch_faults(model)
    for _ in range(2):
        with watch, pytest.raises(RuntimeError, match="is open already"):
            watch.__enter__()
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in model.modules())


def test_sparse_gradients_are_looked_at() -> None:
    embedding, rnn = nn.Embedding(10, 4, sparse=True), ostinato.nn.LSTM(4, 5, batch_first=True)
    model, tokens = nn.Sequential(embedding, Network(rnn, nn.Linear(5, 1))), torch.tensor([[1, 2, 1], [3, 3, 4]])
    model[1].requires_grad_(False)
    with watch_faults(model) as watch:
        loss = model(tokens).square().mean()
        loss.backward()
        watch.check(loss)
        norm = float(embedding.weight.grad.to_dense().norm())
        embedding.weight.register_hook(lambda gradient: gradient * torch.nan)
        loss = model(tokens).square().mean()
        loss.backward()
        with pytest.raises(TrainingFault, match=r"gradient of 0\.weight is not finite") as caught:
            watch.check(loss)
    assert caught.value.largest == ("0.weight", pytest.approx(norm, rel=1e-5))


def test_nan_in_one_row_names_the_input(data: tuple[Tensor, Tensor]) -> None:
    model, (x, y) = network(), data
    x[37, 2, 1] = torch.nan
    with pytest.raises(
        TrainingFault, match=r"epoch 1, batch 3: .*the input is not finite \(nan at row 5, step 2, feature 1"
    ):
        train(model, x, y)
    assert all(torch.isfinite(weight).all() for weight in model.parameters())


def test_a_layer_that_overflows_is_named(data: tuple[Tensor, Tensor]) -> None:
    model = network()
    with torch.no_grad():
        model.head[0].weight.fill_(3e38)  # type: ignore[index]
        model.recurrent.bias_ih_l0.fill_(9)  # type: ignore[union-attr]
    with pytest.raises(TrainingFault, match=r"the first output that is not finite is that of layer 'head\.0'"):
        train(model, *data)


def test_a_gradient_that_is_not_finite_is_named_before_the_update(data: tuple[Tensor, Tensor]) -> None:
    model = network()
    last = model.head[2]  # type: ignore[index]
    with torch.no_grad():
        last.weight.zero_(), last.bias.zero_()
    before = [weight.clone() for weight in model.parameters()]
    with watch_faults(model) as watch:
        loss = model(data[0]).square().sum().sqrt()
        loss.backward()
        with pytest.raises(TrainingFault, match=r"the gradient of head.2.bias is not finite.*it was the first step$"):
            watch.check(loss)
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), before, strict=True))


def test_a_healthy_training_gives_no_hint(data: tuple[Tensor, Tensor]) -> None:
    assert train(network(), *data, rate=0.05, epochs=10) == []


def test_dead_saturated_and_flat_are_told_once(data: tuple[Tensor, Tensor], capsys: pytest.CaptureFixture[str]) -> None:
    model, (x, y) = network(), data
    with torch.no_grad():
        model.head[0].bias.fill_(-100)  # type: ignore[index]
        model.recurrent.weight_ih_l0.mul_(1e3)  # type: ignore[union-attr, operator]
    found = train(model, x, y, rate=1e-9, patience=3)
    assert sum("8 of 8 units of layer 'head.1' put out 0" in text for text in found) == 1
    assert sum("the loss has stayed at" in text for text in found) == 1
    assert sum("'head.1'" in text for text in found) == 1
    assert capsys.readouterr().out.splitlines() == found
    rnn = Network(ostinato.nn.RNN(3, 8, batch_first=True), nn.Linear(8, 1))
    found = train(rnn, 1e3 * x, y, epochs=2)
    assert sum("units of layer 'recurrent' are beyond 0.99" in text for text in found) == 1


def test_evaluation_is_not_watched(data: tuple[Tensor, Tensor]) -> None:
    model, (x, y) = network(), data
    with watch_faults(model) as watch:
        loss = (model(x) - y).square().mean()
        loss.backward()
        model.eval()
        model(torch.full_like(x, torch.nan))
        watch.check(loss)
        model.train()
    train(model, x, y, epochs=1)
