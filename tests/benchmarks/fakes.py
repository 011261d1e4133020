"""Subjects that compute nothing much, for the tests of the benchmark's own machinery."""

from __future__ import annotations

import os
from typing import Any

import numpy as np


class Fake:
    """A result of three numbers, `error` away from [1, 2, 3] at its end."""

    steps_per_run = 2

    def __init__(
        self, error: float = 0.0, value: float = 0.0, breaks: str = "", served: str = "", dtype: str = "float32"
    ) -> None:
        self.error, self.value, self.breaks, self.served = error, value, breaks, served
        self._break("build")
        print("a framework that talks on stdout")

    def _break(self, at: str) -> None:
        if self.breaks == at:
            raise RuntimeError(f"broke at {at}")
        if self.breaks == f"exit at {at}":
            os._exit(3)

    def run(self, runs: int) -> float:
        self._break("run")
        return self.value

    def check(self) -> dict[str, Any]:
        self._break("check")
        return {"output": np.array([1.0, 2.0, 3.0 + self.error])}

    def measure(self) -> dict[str, float]:
        return {"processors": float(len(os.sched_getaffinity(0)))}
