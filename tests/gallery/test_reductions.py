"""Cells that turn into one another when some of their weights are special."""

from __future__ import annotations

import pytest
import torch

from ostinato import cells
from ostinato.cells import Cell

from .layer import OPEN, SHUT, B, D, H, Layer, T, close, layer, normal, states

PEEPHOLES = [cells.peephole_lstm, cells.nig, cells.nfg, cells.nog, cells.niaf, cells.noaf, cells.cifg, cells.fgr]


def ids(value: object) -> str | None:
    return value.name if isinstance(value, Cell) else None


def agree(ours: Layer, theirs: Layer, tolerance: float = 1e-12, **how: object) -> None:
    """Outputs and the states of one name agree, from random states that they share."""
    x = normal(B, T, D)
    found, finals = ours(x, start := states(ours), **how)
    shared = dict(zip(ours.cell.states, start, strict=True))
    begin = [shared[name] for name in theirs.cell.states]
    want, last = theirs(x, begin, **how)
    close(found, want, tolerance)
    both = dict(zip(ours.cell.states, finals, strict=True))
    close([both[name] for name in theirs.cell.states], last, tolerance)


@pytest.mark.parametrize(
    "cell, plain",
    [
        (cells.peephole_lstm, cells.lstm),
        (cells.nfg, cells.forgetless_lstm),
        (cells.cifg, cells.coupled_lstm),
    ],
    ids=ids,
)
def test_peepholes_of_zero_are_none(cell: Cell, plain: Cell) -> None:
    ours = layer(cell).zero(*cell.parameters)
    agree(ours, layer(plain, seed=9).take(ours))


@pytest.mark.parametrize("cell", [cell for cell in PEEPHOLES if cell is not cells.fgr], ids=ids)
def test_peepholes_count(cell: Cell) -> None:
    """So that the reductions above are of something that is there."""
    x, ours = normal(B, T, D), layer(cell)
    before, _ = ours(x, start := states(ours))
    for name in cell.parameters:
        without = layer(cell)
        after, _ = without.zero(name)(x, start)
        assert (before - after).abs().max() > 1e-3, name


@pytest.mark.parametrize("cell, gate", [(cells.nig, "i"), (cells.nfg, "f"), (cells.nog, "o")], ids=ids)
def test_a_gate_left_out_is_an_open_gate(cell: Cell, gate: str) -> None:
    ours = layer(cell)
    agree(ours, layer(cells.peephole_lstm, seed=9).take(ours).force(gate, OPEN))


@pytest.mark.parametrize("cell", [cells.niaf, cells.noaf], ids=ids)
def test_an_activation_left_out_is_a_linear_one(cell: Cell) -> None:
    ours = layer(cell)
    vanilla = layer(cells.peephole_lstm, seed=9).take(ours)
    agree(ours, vanilla, activations={"phi": "linear"})
    with pytest.raises(AssertionError, match="differ by"):
        agree(ours, vanilla)


def test_niaf_and_noaf_leave_out_different_ones() -> None:
    """Forced to c = g at every step, NIAF gives o * tanh(a), NOAF o * tanh(a) with tanh on the other side of c."""
    x = normal(B, T, D)
    for cell in (cells.niaf, cells.noaf):
        ours = layer(cell).force("i", OPEN).force("f", SHUT).force("o", OPEN)
        y, (_, c) = ours(x)
        if cell is cells.niaf:
            assert c.abs().max() > 1.0
            close(y[:, -1], c.tanh())
        else:
            assert c.abs().max() < 1.0
            close(y[:, -1], c)


@pytest.mark.parametrize(
    "coupled, free", [(cells.coupled_lstm, cells.lstm), (cells.cifg, cells.peephole_lstm)], ids=ids
)
def test_coupling_is_a_forget_gate_of_the_negated_input_gate(coupled: Cell, free: Cell) -> None:
    ours = layer(coupled)
    theirs = layer(free, seed=9).take(ours, gates={"f": ("i", -1.0)})
    if "p_f" in theirs.tensors:
        theirs.tensors["p_f"] = -ours.tensors["p_i"]
    agree(ours, theirs)


def test_full_gate_recurrence_without_its_matrices() -> None:
    ours = layer(cells.fgr).zero(*cells.fgr.matrices)
    agree(ours, layer(cells.peephole_lstm, seed=9).take(ours))


@pytest.mark.parametrize("to", "ifo")
def test_full_gate_recurrence_reads_each_gate_through_its_own_matrix(to: str) -> None:
    """With linear gates d to_1 / d from_0 is R_{from to}; o also reads c_1 through its peephole, here 0."""
    ours = layer(cells.fgr).zero("p_o")
    x, start = normal(B, 1, D), states(ours)
    for source in "ifo":
        k = cells.fgr.states.index(source)

        def last(value: torch.Tensor, k: int = k) -> torch.Tensor:
            given = [*start[:k], value, *start[k + 1 :]]
            return ours(x, given, activations={"sigma": "linear"})[1][cells.fgr.states.index(to)]

        slope = torch.autograd.functional.jacobian(last, start[k])
        close(slope[0, :, 0, :], ours.tensors[f"R_{source}{to}"])


