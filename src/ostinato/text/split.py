"""Rows set apart, in the proportions of their classes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from ..errors import InputError
from ..sequences.holdout import hold_out


def set_apart(classes: Sequence[Hashable], size: float, seed: int, flag: str) -> tuple[np.ndarray, np.ndarray]:
    """The rows that stay, and those set apart, both in the order given; each class gives its share, up to one row.

    Args:
        classes: of each row.
        size: a share below 1, or a number of rows.
        seed: of the draw.
        flag: to name in the error.

    Raises:
        InputError: one of the two parts has no rows.
    """
    count = len(classes)
    drawn = round(size * count) if size < 1 else int(size)
    if not 0 < drawn < count:
        raise InputError(
            f"{flag} of {size:g} sets {drawn} of {count} rows apart, and leaves {max(count - drawn, 0)}; "
            "give more rows, or another size"
        )
    numbers = {one: number for number, one in enumerate(dict.fromkeys(classes))}
    if len(numbers) == count:
        raise InputError(
            f"{flag} sets none of {count} rows apart, for each has a class of its own; give several rows of each class"
        )
    return hold_out(count, drawn / count, seed, np.array([numbers[one] for one in classes]))
