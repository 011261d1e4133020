"""What a person may choose about a forecast, and the presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..errors import InputError
from ..presets import changed

Cell = Literal["lstm", "gru", "rnn"]
Scaling = Literal["steps", "minmax"]
CELLS = ("lstm", "gru", "rnn")
SCALINGS = ("steps", "minmax")


@dataclass(frozen=True)
class Settings:
    """How a forecast is made; the values here are those of the default preset.

    Attributes:
        window: steps that the network sees; None is 40, or two seasons where that is longer (at most 120).
        horizon: rows that the network predicts at once.
        units: hidden units of each recurrent layer.
        layers: recurrent layers, one upon the other.
        cell: "lstm", "gru" or "rnn".
        dropout: share of a layer's outputs that training drops.
        highway: add a linear map of the window to the network's output (the autoregressive component of LSTNet: Lai,
            Chang, Yang and Liu, "Modeling long- and short-term temporal patterns with deep neural networks", 2018), and
            let both begin at zero: training departs from the naive forecast, and comes back to it where the validation
            rows show no gain beyond chance.
        scaling: how values enter the network; see `windows`.
        log: work on logarithms (scaling "steps" only); None takes them where they make the steps steadier.
        epochs: most passes over the training windows.
        patience: epochs without a better validation loss before training stops, then the best weights are restored;
            needs validation rows.
        batch_size: windows a training step.
        learning_rate: of Adam.
        clip: norm that the gradient is cut to, or None.
        test_size: rows at the end to test on: a share below 1, or a number of rows.
        validation_size: rows before them to stop on, likewise, of what remains; 0 trains all epochs.
        season: steps of a season; None goes by the frequency of the dates.
        seed: of the initial weights, the shuffling and the dropout.
    """

    window: int | None = None
    horizon: int = 1
    units: int = 32
    layers: int = 1
    cell: Cell = "lstm"
    dropout: float = 0.0
    highway: bool = True
    scaling: Scaling = "steps"
    log: bool | None = None
    epochs: int = 200
    patience: int = 20
    batch_size: int = 32
    learning_rate: float = 0.001
    clip: float | None = 1.0
    test_size: float = 0.2
    validation_size: float = 0.15
    season: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """
        Raises:
            InputError: naming the setting that is out of range.
        """
        for name in ("horizon", "units", "layers", "epochs", "patience", "batch_size", "window", "season"):
            value = getattr(self, name)
            if value is None and name in ("window", "season"):
                continue
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{_flag(name)} is {value}; expected a whole number of at least 1")
        if not 0 <= self.dropout < 1:
            raise InputError(f"--dropout is {self.dropout:g}; expected at least 0 and less than 1")
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"--learning-rate is {self.learning_rate:g}; expected a number above 0")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"--seed is {self.seed}; expected 0 to {2**32 - 1}")
        for name, choices in (("cell", CELLS), ("scaling", SCALINGS)):
            if getattr(self, name) not in choices:
                raise InputError(f"{_flag(name)} is {getattr(self, name)!r}; expected {' or '.join(choices)}")
        if self.log and self.scaling == "minmax":
            raise InputError("--log is for --scaling steps, and --scaling minmax is of levels; leave one of them out")
        for name in ("test_size", "validation_size"):
            size = getattr(self, name)
            if not (0 <= size < 1 or (size >= 1 and float(size).is_integer())):
                raise InputError(f"{_flag(name)} is {size:g}; expected a share below 1, or a whole number of rows")
        if self.test_size == 0:
            raise InputError("--test-size is 0; expected rows to test on, as a share or a number")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


#: The network of the well-known stock price tutorial, as it is taught.
TUTORIAL = Settings(
    window=40,
    units=45,
    layers=4,
    dropout=0.2,
    highway=False,
    scaling="minmax",
    epochs=100,
    clip=None,
    validation_size=0,
)
PRESETS = {"default": Settings(), "tutorial": TUTORIAL}


def preset(name: str, **changes: Any) -> Settings:
    """A preset with some settings changed; None leaves one as it is.

    Raises:
        InputError: there is no such preset or setting, or a value is out of range.
    """
    return changed(PRESETS, name, changes)
