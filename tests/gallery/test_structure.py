"""What the sheet of every cell says about its size, and where its names are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from ostinato import cells
from ostinato.cells import CELLS
from ostinato.compiler import trace
from ostinato.scan import Structure, projects

from .layer import B, H, T, close, input_size, layer, normal, states


def counts(D: int, H: int, P: int, G: int) -> dict[str, int]:
    """Trained numbers, as the papers' equations count them: G is the heads of a cell with heads, else the modules."""

    def affine(maps: int) -> int:
        return maps * (H * D + H * H + H)

    return {
        "elman": affine(1),
        "clockwork": H * D + H + (H // G) ** 2 * G * (G + 1) // 2,
        "echo_state": affine(1),
        "indrnn": H * D + 2 * H,
        "cornn": H * D + 2 * H * H + H,
        "lem": affine(4),
        "lstm": affine(4),
        "forgetless_lstm": affine(3),
        "peephole_lstm": affine(4) + 3 * H,
        "coupled_lstm": affine(3),
        "janet": affine(2),
        "nig": affine(3) + 2 * H,
        "nfg": affine(3) + 2 * H,
        "nog": affine(3) + 2 * H,
        "niaf": affine(4) + 3 * H,
        "noaf": affine(4) + 3 * H,
        "cifg": affine(3) + 2 * H,
        "fgr": affine(4) + 3 * H + 9 * H * H,
        "depth_gated_lstm": affine(4) + 3 * H + H * D + 3 * H,
        "projected_lstm": 4 * H * (D + P + 1) + P * H,
        "layer_norm_lstm": affine(4) + 18 * H,
        "layer_norm_gru": 3 * (H * D + H * H) + 12 * H,
        "zoneout_lstm": affine(4),
        "variational_lstm": affine(4),
        "rnn_drop_lstm": affine(4),
        "recurrent_dropout_lstm": affine(4),
        "mogrifier_lstm": affine(4) + 5 * D * H,
        "slstm": 4 * (H * D + H * H // G + H),
        "gru": affine(3) + 3 * H,
        "gru_reset_before": affine(3),
        "mgu": affine(2),
        "light_gru": affine(2),
        "sru": 4 * H * D + 4 * H,
        "identity_sru": 3 * H * H + 4 * H,
        "qrnn": 3 * H * (D + 1),
        "min_gru": 2 * H * (D + 1),
        "min_lstm": 3 * H * (D + 1),
        "rg_lru": 2 * H * H + 3 * H,
    }


BLOCKS = {"heads": {"heads": 2}, "clockwork": {"modules": 2}}


@pytest.mark.parametrize("D, H, P, G", [(5, 8, 3, 2), (1, 64, 16, 8), (7, 3, 3, 1)])
@pytest.mark.parametrize("name", counts(1, 1, 1, 1))
def test_the_number_of_trained_numbers(name: str, D: int, H: int, P: int, G: int) -> None:
    cell = CELLS[name]
    blocks = {"heads": {"heads": G}, "clockwork": {"modules": G}}.get(cell.blocks, {})
    width = H if trace(cell).sizes.same else D
    assert (
        Structure(cell, width, H, projection=P if projects(cell) else 0, **blocks).count() == counts(D, H, P, G)[name]
    )


def test_every_registered_cell_is_an_attribute_of_the_package() -> None:
    assert {name for name in CELLS if getattr(cells, name, None) is not CELLS[name]} == set()


def test_every_file_of_equations_is_imported() -> None:
    folder = Path(cells.__file__).parent
    registering = {path.stem for path in folder.glob("*.py") if "\n@register" in path.read_text()}
    found = {Path(cell.step.__code__.co_filename).stem for cell in CELLS.values()}
    assert registering <= found


def test_no_two_cells_make_layers_of_one_name() -> None:
    names = [cell.layer for cell in CELLS.values()]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("name", CELLS)
def test_a_sequence_in_two_parts_is_the_whole(name: str) -> None:
    """Everything that a cell remembers is in its states."""
    cell = CELLS[name]
    made = layer(cell, D=input_size(cell), **BLOCKS.get(cell.blocks, {}))
    x = normal(B, T, input_size(cell))
    extra = [normal(B, T, H, seed=50 + k).abs().clamp(0.1, 0.9) for k in range(len(cell.inputs))]
    y, finals = made(x, start := states(made), *extra)
    first, middle = made(x[:, :4], start, *(one[:, :4] for one in extra))
    second, last = made(x[:, 4:], middle, *(one[:, 4:] for one in extra))
    close(first, y[:, :4])
    close([second, *last], [y[:, 4:], *finals])


@pytest.mark.parametrize("name", CELLS)
def test_the_first_state_is_the_output(name: str) -> None:
    cell = CELLS[name]
    made = layer(cell, D=input_size(cell), **BLOCKS.get(cell.blocks, {}))
    extra = [normal(B, T, H, seed=50 + k).abs().clamp(0.1, 0.9) for k in range(len(cell.inputs))]
    found, finals = made(normal(B, T, input_size(cell)), states(made), *extra, outputs=cell.states)
    close([sequence[:, -1] for sequence in found], finals)
    assert all(not sequence[:, 0].equal(sequence[:, -1]) for sequence in found)
