"""A network that remembers across windows: truncated backpropagation over one long series, with carried state.

Now and then the series tells a level; in between there is noise, and the target is the level that was told last. It
holds for 40 steps on average, and the network is trained in windows of 20: what it must know stands mostly in a window
before. The series lies in a file, of which one batch after the other is read.

    python examples/endless_series.py --epochs 20
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ostinato.keras import SeriesDataset
from ostinato.keras.callbacks import Faults
from ostinato.keras.layers import LSTM, Dense, Input
from ostinato.keras.models import Sequential
from ostinato.keras.optimizers import Adam
from ostinato.keras.utils import set_random_seed

ROWS, STEPS, HOLDS = 32, 20, 40


def levels(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Steps (count, 2), whether a level is told and which, else noise; and the level that was told last, (count,)."""
    told = rng.random(count) < 1 / HOLDS
    told[0] = True
    drawn = rng.uniform(-1, 1, count)
    last = np.maximum.accumulate(np.where(told, np.arange(count), 0))
    return np.stack([told, drawn], axis=1).astype("float32"), drawn[last].astype("float32")


def forgetful(model: Sequential, dataset: SeriesDataset) -> float:
    """The mean squared error of a network whose states are zero at the beginning of every window."""
    errors = []
    for x, y, mask, _ in dataset.streams:
        model.layers[0].reset_state()
        errors.append((model.predict_on_batch(x) - y)[mask] ** 2)
    return float(np.concatenate(errors).mean())


def main(arguments: Sequence[str] | None = None) -> tuple[float, float, float]:
    """The mean squared error on an unseen series: with carried state, without, and of the mean of all levels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args(arguments)
    set_random_seed(0)
    rng = np.random.default_rng(5)

    model = Sequential(
        [Input((None, 2), batch_size=ROWS), LSTM(16, return_sequences=True, stateful=True), Dense(1)],
    )
    model.compile(optimizer=Adam(1e-2, global_clipnorm=1.0), loss="mse")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "series.npy")
        x, y = levels(64_000, rng)
        np.save(path, x)
        train = SeriesDataset(model, path, y, batch=ROWS, steps=STEPS)
        print(train.streams)
        model.fit(train, epochs=options.epochs, shuffle=False, verbose=2, callbacks=[Faults()])

    x_new, y_new = levels(16_000, rng)
    unseen = SeriesDataset(model, x_new, y_new, batch=ROWS, steps=STEPS)
    predicted = unseen.streams.restore(model.predict(unseen, verbose=0))[0][:, 0]
    error, without = float(((predicted - y_new) ** 2).mean()), forgetful(model, unseen)
    print(f"unseen series: error {error:.4f}, forgetting at every window {without:.4f}, the mean {y_new.var():.4f}")
    return error, without, float(y_new.var())


if __name__ == "__main__":
    main()
