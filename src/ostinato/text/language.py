"""A language model: fitted to a text, it says how likely another is, and writes more of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..sequences.training import seed_all
from . import language_folder
from .generation import units_from
from .language_network import LanguageNetwork
from .language_settings import LanguageSettings, for_unit
from .language_training import LanguageEpoch, LanguageTraining, costs, train
from .units import Units, learn_units


@dataclass(frozen=True)
class Surprise:
    """What a text costs a model.

    Attributes:
        perplexity: a unit; as uncertain as among so many that are equally likely. Comparable between models of the same
            units only.
        bits_per_character: of all of the text, unknown units spelled out; comparable between all models.
        units, characters: of the text.
        unknown: share of its units that are not in the vocabulary.
    """

    perplexity: float
    bits_per_character: float
    units: int
    characters: int
    unknown: float

    @classmethod
    def of(cls, nats: np.ndarray, numbers: np.ndarray, text: str, spelling: float) -> Surprise:
        """
        Args:
            nats: (units) what each costs.
            numbers: (units) of the vocabulary.
            text: that they make up.
            spelling: bits that it takes to spell what is unknown.
        """
        total = float(nats.sum())
        bits = (total / math.log(2) + spelling) / len(text)
        return cls(math.exp(total / len(nats)), bits, len(nats), len(text), float((numbers == 0).mean()))


class LanguageModel:
    """A recurrent language model of characters, words or subwords.

        model = LanguageModel(unit="subword").fit(text)
        print(model.surprise(other).bits_per_character)
        for piece in model.generate("Once upon", length=200, temperature=0.8, top_p=0.9, seed=0):
            print(piece, end="", flush=True)

    Attributes:
        settings: how it is made.
        vocabulary: its units; None before `fit`.
        network: the `LanguageNetwork`; None before `fit`.
        training: its history; None before `fit`, and where it was loaded.
    """

    def __init__(self, settings: LanguageSettings | None = None, **changes: Any) -> None:
        """
        Args:
            settings: None is the preset of the unit.
            changes: without settings, what is different from the preset: fields of `LanguageSettings`.

        Raises:
            InputError: a setting is out of range.
            TypeError: both were given.
        """
        if settings is not None and changes:
            raise TypeError(f"give either settings or {', '.join(changes)}")
        self.settings = settings or for_unit(changes.pop("unit", "subword"), **changes)
        self.vocabulary: Units | None = None
        self.network: LanguageNetwork | None = None
        self.training: LanguageTraining | None = None

    def fit(
        self, text: str, validation: str | None = None, on_epoch: Callable[[LanguageEpoch], None] | None = None
    ) -> LanguageModel:
        """Learn the vocabulary and the network from a text, anew.

        Args:
            text: to train on.
            validation: to stop on: what follows it; None cuts it off the end of `text`, as the settings say.
            on_epoch: called after each epoch.

        Raises:
            InputError: the text is too short, training diverged, or there is not enough memory.
        """
        if validation is None:
            cut = round(len(text) * (1 - self.settings.validation_size))
            text, validation = text[:cut], text[cut:]
        vocabulary = learn_units(text, self.settings.unit, self.settings.most_units(text))
        stream, later = vocabulary.encode(text), vocabulary.encode(validation)
        for what, numbers in (("text to train on", stream), ("validation text", later)):
            if len(numbers) < 2:
                raise InputError(f"the {what} has {len(numbers)} {self.settings.unit}s; expected at least 2")
        seed_all(self.settings.seed)
        network = LanguageNetwork(len(vocabulary), self.settings)
        followed = np.concatenate([stream[-1:], later])
        self.training = train(network, stream, followed, self.settings, on_epoch)
        self.vocabulary, self.network = vocabulary, network
        return self

    def perplexity(self, text: str, before: str = "") -> float:
        """See `surprise`."""
        return self.surprise(text, before).perplexity

    def surprise(self, text: str, before: str = "") -> Surprise:
        """What a text costs. The state is carried through all of it.

        Args:
            text: at least one unit.
            before: what stands before it, and costs nothing; where that is nothing, a line feed is taken to.

        Raises:
            InputError: the text is empty.
            RuntimeError: the model is not fitted.
        """
        vocabulary, network = self._fitted()
        numbers = vocabulary.encode(text)
        if not len(numbers):
            raise InputError("the text is empty; expected at least one character")
        known = vocabulary.encode(before or "\n")
        nats = costs(network, np.concatenate([known, numbers]))[len(known) - 1 :]
        return Surprise.of(nats, numbers, text, vocabulary.spelling(text))

    def generate(
        self,
        prompt: str = "",
        length: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Iterator[str]:
        """Go on from a prompt, in pieces as they come.

        Args:
            prompt: is not repeated; "" begins as after a line feed.
            length: how many units follow.
            temperature, top_k, top_p, seed: see `generation.units_from`.

        Raises:
            InputError: a choice is out of range.
            RuntimeError: the model is not fitted.
        """
        vocabulary, network = self._fitted()
        numbers = units_from(
            network, vocabulary.encode(prompt or "\n").tolist(), length, temperature=temperature, top_k=top_k,
            top_p=top_p, silent=vocabulary.silent, seed=seed,
        )  # fmt: skip
        return vocabulary.pieces(numbers)

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Write a folder of the weights, the vocabulary and the settings: all of it or nothing.

        Raises:
            InputError: it exists and may not be overwritten, or cannot be written.
            RuntimeError: the model is not fitted.
        """
        vocabulary, network = self._fitted()
        with language_folder.staged(Path(folder), overwrite) as whole:
            language_folder.save(whole, self.settings, vocabulary, network)

    @classmethod
    def load(cls, folder: str | Path) -> LanguageModel:
        """Read what `save` or `ostinato write` wrote.

        Raises:
            InputError: the folder is none of a language model, is damaged, or of another version.
        """
        settings, vocabulary, network = language_folder.load(Path(folder))
        model = cls(settings)
        model.vocabulary, model.network = vocabulary, network
        return model

    def _fitted(self) -> tuple[Units, LanguageNetwork]:
        if self.vocabulary is None or self.network is None:
            raise RuntimeError("the model is not fitted; call fit, or load one")
        return self.vocabulary, self.network
