"""The command, called in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from ostinato.cli.app import app

Call = Callable[..., Result]


@pytest.fixture
def ostinato(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """`ostinato ARGUMENTS...` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="ostinato")


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """160 weekdays of a sine, `Open`, and of its square, `High`."""
    value = 10 + np.sin(2 * np.pi * np.arange(160) / 16) + 0.02 * np.random.default_rng(1).normal(size=160)
    path = tmp_path / "prices.csv"
    frame = pd.DataFrame({"Date": pd.bdate_range("2020-01-01", periods=160), "Open": value, "High": value**2})
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def quick() -> list[str]:
    """Flags of a network that trains in a moment."""
    return ["--window", "8", "--units", "4", "--epochs", "2"]
