"""Attribution, eigenvalues and learning curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from ostinato import nn
from ostinato.cells import CELLS
from ostinato.inspect import InputError, Probe, attribution, learning_curves, spectra
from ostinato.keras import callbacks, layers, models

from .networks import DTYPE, Network, delay_line, of_cell, sequences


@pytest.mark.parametrize("output", [None, 1])
def test_gradients_are_differences(output: int | None) -> None:
    network = of_cell("lstm", bidirectional=True)
    x = sequences(network, rows=2, steps=4)
    found = attribution(Probe(network, x), output)
    for at in ((0, 0, 1), (1, 3, 2), (1, 1, 0)):
        step = torch.zeros_like(x)
        step[at] = 1e-5
        with torch.no_grad():
            change = (network(x + step) - network(x - step))[at[0], -1] / 2e-5
        want = float(change.sum() if output is None else change[output])
        assert found.gradient[at] == pytest.approx(want, rel=1e-5, abs=1e-9)
        assert found.sensitivity[at] == abs(found.gradient[at])
        assert found.contribution[at] == pytest.approx(want * float(x[at]), rel=1e-5, abs=1e-9)


class First(torch.nn.Module):
    """The outputs of a recurrent module alone."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.layer(x)[0]
        return outputs


@pytest.mark.parametrize("backend", [None, "reference"])
def test_what_changes_gradients_alone_is_left_out(backend: Any) -> None:
    def made(**options: Any) -> Any:
        return torch.nn.Sequential(First(nn.LSTM(3, 8, 2, batch_first=True, **options)), torch.nn.Linear(8, 2))

    plain = made()
    x = torch.randn(4, 20, 3)
    want = attribution(Probe(plain, x)).gradient
    rounding: list[dict[str, Any]] = [] if backend else [{"saved_dtype": "bfloat16"}]
    for options in ({"truncate_gradient": 5}, {"clip_recurrent_gradient": 1e-3}, *rounding):
        network = made(backend=backend, **options)
        network.load_state_dict(plain.state_dict())
        np.testing.assert_allclose(attribution(Probe(network, x)).gradient, want, rtol=1e-4, atol=1e-7)
        (found,) = torch.autograd.grad(network(x.requires_grad_())[:, -1].sum(), x)
        assert not np.allclose(found.numpy(), want, rtol=1e-4, atol=1e-7)  # training goes on as the layer says
    bounded = models.Sequential([layers.Input((20, 3)), layers.LSTM(8, truncate_gradient=5)])
    same = models.Sequential([layers.Input((20, 3)), layers.LSTM(8)])
    same.set_weights(bounded.get_weights())
    found, want = (attribution(Probe(one, x)).gradient for one in (bounded, same))
    np.testing.assert_array_equal(found, want)
    assert found[:, 0].any()


def test_of_a_delay_line_one_step_counts() -> None:
    x = torch.randn(3, 9, 1)
    found = attribution(Probe(delay_line(4), x))
    want = np.zeros((3, 9, 1))
    want[:, 9 - 1 - 4] = 1
    np.testing.assert_allclose(found.gradient, want, atol=1e-6)
    np.testing.assert_allclose(found.contribution[:, 4], x[:, 4].numpy(), rtol=1e-6)


def test_time_first_and_packed_rows() -> None:
    layer = nn.GRU(3, 4, dtype=DTYPE)
    x = torch.randn(6, 2, 3, dtype=DTYPE)
    found = attribution(Probe(layer, x))
    layer.batch_first = True
    batch = attribution(Probe(layer, x.transpose(0, 1)))
    assert found.gradient.shape == (2, 6, 3)
    np.testing.assert_allclose(found.gradient, batch.gradient, rtol=1e-12)
    lengths = torch.tensor([3, 6])
    packed = pack_padded_sequence(x.transpose(0, 1), lengths, batch_first=True, enforce_sorted=False)
    ragged = attribution(Probe(layer, packed))
    short = attribution(Probe(layer, x.transpose(0, 1)[:1, :3]))
    np.testing.assert_allclose(ragged.gradient[0, :3], short.gradient[0], rtol=1e-10)
    assert np.isnan(ragged.gradient[0, 3:]).all()
    np.testing.assert_allclose(ragged.gradient[1], batch.gradient[1], rtol=1e-10)


