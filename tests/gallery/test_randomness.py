"""The cells with masks: what a mask of one value does, and that training and testing agree on average."""

from __future__ import annotations

import pytest
import torch

from ostinato import cells
from ostinato.cells import Cell

from .layer import B, D, H, T, close, layer, normal, states

DROPPING = [cells.variational_lstm, cells.rnn_drop_lstm, cells.recurrent_dropout_lstm]


def constant(value: float, steps: int = T) -> torch.Tensor:
    return torch.full((B, steps, H), value, dtype=torch.float64)


def test_a_zoneout_of_zero_is_an_lstm() -> None:
    ours, x = layer(cells.zoneout_lstm), normal(B, T, D)
    start = states(ours)
    y, finals = ours(x, start, constant(0.0), constant(0.0))
    want, last = layer(cells.lstm, seed=9).take(ours)(x, start)
    close([y, *finals], [want, *last])


def test_a_zoneout_of_one_keeps_the_state() -> None:
    ours, x = layer(cells.zoneout_lstm), normal(B, T, D)
    h, c = states(ours)
    for d_h, d_c in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0)):
        _, (last_h, last_c) = ours(x, [h, c], constant(d_h), constant(d_c))
        assert torch.equal(last_h, h) == (d_h == 1.0)
        assert torch.equal(last_c, c) == (d_c == 1.0)


def test_the_output_of_zoneout_reads_the_new_cell_and_not_the_zoned_one() -> None:
    ours, x = layer(cells.zoneout_lstm), normal(B, 1, D)
    start = states(ours)
    y, (_, c) = ours(x, start, constant(0.0, 1), constant(1.0, 1))
    want, (_, new) = layer(cells.lstm, seed=9).take(ours)(x, start)
    close(y, want)
    assert (new - c).abs().max() > 0.1


def test_zoneout_outside_of_training_is_the_mean_over_the_masks_of_one_step() -> None:
    ours, x = layer(cells.zoneout_lstm), normal(B, 1, D)
    start, rate = states(ours), 0.3
    found = [ours(x, start, constant(d, 1), constant(d, 1))[1] for d in (0.0, 1.0)]
    mean = [(1 - rate) * new + rate * old for new, old in zip(*found, strict=True)]
    close(ours(x, start, constant(rate, 1), constant(rate, 1))[1], mean)


@pytest.mark.parametrize("cell", DROPPING, ids=lambda cell: cell.name)
def test_a_dropout_mask_of_one_is_an_lstm(cell: Cell) -> None:
    ours, x = layer(cell), normal(B, T, D)
    start = states(ours)
    y, finals = ours(x, start, constant(1.0))
    want, last = layer(cells.lstm, seed=9).take(ours)(x, start)
    close([y, *finals], [want, *last])


def test_gal_drops_what_the_gates_read_of_h() -> None:
    ours, x = layer(cells.variational_lstm), normal(B, T, D)
    start = states(ours)
    y, finals = ours(x, start, constant(0.0))
    want, last = layer(cells.lstm, seed=9).take(ours).zero("U")(x, start)
    close([y, *finals], [want, *last])


def test_a_unit_that_gal_drops_is_read_by_no_gate() -> None:
    ours, x = layer(cells.variational_lstm), normal(B, T, D)
    start, mask = states(ours), constant(1.0)
    mask[..., 2] = 0.0
    y, _ = ours(x, start, mask)
    theirs = layer(cells.lstm, seed=9).take(ours)
    theirs.tensors["U"][:, 2] = 0.0
    close(y, theirs(x, start)[0])


def test_moon_drops_the_cell_itself() -> None:
    ours, x = layer(cells.rnn_drop_lstm), normal(B, T, D)
    y, (h, c) = ours(x, states(ours), constant(0.0))
    assert not y.any()
    assert not h.any()
    assert not c.any()


def test_moon_scales_what_is_kept_once_and_not_at_every_step() -> None:
    """c is that of the LSTM which reads the scaled h; h carries the factor 1 / (1 - rate) of a kept unit."""
    ours, x = layer(cells.rnn_drop_lstm), normal(B, 1, D)
    start = states(ours)
    y, (_, c) = ours(x, start, constant(2.0, 1))
    want, (_, plain) = layer(cells.lstm, seed=9).take(ours)(x, start)
    close([y, c], [2.0 * want, plain])


def test_semeniuta_drops_the_candidate_and_no_memory() -> None:
    """With d = 0, c_t = f c_{t-1}: an LSTM whose candidate is 0."""
    ours, x = layer(cells.recurrent_dropout_lstm), normal(B, T, D)
    start = states(ours)
    y, finals = ours(x, start, constant(0.0))
    want, last = layer(cells.lstm, seed=9).take(ours).force("g", 0.0)(x, start)
    close([y, *finals], [want, *last])
    assert last[1].abs().max() > 1e-3


def test_a_dropped_step_of_semeniuta_is_scaled() -> None:
    ours, x = layer(cells.recurrent_dropout_lstm), normal(B, 1, D)
    start = states(ours)
    found = [ours(x, start, constant(d, 1))[1][1] for d in (0.0, 1.0, 4.0)]
    close(found[2] - found[0], 4.0 * (found[1] - found[0]))
