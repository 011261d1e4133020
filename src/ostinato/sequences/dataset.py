"""Labelled sequences as they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Labelled:
    """Sequences with what is known of them.

    Attributes:
        source: where they come from, for people.
        sequences: each (steps, features) float64, all finite.
        labels: (sequences) of text, numbers or whole numbers; (sequences, k) for several; or None.
        features: their names.
        ids: (sequences) what each is called; None numbers them from 0.
    """

    source: str
    sequences: tuple[np.ndarray, ...]
    labels: np.ndarray | None
    features: tuple[str, ...]
    ids: tuple[Any, ...] | None = None

    @property
    def names(self) -> list[Any]:
        """(sequences) what each is called."""
        return list(range(len(self))) if self.ids is None else list(self.ids)

    def __len__(self) -> int:
        return len(self.sequences)
