"""The classic stock price network as a script: four LSTMs over the last 40 opening prices.

Reads CSV files with a header, or the Apple prices of the package bokeh-sampledata when none is given. The last 21
rows, or the second file, are what is predicted: one step ahead, from true prices. Beside the network's error stands
that of repeating yesterday's price, which on daily prices is hard to beat. `ostinato forecast` does the same
with less to write, and says more about the result.

    python examples/stock_price.py FB_training_data.csv FB_test_data.csv --target Open --epochs 100
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ostinato.keras.layers import LSTM, Dense, Dropout, Input
from ostinato.keras.models import Sequential
from ostinato.keras.utils import set_random_seed

WINDOW = 40
TEST_ROWS = 21


def read_prices(files: Sequence[Path], target: str) -> tuple[np.ndarray, np.ndarray]:
    """The prices to train on and the prices to predict."""
    if not files:
        from bokeh_sampledata.stocks import AAPL

        prices = np.array(AAPL[target.lower()])
        return prices[:-TEST_ROWS], prices[-TEST_ROWS:]
    training, *test = [pd.read_csv(file)[target].to_numpy() for file in files]
    return (training, test[0]) if test else (training[:-TEST_ROWS], training[-TEST_ROWS:])


def windows(scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every run of 40 values, (n, 40, 1), and the value after each, (n,)."""
    x = np.lib.stride_tricks.sliding_window_view(scaled[:-1], WINDOW)
    return x[..., None].copy(), scaled[WINDOW:]


def network() -> Sequential:
    """Four LSTMs with dropout, and one number out."""
    model = Sequential([Input((WINDOW, 1))])
    for layer in range(4):
        model.add(LSTM(45, return_sequences=layer < 3))
        model.add(Dropout(0.2))
    model.add(Dense(1))
    model.compile(optimizer="adam", loss="mean_squared_error")
    return model


def main(arguments: Sequence[str] | None = None) -> tuple[float, float]:
    """The root mean squared error of the network, and of repeating yesterday's price, in the prices' unit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", help="CSV to train on, and CSV to predict")
    parser.add_argument("--target", default="Open", help="the column to predict")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1258, help="train on the last so many rows only")
    parser.add_argument("--plot", type=Path, default=Path("stock_price.png"))
    options = parser.parse_args(arguments)
    if len(options.files) > 2:
        parser.error(f"expected a CSV to train on and one to predict; got {len(options.files)} files")
    set_random_seed(0)

    try:
        training, truth = read_prices(options.files, options.target)
    except (OSError, KeyError, ValueError) as error:
        files = " and ".join(map(str, options.files)) or "AAPL"
        parser.error(f"cannot read {options.target!r} of {files} ({type(error).__name__}: {error})")
    training = training[-options.rows :]
    low, high = training.min(), training.max()
    scaled = (np.concatenate([training, truth]) - low) / (high - low)
    x, y = windows(scaled.astype("float32"))

    model = network()
    model.fit(x[: -len(truth)], y[: -len(truth)], epochs=options.epochs, batch_size=32, verbose=2)
    prediction = low + (high - low) * model.predict(x[-len(truth) :], verbose=0)[:, 0]

    yesterday = np.concatenate([training[-1:], truth[:-1]])
    error = float(np.sqrt(np.mean((prediction - truth) ** 2)))
    naive = float(np.sqrt(np.mean((yesterday - truth) ** 2)))
    print(f"root mean squared error over {len(truth)} days: network {error:.2f}, repeating yesterday {naive:.2f}")

    plt.figure(figsize=(8, 4.5), layout="constrained")
    plt.plot(truth, color="black", label="truth")
    plt.plot(prediction, color="tab:red", label="network")
    plt.plot(yesterday, color="tab:gray", linestyle=":", label="repeating yesterday")
    plt.xlabel("day")
    plt.ylabel(options.target)
    plt.legend()
    plt.savefig(options.plot)
    plt.close()
    print(f"plot: {options.plot}")
    return error, naive


if __name__ == "__main__":
    main()
