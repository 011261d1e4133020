"""The runs of an experiment, on disk as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy
import torch

import ostinato

from .experiment import Case, Run


class Record:
    """The file of an experiment's runs. It is written after each, so that one that was stopped goes on where it was."""

    def __init__(self, path: Path) -> None:
        self.path = path
        told: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"runs": []}
        self.runs = [Run(**run) for run in told["runs"]]

    def has(self, case: Case, seed: int) -> bool:
        return any(run.case == case and run.seed == seed for run in self.runs)

    def keep(self, cases: Sequence[Case]) -> None:
        """Drop the runs of other cases than these."""
        self.runs = [run for run in self.runs if run.case in cases]

    def add(self, run: Run) -> None:
        self.runs.append(run)
        versions = {"ostinato": ostinato.__version__, "torch": torch.__version__, "numpy": numpy.__version__}
        runs = ",\n  ".join(json.dumps(asdict(run)) for run in self.runs)
        beside = self.path.with_suffix(".partial")
        beside.write_text(f'{{\n "versions": {json.dumps(versions)},\n "runs": [\n  {runs}\n ]\n}}\n')
        os.replace(beside, self.path)
