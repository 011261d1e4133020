"""The command `ostinato`."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

#: What ends the command, by the signal that asks for it.
_ENDS: dict[signal.Signals, Callable[[], BaseException]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: lambda: SystemExit(143),
    signal.SIGHUP: lambda: SystemExit(129),
}


def main() -> None:
    """Run the command line.

    Exit codes: 0 done; 2 what was given does not do; 130, 143, 129 interrupted, terminated, hung up: nothing is
    half-written.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where the terminal has not all letters
    for number in _ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as where a shell runs it in the background
            signal.signal(number, end)
    try:
        from .app import app
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("ostinato"):
            raise
        print(f"ostinato: the command needs {error.name}; pip install 'ostinato[all]'", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    app(prog_name="ostinato")


def end(number: int, frame: FrameType | None) -> None:
    """End what runs, and have what was begun cleared away; a little later where Python ignores it: in `__del__`."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            threading.Timer(0.01, os.kill, (os.getpid(), number)).start()
            return
        frame = frame.f_back
    raise _ENDS[signal.Signals(number)]()
