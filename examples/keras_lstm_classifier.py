"""Classify sequences with a Keras LSTM: yes or no, then one of three classes.

The data are 50 sequences of 20 steps with 5 features, random but for a small shift of the feature that tells the class.
Accuracy is measured on sequences that the network has not seen.

    python examples/keras_lstm_classifier.py --epochs 15
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from ostinato.keras.layers import LSTM, Dense, Input
from ostinato.keras.models import Sequential
from ostinato.keras.utils import set_random_seed

SEQUENCES, STEPS, FEATURES = 50, 20, 5


def sequences(count: int, classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Noise (count, 20, 5) whose feature number `label` is shifted up, and the labels (count,)."""
    labels = rng.integers(0, classes, count)
    x = rng.standard_normal((count, STEPS, FEATURES))
    x[np.arange(count), :, labels] += 0.7
    return x.astype("float32"), labels


def accuracy(classes: int, epochs: int) -> float:
    """Train on 50 sequences; the share of 500 new ones that is classified correctly."""
    rng = np.random.default_rng(1)
    x, labels = sequences(SEQUENCES, classes, rng)
    binary = classes == 2
    model = Sequential(
        [
            Input((STEPS, FEATURES)),
            LSTM(32),
            Dense(1, activation="sigmoid") if binary else Dense(classes, activation="softmax"),
        ]
    )
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
    found = {classes: accuracy(classes, options.epochs) for classes in (2, 3)}
    for classes, share in found.items():
        print(f"{classes} classes: accuracy {share:.1%} on unseen sequences (chance {1 / classes:.1%})")
    return found


if __name__ == "__main__":
    main()
