"""The programs of docs/inspect.md run, each by itself, and its pictures are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "inspect.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize("program", re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE))
def test_program_runs(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ostinato.inspect.report.png", lambda figure: b"")
    exec(compile(program, str(DOCUMENT), "exec"), {})
    saved = re.findall(r'save(?:fig)?\("(\S+?)"', program)
    assert all((tmp_path / name).exists() for name in saved)


def test_pictures_are_there() -> None:
    shown = set(re.findall(r"\]\(inspect/(\S+\.png)\)", TEXT))
    assert shown == {path.name for path in (DOCUMENT.parent / "inspect").glob("*.png")}