def test_janet_without_beta_is_a_light_gru() -> None:
    ours = layer(cells.janet).zero("beta")
    theirs = layer(cells.light_gru, seed=9).take(ours, gates={"z": ("f", 1.0), "n": ("g", 1.0)})
    agree(ours, theirs, activations={"phi": "tanh"})
    ours.tensors["beta"].fill_(1.0)
    with pytest.raises(AssertionError, match="differ by"):
        agree(ours, theirs, activations={"phi": "tanh"})


def test_janet_with_a_large_beta_adds_the_whole_candidate() -> None:
    ours = layer(cells.janet)
    ours.tensors["beta"].fill_(OPEN)
    x, h = normal(B, 1, D), states(ours)[0]
    y, _ = ours(x, [h])
    f, g = (
        x[:, 0] @ ours.block("W", name).T + h @ ours.block("U", name).T + ours.block("b", name) for name in ("f", "g")
    )
    close(y[:, 0], f.sigmoid() * h + g.tanh())


def test_light_gru_is_a_gru_whose_reset_gate_is_open() -> None:
    ours = layer(cells.light_gru)
    agree(ours, layer(cells.gru_reset_before, seed=9).take(ours).force("r", OPEN), activations={"phi": "relu"})


def test_mgu_is_a_gru_with_one_gate_for_both() -> None:
    ours = layer(cells.mgu)
    agree(ours, layer(cells.gru_reset_before, seed=9).take(ours, gates={"r": ("f", 1.0), "z": ("f", -1.0)}))


def test_an_echo_state_without_leak_is_elman() -> None:
    ours = layer(cells.echo_state)
    agree(ours, layer(cells.elman, seed=9).take(ours))


def test_the_leak_mixes_the_old_state_in() -> None:
    ours, x = layer(cells.echo_state), normal(B, 1, D)
    h = states(ours)[0]
    full, _ = ours(x, [h])
    ours.tensors["leak"] = torch.linspace(0.0, 1.0, H, dtype=torch.float64)
    leaky, _ = ours(x, [h])
    close(leaky[:, 0], torch.lerp(h, full[:, 0], ours.tensors["leak"]))


def test_indrnn_is_elman_with_a_diagonal() -> None:
    ours = layer(cells.indrnn)
    theirs = layer(cells.elman, seed=9).take(ours)
    theirs.tensors["U"] = torch.diag(ours.tensors["u"])
    agree(ours, theirs, activations={"phi": "relu"})


def test_the_identity_for_a_projection_is_none() -> None:
    ours = layer(cells.projected_lstm, projection=H)
    ours.tensors["R"] = torch.eye(H, dtype=torch.float64)
    agree(ours, layer(cells.lstm, seed=9).take(ours))


def test_sru_with_the_identity_for_its_highway() -> None:
    ours = layer(cells.identity_sru, D=H)
    ours.tensors["alpha"].fill_(3.0**0.5)
    theirs = layer(cells.sru, D=H, seed=9).take(ours)
    theirs.block("W", "s").copy_(3.0**0.5 * torch.eye(H, dtype=torch.float64))
    x, start = normal(B, T, H), states(ours)
    close(ours(x, start)[0], theirs(x, start)[0])


@pytest.mark.parametrize("rounds", [1, 2, 4, 5])
def test_a_mogrifier_whose_rounds_do_nothing_is_an_lstm(rounds: int) -> None:
    """2 sigmoid(0) is 1."""
    made = cells.mogrifier(rounds)
    ours = layer(made).zero(*made.matrices)
    assert len(made.matrices) == rounds
    agree(ours, layer(cells.lstm, seed=9).take(ours))


def test_a_mogrifier_without_rounds_is_an_lstm() -> None:
    ours = layer(cells.mogrifier(0))
    agree(ours, layer(cells.lstm, seed=9).take(ours))


@pytest.mark.parametrize("rounds", [1, 2, 3, 5])
def test_a_mogrifier_step_is_an_lstm_step_on_what_the_rounds_make(rounds: int) -> None:
    ours = layer(cells.mogrifier(rounds))
    x, (h, c) = normal(B, 1, D), states(ours)
    y, finals = ours(x, [h, c])
    v, m = x[:, 0], h
    for k in range(1, rounds + 1):
        if k % 2:
            v = 2 * (m @ ours.tensors[f"Q_{k}"].T).sigmoid() * v
        else:
            m = 2 * (v @ ours.tensors[f"R_{k}"].T).sigmoid() * m
    want, last = layer(cells.lstm, seed=9).take(ours)(v.unsqueeze(1), [m, c])
    close([y, *finals], [want, *last])


def test_mogrifier_says_what_it_takes() -> None:
    with pytest.raises(ValueError, match="-1 rounds; expected 0 or more"):
        cells.mogrifier(-1)
    assert cells.mogrifier(5) is cells.mogrifier_lstm
    assert cells.mogrifier(3) is cells.mogrifier(3)
    assert cells.mogrifier(3).name not in cells.CELLS
