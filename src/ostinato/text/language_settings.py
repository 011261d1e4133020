"""What a person may choose about a language model, and the presets of the three units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal

from ..errors import InputError

Unit = Literal["subword", "word", "character"]


@dataclass(frozen=True)
class LanguageSettings:
    """How a language model is made; the values here are those for subwords.

    The names of the dropouts are those of Merity, Keskar & Socher 2017 (1708.02182), the AWD-LSTM, whose recipe this is
    but for the optimizer.

    Attributes:
        unit: what is predicted one after the other: "subword", "word" or "character".
        vocabulary: most units; what is rarer is unknown, or of subwords made of shorter ones. Units that stand in the
            text once only are not kept. None is one for every 200 characters of the text, from 500 to 8000.
        cell: any cell of `ostinato cells` that does not count steps.
        embedding: numbers that stand for a unit, read and predicted with the same weights.
        units: hidden units of each recurrent layer.
        layers: recurrent layers, one upon the other.
        embedding_dropout: share of the vocabulary that a batch does not get to see.
        input_dropout: share of the embedding's numbers that training drops; the same at every step of a row
            (variational dropout: Gal & Ghahramani 2016, 1512.05287), as the next two.
        hidden_dropout: likewise between recurrent layers.
        dropout: likewise of the last layer's outputs.
        weight_dropout: share of the entries of each recurrent matrix that a batch goes without (DropConnect).
        activation_penalty, temporal_activation_penalty: alpha and beta of Merity, McCann & Socher 2017 (1708.01009).
        steps: units over which gradients flow back.
        batch_size: places in the text that are read at once.
        epochs: most passes over the training text.
        patience: epochs without a better validation perplexity before training stops; then the best weights are
            restored.
        learning_rate: of Adam, the highest; it falls to zero in half a cosine over all epochs.
        weight_decay: of Adam, apart from the gradient.
        clip: norm that the gradient is cut to.
        test_size, validation_size: share of the text's characters at its end to test on, and before that to stop on.
        seed: of the initial weights, the dropout and the cuts of the text.
    """

    unit: Unit = "subword"
    vocabulary: int | None = None
    cell: str = "lstm"
    embedding: int = 128
    units: int = 192
    layers: int = 1
    embedding_dropout: float = 0.0
    input_dropout: float = 0.1
    hidden_dropout: float = 0.1
    dropout: float = 0.2
    weight_dropout: float = 0.2
    activation_penalty: float = 0.0
    temporal_activation_penalty: float = 0.0
    steps: int = 32
    batch_size: int = 8
    epochs: int = 8
    patience: int = 3
    learning_rate: float = 0.006
    weight_decay: float = 0.0
    clip: float = 1.0
    test_size: float = 0.1
    validation_size: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """
        Raises:
            InputError: naming the setting that is out of range.
        """
        from ..sequences.network import cell_of

        if self.unit not in PRESETS:
            raise InputError(f"--unit is {self.unit!r}; expected {', '.join(PRESETS)}")
        counts = {"vocabulary": 260 if self.unit == "subword" else 2, "batch_size": 1, "steps": 1, "epochs": 1}
        counts |= {"patience": 1, "embedding": 1, "units": 1, "layers": 1}
        for name, least in counts.items():
            value = getattr(self, name)
            if value is None and name == "vocabulary":
                continue
            if not isinstance(value, int) or value < least:
                raise InputError(f"{_flag(name)} is {value}; expected a whole number of at least {least}")
        shares = ("embedding_dropout", "input_dropout", "hidden_dropout", "dropout", "weight_dropout")
        penalties = ("activation_penalty", "temporal_activation_penalty", "weight_decay")
        rules: list[tuple[tuple[str, ...], Callable[[float], bool], str]] = [
            (shares, lambda value: 0 <= value < 1, "at least 0 and less than 1"),
            (penalties, lambda value: 0 <= value < float("inf"), "a number of at least 0"),
            (("learning_rate", "clip"), lambda value: 0 < value < float("inf"), "a number above 0"),
            (("test_size", "validation_size"), lambda value: 0 < value < 1, "a share above 0 and below 1"),
        ]
        for names, holds, expected in rules:
            for name in names:
                if not holds(getattr(self, name)):
                    raise InputError(f"{_flag(name)} is {getattr(self, name):g}; expected {expected}")
        if self.test_size + self.validation_size >= 1:
            raise InputError(
                "--test-size and --validation-size leave nothing to train on; expected less than 1 together"
            )
        if not 0 <= self.seed < 2**32:
            raise InputError(f"--seed is {self.seed}; expected 0 to {2**32 - 1}")
        cell_of(self.cell)

    def most_units(self, text: str) -> int:
        """Entries that the vocabulary of a text may have."""
        return self.vocabulary or min(8000, max(500, len(text) // 200))


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


#: What is chosen for a unit where nothing else is said.
PRESETS: dict[str, dict[str, Any]] = {
    "subword": {},
    "word": {"vocabulary": 20_000},
    "character": {"vocabulary": 1000, "embedding": 64, "steps": 64},
}


def for_unit(unit: str, **changes: Any) -> LanguageSettings:
    """The preset of a unit with some settings changed; None leaves one as it is.

    Raises:
        InputError: there is no such unit or setting, or a value is out of range.
    """
    unknown = set(changes) - {field.name for field in fields(LanguageSettings)}
    if unknown:
        raise InputError(f"there is no setting {', '.join(sorted(unknown))}")
    chosen = {name: value for name, value in changes.items() if value is not None}
    return LanguageSettings(**{"unit": unit, **PRESETS.get(unit, {}), **chosen})
