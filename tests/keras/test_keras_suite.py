"""Keras' own tests of its recurrent layers, with ours in their place."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

FILES = (
    "bidirectional", "dropout_rnn_cell", "gru", "lstm", "rnn", "simple_rnn", "stacked_rnn_cells", "time_distributed",
)  # fmt: skip

#: How many of these tests Keras 3.15 itself passes on torch without CUDA.
STOCK_PASSES = 65


def keras_tests(substitute: str, folder: Path) -> dict[str, int]:
    """How many of Keras' tests passed, failed and were skipped with these layers, and scans; see `substitution`."""
    tests = Path(keras.__file__).parent / "src" / "layers" / "rnn"
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "substitution", "-p", "no:cacheprovider",
            "--import-mode=importlib", f"--rootdir={folder}", "-c", os.devnull, "--tb=short",
            *(str(tests / f"{name}_test.py") for name in FILES),
        ],
        capture_output=True, text=True, timeout=600, cwd=folder, check=False,
        env={
            **os.environ,
            "KERAS_BACKEND": "torch",
            "OSTINATO_SUBSTITUTE": substitute,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]),
        },
    )  # fmt: skip
    counts = {what: int(count) for count, what in re.findall(r"(\d+) (passed|failed|skipped|error|scans)", done.stdout)}
    assert counts, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout
    return counts


def test_our_layers_pass(tmp_path: Path) -> None:
    counts = keras_tests("ours", tmp_path)
    assert counts["passed"] >= STOCK_PASSES
    assert "failed" not in counts
    assert "error" not in counts
    assert counts["scans"] > STOCK_PASSES, "these tests run the layers put there"


@pytest.mark.slow
def test_keras_own_layers_pass_no_more(tmp_path: Path) -> None:
    stock, ours = keras_tests("stock", tmp_path), keras_tests("ours", tmp_path)
    assert stock.pop("scans") == 0 < ours.pop("scans")
    assert stock == ours
