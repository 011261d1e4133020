"""The bag of n-grams that has a say beside a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .baselines import bag_of_ngrams
from .labels import Labels, targets
from .mixture import Mixture
from .ngrams import NGrams, ngrams


@dataclass(frozen=True)
class Bag:
    """
    Attributes:
        ngrams: of the training and the validation texts.
        mixture: of the probabilities of the network, which come first, and of the n-grams.
    """

    ngrams: NGrams
    mixture: Mixture

    @classmethod
    def fit(
        cls,
        train: tuple[Sequence[str], Labels],
        validation: tuple[Sequence[str], Labels],
        found: np.ndarray,
        classes: np.ndarray,
        several: bool,
    ) -> Bag:
        """
        Args:
            train: texts and labels to learn from.
            validation: texts and labels that choose how strongly the n-grams are held back, and how large their say is,
                and are then learned from too.
            found: (validation texts, classes) the network's probabilities.
            classes, several: see `labels`.
        """
        model, unseen = bag_of_ngrams(train, validation, classes, several)
        wanted = targets(validation[1], classes, several).numpy()
        return cls(model, Mixture.fit(found, unseen, wanted, several))

    def __call__(self, texts: Sequence[str], found: np.ndarray) -> np.ndarray:
        """(n) texts and the network's (n, classes) probabilities of them -> those of both."""
        return self.mixture(found, self.ngrams.probabilities(ngrams(texts)))

    def save(self, file: Path) -> None:
        """Write numbers, no code."""
        from safetensors.numpy import save_file

        powers = np.array([self.mixture.first, self.mixture.second])
        save_file({**self.ngrams.arrays(), "powers": powers}, file)

    @classmethod
    def load(cls, file: Path, several: bool) -> Bag:
        """Read what `save` wrote."""
        from safetensors.numpy import load_file

        arrays = load_file(file)
        first, second = map(float, arrays.pop("powers"))
        return cls(NGrams(several, **arrays), Mixture(first, second, several))
