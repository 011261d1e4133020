"""Layer normalisation: torch's, and the changes of the weights that it does not notice."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import layer_norm

from ostinato import cells
from ostinato.cells import Cell

from .layer import B, D, H, Layer, T, close, layer, normal, states

CELLS = [cells.layer_norm_lstm, cells.layer_norm_gru]
EVERY = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)


def side(made: Layer, matrix: str, vector: torch.Tensor, gates: str, gain: str, shift: str) -> list[torch.Tensor]:
    """The normalised product with the named gates' rows of a matrix, by torch's function, gate by gate."""
    rows = torch.cat([made.block(matrix, gate) for gate in gates])
    weight, bias = (torch.cat([made.tensors[f"{name}_{gate}"] for gate in gates]) for name in (gain, shift))
    return list(layer_norm(vector @ rows.T, (len(rows),), weight, bias, eps=1e-5).chunk(len(gates), -1))


def test_a_step_of_the_lstm_by_torchs_layer_norm() -> None:
    ours, x = layer(cells.layer_norm_lstm), normal(B, 1, D)
    h, c = states(ours)
    both = zip(
        side(ours, "W", x[:, 0], "ifgo", "g_x", "s_x"), side(ours, "U", h, "ifgo", "g_h", "s_h"), "ifgo", strict=True
    )
    i, f, g, o = (from_x + from_h + ours.tensors[f"b_{gate}"] for from_x, from_h, gate in both)
    new = f.sigmoid() * c + i.sigmoid() * g.tanh()
    want = o.sigmoid() * layer_norm(new, (H,), ours.tensors["g_c"], ours.tensors["s_c"], eps=1e-5).tanh()
    y, finals = ours(x, [h, c])
    close([y[:, 0], *finals], [want, want, new])


def test_a_step_of_the_gru_by_torchs_layer_norm() -> None:
    ours, x = layer(cells.layer_norm_gru), normal(B, 1, D)
    (h,) = states(ours)
    r, z = (
        (from_x + from_h).sigmoid()
        for from_x, from_h in zip(
            side(ours, "W", x[:, 0], "rz", "g_x", "b"), side(ours, "U", h, "rz", "g_h", "s_h"), strict=True
        )
    )
    (n_x,), (n_h,) = side(ours, "W", x[:, 0], "n", "g_x", "b"), side(ours, "U", h, "n", "g_h", "s_h")
    close(ours(x, [h])[0][:, 0], z * h + (1 - z) * (n_x + r * n_h).tanh())


@EVERY
@pytest.mark.parametrize("matrix", ["W", "U"])
def test_a_common_scale_of_a_matrix_is_not_noticed(cell: Cell, matrix: str) -> None:
    """The two sides are normalised apart, so each matrix has a scale of its own; large, for 1e-5 to be nothing."""
    ours, x = layer(cell), normal(B, T, D)
    start = states(ours)
    ours.tensors[matrix] *= 1e5
    before, _ = ours(x, start)
    ours.tensors[matrix] *= 3.0
    close(ours(x, start)[0], before, 1e-9)


@EVERY
@pytest.mark.parametrize("matrix", ["W", "U"])
def test_a_common_row_added_to_a_matrix_is_not_noticed(cell: Cell, matrix: str) -> None:
    """It shifts all products alike. Added to one gate only it is noticed: the gates are normalised as one vector."""
    ours, x = layer(cell), normal(B, T, D)
    start = states(ours)
    before, _ = ours(x, start)
    row = normal(ours.tensors[matrix].shape[1])
    ours.tensors[matrix] += row
    close(ours(x, start)[0], before)
    ours.block(matrix, cell.gates[0]).add_(row)
    with pytest.raises(AssertionError, match="differ by"):
        close(ours(x, start)[0], before)


@EVERY
def test_gains_start_at_1_and_shifts_at_0(cell: Cell) -> None:
    for name in cell.parameters:
        assert cell.initial.get(name, 0.0) == (1.0 if name.startswith("g_") else 0.0), name


@EVERY
def test_a_gain_and_a_shift_act_on_their_own_unit_and_gate(cell: Cell) -> None:
    """c of the LSTM for the gates behind it: the normalisation of c tells all units."""
    x = normal(B, 1, D)
    for name in cell.parameters:
        ours = layer(cell)
        start = states(ours)
        before_y, before = ours(x, start)
        ours.tensors[name][3] += 0.5
        after_y, after = ours(x, start)
        seen_in_c = cell is cells.layer_norm_lstm and name[-1] in "ifg"
        moved = after[-1] != before[-1] if seen_in_c else after_y[:, 0] != before_y[:, 0]
        assert moved.any(0).nonzero().tolist() == [[3]], name
