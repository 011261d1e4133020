"""What a command is given, seen to be there before libraries are loaded that take seconds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError


def check_exist(paths: Iterable[Path | None], expected: str) -> None:
    """
    Args:
        paths: None is what was not given.
        expected: what each is to be.

    Raises:
        InputError: one does not exist.
    """
    for path in paths:
        if path is not None and not path.exists():
            raise InputError(f"{path} does not exist; expected {expected}")
