"""Layers at many shapes: every shape has its place, and its operations are those of its products."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks import __main__ as command
from benchmarks import machine, plot, shapes
from benchmarks.cases import layer_flops
from benchmarks.contest import Comparison, Contender, Outcome, Result
from benchmarks.report import Table
from benchmarks.shapes import BATCHES, LONG, MOST, STEPS, UNITS, Block, entry

FAKE = "tests.benchmarks.fakes:Fake"


def measured(
    comparison: Comparison,
    ours: float | None = 1.0,
    peer: float | None = 2.0,
    status: str = "wrong",
    peak: float | None = None,
) -> Result:
    outcomes = [
        Outcome(one, seconds=[seconds], error=3e-7) if seconds else Outcome(one, status, note=f"{status}: why")  # type: ignore[arg-type]
        for one, seconds in zip(comparison.contenders, (ours, peer), strict=True)
    ]
    return Result(comparison, outcomes, [peak] if peak else [])


def rows(table: Table) -> dict[str, dict[str, str]]:
    return {row[0]: dict(zip(table.header[1:], row[1:], strict=True)) for row in table.rows}


def multiply_adds(options: dict[str, Any]) -> int:
    """Of one forward, gate by gate."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[options["kind"]]
    ways = 2 if options.get("bidirectional") else 1
    counted = 0
    for depth in range(options.get("layers", 1)):
        inputs = ways * options["hidden_size"] if depth else options["input_size"]
        counted += ways * gates * options["hidden_size"] * (inputs + options["hidden_size"])
    return options["batch"] * options["steps"] * counted


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("more", [{}, {"layers": 3}, {"bidirectional": True}, {"layers": 2, "bidirectional": True}])
def test_operations_of_a_layer(kind: str, more: dict[str, Any]) -> None:
    options = {"kind": kind, "input_size": 3, "hidden_size": 5, "batch": 2, "steps": 7, **more}
    assert layer_flops({**options, "training": False}) == 2 * multiply_adds(options)
    assert layer_flops(options) == 6 * multiply_adds(options)


def test_operations_of_ragged_rows_are_those_of_their_lengths() -> None:
    options = {"kind": "LSTM", "input_size": 3, "hidden_size": 5, "batch": 2, "steps": 7, "lengths": [2, 3]}
    assert layer_flops(options) == 6 * 5 * 4 * 5 * 8


def test_every_shape_has_a_place() -> None:
    grids = [block for block in shapes.blocks(quick=False) if block.title.startswith("LSTM")]
    assert [block.title for block in grids] == [
        f"LSTM, {which}, T={steps}" for which in shapes.PASSES for steps in STEPS
    ]
    for block in grids:
        assert list(block.comparisons) == [f"B={batch}" for batch in BATCHES]
        assert all(list(row) == [f"H={units}" for units in UNITS] for row in block.comparisons.values())


def test_a_shape_is_left_out_for_its_operations_alone() -> None:
    for which in shapes.PASSES:
        for block in (one for one in shapes.blocks(quick=False) if one.title.startswith(f"LSTM, {which}")):
            steps = int(block.title.split("T=")[1])
            for row, of_row in block.comparisons.items():
                for column, comparison in of_row.items():
                    batch, units = int(row[2:]), int(column[2:])
                    operations = 6 * steps * batch * 4 * units * 2 * units
                    assert (comparison is None) == (operations > MOST)
                    if comparison:
                        options = comparison.contenders[0].options
                        assert (options["steps"], options["batch"], options["hidden_size"]) == (steps, batch, units)
                        assert options["training"] == (which == "training step")
                        assert comparison.turns == (shapes.LONG_TURNS if operations > LONG else shapes.TURNS)


def test_variations_are_what_they_are_called() -> None:
    (block, _) = (block for block in shapes.blocks(quick=False) if block.title.startswith("other"))
    for name, row in block.comparisons.items():
        for comparison in filter(None, row.values()):
            options = comparison.contenders[0].options
            assert shapes.VARIATIONS[name].items() <= options.items()
            assert (options["steps"], options["batch"]) == (40, 32)


def test_an_entry_is_the_ratio_and_the_part_of_the_peak() -> None:
    comparison = replace(shapes.shapes(quick=True)[0], flops=5e9)
    assert entry(measured(comparison, ours=0.1, peer=0.25, peak=100e9)) == "2.50 50%"
    assert entry(measured(comparison, ours=0.1, peer=0.25, peak=1e12)) == "2.50  5%"
    assert entry(measured(comparison, ours=0.1, peer=0.25)) == "2.50"


@pytest.mark.parametrize("ours, peer", [(None, 1.0), (1.0, None), (None, None)])
@pytest.mark.parametrize("status", ["wrong", "failed"])
def test_an_entry_says_why_there_is_no_ratio(ours: float | None, peer: float | None, status: str) -> None:
    comparison = shapes.shapes(quick=True)[0]
    assert entry(measured(comparison, ours, peer, status, peak=100e9)) == status
    assert entry(None) == "too long"


