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


def one_test(test: Path | None, size: float | None) -> None:
    """
    Raises:
        InputError: the rows to test on are given in two ways.
    """
    if test is not None and size is not None:
        raise InputError(f"--test-size is {size:g}, but all rows of --test {test} are tested on; leave one of them out")
