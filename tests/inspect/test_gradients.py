"""Gradient flow, against automatic differentiation of states that are written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from ostinato import nn
from ostinato.cells import CELLS
from ostinato.inspect import InputError, Probe, gradient_flow
from ostinato.keras import layers, models

from .networks import DTYPE, HIDDEN, Network, of_cell, sequences

Written = dict[tuple[int, int, str], list[Tensor]]


def lstm_by_hand(layer: Any, x: Tensor) -> tuple[Tensor, Written]:
    """Output and states of a torch LSTM, whose c goes on by itself and into h as a copy."""
    written: Written = {}
    for number in range(layer.num_layers):
        halves = []
        for direction, suffix in enumerate(("", "_reverse")[: 2 if layer.bidirectional else 1]):
            W, U, b, b_u = (
                getattr(layer, f"{name}_l{number}{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            h = c = x.new_zeros(len(x), layer.hidden_size)
            outputs, hs, cs = [], [], []
            steps = range(x.shape[1])
            for t in reversed(steps) if direction else steps:
                i, f, g, o = (x[:, t] @ W.T + b + h @ U.T + b_u).chunk(4, 1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h, c = o.sigmoid() * c.tanh(), c.clone()
                outputs.append(h), hs.append(h), cs.append(c)
            turn = slice(None, None, -1 if direction else 1)
            halves.append(torch.stack(outputs[turn], 1))
            written[number, direction, "h"], written[number, direction, "c"] = hs[turn], cs[turn]
        x = torch.cat(halves, -1)
    return x, written


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_lstm_flow_is_that_of_autograd(depth: int, bidirectional: bool) -> None:
    layer = nn.LSTM(3, 5, depth, batch_first=True, bidirectional=bidirectional, dtype=DTYPE)
    network, x = Network(layer), torch.randn(4, 9, 3, dtype=DTYPE)
    y = torch.randn(4, 9, 2, dtype=DTYPE)
    outputs, written = lstm_by_hand(layer, x)
    loss = (network.out(outputs) - y).square().mean()
    names, states = list(written), [state for one in written.values() for state in one]
    grads = torch.autograd.grad(loss, states, materialize_grads=True, allow_unused=True)
    found = gradient_flow(Probe(network, x), y)
    assert len(found) == len(names)
    for k, (number, direction, state) in enumerate(names):
        want = torch.stack(grads[9 * k : 9 * k + 9], 1).norm(dim=-1).mean(0)
        (own,) = [
            one
            for one in found
            if (one.layer, one.direction, one.state) == (f"layer.{number}" if depth > 1 else "layer", direction, state)
        ]
        np.testing.assert_allclose(own.norms, want.numpy(), rtol=1e-10, atol=1e-14)


def test_gru_flow_is_that_of_autograd() -> None:
    layer = nn.GRU(3, 5, batch_first=True, dtype=DTYPE)
    network, x = Network(layer), torch.randn(4, 8, 3, dtype=DTYPE)
    h, hs = x.new_zeros(4, 5), []
    for t in range(8):
        r, z, n = (x[:, t] @ layer.weight_ih_l0.T + layer.bias_ih_l0).chunk(3, 1)
        r_u, z_u, n_u = (h @ layer.weight_hh_l0.T + layer.bias_hh_l0).chunk(3, 1)
        z = (z + z_u).sigmoid()
        h = (1 - z) * (n + (r + r_u).sigmoid() * n_u).tanh() + z * h
        hs.append(h)
    # without targets it is the mean over the rows of the sum of the last outputs
    grads = torch.autograd.grad(network.out(hs[-1]).sum() / 4, hs)
    (found,) = gradient_flow(Probe(network, x))
    np.testing.assert_allclose(found.norms, torch.stack(grads).norm(dim=-1).mean(1).numpy(), rtol=1e-10)
    assert found.vanishing == pytest.approx(found.norms[0] / found.norms.max())


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_every_cell_flows_as_on_the_reference(name: str, bidirectional: bool) -> None:
    network = of_cell(name, num_layers=2, bidirectional=bidirectional)
    x = sequences(network)
    found = gradient_flow(Probe(network, x))
    network.layer.backend = "reference"
    want = gradient_flow(Probe(network, x))
    counters = CELLS[name].clock[:1] if CELLS[name].clock else ()
    assert {one.state for one in found} == set(CELLS[name].states) - set(counters)
    assert any(one.norms.max() > 0 for one in found)
    for one, other in zip(found, want, strict=True):
        assert (one.layer, one.direction, one.state) == (other.layer, other.direction, other.state)
        assert one.norms.shape == (x.shape[1],) and np.isfinite(one.norms).all()
        np.testing.assert_allclose(one.norms, other.norms, rtol=1e-9, atol=1e-13)


def test_packed_rows_count_where_they_run() -> None:
    network = Network(nn.LSTM(3, HIDDEN, batch_first=True, dtype=DTYPE))
    x, lengths = torch.randn(3, 6, 3, dtype=DTYPE), [2, 6, 4]
    packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    found = gradient_flow(Probe(network, packed))
    norms = np.full((3, 6), np.nan)
    for row, length in enumerate(lengths):
        norms[row, :length] = gradient_flow(Probe(network, x[row : row + 1, :length]))[0].norms / 3
    np.testing.assert_allclose(found[0].norms, np.nanmean(norms, axis=0), rtol=1e-10)


def test_masks_and_embeddings_of_keras() -> None:
    model = models.Sequential(
        [layers.Input((6,), dtype="int32"), layers.Embedding(9, 4, mask_zero=True), layers.Dropout(0.5),
         layers.LSTM(5, return_sequences=True, name="lstm"), layers.Bidirectional(layers.GRU(3), name="both"),
         layers.Dense(1)]
    )  # fmt: skip
    x = torch.tensor([[1, 2, 3, 4, 5, 6], [3, 1, 2, 0, 0, 0]])
    first, second = gradient_flow(Probe(model, x)), gradient_flow(Probe(model, x))
    assert [one.layer for one in first] == ["lstm", "lstm", "both", "both"]
    short = gradient_flow(Probe(model, x[1:]))
    long = gradient_flow(Probe(model, x[:1]))
    for one, again, a, b in zip(first, second, short, long, strict=True):
        assert (one.norms == again.norms).all()  # no dropout, though it is a layer of the model
        assert np.isnan(a.norms[3:]).all() and np.isfinite(a.norms[:3]).all()
        both = np.where(np.arange(6) < 3, (a.norms + b.norms) / 4, b.norms / 2)
        np.testing.assert_allclose(one.norms, both, rtol=1e-4, atol=1e-9)


def test_a_layer_that_goes_backwards_says_so() -> None:
    model = models.Sequential([layers.Input((30, 2)), layers.GRU(4, go_backwards=True), layers.Dense(1)])
    (found,) = gradient_flow(Probe(model, torch.randn(3, 30, 2)))
    assert found.direction == 1 and found.norms.argmax() == 0
    assert found.vanishing == pytest.approx(found.norms[-1] / found.norms.max()) and found.vanishing < 0.1


def test_the_loss_of_a_compiled_model_is_meant() -> None:
    model = models.Sequential([layers.Input((5, 2)), layers.LSTM(4), layers.Dense(1)])
    x, y = torch.randn(3, 5, 2), torch.randn(3, 1)
    plain = gradient_flow(Probe(model, x), y)
    model.compile(loss=lambda truth, output: 7 * torch.square(truth - output))
    np.testing.assert_allclose(gradient_flow(Probe(model, x), y)[0].norms, 7 * plain[0].norms, rtol=1e-4)


def test_nothing_of_the_model_is_changed() -> None:
    network = of_cell("lstm").train()
    network.layer.eval()
    before = {name: one.clone() for name, one in network.state_dict().items()}
    x = sequences(network)
    gradient_flow(Probe(network, x))
    assert network.training and not network.layer.training and not x.requires_grad
    assert all(one.grad is None for one in network.parameters())
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())
    assert not network.layer._forward_hooks and not network.layer._forward_pre_hooks


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (np.zeros((3, 4)), r"x has the shape \(3, 4\); expected \(N, T, F\)"),
        (np.zeros((3, 4, 2), dtype=int), r"expected \(N, T\): sequences of tokens"),
        (np.zeros((0, 4, 3)), "holds nothing"),
        (np.full((1, 4, 3), np.nan), "x holds 12 numbers that are not finite"),
        (np.zeros((1, 4, 3), dtype=bool), "x is bool"),
        ("sequences", "expected an array of numbers|x is"),
    ],
)
def test_bad_sequences(x: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Probe(of_cell("lstm"), x)


def test_bad_models_and_targets() -> None:
    x = torch.zeros(2, 4, 3)
    with pytest.raises(InputError, match=r"Linear has no recurrent layer of this library; ostinato.nn.convert"):
        Probe(torch.nn.Linear(3, 2), x)
    with pytest.raises(InputError, match="the model is a str; expected a torch module"):
        Probe("model", x)  # type: ignore[arg-type]
    stateful = models.Sequential([layers.Input((4, 3), batch_size=2), layers.LSTM(2, stateful=True, name="one")])
    with pytest.raises(InputError, match="layer one is stateful"):
        Probe(stateful, x)
    network = of_cell("lstm")
    with pytest.raises(InputError, match=r"y has the shape \(2, 3\); expected \(2, 4, 2\)"):
        gradient_flow(Probe(network, x), torch.zeros(2, 3))
    with pytest.raises(InputError, match="y holds integers; give the loss"):
        gradient_flow(Probe(network, x), torch.zeros(2, 4, dtype=torch.int64))
    model = models.Sequential([layers.Input((5, 2)), layers.LSTM(4, name="l")], name="net")
    with pytest.raises(InputError, match=r"x has the shape \(2, 4, 3\); expected \(any, 5, 2\), what net takes"):
        Probe(model, x)
