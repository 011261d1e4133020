"""What a person may choose about a classifier of texts, and the presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..presets import changed
from ..sequences.network import cell_of
from ..sequences.pooling import pieces
from ..sequences.training import SCHEDULES, Schedule
from .subwords import KINDS, Kind

#: Updates of the weights that few texts, too, are trained with at most, and that may pass without a gain.
UPDATES, PATIENCE = 800, 300


@dataclass(frozen=True)
class Settings:
    """How a classifier of texts is made; the values here are those of the default preset.

    Attributes:
        vocabulary: most subwords.
        subwords: "bpe" or "unigram"; see `Subwords.train`.
        lowercase: whether capitals are taken for small letters.
        longest: most subwords of a text; of a longer one the first and the last half as many are read.
        embedding: numbers that stand for a subword.
        cell: any cell of `ostinato cells`.
        units: hidden units of each direction of each recurrent layer.
        layers: recurrent layers, one upon the other.
        bidirectional: whether a text is read from its end as well.
        pooling: "last", "mean", "max", or several joined by "+": how a text's steps become one vector.
        input_dropout: share of the embedding's numbers that training drops.
        dropout: share of the pooled numbers that training drops, and of each layer's outputs below another.
        epochs: most passes over the training texts; None is 3, or as many as make `UPDATES` where those are more.
        patience: epochs without a better validation accuracy (of equals, loss) before training stops; then the best
            weights are restored. None is 2, or as many as make `PATIENCE` updates.
        batch_size: texts a training step.
        learning_rate: of Adam, the highest of the schedule.
        schedule: of the learning rate: "constant", or "linear" or "cosine" down to 0 at the last of `epochs`.
        weight_decay: of Adam, apart from the gradient.
        pretrain: passes over the training texts in which embedding and encoder first learn, as a language model, to
            tell each subword's neighbours; see `pretraining`. 0 is none.
        ngrams: whether a bag of n-grams has a say beside the network; the validation texts choose how large a one.
        test_size: texts to test on: a share below 1, or a number of texts.
        validation_size: texts to stop on, likewise, of what remains.
        seed: of the split, the initial weights, the shuffling and the dropout.
    """

    vocabulary: int = 16000
    subwords: Kind = "bpe"
    lowercase: bool = True
    longest: int = 1000
    embedding: int = 64
    cell: str = "lstm"
    units: int = 64
    layers: int = 1
    bidirectional: bool = True
    pooling: str = "max+mean"
    input_dropout: float = 0.5
    dropout: float = 0.5
    epochs: int | None = None
    patience: int | None = None
    batch_size: int = 64
    learning_rate: float = 0.002
    schedule: Schedule = "linear"
    weight_decay: float = 0.0
    pretrain: int = 0
    ngrams: bool = True
    test_size: float = 0.2
    validation_size: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """
        Raises:
            InputError: naming the setting that is out of range.
        """
        least = {"vocabulary": 260, "longest": 2}
        for name in (
            "vocabulary", "longest", "embedding", "units", "layers", "epochs", "patience", "batch_size",
        ):  # fmt: skip
            value, low = getattr(self, name), least.get(name, 1)
            if value is None and name in ("epochs", "patience"):
                continue
            if not isinstance(value, int) or value < low:
                raise InputError(f"{_flag(name)} is {value}; expected a whole number of at least {low}")
        for name in ("input_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{_flag(name)} is {getattr(self, name):g}; expected at least 0 and less than 1")
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"--learning-rate is {self.learning_rate:g}; expected a number above 0")
        if not 0 <= self.weight_decay < float("inf"):
            raise InputError(f"--weight-decay is {self.weight_decay:g}; expected a number of at least 0")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"--seed is {self.seed}; expected 0 to {2**32 - 1}")
        for name, choices in (("subwords", KINDS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in choices:
                raise InputError(f"{_flag(name)} is {getattr(self, name)!r}; expected {' or '.join(choices)}")
        for name in ("test_size", "validation_size"):
            size = getattr(self, name)
            if not (0 < size < 1 or (size >= 1 and float(size).is_integer())):
                raise InputError(f"{_flag(name)} is {size:g}; expected a share below 1, or a number of texts")
        cell_of(self.cell)
        pieces(self.pooling)
        self._check_pretraining()

    def _check_pretraining(self) -> None:
        if not isinstance(self.pretrain, int) or self.pretrain < 0:
            raise InputError(f"--pretrain is {self.pretrain}; expected a whole number of epochs, or 0")
        if self.pretrain and self.bidirectional and self.layers > 1:
            raise InputError(
                f"--pretrain cannot train --layers {self.layers} that run both ways, since the upper ones have seen "
                "the subwords that they are asked for; use one layer, or one direction"
            )

    def passes(self, texts: int) -> tuple[int, int]:
        """Most epochs, and how many without a gain, for so many training texts."""
        updates = -(-texts // self.batch_size)
        epochs = self.epochs or max(3, -(-UPDATES // updates))
        return epochs, self.patience or max(2, -(-PATIENCE // updates))


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


@dataclass(frozen=True)
class TutorialSettings(Settings):
    """Those of the network of the well-known tutorial on film reviews, as it is taught; see `tutorial`."""

    vocabulary: int = 8185
    longest: int = 10**6
    pooling: str = "last"
    input_dropout: float = 0.0
    dropout: float = 0.0
    epochs: int | None = 10
    learning_rate: float = 0.001
    schedule: Schedule = "constant"
    ngrams: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("cell", "layers", "bidirectional", "pooling", "input_dropout", "dropout", "schedule",
                     "weight_decay", "patience", "pretrain", "ngrams"):  # fmt: skip
            if getattr(self, name) != getattr(TutorialSettings, name):
                raise InputError(f"{_flag(name)} is no choice of --preset tutorial, whose network is as it is taught")


PRESETS: dict[str, Settings] = {"default": Settings(), "tutorial": TutorialSettings()}


def preset(name: str, **changes: Any) -> Settings:
    """A preset with some settings changed; None leaves one as it is.

    Raises:
        InputError: there is no such preset or setting, or a value is out of range.
    """
    return changed(PRESETS, name, changes)
