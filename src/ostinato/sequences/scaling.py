"""Numbers on a common scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: The largest number that can be scaled: what float32 holds, whose square is well within float64.
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Scaling:
    """Standardisation: mean 0 and standard deviation 1 for each column of what it was fitted on.

    Attributes:
        mean, scale: (columns) float64; a column that is constant has the scale 1.
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, values: Tensor) -> Scaling:
        """Fitted on (n, columns)."""
        exact = values.numpy().astype(float)
        deviation = exact.std(axis=0)
        # of a constant rounding may leave a deviation, and of numbers too small to be squared none
        constant = (exact == exact[:1]).all(axis=0) | (deviation == 0)
        return cls(exact.mean(axis=0), np.where(constant, 1.0, deviation))

    def apply(self, values: Tensor) -> Tensor:
        """(n, columns) float32."""
        return torch.from_numpy(((values.numpy() - self.mean) / self.scale).astype(np.float32))

    def invert(self, values: Tensor) -> np.ndarray:
        """(n, columns) float64, back on the scale of what it was fitted on."""
        inverted: np.ndarray = values.numpy() * self.scale + self.mean
        return inverted

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Scaling:
        """
        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        made = cls(np.array(content["mean"], dtype=float), np.array(content["scale"], dtype=float))
        if made.mean.ndim != 1 or made.mean.shape != made.scale.shape or not np.isfinite([made.mean, made.scale]).all():
            raise ValueError("mean and scale do not fit")
        return made
