"""Rows set apart, in the proportions of their classes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from ..errors import InputError


def set_apart(classes: Sequence[Hashable], size: float, seed: int, flag: str) -> tuple[np.ndarray, np.ndarray]:
    """The rows that stay, and those set apart; each in the order given.

    Each class gives its share, up to one row: the rows are put in the order of their classes, at random within one, and
    every so many-th is drawn (systematic sampling).

    Args:
        classes: of each row.
        size: a share below 1, or a number of rows.
        seed: of the order within a class.
        flag: to name in the error.

    Raises:
        InputError: one of the two parts has no rows.
    """
    count = len(classes)
    drawn = round(size * count) if size < 1 else int(size)
    if not 0 < drawn < count:
        raise InputError(f"{flag} of {size:g} sets {drawn} of {count} rows apart, and leaves {max(count - drawn, 0)}")
    numbers = {one: number for number, one in enumerate(dict.fromkeys(classes))}
    codes = np.array([numbers[one] for one in classes])
    order = np.lexsort([np.random.default_rng(seed).permutation(count), codes])
    places = ((np.arange(drawn) + 0.5) * count / drawn).astype(int)
    apart = np.zeros(count, dtype=bool)
    apart[order[places]] = True
    return np.flatnonzero(~apart), np.flatnonzero(apart)
