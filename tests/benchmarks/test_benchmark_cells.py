"""The benchmark of single cells: every contender computes the same, and the operations are counted right."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from benchmarks import with_cells
from benchmarks.cases import cells
from benchmarks.contest import difference, our_tolerance
from benchmarks.loop import loop
from benchmarks.with_cells import TORCHRECURRENT, Loop, Scan, TorchRecurrent, forward_flops, structure

from ostinato.cells import CELLS, Cell
from ostinato.compiler import trace
from ostinato.scan import Structure

SHAPE: dict[str, Any] = {"units": 16, "batch": 3, "steps": 7}
EVERY_CELL = pytest.mark.parametrize("name", CELLS)


def oracle(name: str) -> dict[str, Any]:
    return Scan(name, **SHAPE, backend="reference", dtype="float64").check()


@EVERY_CELL
def test_the_loop_is_the_reference(name: str) -> None:
    assert difference(Loop(cell=name, **SHAPE, dtype="float64").check(), oracle(name))[0] < 1e-12


@EVERY_CELL
def test_the_scan_agrees_with_the_loop(name: str) -> None:
    scanned = Scan(name, **SHAPE)
    right = Loop(cell=name, **SHAPE, dtype="float64").check()
    assert difference(scanned.check(), right)[0] < our_tolerance(7)
    assert getattr(scanned, "served", None) == ""


@pytest.mark.parametrize("name", TORCHRECURRENT)
def test_torchrecurrent_computes_the_same(name: str) -> None:
    pytest.importorskip("torchrecurrent", reason="the extra `test` installs it")
    theirs = TorchRecurrent(cell=name, **SHAPE, dtype="float64").check()
    assert difference(theirs, oracle(name))[0] < 1e-12


@EVERY_CELL
def test_everything_trained_has_an_effect(name: str) -> None:
    gradients = oracle(name)
    assert {one.name for one in structure(name, 16).parameters() if one.trained} <= set(gradients)
    assert not [array for array, values in gradients.items() if not values.any()]


def products(layer: Structure) -> int:
    """Multiply-adds of a step, column by column; a unit multiplies what it reaches."""
    program = trace(layer.cell)
    tensors = {one.name: torch.zeros(one.shape) for one in layer.parameters()}
    reach = layer.weights(tensors).reach
    counted = 0
    for column in program.columns:
        for _, matrix, _ in program.terms(column):
            rows, entries = (layer.size(letter) for letter in program.shape(matrix))
            counted += rows * entries if matrix != "U" or reach is None else int((reach[:, 1] - reach[:, 0]).sum())
    return counted


@EVERY_CELL
def test_operations_are_those_of_the_compilers_program(name: str) -> None:
    layer = structure(name, 16)
    assert forward_flops(layer, tokens=5) == 2 * 5 * products(layer)


def test_operations_of_the_lstm() -> None:
    assert forward_flops(structure("lstm", 128), tokens=1) == 2 * 4 * 128 * (128 + 128)


class Counted(torch.Tensor):
    """Counts the matrix products of tensors."""

    counted = 0

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (torch.addmm, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.nn.functional.linear):
            Counted.counted += 1
        return super().__torch_function__(function, types, args, kwargs or {})


@pytest.mark.parametrize(
    "name, ahead, a_step",
    [
        ("lstm", 1, 1),
        ("min_gru", 1, 0),
        ("gru", 2, 2),  # r and z, and the two sides of n
        ("gru_reset_before", 2, 2),
        ("layer_norm_lstm", 1, 1),
        ("cornn", 1, 2),
        ("fgr", 1, 4),  # h, and three gates that the nine further matrices share
        ("mogrifier_lstm", 0, 7),  # five rounds, then both sides of the gates, which read nothing but their results
    ],
)
def test_the_loop_multiplies_no_oftener_than_it_must(name: str, ahead: int, a_step: int) -> None:
    made = Loop(cell=name, **SHAPE)
    Counted.counted = 0
    layer = made.structure
    x = made.x.detach().as_subclass(Counted)
    weights = layer.weights({key: tensor.detach().as_subclass(Counted) for key, tensor in made.tensors.items()})
    loop(made.cell, x, weights, [], {"H": 16})
    assert Counted.counted == ahead + 7 * a_step


def test_masks_are_drawn_at_their_rates() -> None:
    drawn = dict(with_cells._sequences(CELLS["zoneout_lstm"], (40, 10, 50)))
    assert set(drawn["d_c"].ravel()) == {0.0, 1.0}
    assert drawn["d_c"].mean() == pytest.approx(0.5, abs=0.02)
    assert drawn["d_h"].mean() == pytest.approx(0.05, abs=0.02)
    (dropped,) = dict(with_cells._sequences(CELLS["variational_lstm"], (40, 10, 50))).values()
    assert set(dropped.ravel()) == {0.0, 1 / 0.75}
    assert dropped.mean() == pytest.approx(1.0, abs=0.02)


def test_every_cell_is_measured() -> None:
    measured = [comparison.contenders[0].options["cell"] for comparison in cells(quick=False)]
    assert measured == list(CELLS)
    assert {comparison.contenders[0].options["cell"] for comparison in cells(quick=True)} < set(CELLS)


def test_torchrecurrent_takes_part_where_it_has_the_cell() -> None:
    for comparison in cells(quick=False):
        cell: Cell = CELLS[comparison.contenders[0].options["cell"]]
        assert ("torchrecurrent" in comparison.targets) == (cell.name in TORCHRECURRENT)
