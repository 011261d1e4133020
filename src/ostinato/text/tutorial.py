"""The network of the well-known tutorial on film reviews, as it is taught, built with `ostinato.keras`.

8,185 subwords -> Embedding(64) -> Bidirectional(LSTM(64)) -> Dense(64, relu) -> Dense(1, sigmoid); binary
cross-entropy, Adam, 10 epochs of batches of 64 in which shorter texts are filled up. What fills them up is number 0,
which the embedding masks. Texts of like length share a batch; all else is as it is taught, and nothing is chosen by the
validation texts: the weights are those of the last epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_packed_sequence

from ..errors import InputError
from ..report.folder import damaged
from ..sequences.batches import Batches
from ..sequences.ragged import Ragged
from ..sequences.training import Epoch, Training
from .classifier import PREDICTED_AT_ONCE, RUN, STEPS_AT_ONCE, TextClassifier
from .settings import Settings, TutorialSettings

MODEL = "model.keras"


class TutorialClassifier(TextClassifier):
    """Classifies texts by the tutorial's network.

    Attributes:
        network_: the Keras model, from (texts, steps) subwords, 0 where a text is over, to (texts, 1) the probability
            of the second class.
    """

    kind: ClassVar[type[Settings]] = TutorialSettings
    preset: ClassVar[str] = "tutorial"

    def build(self) -> Any:
        """The untrained Keras model.

        Raises:
            InputError: there are other than two classes, of which a text has one.
        """
        from ..keras import Sequential, layers, utils

        if self.several_ or len(self.classes_) != 2:
            what = "several labels a text" if self.several_ else f"{len(self.classes_)} classes"
            raise InputError(f"the tutorial's network answers yes or no, and there are {what}; use --preset default")
        settings = self.settings
        utils.set_random_seed(settings.seed)
        return Sequential(
            [
                layers.Input((None,), dtype="int64"),
                layers.Embedding(settings.vocabulary, settings.embedding, mask_zero=True),
                layers.Bidirectional(layers.LSTM(settings.units)),
                layers.Dense(64, activation="relu"),
                layers.Dense(1, activation="sigmoid"),
            ]
        )

    def _train(
        self,
        known: tuple[Ragged, Tensor],
        watched: tuple[Ragged, Tensor],
        on_epoch: Callable[[Epoch], None] | None,
    ) -> Training:
        from ..keras import losses, metrics, optimizers

        settings = self.settings
        epochs, _ = settings.passes(len(known[0]))
        generator = torch.Generator().manual_seed(settings.seed)
        batches = Batches(*known, settings.batch_size, True, generator)
        still = Batches(*watched, PREDICTED_AT_ONCE, steps=STEPS_AT_ONCE)
        self.network_.compile(
            optimizer=optimizers.Adam(settings.learning_rate),
            loss=losses.BinaryCrossentropy(),
            metrics=[metrics.BinaryAccuracy(name="accuracy")],
        )
        history: list[Epoch] = []
        begin = time.perf_counter()
        for number in range(1, epochs + 1):
            began = time.perf_counter()
            loss = _mean(batches, self.network_.train_on_batch)["loss"]
            if not np.isfinite(loss):
                raise InputError(
                    f"training diverged: the loss is not finite in epoch {number}; "
                    f"use a lower --learning-rate than {settings.learning_rate:g}"
                )
            found = _mean(still, self.network_.test_on_batch)
            seconds = time.perf_counter() - began
            rate = settings.learning_rate
            history.append(Epoch(number, epochs, loss, found["loss"], found["accuracy"], rate, seconds))
            if on_epoch is not None:
                on_epoch(history[-1])
        return Training(tuple(history), epochs, time.perf_counter() - begin)

    def probabilities(self, sequences: Ragged) -> np.ndarray:
        found = np.empty((len(sequences), 2))
        for packed, _, rows in Batches(sequences, None, PREDICTED_AT_ONCE, steps=STEPS_AT_ONCE):
            padded = pad_packed_sequence(packed, batch_first=True)[0]
            second = np.asarray(self.network_.predict_on_batch(padded), dtype=float)[:, 0]
            found[rows.numpy()] = np.stack([1 - second, second], 1)
        return found

    def parameters(self) -> int:
        return int(self.network_.count_params())

    def described(self) -> str:
        layers = [f"{layer.name} {layer.count_params():,}" for layer in self.network_.layers]
        return f"the tutorial's network with the parameters {', '.join(layers)}"

    def _write_weights(self, folder: Path) -> None:
        self.network_.save(folder / MODEL)

    def _read_weights(self, folder: Path) -> None:
        if not (folder / MODEL).is_file():
            raise InputError(f"{folder} is damaged: {MODEL} is missing; train again with {RUN.command}")
        try:
            # only weights are taken: the network is built from the settings, so that the file cannot name code to run
            self.network_.load_weights(folder / MODEL)
        except Exception as error:  # whatever zip, HDF5 and Keras raise on a broken file
            raise damaged(folder / MODEL, error, RUN) from error


def _mean(batches: Batches, step: Callable[..., dict[str, Any]]) -> dict[str, float]:
    """The mean loss and metrics of a pass over batches, filled up with 0; `step` gives those of one batch."""
    totals: dict[str, float] = {}
    for packed, targets, rows in batches:
        assert isinstance(targets, Tensor)
        padded = pad_packed_sequence(packed, batch_first=True)[0]
        for name, value in step(padded, targets.float()[:, None], return_dict=True).items():
            totals[name] = totals.get(name, 0.0) + float(value) * len(rows)
    return {name: total / len(batches.sequences) for name, total in totals.items()}
