"""One process that computes when it is told to: a line of JSON in, a line of JSON out.

    {"build": "benchmarks.with_torch:Layer", "options": {...}}  -> {"versions": {...}}
    {"check": "results.npz"}     writes outputs and gradients   -> {"served": "how the scan ran, when not compiled"}
    {"time": runs}                                              -> {"seconds": per step}
    {"measure": true}                                           -> what the subject's measure() returns

An exception is answered by {"error": sentence} and traced on stderr.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import math
import os
import platform
import sys
import time
import traceback
from importlib import metadata
from typing import Any, Protocol

PACKAGES = ("torch", "keras", "jax", "tensorflow", "tensorflow-cpu", "onnxruntime", "numpy")


class Subject(Protocol):
    """What a worker builds, checks and times."""

    #: Training steps (or forward passes) that one run makes.
    steps_per_run: int

    def run(self, runs: int) -> float:
        """Do the work `runs` times; returns a number of it (a loss, an output), which must be finite."""

    def check(self) -> dict[str, Any]:
        """Outputs and gradients by name, as arrays."""


def versions() -> dict[str, str]:
    """The Python in use, and of `PACKAGES` those that this process has imported."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        if name.removesuffix("-cpu") in sys.modules:
            try:
                found[name.removesuffix("-cpu")] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
    return found


class Worker:
    """Answers one message after the other; holds one subject at a time."""

    def __init__(self) -> None:
        self.subject: Any = None

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """The reply to one message; see the module's head."""
        if "build" in message:
            return self._build(message["build"], message.get("options", {}))
        if self.subject is None:
            raise RuntimeError("nothing was built yet; send a build message first")
        if "check" in message:
            return self._check(message["check"])
        if "time" in message:
            return self._time(message["time"])
        if "measure" in message:
            return dict(self.subject.measure())
        raise ValueError(f"got a message with the keys {sorted(message)}; expected build, check, time or measure")

    def _build(self, place: str, options: dict[str, Any]) -> dict[str, Any]:
        self.subject = None
        gc.collect()
        module, name = place.split(":")
        self.subject = getattr(importlib.import_module(module), name)(**options)
        return {"versions": versions()}

    def _check(self, path: str) -> dict[str, Any]:
        import numpy

        numpy.savez(path, **self.subject.check())
        return {"served": getattr(self.subject, "served", "")}

    def _time(self, runs: int) -> dict[str, Any]:
        start = time.perf_counter()
        value = self.subject.run(runs)
        seconds = time.perf_counter() - start
        if not math.isfinite(value):
            raise FloatingPointError(f"the timed steps ended in {value}; a run that is not finite is not timed")
        return {"seconds": seconds / (runs * self.subject.steps_per_run)}


def main() -> None:
    """Serve until stdin closes, on the first `--threads` processors this process may use."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--threads", type=int, required=True)
    threads = parser.parse_args().threads
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    # Frameworks print to stdout when they please: replies go through a descriptor of their own.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        try:
            reply = worker.answer(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies)


if __name__ == "__main__":
    main()