def test_tables_hold_every_result() -> None:
    results = [measured(comparison) for comparison in shapes.shapes(quick=True)]
    slower, broken = 0, len(results) - 1
    results[slower] = measured(results[slower].comparison, ours=2.0, peer=1.0)
    results[broken] = measured(results[broken].comparison, peer=None, status="failed")
    *made, summary = shapes.tables(results, quick=True)
    entries = [cell for table in made for row in table.rows for cell in row[1:]]
    assert entries == ["0.50", *["2.00"] * (len(results) - 2), "failed"]
    said = {name: of["note"] for name, of in rows(summary).items()}
    assert said["shapes measured"] == str(len(results) - 1)
    assert said["of these, ours is the faster at"] == str(len(results) - 2)
    assert said["least, median and greatest ratio"] == "0.50, 2.00, 2.00"
    assert said["largest relative error of ours"] == "3e-07"
    assert said[results[broken].comparison.title] == "PyTorch: failed: why"


def test_what_is_too_long_stands_in_its_place() -> None:
    results = [measured(comparison) for comparison in shapes.shapes(quick=False)]
    table = rows(shapes.tables(results, quick=False)[2])
    assert table["B=256"]["H=1024"] == "too long"
    assert table["B=1"]["H=1024"] == "2.00"


@pytest.fixture
def fake_shapes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The command with one block of fakes, the second of which is wrong by what stands in a file."""

    def blocks(quick: bool) -> list[Block]:
        def one(title: str, error: float) -> Comparison:
            contenders = [Contender("ostinato.nn", FAKE, {"error": error}, ours=True), Contender("PyTorch", FAKE, {})]
            return Comparison(title, contenders, {"oracle": Contender("oracle", FAKE, {})}, 1, 2e9, turns=shapes.TURNS)

        error = float((tmp_path / "error").read_text())
        row: dict[str, Comparison | None] = {"H=1": one("a", 0.0), "H=2": one("b", error), "H=3": None}
        return [Block(which, {"B=1": row}) for which in shapes.PASSES[:1]]

    monkeypatch.setattr(shapes, "blocks", blocks)
    monkeypatch.setattr(shapes, "PASSES", shapes.PASSES[:1])
    monkeypatch.setattr(shapes, "TURNS", replace(shapes.TURNS, rounds=1, seconds=0.001))
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(machine, "build_peak", lambda folder: (None, "not measured: a test"))
    return tmp_path


@pytest.mark.parametrize("error, status", [("0", 0), ("0.1", 1)])
def test_the_command_measures_shapes(
    fake_shapes: Path, capsys: pytest.CaptureFixture[str], error: str, status: int
) -> None:
    (fake_shapes / "error").write_text(error)
    page = fake_shapes / "page.md"
    assert command.main(["--only", "shapes", "--threads", "1", "--markdown", str(page)]) == status
    printed = capsys.readouterr().out
    assert "multiply-add peak: not measured: a test\n" in printed
    (line,) = (line for line in printed.splitlines() if line.startswith("B=1"))
    assert line.endswith("too long")
    assert ("wrong" in line) == bool(status)
    assert ("WRONG RESULT, not timed" in printed) == bool(status)
    assert "too long |" in page.read_text()
    content = json.loads((fake_shapes / "results" / "shapes.json").read_text())
    assert [case["title"] for case in content["cases"]["shapes"]] == ["a", "b"]
    assert content["cases"]["shapes"][1]["contenders"][0]["status"] == ("wrong" if status else "timed")
    assert (fake_shapes / "results" / "shapes.png").read_bytes().startswith(b"\x89PNG")


def test_the_map_says_what_the_table_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    results = [measured(comparison, peak=100e9) for comparison in shapes.shapes(quick=True)]
    results[3] = measured(results[3].comparison, ours=None)
    written: list[str] = []
    said = plot._map
    monkeypatch.setattr(
        plot, "_map", lambda axis, *rest: (said(axis, *rest), written.extend(t.get_text() for t in axis.texts))[0]
    )
    plot.maps(results, tmp_path / "map.png", quick=True)
    table = [cell for table in shapes.tables(results, quick=True)[:-1] for row in table.rows for cell in row[1:]]
    assert [text.split() for text in written] == [cell.split() for cell in table]


def test_growth_and_shapes_run_by_name_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[str] = []

    def case(name: str) -> Any:
        return lambda quick: ran.append(name) or []

    for name in command.TIMED:
        monkeypatch.setitem(command.TIMED, name, case(name))
    monkeypatch.setattr(command, "_tables", lambda *of: [])
    monkeypatch.setattr(command.memory, "footprints", lambda *of: [])
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    monkeypatch.setattr(machine, "build_peak", lambda folder: (None, "not measured: a test"))
    command.main(["--threads", "1"])
    assert ran == ["stock", "ragged", "layers", "cells", "inference"]
