"""What two classifiers of the same texts say together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Probabilities nearer to 0 and 1 than this are taken for this.
LEAST = 1e-6


@dataclass(frozen=True)
class Mixture:
    """A product of the probabilities of two classifiers, each to a power (a logarithmic opinion pool: Genest & Zidek
    1986); with powers below 1 either becomes less sure.

    Attributes:
        first, second: the powers, not below 0.
        several: whether a text may have several labels, so that every label's odds are pooled by themselves.
    """

    first: float
    second: float
    several: bool

    @classmethod
    def fit(cls, first: np.ndarray, second: np.ndarray, wanted: np.ndarray, several: bool) -> Mixture:
        """The powers under which texts that neither classifier learned from are likeliest.

        One half each counts as much as one text does, so that few texts do not make the powers large.

        Args:
            first, second: (n, classes) probabilities.
            wanted: (n) numbers of classes, or (n, classes) of 0 and 1.
        """
        from scipy.optimize import minimize

        def cost(powers: np.ndarray) -> float:
            found = cls(powers[0], powers[1], several)(first, second)
            right = np.where(wanted > 0, found, 1 - found) if several else found[np.arange(len(found)), wanted]
            return float(-np.log(np.maximum(right, 1e-300)).sum() + np.square(powers - 0.5).sum())

        best = minimize(cost, [0.5, 0.5], bounds=[(0, None), (0, None)]).x
        return cls(float(best[0]), float(best[1]), several)

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(n, classes) probabilities of each -> (n, classes) of both."""
        one, other = (np.clip(found, LEAST, 1 - LEAST) for found in (first, second))
        if self.several:
            odds = self.first * np.log(one / (1 - one)) + self.second * np.log(other / (1 - other))
            return np.asarray(1 / (1 + np.exp(-odds)))
        scores = self.first * np.log(one) + self.second * np.log(other)
        powers = np.exp(scores - scores.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True))
