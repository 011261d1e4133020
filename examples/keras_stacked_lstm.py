"""Three LSTMs on top of each other, with a softmax over ten classes.

Every LSTM but the last returns its whole sequence, which the next one reads. The data are 1000 sequences of 8 steps
with 16 features; the class is the one of the first ten features whose sum over the steps is the largest.

    python examples/keras_stacked_lstm.py --epochs 20
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from ostinato.keras.layers import LSTM, Dense, Input
from ostinato.keras.models import Sequential
from ostinato.keras.utils import set_random_seed

STEPS, FEATURES, CLASSES = 8, 16, 10


def sequences(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Noise (count, 8, 16), and which of the first ten features has the largest sum, (count,)."""
    x = rng.standard_normal((count, STEPS, FEATURES)).astype("float32")
    return x, x[:, :, :CLASSES].sum(1).argmax(1)


def main(arguments: Sequence[str] | None = None) -> float:
    """Accuracy on unseen sequences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args(arguments)
    set_random_seed(0)

    rng = np.random.default_rng(3)
    x, labels = sequences(1000, rng)
    x_new, labels_new = sequences(200, rng)
    model = Sequential(
        [
            Input((STEPS, FEATURES)),
            LSTM(32, return_sequences=True),
            LSTM(32, return_sequences=True),
            LSTM(32),
            Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    model.summary()
    model.fit(x, labels, epochs=options.epochs, batch_size=32, validation_data=(x_new, labels_new), verbose=2)
    _, accuracy = model.evaluate(x_new, labels_new, verbose=0)
    print(f"accuracy {accuracy:.1%} on unseen sequences (chance {1 / CLASSES:.0%})")
    return float(accuracy)


if __name__ == "__main__":
    main()
