"""The latency of a step: every contender is right before it is timed, and a wrong one is told."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import latency

QUICK = ["--steps", "40", "--rounds", "2", "--units", "5", "--features", "3", "--batch", "2"]


def test_every_contender_is_right_and_timed(capsys: pytest.CaptureFixture[str]) -> None:
    assert latency.main(QUICK) == 0
    printed = capsys.readouterr()
    assert not printed.err
    lines = {line[:26].strip(): line[26:].split() for line in printed.out.splitlines()}
    assert {name: lines[name][2] for name in latency.CONTENDERS} == {
        name: "40" if name == latency.OURS else "4" for name in latency.CONTENDERS
    }


def test_a_wrong_result_is_told_and_not_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(
        latency.CONTENDERS, "wrong", lambda reference, batch: lambda x: np.full((2, 5), 0.01, "float32")
    )
    assert latency.main(QUICK) == 1
    printed = capsys.readouterr()
    assert "wrong: WRONG RESULT, not measured" in printed.err
    assert "wrong" not in printed.out
