"""The other end of a worker: starts it, asks, and hears."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class WorkerError(RuntimeError):
    """A worker answered with an error, or ended."""


def thread_variables(threads: int) -> dict[str, str]:
    """The environment that makes every framework compute with this many threads."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    return {**dict.fromkeys(names, str(threads)), "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}


class Process:
    """One worker process (see `worker`).

    Args:
        python: the interpreter to run it with.
        threads: processors it may use.
        variables: further environment variables.
    """

    def __init__(self, python: Path, threads: int, variables: Mapping[str, str] | None = None) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open until `close`)
        search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._child = subprocess.Popen(
            [str(python), "-m", "benchmarks.worker", "--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            env={**os.environ, **thread_variables(threads), "PYTHONPATH": search, **(variables or {})},
        )

    def ask(self, **message: Any) -> dict[str, Any]:
        """Send a message and wait for the reply.

        Raises:
            WorkerError: the reply is an error, or the process ended; the sentence says which.
        """
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            print(json.dumps(message), file=self._child.stdin, flush=True)
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"the worker ended with status {self._child.wait()}: {self._last_words()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise WorkerError(str(reply["error"]))
        return reply

    def close(self) -> None:
        """End the process."""
        self._child.kill()
        self._child.communicate()
        self._errors.close()

    def _last_words(self) -> str:
        self._errors.seek(0)
        said = self._errors.read().strip().splitlines()
        return said[-1] if said else "it said nothing"
