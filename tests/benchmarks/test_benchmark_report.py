"""The tables, the file formats and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import __main__ as command
from benchmarks import machine, report
from benchmarks.contest import Comparison, Contender, Outcome, Result, Target
from benchmarks.memory import Footprint, needed
from benchmarks.report import Table

FAKE = "tests.benchmarks.fakes:Fake"
ORACLES = {"oracle": Contender("oracle", FAKE, {})}


def result(ours: float | None, peer: float | None, title: str = "work", target: Target | None = None) -> Result:
    contenders = [Contender("ours", FAKE, {}, ours=True), Contender("peer", FAKE, {})]
    outcomes = [
        Outcome(one, seconds=[seconds] if seconds else [], error=2e-7, note="" if seconds else "absent")
        for one, seconds in zip(contenders, (ours, peer), strict=True)
    ]
    return Result(Comparison(title, contenders, ORACLES, 1, 2e9, {"peer": target} if target else {}), outcomes)


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
    row = cells(report.wide("Layers", [result(0.010, 0.025)], peak=400.0), 0)
    assert (row["ours GFLOP/s"], row["peer GFLOP/s"], row["of peak"], row["ratio"]) == ("200", "80", "50%", "2.50")


def test_wide_says_why_there_is_no_time() -> None:
    row = cells(report.wide("Layers", [result(0.010, None)], peak=None), 0)
    assert (row["ratio"], row["of peak"], row["note"]) == ("-", "-", "peer: absent")


def test_headline_is_the_least_of_all() -> None:
    aim, other = Target(3, "all shapes"), Target(2, "another")
    table = report.headline(
        [result(1, 4, target=aim), result(1, 2.5, target=aim), result(1, None, target=aim), result(1, 7, target=other)]
    )
    assert table.rows == [
        ["all shapes", "2.50", ">= 3", "1 of 3 not measured"],
        ["another", "7.00", ">= 2", ""],
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
    return Result(Comparison("cell", contenders, ORACLES, 1, 2e9, targets, aim), outcomes)


def test_cells_have_the_time_of_an_operation_and_every_peer() -> None:
    table = report.cells("Cells", [effort(0.01, 0.01, 0.09), effort(0.01, 0.02, None)], peak=400.0)
    assert cells(table, 0) == {
        "": "cell", "ms": "10", "GFLOP/s": "200", "of peak": "50%", "an operation / plain": "2.00", "target": ">= 8",
        "peer ms": "90", "ratio": "9.00", "error": "2e-07", "note": "",
    }  # fmt: skip
    assert list(table.header).count("target") == 2
    assert cells(table, 1)["an operation / plain"] == "1.00"
    assert (cells(table, 1)["peer ms"], cells(table, 1)["ratio"]) == ("", "")


def test_headline_is_the_most_effort_of_all() -> None:
    results = [effort(0.01, 0.01, None), effort(0.01, 0.02, None), effort(None, 0.02, None)]
    assert report.headline(results).rows == [["as cheap", "2.00", "<= 1.3", "1 of 3 not measured"]]


def test_memory_says_megabytes() -> None:
    table = report.memory("Memory", [Footprint("LSTM", "ours", 45.4, 71.0), Footprint("LSTM", "peer", note="broke")])
    assert table.rows == [["LSTM", "ours", "45", "71", ""], ["LSTM", "peer", "-", "-", "broke"]]


def test_arithmetic_of_memory() -> None:
    held, peak = needed("LSTM", input_size=2, hidden_size=3, batch=5, steps=7)
    assert held == pytest.approx(35 * (2 + 3 + 5 * 3) * 4e-6)
    assert peak - held == pytest.approx((35 * (2 + 3) + 12 * (2 + 3 + 2)) * 4e-6)


def test_json_keeps_every_round() -> None:
    (entry,) = json.loads(json.dumps(report.as_json({"case": [result(0.5, 1.0)]})))["case"]
    assert [one["seconds"] for one in entry["contenders"]] == [[0.5], [1.0]]
    assert entry["contenders"][1]["ratio"] == 2.0


def test_the_peak_is_measured() -> None:
    rate, how = machine.peak(threads=1)
    assert rate is not None, how
    assert rate > 1


def test_without_a_compiler_the_peak_is_said_to_be_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.peak(threads=1) == (None, "not measured: there is no C++ compiler here")


@pytest.fixture
def fake_case(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The command with a case of fakes in the place of `stock`; its last contender's error is taken from a file."""

    def case(quick: bool) -> list[Comparison]:
        error = float((tmp_path / "error").read_text())
        contenders = [Contender("ours", FAKE, {}, ours=True), Contender("peer", FAKE, {"error": error})]
        return [Comparison("work", contenders, ORACLES, 1, targets={"peer": Target(2, "aim")})]

    monkeypatch.setitem(command.TIMED, "stock", case)
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(machine, "peak", lambda threads: (100.0, "a test"))
    return tmp_path


def test_the_command_writes_what_it_measured(fake_case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fake_case / "error").write_text("0")
    page = fake_case / "page.md"
    assert command.main(["--only", "stock", "--quick", "--threads", "1", "--markdown", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "multiply-add peak: 100 GFLOP/s (a test)" in printed
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
