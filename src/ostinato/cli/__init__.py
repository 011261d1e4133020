"""The command `ostinato`."""

from __future__ import annotations

import io
import signal
import sys


def main() -> None:
    """Run the command line.

    Exit codes: 0 done; 2 what was given does not do; 130 and 143 interrupted and terminated, with nothing half-written.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where the terminal has not all letters
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was begun is cleared away
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
