"""The tables, the file formats and the command."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks import __main__ as command
from benchmarks import machine, precision, report
from benchmarks.contest import Comparison, Contender, Outcome, Result, Target
from benchmarks.memory import Footprint, needed
from benchmarks.report import Table

FAKE = "tests.benchmarks.fakes:Fake"
ORACLES = {"oracle": Contender("oracle", FAKE, {})}
MEASURER = Contender("peak", FAKE, {})


def result(
    ours: float | None,
    peer: float | None,
    title: str = "work",
    target: Target | None = None,
    peaks: Sequence[float] = (),
) -> Result:
    contenders = [Contender("ours", FAKE, {}, ours=True), Contender("peer", FAKE, {})]
    outcomes = [
        Outcome(one, seconds=[seconds] if seconds else [], error=2e-7, note="" if seconds else "absent")
        for one, seconds in zip(contenders, (ours, peer), strict=True)
    ]
    targets = {"peer": target} if target else {}
    return Result(Comparison(title, contenders, ORACLES, 1, 2e9, targets), outcomes, list(peaks))


def cells(table: Table, row: int) -> dict[str, str]:
    return dict(zip(table.header, table.rows[row], strict=True))


def test_text_is_aligned() -> None:
    table = Table("Speeds", ["", "ms", "note"], [["a", "1.25", ""], ["long name", "10", "slow"]])
    assert table.text().splitlines() == [
        "Speeds",
        "             ms  note",
        "---------------------",
        "a          1.25",
        "long name    10  slow",
    ]


def test_markdown_is_a_table() -> None:
    table = Table("Speeds", ["", "ms", "note"], [["a", "1.25", "x"]])
    assert table.markdown().splitlines() == [
        "**Speeds**",
        "",
        "|  | ms | note |",
        "| --- | --: | --- |",
        "| a | 1.25 | x |",
    ]


def test_tall_has_milliseconds_ratio_and_target() -> None:
    row = cells(report.tall(result(0.010, 0.025, target=Target(2, "aim"))), 1)
    assert (row["ms a step"], row["/ ours"], row["target"], row["error"]) == ("25", "2.50", ">= 2", "2e-07")


def test_tall_says_why_there_is_no_time() -> None:
    row = cells(report.tall(result(0.010, None)), 1)
    assert (row["ms a step"], row["/ ours"], row["note"]) == ("-", "-", "absent")


def test_wide_has_rates_and_their_part_of_the_peak() -> None:
    row = cells(report.wide("Layers", [result(0.010, 0.025, peaks=[400e9])]), 0)
    assert (row["ours GFLOP/s"], row["peer GFLOP/s"], row["of peak"]) == ("200", "80", "50%")
    assert (row["ratio"], row["at the peak"]) == ("2.50", "5.00")


def test_wide_says_why_there_is_no_time() -> None:
    row = cells(report.wide("Layers", [result(0.010, None)]), 0)
    assert (row["ratio"], row["at the peak"], row["of peak"], row["note"]) == ("-", "-", "-", "peer: absent")


def test_precision_has_the_times_their_ratios_and_the_errors() -> None:
    (comparison, _) = precision.precision(quick=True)
    seconds = dict(zip((one.name for one in comparison.contenders), (0.002, 0.003, 0.006, 0.004, 0.01), strict=True))
    outcomes = [Outcome(one, seconds=[seconds[one.name]], error=seconds[one.name]) for one in comparison.contenders]
    times, errors = precision.tables([Result(comparison, outcomes)])
    row = cells(times, 0)
    assert (row["ostinato.nn, bf16 ms"], row["PyTorch ms"]) == ("2", "10")
    assert (row["ostinato.nn, ieee / ostinato.nn, bf16"], row["PyTorch, autocast / ostinato.nn, bf16"]) == (
        "3.00",
        "2.00",
    )
    assert (row["PyTorch / ostinato.nn, bf16"], row["PyTorch / ostinato.nn, ieee"]) == ("5.00", "1.67")
    assert cells(errors, 0)["ostinato.nn, tf32"] == "3e-03"


def test_headline_is_the_least_of_all() -> None:
    aim, other = Target(3, "all shapes"), Target(2, "another")
    table = report.headline(
        [result(1, 4, target=aim), result(1, 2.5, target=aim), result(1, None, target=aim), result(1, 7, target=other)]
    )
    assert table.rows == [
        ["all shapes", "2.50", ">= 3", "-", "-", "1 of 3 not measured"],
        ["another", "7.00", ">= 2", "-", "-", ""],
    ]


def test_headline_has_the_bound_of_the_least_and_the_part_of_the_peak() -> None:
    aim, part = Target(3, "fast"), Target(0.65, "near the peak")
    results = [result(1, 4, target=aim, peaks=[4e9]), result(1, 2, target=aim, peaks=[3e9])]
    for one in results:
        one.comparison = replace(one.comparison, part=part)
    results[1].alone = [1 / 3]
    assert report.headline(results).rows == [
        ["fast", "2.00", ">= 3", "3.00", "2.00", ""],
        ["near the peak", "0.50", ">= 0.65", "1.00", "-", ""],
    ]


def effort(ours: float | None, plain: float, peer: float | None) -> Result:
    contenders = [
        Contender("ours", FAKE, {}, ours=True),
        Contender("plain", FAKE, {}, flops=4e9),
        *([Contender("peer", FAKE, {})] if peer else []),
    ]
    outcomes = [
        Outcome(one, seconds=[seconds] if seconds else [], error=2e-7)
        for one, seconds in zip(contenders, filter(lambda s: s != 0, (ours, plain, peer)), strict=False)
    ]
    targets = {"peer": Target(8, "faster")} if peer else {}
    aim = {"plain": Target(1.3, "as cheap")}
    return Result(Comparison("cell", contenders, ORACLES, 1, 2e9, targets, aim), outcomes, [400e9])


def test_cells_have_the_time_of_an_operation_and_every_peer() -> None:
    table = report.cells("Cells", [effort(0.01, 0.01, 0.09), effort(0.01, 0.02, None)])
    assert cells(table, 0) == {
        "": "cell", "ms": "10", "GFLOP/s": "200", "of peak": "50%", "an operation / plain": "2.00", "target": ">= 8",
        "peer ms": "90", "ratio": "9.00", "at the peak": "18.00", "at the floor": "-", "error": "2e-07", "note": "",
    }  # fmt: skip
    assert list(table.header).count("target") == 2
    assert cells(table, 1)["an operation / plain"] == "1.00"
    assert [cells(table, 1)[column] for column in ("peer ms", "ratio", "at the peak")] == [""] * 3


def test_headline_is_the_most_effort_of_all() -> None:
    results = [effort(0.01, 0.01, None), effort(0.01, 0.02, None), effort(None, 0.02, None)]
    assert report.headline(results).rows == [["as cheap", "2.00", "<= 1.3", "-", "-", "1 of 3 not measured"]]


def test_memory_says_megabytes() -> None:
    table = report.memory("Memory", [Footprint("LSTM", "ours", 45.4, 71.0), Footprint("LSTM", "peer", note="broke")])
    assert table.rows == [["LSTM", "ours", "45", "71", ""], ["LSTM", "peer", "-", "-", "broke"]]


def test_arithmetic_of_memory() -> None:
    held, peak = needed("LSTM", input_size=2, hidden_size=3, batch=5, steps=7)
    assert held == pytest.approx(35 * (2 + 3 + 5 * 3) * 4e-6)
    assert peak - held == pytest.approx((35 * (2 + 3) + 12 * (2 + 3 + 2)) * 4e-6)


def test_json_keeps_every_round() -> None:
    (entry,) = json.loads(json.dumps(report.as_json({"case": [result(0.5, 1.0, peaks=[5e9])]})))["case"]
    assert [one["seconds"] for one in entry["contenders"]] == [[0.5], [1.0]]
    assert entry["contenders"][1]["ratio"] == 2.0
    assert entry["peaks"] == [5e9]


def test_the_peak_is_said_with_its_spread() -> None:
    results = [result(1, 2, peaks=[200e9]), result(1, 2, peaks=[300e9]), result(1, 2, peaks=[211e9]), result(1, 2)]
    assert command._peak(results, MEASURER, "so") == "211 GFLOP/s in the median, 200 to 300 (so)"


def test_why_there_is_no_peak_is_said() -> None:
    counted = [result(1, 2)]
    uncounted = [replace(one, comparison=replace(one.comparison, flops=None)) for one in counted]
    assert command._peak(uncounted, MEASURER, "so") == "not measured: nothing here counts operations"
    assert command._peak(counted, None, "not measured: no compiler") == "not measured: no compiler"
    assert command._peak(counted, MEASURER, "so").startswith("not measured: it failed")


@pytest.fixture
def fake_case(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The command with a case of fakes in the place of `stock`; its last contender's error is taken from a file."""

    def case(quick: bool) -> list[Comparison]:
        error = float((tmp_path / "error").read_text())
        contenders = [Contender("ours", FAKE, {}, ours=True), Contender("peer", FAKE, {"error": error})]
        return [Comparison("work", contenders, ORACLES, 1, 2e9, {"peer": Target(2, "aim")})]

    monkeypatch.setitem(command.TIMED, "stock", case)
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(machine, "build_peak", lambda folder: (folder, "a test"))
    monkeypatch.setattr(command, "_multiply_adds", lambda library, threads: MEASURER)
    return tmp_path


def test_the_command_writes_what_it_measured(fake_case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fake_case / "error").write_text("0")
    page = fake_case / "page.md"
    assert command.main(["--only", "stock", "--quick", "--threads", "1", "--markdown", str(page)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^multiply-add peak: \d+ GFLOP/s in the median, \d+ to \d+ \(a test\)$", printed, re.MULTILINE)
    assert "aim" in printed
    results = fake_case / "results"
    content = json.loads((results / "stock-quick.json").read_text())
    assert [one["status"] for one in content["cases"]["stock"][0]["contenders"]] == ["timed", "timed"]
    assert (results / "stock-quick.png").read_bytes().startswith(b"\x89PNG")
    assert "python -m benchmarks --only stock --quick" in page.read_text()


def test_the_command_fails_when_a_result_is_wrong(fake_case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fake_case / "error").write_text("1")
    assert command.main(["--only", "stock", "--quick", "--threads", "1"]) == 1
    assert "WRONG RESULT" in capsys.readouterr().out


@pytest.mark.parametrize("given", [["--only", "speed"], ["--threads", "0"], ["--threads", "100000"]])
def test_the_command_refuses_what_it_does_not_know(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(given)
    assert stopped.value.code == 2
    assert given[1] in capsys.readouterr().err
