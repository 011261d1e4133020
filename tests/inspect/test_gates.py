"""Gates and states, against the equations written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from ostinato import nn
from ostinato.cells import CELLS, cell
from ostinato.inspect import Gate, InputError, Probe, activations, gates

from .networks import DTYPE, Network, of_cell, sequences

#: The gates of each cell: what its equations put through the logistic function. The others of the registry have none.
GATES = {
    "lstm": "i f o", "peephole_lstm": "i f o", "coupled_lstm": "i o", "forgetless_lstm": "i o", "janet": "f f_(2)",
    "projected_lstm": "i f o", "layer_norm_lstm": "i f o", "depth_gated_lstm": "i f o d", "slstm": "o", "gru": "r z",
    "gru_reset_before": "r z", "mgu": "f", "light_gru": "z", "layer_norm_gru": "r z", "min_gru": "z",
    "min_lstm": "f+i", "rg_lru": "r i", "sru": "f r", "identity_sru": "f r", "qrnn": "f o", "elman": "", "indrnn": "",
    "clockwork": "", "echo_state": "", "cornn": "", "lem": "d1 d2", "zoneout_lstm": "i f o",
    "variational_lstm": "i f o",
    "rnn_drop_lstm": "i f o", "recurrent_dropout_lstm": "i f o", "nig": "f o", "nfg": "i o", "nog": "i f",
    "niaf": "i f o", "noaf": "i f o", "cifg": "i o", "mogrifier_lstm": "Q_1 R_2 Q_3 R_4 Q_5 i f o",
}  # fmt: skip


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gates_of_a_stacked_lstm(bidirectional: bool) -> None:
    layer = nn.LSTM(3, 5, 2, batch_first=True, bidirectional=bidirectional, dtype=DTYPE)
    x = torch.randn(2, 6, 3, dtype=DTYPE)
    found = {(one.layer, one.direction, one.gate): one.values for one in gates(Probe(Network(layer), x))}
    assert len(found) == 2 * (2 if bidirectional else 1) * 3
    below = x
    for number in range(2):
        halves = []
        for direction, suffix in enumerate(("", "_reverse")[: 2 if bidirectional else 1]):
            W, U, b, b_u = (
                getattr(layer, f"{name}_l{number}{suffix}").detach()
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            h = c = x.new_zeros(2, 5)
            outputs: dict[int, Any] = {}
            for t in reversed(range(6)) if direction else range(6):
                i, f, g, o = (below[:, t] @ W.T + b + h @ U.T + b_u).chunk(4, 1)
                for name, value in (("i", i), ("f", f), ("o", o)):
                    own = found[f"layer.{number}", direction, name][:, t]
                    np.testing.assert_allclose(own, value.sigmoid().numpy(), rtol=1e-10)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                outputs[t] = h
            halves.append(torch.stack([outputs[t] for t in range(6)], 1))
        below = torch.cat(halves, -1)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name: str) -> None:
    network = of_cell(name, num_layers=2, bidirectional=True).eval()
    x = sequences(network)
    found = gates(Probe(network, x))
    last = "layer.1" if network.layer.num_layers == 2 else "layer"
    told = [one.gate.replace(" ", "_") for one in found if one.layer == last and not one.direction]
    if name in GATES:
        assert sorted(told) == sorted(GATES[name].split())
    for one in found:
        assert one.values.shape[:2] == x.shape[:2] and ((one.values > 0) & (one.values < 1)).all()
        # the gates are inside of what the equations would have them do, not constants
        assert one.values.std() > 1e-4
    states = activations(Probe(network, x))
    outputs = network.layer(x)[0].detach().numpy()
    shown = np.concatenate(
        [one.values for one in states if one.layer == last and one.state == CELLS[name].states[0]], -1
    )
    np.testing.assert_allclose(shown, outputs, rtol=1e-12)


def test_gates_of_packed_rows_and_clipped_relatives() -> None:
    layer = nn.layer_of(CELLS["min_gru"])(3, 4, batch_first=True, recurrent_activation="hard_sigmoid", dtype=DTYPE)
    x, lengths = torch.randn(3, 5, 3, dtype=DTYPE), torch.tensor([2, 5, 3])
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    (found,) = gates(Probe(Network(layer), packed))
    z = torch.nn.functional.hardsigmoid((x @ layer.weight_ih_l0.T + layer.bias_ih_l0)[..., :4]).detach()
    for row, wanted, length in zip(found.values, z, lengths, strict=True):
        np.testing.assert_allclose(row[:length], wanted[:length].numpy(), rtol=1e-10)
        assert np.isnan(row[length:]).all()


@cell(gates="f n", states="h", phi="tanh", sigma="sigmoid")
def tiring(gate: Any, state: Any, phi: Any, sigma: Any, t: Any) -> Any:
    """A cell whose gate shuts as time goes by."""
    f = sigma(gate.f - t)
    return f * state.h + (1.0 - f) * phi(gate.n)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_equations_that_count_steps(bidirectional: bool) -> None:
    layer = nn.layer_of(tiring)(3, 4, batch_first=True, bidirectional=bidirectional, backend="reference", dtype=DTYPE)
    found = gates(Probe(Network(layer), torch.randn(2, 30, 3, dtype=DTYPE)))
    assert [(one.gate, one.direction) for one in found] == [("f", 0), ("f", 1)][: 2 if bidirectional else 1]
    for one in found:
        ran = one.values[:, ::-1] if one.direction else one.values
        assert (ran[:, 20:] < 1e-5).all() and (ran[:, 0] > 0.05).all()


def test_saturation_is_counted() -> None:
    values = np.array([[[0.05, 0.5], [0.95, 0.95]], [[0.09, 0.1], [np.nan, np.nan]]])
    found = Gate("l", 0, "f", values).saturation
    np.testing.assert_allclose(found.shut, [2 / 3, 0])
    np.testing.assert_allclose(found.open, [1 / 3, 1 / 3])


@pytest.mark.parametrize("rows", [0, -1, 1.5, True])
def test_rows_are_counted(rows: Any) -> None:
    network = of_cell("lstm")
    for measure in (gates, activations):
        with pytest.raises(InputError, match=f"rows is {rows}; expected a whole number of at least 1"):
            measure(Probe(network, sequences(network)), rows)
