"""Contests: everyone in turn, wrong results refused, absences said."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import contest, machine
from benchmarks.contest import (
    Arena,
    Comparison,
    Contender,
    Outcome,
    Result,
    Settings,
    Step,
    Turns,
    difference,
    take_turns,
)
from benchmarks.process import Process, WorkerError

FAKE = "tests.benchmarks.fakes:Fake"


def contender(name: str, ours: bool = False, **options: Any) -> Contender:
    return Contender(name, FAKE, options, ours=ours)


def comparison(*contenders: Contender) -> Comparison:
    return Comparison("work", contenders, {"oracle": contender("oracle")}, steps=3)


@pytest.fixture
def arena() -> Iterator[Arena]:
    with Arena(Settings(Turns(rounds=3, seconds=0.001), threads=1)) as opened:
        yield opened


class TestTurns:
    def clocks(self, calls: list[tuple[str, int]]) -> dict[str, Callable[[int], float]]:
        def clock(name: str) -> Callable[[int], float]:
            def timed(runs: int) -> float:
                calls.append((name, runs))
                return float(len(calls))

            return timed

        return {"ours": clock("ours"), "peer": clock("peer"), "other": clock("other")}

    def test_everyone_is_timed_once_a_round(self) -> None:
        calls: list[tuple[str, int]] = []
        take_turns(self.clocks(calls), Turns(rounds=3, seconds=0.0))
        assert [name for name, _ in calls[-9:]] == ["ours", "peer", "other"] * 3

    def test_warm_up_is_not_among_the_times(self) -> None:
        calls: list[tuple[str, int]] = []
        timed = take_turns(self.clocks(calls), Turns(rounds=2, seconds=0.0))
        warm = len(calls) - 6
        assert warm >= 6
        assert timed == {"ours": [warm + 1, warm + 4], "peer": [warm + 2, warm + 5], "other": [warm + 3, warm + 6]}

    def test_a_turn_has_as_many_runs_as_fill_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [0.0]
        monkeypatch.setattr("time.perf_counter", lambda: now[0])

        def slow(runs: int) -> float:
            now[0] += 0.25 * runs
            counts.append(runs)
            return 0.25

        counts: list[int] = []
        take_turns({"slow": slow}, Turns(rounds=1, seconds=2.0, warm_up=1.0))
        assert counts == [1, 1, 1, 1, 1, 8]

    def test_a_turn_has_at_least_one_run(self) -> None:
        counts: list[int] = []

        def clock(runs: int) -> float:
            counts.append(runs)
            return 1.0

        take_turns({"one": clock}, Turns(rounds=2, seconds=0.0))
        assert counts[-2:] == [1, 1]


class TestDifference:
    right = {"output": np.array([1.0, -4.0])}

    def test_is_relative_to_the_largest_entry(self) -> None:
        error, where = difference({"output": np.array([1.2, -4.0])}, self.right)
        assert error == pytest.approx(0.05)
        assert where == "output"

    @pytest.mark.parametrize(
        "result",
        [
            {"output": np.array([1.0, math.nan])},
            {"output": np.array([math.inf, -4.0])},
            {"output": np.array([1.0])},
            {"output": np.array([1.0, -4.0]), "more": np.zeros(1)},
            {},
        ],
    )
    def test_of_what_cannot_be_compared_is_infinite(self, result: dict[str, Any]) -> None:
        assert difference(result, self.right)[0] == math.inf

    def test_of_zeros_is_absolute(self) -> None:
        assert difference({"dx": np.full(2, 1e-3)}, {"dx": np.zeros(2)})[0] == pytest.approx(1e-3)


class TestResult:
    def result(self) -> Result:
        one, two = contender("ours", ours=True), contender("peer")
        return Result(comparison(one, two), [Outcome(one, seconds=[3.0, 1.0, 2.0]), Outcome(two, seconds=[8.0])])

    def test_ratio_is_of_medians(self) -> None:
        assert self.result().ratio("peer") == 4.0
        assert self.result().ratio("ours") == 1.0

    def test_there_is_no_ratio_to_what_was_not_timed(self) -> None:
        result = self.result()
        result["peer"].seconds = []
        assert result.ratio("peer") is None

    def test_effort_is_the_time_of_one_operation(self) -> None:
        one, two = contender("ours", ours=True), Contender("plain", FAKE, {}, flops=12.0)
        work = Comparison("work", [one, two], {"oracle": contender("oracle")}, steps=1, flops=3.0)
        result = Result(work, [Outcome(one, seconds=[1.0]), Outcome(two, seconds=[2.0])])
        assert result.rate("ours") == 3.0
        assert result.effort("plain") == 2.0
        result["plain"].seconds = []
        assert result.effort("plain") is None

    def test_there_is_no_effort_where_no_operations_were_counted(self) -> None:
        assert self.result().effort("peer") is None

    def beside_the_peak(self, ours: float | None = None, peer: float | None = None, **options: Any) -> Result:
        """Rounds in which everything changes; `ours` and `peer` are operations of their own."""
        one, two = Contender("ours", FAKE, options, flops=ours), Contender("peer", FAKE, options, flops=peer)
        outcomes = [Outcome(one, seconds=[1.0, 2.0, 8.0]), Outcome(two, seconds=[4.0, 2.0, 8.0])]
        work = Comparison("work", [one, two], {"oracle": contender("oracle")}, steps=1, flops=6.0)
        return Result(work, outcomes, peaks=[12.0, 12.0, 1.0])

    def test_parts_of_the_peak_are_medians_of_the_rounds(self) -> None:
        result = self.beside_the_peak()
        assert result.of_peak("ours") == 0.5  # of 1/2, 1/4, 3/4
        assert result.of_peak("peer") == 0.25  # of 1/8, 1/4, 3/4
        assert result.at_peak("peer") == 4.0  # of 8, 4, 4/3
        assert result.at_peak("ours") == 2.0

    def test_at_the_peak_the_operations_are_ours(self) -> None:
        result = self.beside_the_peak(ours=3.0, peer=12.0)
        assert (result.of_peak("ours"), result.of_peak("peer")) == (0.25, 0.5)
        assert (result.at_peak("ours"), result.at_peak("peer")) == (4.0, 8.0)

    def test_in_float64_the_peak_is_half(self) -> None:
        result = self.beside_the_peak(dtype="float64")
        assert (result.of_peak("ours"), result.at_peak("peer")) == (1.0, 2.0)

    def test_without_peak_time_or_operations_there_is_no_part_of_it(self) -> None:
        result = self.beside_the_peak()
        result["peer"].seconds = []
        assert (result.of_peak("peer"), result.at_peak("peer")) == (None, None)
        result.peaks = []
        assert (result.of_peak("ours"), result.at_peak("ours")) == (None, None)
        assert self.result().of_peak("ours") is None

    def test_at_the_floor_the_elementwise_part_comes_on_top(self) -> None:
        result = self.beside_the_peak(peer=12.0)
        assert (result.at_floor("peer"), result.effort_at_floor("peer")) == (None, None)
        result.alone = [0.5, 0.5, 10.0]
        assert result.at_floor("peer") == 2.0  # of 4 / (1/2 + 1/2), 2 / (1/2 + 1/2), 8 / (6 + 10)
        assert result.effort_at_floor("peer") == 1.0  # twice as fast, and half as many operations


class TestArena:
    def test_right_results_are_timed(self, arena: Arena) -> None:
        result = arena.hold(comparison(contender("ours", ours=True, error=1e-6), contender("peer", error=-1e-3)))
        assert [len(outcome.seconds) for outcome in result.outcomes] == [3, 3]
        assert result["peer"].error == pytest.approx(1e-3 / 3)
        assert not result.red

    def test_a_peers_wrong_result_is_not_timed(self, arena: Arena) -> None:
        result = arena.hold(comparison(contender("ours", ours=True), contender("peer", error=0.01)))
        assert result["peer"].status == "wrong"
        assert result["peer"].seconds == []
        assert "WRONG RESULT" in result["peer"].note
        assert "output" in result["peer"].note
        assert len(result["ours"].seconds) == 3
        assert result.red

    def test_nobody_is_timed_beside_a_wrong_result_of_ours(self, arena: Arena) -> None:
        result = arena.hold(comparison(contender("ours", ours=True, error=1e-4), contender("peer", error=1e-4)))
        assert [outcome.status for outcome in result.outcomes] == ["wrong", "withheld"]
        assert [outcome.seconds for outcome in result.outcomes] == [[], []]
        assert result.red

    def test_an_environment_that_is_missing_is_said(
        self, arena: Arena, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setitem(contest.INTERPRETERS, "peers", tmp_path / "python")
        result = arena.hold(comparison(contender("ours", ours=True), Contender("peer", FAKE, {}, environment="peers")))
        assert result["peer"].status == "missing"
        assert result["peer"].note == "not installed: make bench installs it"
        assert len(result["ours"].seconds) == 3
        assert not result.red

    def test_an_environment_that_is_left_out_is_said(self) -> None:
        settings = Settings(Turns(1, 0.001), 1, left_out={"peers": "not today"})
        with Arena(settings) as arena:
            result = arena.hold(comparison(Contender("peer", FAKE, {}, environment="peers")))
        assert (result["peer"].status, result["peer"].note) == ("missing", "not today")

    @pytest.mark.parametrize("at", ["build", "check", "run", "exit at check", "exit at run"])
    def test_who_breaks_fails_and_the_others_go_on(self, arena: Arena, at: str) -> None:
        result = arena.hold(comparison(contender("ours", ours=True), contender("peer", breaks=at)))
        assert result["peer"].status == "failed"
        assert ("ended with status 3" if "exit" in at else f"broke at {at}") in result["peer"].note
        assert len(result["ours"].seconds) == 3
        assert result.red

    def test_a_run_that_is_not_finite_is_not_timed(self, arena: Arena) -> None:
        result = arena.hold(comparison(contender("ours", ours=True), contender("peer", value=math.nan)))
        assert result["peer"].status == "failed"
        assert "not finite" in result["peer"].note

    @pytest.mark.parametrize("dtype, status", [("float32", "timed"), ("float64", "wrong")])
    def test_float64_must_be_as_exact_as_it_can(self, arena: Arena, dtype: str, status: str) -> None:
        result = arena.hold(comparison(contender("ours", ours=True, error=1e-6, dtype=dtype)))
        assert result["ours"].status == status

    @pytest.mark.parametrize("tolerance, status", [(1e-3, "timed"), (1e-4, "wrong")])
    def test_who_is_not_to_be_as_exact_as_float32_has_a_tolerance(
        self, arena: Arena, tolerance: float, status: str
    ) -> None:
        ours = replace(contender("ours", ours=True, error=1e-3), tolerance=tolerance)
        assert arena.hold(comparison(ours))["ours"].status == status

    @pytest.mark.skipif(machine.processors() < 2, reason="takes two processors")
    def test_a_contender_may_have_threads_of_its_own(self) -> None:
        everybody, alone = Contender("all", FAKE, {}), Contender("alone", FAKE, {}, threads=1)
        with Arena(Settings(Turns(1, 0.001), threads=2)) as arena:
            processors = [arena.build(one).ask(measure=True)["processors"] for one in (everybody, alone)]
        assert processors == [2.0, 1.0]

    def test_a_comparison_may_have_turns_of_its_own(self, arena: Arena) -> None:
        one = contender("ours", ours=True)
        work = Comparison("work", [one], {"oracle": contender("oracle")}, steps=1, turns=Turns(2, 0.001, 0.0))
        assert len(arena.hold(work)["ours"].seconds) == 2

    def test_an_oracle_is_asked_anew_when_it_is_another(self, arena: Arena) -> None:
        def hold(error: float) -> float | None:
            one, oracle = Contender("peer", FAKE, {}), contender("oracle", error=error)
            return arena.hold(Comparison("work", [one], {"oracle": oracle}, steps=1))["peer"].error

        assert [hold(0.0), hold(0.0), hold(1.0)] == [0.0, 0.0, 0.25]

    def test_another_path_than_the_compiled_one_is_said(self, arena: Arena) -> None:
        result = arena.hold(comparison(contender("ours", ours=True, served="reference: no compiler")))
        assert result["ours"].note == "ran on the reference: no compiler"

    def test_an_oracle_that_breaks_stops_everything(self, arena: Arena) -> None:
        work = Comparison("work", [contender("ours", ours=True)], {"oracle": contender("o", breaks="check")}, steps=1)
        with pytest.raises(WorkerError, match="broke at check"):
            arena.hold(work)

    def test_everyone_answers_to_the_oracle_named(self, arena: Arena) -> None:
        padded = Contender("padded", FAKE, {"error": 1.0}, oracle="padded")
        oracles = {"oracle": contender("oracle"), "padded": contender("oracle", error=1.0)}
        result = arena.hold(Comparison("work", [contender("ours", ours=True), padded], oracles, steps=1))
        assert result["padded"].error == 0.0


class TestPeak:
    ours, peer = contender("ours", ours=True), contender("peer")

    def work(self, *contenders: Contender, flops: float | None = 6.0) -> Comparison:
        return replace(comparison(*contenders or (self.ours, self.peer)), flops=flops)

    @pytest.fixture
    def told(self) -> list[str]:
        return []

    @pytest.fixture
    def opened(self, told: list[str]) -> Iterator[Callable[..., Arena]]:
        with ExitStack() as stack:
            settings = Settings(Turns(rounds=3, seconds=0.001), threads=1)
            yield lambda **of: stack.enter_context(Arena(settings, told.append, peak=contender("peak", **of)))

    @pytest.mark.parametrize("runs, at_the_peak", [(8, 2), (3, 1)])
    def test_takes_turns_a_quarter_as_long(
        self, opened: Callable[..., Arena], monkeypatch: pytest.MonkeyPatch, runs: int, at_the_peak: int
    ) -> None:
        calls: list[tuple[str, int]] = []

        def clock(_: Arena, of: Contender) -> Callable[[int], float]:
            return lambda runs: calls.append((of.name, runs)) or 0.25  # type: ignore[func-returns-value]

        monkeypatch.setattr(contest, "_runs", lambda *_: runs)
        monkeypatch.setattr(Arena, "_clock", clock)
        result = opened().hold(self.work())
        assert calls == [("peak", at_the_peak), ("ours", runs), ("peer", runs)] * 3
        assert result.peaks == [4.0] * 3
        assert [outcome.contender for outcome in result.outcomes] == [self.ours, self.peer]

    def test_is_there_again_after_all_workers_ended(self, opened: Callable[..., Arena], told: list[str]) -> None:
        arena = opened()
        for _ in range(2):
            assert len(arena.hold(self.work()).peaks) == 3
            arena.clear()
        assert told == ["work"] * 2

    def test_is_not_measured_where_no_operations_are_counted(
        self, opened: Callable[..., Arena], told: list[str]
    ) -> None:
        result = opened(breaks="build").hold(self.work(flops=None))
        assert (result.peaks, len(result["ours"].seconds)) == ([], 3)
        assert told == ["work"]

    @pytest.mark.parametrize("at", ["build", "run", "exit at build", "exit at run"])
    def test_that_breaks_is_told_and_everyone_timed(
        self, opened: Callable[..., Arena], told: list[str], at: str
    ) -> None:
        result = opened(breaks=at).hold(self.work())
        _, said = told
        assert said.startswith("not measured: peak, it failed: ")
        assert ("ended with status 3" if "exit" in at else f"broke at {at}") in said
        assert (result.peaks, result.of_peak("ours"), result.red) == ([], None, False)
        assert [len(outcome.seconds) for outcome in result.outcomes] == [3, 3]

    def test_goes_on_where_a_contender_breaks(self, opened: Callable[..., Arena]) -> None:
        result = opened().hold(self.work(self.ours, contender("peer", breaks="run")))
        assert (len(result.peaks), result["peer"].status) == (3, "failed")

    def test_is_that_of_the_library(self, tmp_path: Path) -> None:
        library, how = machine.build_peak(tmp_path)
        if library is None and how == "not measured: there is no C++ compiler here":
            pytest.skip(how)
        assert library is not None, how
        options: dict[str, Any] = {"library": str(library), "threads": 2}
        subject = machine.MultiplyAdds(**options)
        lanes = subject.steps_per_run / (2 * 2 * subject.STEPS)
        assert lanes / 12 in (4, 8, 16)
        # Each chain ends at its fixed point, x = (1/2 + seed) x + seed.
        ends = [lanes * seed / (0.5 - seed) for seed in (0.001, 0.002)]
        assert subject.run(1) == pytest.approx(sum(ends), rel=1e-4)
        peak = Contender("multiply-adds", "benchmarks.machine:MultiplyAdds", options)
        with Arena(Settings(Turns(2, 0.01, 0.0), threads=1), peak=peak) as arena:
            assert min(arena.hold(self.work()).peaks) > 1e8

    def test_the_elementwise_part_is_measured_beside_it(self, told: list[str]) -> None:
        asked = []

        def alone(step: Step) -> Contender:
            asked.append(step)
            return contender("part", breaks="run" if step.count == 3 else "")

        with Arena(Settings(Turns(3, 0.001), threads=1), told.append, peak=contender("peak"), alone=alone) as arena:
            steps = [Step("lstm", 8, count) for count in (2, 3)]
            found = [arena.hold(replace(self.work(), step=step)) for step in steps]
            assert asked == steps
            assert [(len(one.peaks), len(one.alone)) for one in found] == [(3, 3), (3, 0)]
            assert arena.hold(self.work()).alone == []
        assert told[2].startswith("not measured: part, it failed: ")

    @pytest.mark.parametrize("training", [False, True])
    def test_the_elementwise_part_is_that_of_the_cell(self, tmp_path: Path, training: bool) -> None:
        library = machine.build_steps(tmp_path, ["elman", "lstm"])
        if library is None:
            pytest.skip("there is no C++ compiler here")
        subject = machine.Steps(str(library), "lstm", units=40, training=training, threads=2)
        half = 1 / (1 + math.exp(-0.5))  # of products that are all 1/2, the state settles down
        cell = half * math.tanh(0.5) / (1 - half)
        assert subject.run(1) == pytest.approx(2 * half * math.tanh(cell), rel=1e-5)
        assert subject.steps_per_run % (2 * subject.REPEATS) == 0

    @pytest.mark.parametrize("compiler", ["", "false"])
    def test_without_a_library_it_is_said_why(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiler: str
    ) -> None:
        monkeypatch.setenv("CXX", compiler)
        if not compiler:
            monkeypatch.setenv("PATH", str(tmp_path))
        why = "false could not compile peak.cpp" if compiler else "there is no C++ compiler here"
        assert machine.build_peak(tmp_path) == (None, f"not measured: {why}")
        assert machine.build_steps(tmp_path, ["lstm"]) is None


class TestProcess:
    @pytest.fixture
    def process(self) -> Iterator[Process]:
        started = Process(contest.INTERPRETERS["project"], threads=1)
        yield started
        started.close()

    def test_computes_on_the_processors_it_was_given(self, process: Process) -> None:
        process.ask(build=FAKE)
        assert process.ask(measure=True) == {"processors": 1.0}

    def test_seconds_are_of_one_step(self, process: Process) -> None:
        process.ask(build=FAKE)
        assert 0 < process.ask(time=10)["seconds"] < 1

    @pytest.mark.parametrize(
        ("message", "sentence"),
        [
            ({"time": 1}, "nothing was built yet"),
            ({"build": f"{FAKE}s"}, "no attribute 'Fakes'"),
            ({"build": FAKE, "options": {"eror": 1}}, "eror"),
        ],
    )
    def test_an_error_is_told(self, process: Process, message: dict[str, Any], sentence: str) -> None:
        with pytest.raises(WorkerError, match=sentence):
            process.ask(**message)

    def test_an_unknown_message_is_told(self, process: Process) -> None:
        process.ask(build=FAKE)
        with pytest.raises(WorkerError, match="expected build, check, time or measure"):
            process.ask(clock=1)
