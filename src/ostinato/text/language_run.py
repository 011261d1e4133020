"""The whole way: a text, split in its order; a model trained on its beginning; an honest account of its end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .corpus import Corpus
from .kneser_ney import log_probabilities
from .language import LanguageModel, Surprise
from .language_settings import LanguageSettings
from .language_training import LanguageEpoch

#: The longest n-grams that are tried, of each unit.
LONGEST = {"word": 4, "subword": 5, "character": 8}
#: Units of the sample that a run writes, and how it is drawn.
SAMPLE, TEMPERATURE, TOP_P = {"word": 150, "subword": 200, "character": 800}, 0.8, 0.9


@dataclass(frozen=True)
class Rival:
    """A baseline on the test text.

    Attributes:
        name: "unigram", or how long its n-grams are: those that cost the validation text least.
        surprise: what the test text costs it.
    """

    name: str
    surprise: Surprise


@dataclass(frozen=True)
class Written:
    """A trained language model and what it is worth.

    Attributes:
        corpus: the text.
        model: fitted to its beginning.
        characters: of the training, validation and test text.
        units: likewise.
        surprise: what the test text costs the model.
        rivals: the same of n-grams of the same units, counted in the training text.
        sample: what it writes, as after a line feed.
        verdict: a plain sentence.
    """

    corpus: Corpus
    model: LanguageModel
    characters: tuple[int, int, int]
    units: tuple[int, int, int]
    surprise: Surprise
    rivals: tuple[Rival, ...]
    sample: str
    verdict: str


def learn(
    corpus: Corpus, settings: LanguageSettings, on_epoch: Callable[[LanguageEpoch], None] | None = None
) -> Written:
    """Train on the beginning of a text, stop on what follows, and test on its end.

    Raises:
        InputError: in one sentence, what is wrong with what was given.
    """
    first, second, last = corpus.split(settings.validation_size, settings.test_size)
    model = LanguageModel(settings).fit(first, second, on_epoch)
    surprise = model.surprise(last, second)
    assert model.vocabulary is not None
    parts = [model.vocabulary.encode(part) for part in (first, second, last)]
    rivals = _rivals(parts[0], parts[1], parts[2], last, model)
    unit = settings.unit
    sample = "".join(model.generate("", SAMPLE[unit], temperature=TEMPERATURE, top_p=TOP_P, seed=settings.seed))
    counts = tuple(len(part) for part in parts)
    characters = (len(first), len(second), len(last))
    return Written(
        corpus, model, characters, (counts[0], counts[1], counts[2]), surprise, rivals, sample,
        verdict(surprise, rivals),
    )  # fmt: skip


def _rivals(
    first: np.ndarray, second: np.ndarray, last: np.ndarray, text: str, model: LanguageModel
) -> tuple[Rival, ...]:
    """The unigram, and the n-grams that cost the validation text least."""
    assert model.vocabulary is not None
    told = np.concatenate([second, last])
    each = list(log_probabilities(first, told, len(model.vocabulary), LONGEST[model.settings.unit]))
    chosen = min(range(1, len(each)), key=lambda k: -float(each[k][: len(second)].sum()))
    spelling = model.vocabulary.spelling(text)
    return tuple(
        Rival(name, Surprise.of(-each[k][len(second) :], last, text, spelling))
        for k, name in ((0, "unigram"), (chosen, f"{chosen + 1}-gram, Kneser-Ney"))
    )


def verdict(surprise: Surprise, rivals: tuple[Rival, ...]) -> str:
    """What it comes to."""
    best = min(rivals, key=lambda rival: rival.surprise.bits_per_character)
    gain = 1 - surprise.bits_per_character / best.surprise.bits_per_character
    if not math.isfinite(gain) or gain <= 0:
        return (
            f"The model needs {-gain:.1%} more bits than {_article(best.name)}: counting does better on this text, "
            "which may be too short for a network."
        )
    return f"The model needs {gain:.1%} fewer bits than {_article(best.name)}, the best that counting does."


def _article(name: str) -> str:
    return f"the {name}"
