"""Contests of training: turns, what is told of those who are wrong or break, and the tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import text
from benchmarks.contest import Arena, Contender, Settings, Turns
from benchmarks.process import WorkerError
from benchmarks.text_contest import Pace, Trained, Work, hold, rate, ratio
from benchmarks.worker import Worker

SUBJECT = "tests.benchmarks.test_text_contest:Trains"

#: Who took a pass, in order.
passes: list[str] = []


class Trains:
    """A subject whose batches take as many seconds as it is told."""

    def __init__(
        self, name: str = "", seconds: list[float] | None = None, error: float = 0.0, breaks: int = 99
    ) -> None:
        self.name, self.seconds, self.error, self.left = name, seconds or [1.0], error, breaks

    def check(self) -> dict[str, Any]:
        return {"losses": np.array([1.0, 2.0 + self.error])}

    def measure(self) -> dict[str, Any]:
        passes.append(self.name)
        self.left -= 1
        if self.left < 0:
            raise MemoryError("no more")
        return {"seconds": self.seconds, "peak": 100.0 * len(self.seconds)}


class Here:
    """A worker in this process."""

    def __init__(self, *_: Any) -> None:
        self.worker = Worker()

    def ask(self, **message: Any) -> dict[str, Any]:
        if "build" in message:
            self.worker.subject = Trains(**message["options"])
            return {"versions": {}}
        try:
            return self.worker.answer(message)
        except MemoryError as error:
            raise WorkerError(str(error)) from error

    def close(self) -> None:
        pass


@pytest.fixture
def arena() -> Iterator[Arena]:
    passes.clear()
    with Arena(Settings(Turns(1, 0), 1, {"peers": "not today"}), start=Here) as opened:
        yield opened


def contender(name: str, ours: bool = False, peers: bool = False, **options: Any) -> Contender:
    return Contender(name, SUBJECT, {"name": name, **options}, ours, "peers" if peers else "project")


def work(*contenders: tuple[Contender, Pace]) -> Work:
    oracles = {"oracle": contender("oracle")}
    return Work("a network", contenders, oracles, 10, [30, 10, 20], (6, 120), "made-up rows")


def test_everyone_takes_turns_and_the_slow_leave_early(arena: Arena) -> None:
    three, one = [1.0, 2.0, 3.0], [8.0]
    found = hold(
        arena,
        work(
            (contender("ours", True, seconds=three), Pace(3, 3, 2)),
            (contender("peer", seconds=three), Pace(3, 3, 2)),
            (contender("slow", seconds=one), Pace(1, 1, 1)),
        ),
    )
    assert passes == ["ours", "ours", "peer", "peer", "slow", *["ours", "peer", "slow"], *["ours", "peer"] * 2]
    assert [len(each.seconds) for each in found] == [3, 3, 1]
    assert [each.first for each in found] == [6.0, 6.0, 8.0]
    assert [each.peak for each in found] == [300.0, 300.0, 100.0]


def test_the_wrong_the_absent_and_the_broken_are_told_and_not_timed(arena: Arena) -> None:
    pace = Pace(1, 3, 1)
    contenders = [
        contender("ours", True),
        contender("wrong", error=0.1),
        contender("away", peers=True),
        contender("broken", breaks=2),
        contender("ours, nearly right", True, error=1e-4),
    ]
    found = {each.contender.name: each for each in hold(arena, work(*[(one, pace) for one in contenders]))}
    assert "wrong" not in passes
    assert "WRONG RESULT" in found["wrong"].note
    assert "WRONG RESULT" in found["ours, nearly right"].note
    assert (found["away"].note, found["away"].red) == ("not today", False)
    assert (found["broken"].note, found["broken"].seconds) == ("failed: no more", [])
    assert [each.red for each in found.values()] == [False, True, False, True, True]
    assert len(found["ours"].seconds) == 3


def results() -> tuple[Work, list[Trained]]:
    """Ours: 30, 10 and 20 steps in 1, 2 and 3 s, the medians of three rounds; a peer three times as slow."""
    ours, slow, away = contender("ours", True), contender("slow"), contender("away")
    found = [
        Trained(ours, 1e-7, 9.0, [[1.0, 2.0, 9.0], [0.5, 2.0, 3.0], [7.0, 2.0, 1.0]], 250.4),
        Trained(slow, 2e-4, 6.0, [[3.0]], 1234.0),
        Trained(away, note="not installed"),
    ]
    return work(*[(each.contender, Pace(3, 3)) for each in found]), found


def test_rates_and_ratios_are_of_medians_of_the_batches_that_both_have() -> None:
    made, (ours, slow, away) = results()
    assert ours.medians == [1.0, 2.0, 3.0]
    assert rate(ours, made.steps) == 60 / 6
    assert rate(slow, made.steps) == 30 / 3
    assert ratio(slow, ours) == 3.0
    assert ratio(ours, slow) == pytest.approx(1 / 3)
    assert (rate(away, made.steps), ratio(away, ours), ratio(ours, away)) == (None, None, None)


def test_the_table_has_everything_in_its_column() -> None:
    made = text.table(*results())
    rows = [dict(zip(made.header, row, strict=True)) for row in made.rows]
    ours, slow, away = rows
    # 120 steps of an epoch at 10 a second, in 6 batches
    assert (ours["ms a batch"], ours["steps/s"], ours["s an epoch"]) == ("2000", "10", "12")
    assert (ours["/ ours"], slow["/ ours"], away["/ ours"]) == ("1.00", "3.00", "-")
    assert (ours["peak MB"], slow["peak MB"], away["peak MB"]) == ("250", "1234", "-")
    assert (ours["batches x rounds"], slow["batches x rounds"]) == ("3 x 3", "1 x 1")
    assert (slow["error"], slow["first pass, s"]) == ("2e-04", "6")
    assert (away["note"], away["ms a batch"], away["error"]) == ("not installed", "-", "-")


def test_page_and_json_say_what_was_measured_and_how() -> None:
    made, found = results()
    page = text.markdown("python -m benchmarks.text", {"cores": "2"}, [(made, text.table(made, found))])
    assert "Measured by `python -m benchmarks.text`:\n\n- cores: 2\n" in page
    assert "| slow | 2000 | 10 | 3.00 | 1234 |" in page
    assert page.endswith("\n\nMade-up rows.\n")
    content = json.loads(json.dumps(text.as_json(made, found)))
    assert content["contenders"][1]["ratios"] == {"ours": 3.0}
    assert content["contenders"][0]["steps_per_second"] == 10


@pytest.mark.slow
def test_the_quick_command_measures_in_processes_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(text, "RESULTS", tmp_path / "results" / "text.json")
    page = tmp_path / "page.md"
    assert text.main(["--quick", "--only", "addition", "--only", "sequences", "--markdown", str(page)]) == 0
    content = json.loads((tmp_path / "results" / "text-quick.json").read_text())
    assert list(content["works"]) == ["addition", "sequences"]
    for one in content["works"].values():
        for contender in one["contenders"]:
            assert contender["seconds"] or contender["note"] == "not in --quick"
    assert "Measured by `python -m benchmarks.text --only addition --only sequences --quick`" in page.read_text()
    assert "ostinato.nn" in capsys.readouterr().out
