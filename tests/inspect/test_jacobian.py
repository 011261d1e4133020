"""Norms of Jacobians, against automatic differentiation and closed forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.nn.utils.rnn import pack_padded_sequence

from ostinato import nn, scan
from ostinato.cells import CELLS
from ostinato.inspect import InputError, Probe, jacobian_norms
from ostinato.inspect.rows import as_rows, states

from .networks import DTYPE, Network, delay_line, of_cell, sequences


def after(layer: Any, x: Tensor, t: int, state: Tensor) -> Tensor:
    """The last state (size), all states side by side, of a torch layer that has `state` after step t."""
    parts = tuple(part[None, None] for part in state.split(layer.hidden_size))
    if t + 1 == x.shape[1]:
        return state
    _, last = layer(x[:, t + 1 :], parts if len(parts) > 1 else parts[0])
    return torch.cat(last if len(parts) > 1 else [last], -1)[0, 0]


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU])
@pytest.mark.parametrize("norm", ["frobenius", "spectral"])
@pytest.mark.parametrize(("of", "by"), [("output", "all"), ("all", "all"), ("output", "output")])
def test_norms_are_those_of_autograd(kind: Any, norm: Any, of: Any, by: Any) -> None:
    H, T = 4, 6
    layer = kind(3, H, batch_first=True, dtype=DTYPE)
    network, x = Network(nn.convert(layer)), torch.randn(2, T, 3, dtype=DTYPE)
    (found,) = jacobian_norms(Probe(network, x), of=of, by=by, norm=norm)
    nn.revert(layer)
    for row in range(2):
        one = x[row : row + 1]
        state = one.new_zeros(2 * H if kind is torch.nn.LSTM else H)
        states = [state := _step(layer, one[:, t : t + 1], state) for t in range(T)]
        for k in range(T):
            t = T - 1 - k
            J = jacobian(lambda s, t=t, one=one: after(layer, one, t, s), states[t])
            J = J[: H if of == "output" else None, : H if by == "output" else None]
            want = torch.linalg.matrix_norm(J, "fro" if norm == "frobenius" else 2)
            assert found.norms[row, k] == pytest.approx(float(want), rel=1e-9)


@pytest.mark.parametrize("norm", ["frobenius", "spectral"])
def test_what_changes_gradients_alone_is_left_out(norm: Any) -> None:
    x, plain = torch.randn(2, 12, 3), nn.LSTM(3, 4, batch_first=True)
    (want,) = jacobian_norms(Probe(plain, x), norm=norm)
    for options in ({"saved_dtype": "bfloat16"}, {"recompute": 3}, {"truncate_gradient": 4}):
        layer = nn.LSTM(3, 4, batch_first=True, **options)
        layer.load_state_dict(plain.state_dict())
        (found,) = jacobian_norms(Probe(layer, x), norm=norm)
        np.testing.assert_array_equal(found.norms, want.norms)


def _step(layer: Any, x: Tensor, state: Tensor) -> Tensor:
    parts = tuple(part[None, None] for part in state.split(layer.hidden_size))
    with torch.no_grad():
        _, last = layer(x, parts if len(parts) > 1 else parts[0])
    return torch.cat(last if len(parts) > 1 else [last], -1)[0, 0]


@pytest.mark.parametrize("reverse", [False, True])
def test_several_passes_make_the_same(reverse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    network = of_cell("lstm", bidirectional=reverse)
    probe = Probe(network, sequences(network))
    whole = jacobian_norms(probe, of="all", norm="spectral")
    monkeypatch.setattr("ostinato.inspect.jacobian.KEPT", 2000)
    for one, other in zip(jacobian_norms(probe, of="all", norm="spectral"), whole, strict=True):
        np.testing.assert_allclose(one.norms, other.norms, rtol=1e-10)


def test_of_a_linear_recurrence_they_are_those_of_powers() -> None:
    layer = nn.layer_of(CELLS["elman"])(2, 5, batch_first=True, activation="linear", bidirectional=True, dtype=DTYPE)
    found = jacobian_norms(Probe(Network(layer), torch.randn(1, 8, 2, dtype=DTYPE)), norm="spectral")
    for one, U in zip(found, (layer.weight_hh_l0, layer.weight_hh_l0_reverse), strict=True):
        want = [float(torch.linalg.matrix_norm(torch.linalg.matrix_power(U.detach(), k), 2)) for k in range(8)]
        np.testing.assert_allclose(one.norms[0], want, rtol=1e-9)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name: str) -> None:
    network = of_cell(name, num_layers=2)
    x = sequences(network)
    found = jacobian_norms(Probe(network, x), rows=2)
    assert [one.layer for one in found] == ["layer.0", "layer.1"]
    for one in found:
        assert one.norms.shape == (2, x.shape[1]) and np.isfinite(one.norms).all()
        # at lag 0 the output depends on itself alone
        size = network.layer.structures[0].state_size(CELLS[name].states[0])
        np.testing.assert_allclose(one.norms[:, 0], np.sqrt(size))
        assert one.relative[0] == pytest.approx(1)
    network.layer.backend = "reference"
    probe = Probe(network, x)
    for one, recurrence in zip(found, probe.recurrences(2), strict=True):
        J = norms_on_the_reference(recurrence.request, 0)
        np.testing.assert_allclose(one.norms[0], J[::-1], rtol=1e-9, atol=1e-14)


def norms_on_the_reference(request: Any, row: int) -> np.ndarray:
    """(T) Frobenius norms of d(output at the end)/d(states at t): the equations begun again at every step."""
    single = as_rows(request, [row])
    values = states(single)
    cell, counter = request.cell, request.cell.clock[0] if request.cell.clock else None
    norms = []
    for t in range(request.steps):
        state = [values[name][:, :, t] for name in cell.states]
        if t + 1 == request.steps:
            norms.append(float(np.sqrt(state[0].shape[-1])))
            continue
        rest = replace(
            single, x=single.x[:, t + 1 :], steps=request.steps - t - 1, outputs=(0,),
            sequences=tuple(tuple(one[:, t + 1 :] for one in given) for given in single.sequences),
        )  # fmt: skip

        def last(*state: Tensor, rest: Any = rest) -> Tensor:
            return scan.run(replace(rest, initial_state=state), "reference")[1][0][0, 0]

        parts = jacobian(last, tuple(state))
        squares = [float(part.square().sum()) for name, part in zip(cell.states, parts, strict=True) if name != counter]
        norms.append(float(np.sqrt(sum(squares))))
    return np.array(norms)


def test_lags_are_counted_from_the_end_of_each_row() -> None:
    network = Network(nn.GRU(3, 4, batch_first=True, bidirectional=True, dtype=DTYPE))
    x, lengths = torch.randn(3, 6, 3, dtype=DTYPE), [2, 6, 4]
    packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    found = jacobian_norms(Probe(network, packed))
    for direction in (0, 1):
        for row, length in enumerate(lengths):
            want = jacobian_norms(Probe(network, x[row : row + 1, :length]))[direction].norms[0]
            own = found[direction].norms[row]
            np.testing.assert_allclose(own[:length], want, rtol=1e-9)
            assert np.isnan(own[length:]).all()


def test_memory_of_a_shift_register() -> None:
    (found,) = jacobian_norms(Probe(delay_line(7), torch.randn(2, 12, 1)))
    assert str(found.memory()) == "about 7 steps"
    # one unit less is left at every step
    np.testing.assert_allclose(found.norms[0], np.sqrt(np.maximum(8 - np.arange(12), 0)), rtol=1e-6)


@pytest.mark.parametrize("given", [{"of": "c"}, {"by": "h"}, {"norm": "nuclear"}, {"rows": 0}, {"rows": 1.5}])
def test_bad_arguments(given: dict[str, Any]) -> None:
    network = of_cell("lstm")
    with pytest.raises(InputError, match=f"{next(iter(given))} is"):
        jacobian_norms(Probe(network, sequences(network)), **given)