@pytest.mark.parametrize("frozen", [False, True])
def test_tokens_count_by_their_vectors(frozen: bool) -> None:
    model = models.Sequential([layers.Input((6,)), layers.Embedding(9, 4), layers.LSTM(5), layers.Dense(1)])
    model.trainable = not frozen
    x = torch.tensor([[1, 2, 3, 4, 5, 6], [3, 1, 2, 8, 7, 7]])
    found = attribution(Probe(model, x))
    embedded = model.layers[0](x).detach().requires_grad_(True)
    total = model.layers[2](model.layers[1](embedded)).sum()
    (want,) = torch.autograd.grad(total, embedded)
    np.testing.assert_allclose(found.sensitivity[..., 0], want.norm(dim=-1).numpy(), rtol=1e-4)
    np.testing.assert_allclose(
        found.contribution[..., 0], (want * embedded).sum(-1).detach().numpy(), rtol=1e-3, atol=1e-7
    )


def test_there_is_no_such_output() -> None:
    network = of_cell("lstm")
    with pytest.raises(InputError, match=r"output is 2; expected 0\.\.1"):
        attribution(Probe(network, sequences(network)), 2)


def test_eigenvalues_of_a_rotation() -> None:
    layer = nn.GRU(2, 2, batch_first=True, dtype=DTYPE)
    angle, radius = 0.3, 1.5
    turn = radius * torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    with torch.no_grad():
        layer.weight_hh_l0[2:4] = turn
        layer.weight_hh_l0[4:] = torch.eye(2)
    found = {one.gate: one for one in spectra(Probe(Network(layer), torch.zeros(1, 3, 2)))}
    assert set(found) == {"r", "z", "n"}
    assert found["z"].radius == pytest.approx(radius)
    assert sorted(np.angle(found["z"].eigenvalues)) == pytest.approx([-angle, angle])
    np.testing.assert_allclose(found["n"].eigenvalues, 1)


@pytest.mark.parametrize("name", CELLS)
def test_every_recurrent_matrix(name: str) -> None:
    network = of_cell(name)
    found = spectra(Probe(network, sequences(network)))
    request = Probe(network, sequences(network)).recurrences(1)[0].request
    assert {one.gate for one in found} == (
        set(request.program.blocks["U"]) if request.weights[0].U is not None else set()
    )
    if CELLS[name].blocks == "heads":
        # block-diagonal: the eigenvalues are those of the blocks
        stored = dict(network.layer.state_dict())["weight_hh_l0"].chunk(4)
        for gate, block in zip(CELLS[name].gates, stored, strict=True):
            want = torch.cat([torch.linalg.eigvals(part) for part in block.chunk(2)])
            (own,) = [one.eigenvalues for one in found if one.gate == gate]
            np.testing.assert_allclose(np.sort_complex(own), np.sort_complex(want.numpy()), rtol=1e-9)
    if name == "projected_lstm":
        state = network.layer.state_dict()
        U, R = state["weight_hh_l0"], state["weight_R_l0"]
        want = torch.linalg.eigvals(U[:6] @ R)
        np.testing.assert_allclose(found[0].radius, float(want.abs().max()), rtol=1e-9)


def test_keras_gates_stand_in_its_order() -> None:
    model = models.Sequential([layers.Input((4, 2)), layers.GRU(3)])
    found = {one.gate: one.eigenvalues for one in spectra(Probe(model, torch.zeros(1, 4, 2)))}
    U = model.layers[0].cell.recurrent_kernel.numpy()
    for number, gate in enumerate("zrn"):
        want = np.linalg.eigvals(U[:, 3 * number : 3 * number + 3])
        np.testing.assert_allclose(np.sort_complex(found[gate]), np.sort_complex(want), rtol=1e-4)


def test_learning_curves_of_all_kinds(tmp_path: Path) -> None:
    model = models.Sequential([layers.Input((4, 2)), layers.LSTM(3), layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    x, y, path = np.zeros((8, 4, 2)), np.ones((8, 1)), tmp_path / "log.csv"
    fitted = model.fit(x, y, epochs=3, validation_split=0.5, verbose=0, callbacks=[callbacks.CSVLogger(str(path))])
    found = learning_curves({"fit": fitted, "dict": fitted.history, "csv": path, "other": {"loss": [3, 2]}})
    assert found.metrics == ("loss", "mae")
    assert set(found.runs["csv"]) == set(found.runs["fit"]) == {"loss", "mae", "val_loss", "val_mae"}
    for metric, values in found.runs["fit"].items():
        np.testing.assert_allclose(found.runs["csv"][metric], values, rtol=1e-6)
        assert (found.runs["dict"][metric] == values).all() and values.shape == (3,)


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        ({}, "there are no runs"),
        ({"a": 3}, "run 'a' is a int; expected metrics by name"),
        ({"a": {"loss": ["x"]}}, "loss of run 'a' holds something else"),
        ({"a": {"loss": []}}, r"loss of run 'a' has the shape \(0,\)"),
        ({"a": "nowhere.csv"}, "nowhere.csv cannot be read: No such file"),
    ],
)
def test_bad_runs(runs: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        learning_curves(runs)
