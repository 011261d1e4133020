"""Classify sequences of unequal length with a Keras GRU: yes or no, then one of four classes.

The data are 50 sequences of up to 20 steps with 5 features. Shorter ones are padded with zeros, and `Masking` tells
the GRU which steps are padding. The class is the feature that moves in a wave; the others are noise.

    python examples/keras_gru_classifier.py --epochs 15
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from ostinato.keras.layers import GRU, Dense, Input, Masking
from ostinato.keras.models import Sequential
from ostinato.keras.utils import set_random_seed

SEQUENCES, STEPS, FEATURES = 50, 20, 5


def sequences(count: int, classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Noise (count, 20, 5) with a wave in feature number `label`, padded with zeros after 8 to 20 steps."""
    labels = rng.integers(0, classes, count)
    x = 0.5 * rng.standard_normal((count, STEPS, FEATURES))
    x[np.arange(count), :, labels] += 1.0 + np.sin(np.arange(STEPS))
    lengths = rng.integers(8, STEPS + 1, count)
    x[np.arange(STEPS) >= lengths[:, None]] = 0.0
    return x.astype("float32"), labels


def accuracy(classes: int, epochs: int) -> float:
    """Train on 50 sequences; the share of 500 new ones that is classified correctly."""
    rng = np.random.default_rng(2)
    x, labels = sequences(SEQUENCES, classes, rng)
    binary = classes == 2
    model = Sequential([Input((STEPS, FEATURES)), Masking(), GRU(24, return_sequences=True), GRU(24)])
    model.add(Dense(1, activation="sigmoid") if binary else Dense(classes, activation="softmax"))
    model.compile(
        loss="binary_crossentropy" if binary else "sparse_categorical_crossentropy",
        optimizer="adam",
        metrics=["accuracy"],
    )
    model.fit(x, labels, epochs=epochs, batch_size=10, verbose=0)
    _, share = model.evaluate(*sequences(500, classes, rng), verbose=0)
    return float(share)


def main(arguments: Sequence[str] | None = None) -> dict[int, float]:
    """Accuracy by number of classes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args(arguments)
    set_random_seed(0)
    found = {classes: accuracy(classes, options.epochs) for classes in (2, 4)}
    for classes, share in found.items():
        print(f"{classes} classes: accuracy {share:.1%} on unseen sequences (chance {1 / classes:.1%})")
    return found


if __name__ == "__main__":
    main()
