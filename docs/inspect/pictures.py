"""Makes the pictures of docs/inspect.md: networks that learn to recall the one marked value of a sequence,
which stands 20 steps before its end; before and after they learnt.

.venv/bin/python docs/inspect/pictures.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ostinato.inspect import Report, figures, learning_curves, look
from ostinato.inspect.callback import Record
from ostinato.keras import layers, models, optimizers, utils

HERE = Path(__file__).resolve().parent
STEPS, DELAY, UNITS, SIZE = 40, 20, 16, (900, 480)


def rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise and marks (count, 40, 2), and the noise at the mark (count, 1)."""
    x = np.zeros((count, STEPS, 2), "float32")
    x[:, :, 0] = np.random.default_rng(seed).uniform(-1, 1, size=(count, STEPS))
    x[:, -1 - DELAY, 1] = 1
    return x, x[:, -1 - DELAY, :1]


def network(layer: Any, **options: Any) -> Any:
    made = models.Sequential([layers.Input((STEPS, 2)), layer(UNITS, name="memory", **options), layers.Dense(1)])
    made.compile(optimizers.Adam(0.01, clipnorm=1.0), "mse")
    return made


def write(report: Report, names: tuple[str, ...], prefix: str = "") -> None:
    for name in names:
        report.draw(name, size=SIZE).savefig(HERE / f"{prefix}{name}.png")
    print(prefix or "trained", *report.sentences, sep="\n  ")


def main() -> None:
    utils.set_random_seed(0)
    (x, y), seen = rows(2000, 0), rows(64, 1)
    write(look(network(layers.LSTM), *seen), ("gradient_flow", "jacobian"), "untrained-")
    runs, record = {}, Record(every=20)
    for name, layer, callbacks in (("LSTM", layers.LSTM, [record]), ("SimpleRNN", layers.SimpleRNN, [])):
        model = network(layer)
        runs[name] = model.fit(
            x, y, epochs=30, batch_size=50, verbose=0, validation_data=rows(500, 2), callbacks=callbacks
        )
        if layer is layers.LSTM:
            write(
                look(model, *seen, features=["value", "mark"]),
                ("gradient_flow", "jacobian", "disturbance", "activations", "attribution", "spectra"),
            )
    figures.draw_learning_curves(learning_curves(runs), size=SIZE).savefig(HERE / "curves.png")
    figures.draw_recording(record.snapshots, size=SIZE).savefig(HERE / "recording.png")
    print({name: [round(value, 3) for value in run.history["val_loss"][::5]] for name, run in runs.items()})


if __name__ == "__main__":
    main()
