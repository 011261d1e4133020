"""What does not exist is refused before libraries are loaded that take seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "keras", "pandas", "sklearn", "tokenizers"}


@pytest.mark.parametrize(
    "words", [["write", "none.txt"], ["classify", "none.csv"], ["classify", __file__, "--test", "none.csv"]]
)
def test_a_missing_file_is_told_at_once(words: list[str], tmp_path: Path) -> None:
    program = (
        "import sys; from ostinato.cli.app import app\n"
        f"try: app({words!r}, standalone_mode=True)\n"
        "except SystemExit as ended: print(ended.code, *{name.partition('.')[0] for name in sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    code, *loaded = run.stdout.split()
    assert code == "2"
    assert run.stderr.startswith(f"ostinato: {words[-1]} does not exist; expected ")
    assert len(run.stderr.splitlines()) == 1
    assert HEAVY.isdisjoint(loaded)
