"""What went wrong, as a sentence and an exit code: the one place where a command's errors are handled."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def told() -> Iterator[None]:
    """Turn what went wrong into a sentence on stderr and an exit code."""
    from ..errors import InputError

    try:
        yield
    except InputError as error:
        print(f"ostinato: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("ostinato"):
            raise
        print(f"ostinato: this needs {error.name}; pip install 'ostinato[all]'", file=sys.stderr)
        raise typer.Exit(2) from None
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate memory" not in str(error):  # torch has no class for it
            raise
        print(
            "ostinato: this does not fit in memory; use fewer --units or --layers, a smaller --batch-size, "
            "or shorter sequences",
            file=sys.stderr,
        )
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        print("ostinato: interrupted; nothing was written", file=sys.stderr)
        raise typer.Exit(130) from None
