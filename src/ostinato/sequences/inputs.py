"""What people give as sequences, checked, and as one form."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..errors import InputError
from .ragged import Ragged
from .scaling import LARGEST


def make_sequences(sequences: Any, features: int | None = None) -> Ragged:
    """Sequences of numbers: (all steps, features) float64 with their lengths.

    Args:
        sequences: an array (sequences, steps, features) or (sequences, steps), or a list of arrays (steps, features)
            or (steps); the latter have one feature.
        features: how many there must be, or None.

    Raises:
        InputError: they are none, do not fit together or are not finite.
    """
    if isinstance(sequences, np.ndarray) and sequences.dtype != object and sequences.ndim not in (2, 3):
        raise InputError(
            f"the sequences are an array of the shape {sequences.shape}; expected (sequences, steps, features) or "
            "(sequences, steps), or a list of arrays (steps, features)"
        )
    if isinstance(sequences, (str, bytes, dict)) or not hasattr(sequences, "__len__"):
        raise InputError(
            f"the sequences are of the type {type(sequences).__name__}; expected an array or a list of arrays"
        )
    if len(sequences) == 0:
        raise InputError("there are no sequences; expected at least one")
    listed = list(sequences)  # a pandas series may have any index
    return Ragged.of([_sequence(one, number, listed[0], features) for number, one in enumerate(listed)])


def _sequence(given: Any, number: int, first: Any, features: int | None) -> torch.Tensor:
    """One sequence as (steps, features)."""
    try:
        one = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"sequence {number} is not of numbers alone; expected an array (steps, features)") from None
    if one.ndim == 1:
        one = one[:, None]
    if one.ndim != 2:
        raise InputError(f"sequence {number} has the shape {one.shape}; expected (steps, features) or (steps)")
    expected = features or (np.shape(first)[1] if np.ndim(first) == 2 else 1)
    if len(one) == 0:
        raise InputError(f"sequence {number} has no steps; expected at least 1; leave it out")
    if one.shape[1] != expected:
        seen = "the network was trained with" if features else "sequence 0 has"
        raise InputError(f"sequence {number} has {one.shape[1]} features; expected {expected}, as {seen}")
    wrong = ~(np.abs(one) <= LARGEST)
    if wrong.any():
        step, feature = np.argwhere(wrong)[0]
        raise InputError(
            f"sequence {number} has {one[step, feature]} at step {step}, feature {feature}; expected finite numbers "
            f"up to {LARGEST:.1e}; fill missing values in, or leave the sequence out"
        )
    return torch.from_numpy(np.ascontiguousarray(one))


def check_count(sequences: Ragged, targets: Any, what: str) -> None:
    """See that there are as many targets as sequences.

    Raises:
        InputError: there are not.
    """
    if not hasattr(targets, "__len__") or len(targets) != len(sequences):
        count = len(targets) if hasattr(targets, "__len__") else "no"
        raise InputError(f"there are {count} {what} for {len(sequences)} sequences; expected one a sequence")
