"""Which way Ostinato's own scans went, so that a table can say when the compiled kernels did not run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def watched(subject: Any) -> Iterator[None]:
    """Set `subject.served` to the reasons of the scans inside the block that the kernels did not serve.

    Raises:
        RuntimeError: no scan ran at all, so what was called ran on another framework's path.
    """
    from ostinato.scan import watch

    with watch() as taken:
        yield
    if not taken:
        raise RuntimeError("none of Ostinato's scans ran: the layer took another framework's path")
    subject.served = "; ".join(sorted({f"{c.backend}: {c.reason}" for c in taken if c.backend != "cpu"}))
