"""Sequences held out of training, of each class a like share."""

from __future__ import annotations

import numpy as np

from ..errors import InputError


def hold_out(count: int, share: float, seed: int, strata: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the sequences that stay, and of those held out, both rising.

    Args:
        count: how many there are.
        share: of them to hold out, above 0 and less than 1.
        seed: of the draw.
        strata: (count) classes; one sequence of each stays, and of the others a like share is held out. None is one.

    Raises:
        InputError: the share is out of range, or none would be held out.
    """
    if not 0 < share < 1:
        raise InputError(f"validation_size is {share:g}; expected a share of at least 0 and less than 1")
    drawn = np.random.default_rng(seed).permutation(count)
    classes = np.zeros(count, dtype=int) if strata is None else strata
    ordered = drawn[np.argsort(classes[drawn], kind="stable")]
    first = np.unique(classes[ordered], return_index=True)[1]
    others = np.delete(ordered, first)
    # places at even distances, so that each class has its share, up to one
    held = others[np.diff(np.floor(np.linspace(0.5, 0.5 + count * share, len(others) + 1))) > 0]
    if not len(held):
        raise InputError(
            f"validation_size={share:g} of {count} sequences holds none out to stop on; give more sequences, "
            "a larger share, or 0 to train all epochs"
        )
    return np.setdiff1d(np.arange(count), held), np.sort(held)
