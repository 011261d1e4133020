"""What a language model predicts one after the other: characters, words, or subwords. No character is lost."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tokenizers.decoders import DecodeStream

from .subwords import SPECIAL, Subwords

#: A word with the space before it, a sign with the space before it, or white space by itself: together all of a text.
_WORD = re.compile(r" ?\w+(?:['’]\w+)*| ?[^\w\s]|\s")
#: The space between two words.
_BETWEEN = re.compile(r"(?<=\S) (?=\S)")
#: What stands for a unit that is not in the vocabulary.
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
#: As many characters as there can be.
_UNICODE = 0x110000
#: Characters of a text that are cut into subwords at once.
_AT_ONCE = 1_000_000


class Units(Protocol):
    """A vocabulary of units.

    Attributes:
        file: what it is called in a folder.
        silent: numbers that stand for no text, and are never written.
    """

    file: str
    silent: tuple[int, ...]

    def __len__(self) -> int: ...

    def encode(self, text: str) -> np.ndarray:
        """The numbers of a text's units."""

    def spelling(self, text: str) -> float:
        """Bits that it takes to spell those units of a text that are not in the vocabulary."""

    def pieces(self, numbers: Iterator[int]) -> Iterator[str]:
        """The text of units as they come, in pieces that are whole characters."""

    def save(self, folder: Path) -> None:
        """Write `file`."""


class Vocabulary:
    """Words or characters: the most frequent of a text, and number 0 for all others.

    So that a text's bits can be compared with those of other units, what is unknown is spelled: character by character
    from their frequencies in the units that were unknown in the text learned from, with one added to each count, an end
    mark, and one mark more for characters that were not among them, any of Unicode's with the same probability.
    """

    file: str = "vocabulary.json"
    silent: tuple[int, ...] = (0,)

    def __init__(self, unit: str, units: Sequence[str], letters: dict[str, int]) -> None:
        """
        Args:
            unit: "word" or "character".
            units: from number 1 on.
            letters: of the unknown units how often each character stood in them, and "" how many of them there were.
        """
        self.unit, self.letters = unit, letters
        self._texts = [UNKNOWN, *units]
        self._numbers = {text: number for number, text in enumerate(self._texts) if number}

    @classmethod
    def learn(cls, text: str, unit: str, size: int) -> Vocabulary:
        """Those units of a text that stand in it more than once, at most so many with the unknown one."""
        counts = Counter(_split(text, unit))
        kept = [one for one, count in counts.most_common(size - 1) if count > 1]
        rare = counts.keys() - set(kept)
        letters: Counter[str] = Counter()
        for one in rare:
            for letter in one:
                letters[letter] += counts[one]
        letters[""] = sum(counts[one] for one in rare)
        return cls(unit, kept, dict(letters))

    def __len__(self) -> int:
        return len(self._texts)

    def encode(self, text: str) -> np.ndarray:
        return np.array([self._numbers.get(one, 0) for one in _split(text, self.unit)], dtype=np.int64)

    def spelling(self, text: str) -> float:
        total = sum(self.letters.values()) + len(self.letters) + 1
        bits = {letter: math.log2(total / (count + 1)) for letter, count in self.letters.items()}
        end, other = bits.get("", math.log2(total)), math.log2(total) + math.log2(_UNICODE)
        unknown = [one for one in _split(text, self.unit) if one not in self._numbers]
        return math.fsum(end + sum(bits.get(letter, other) for letter in one) for one in unknown)

    def pieces(self, numbers: Iterator[int]) -> Iterator[str]:
        return (self._texts[number] for number in numbers)

    def save(self, folder: Path) -> None:
        content = {"unit": self.unit, "units": self._texts[1:], "letters": self.letters}
        (folder / self.file).write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Vocabulary:
        """
        Raises:
            OSError: it cannot be read.
            KeyError, TypeError, ValueError: it is something else.
        """
        content: Any = json.loads((folder / cls.file).read_text(encoding="utf-8"))
        letters = {str(letter): int(count) for letter, count in content["letters"].items()}
        return cls(str(content["unit"]), [str(one) for one in content["units"]], letters)


class Pieces:
    """Subwords made of bytes, capitals kept: nothing is unknown.

    Characters that Unicode writes in several ways are taken for their composed form (NFC).
    """

    file: str = "tokenizer.json"
    silent: tuple[int, ...] = tuple(range(len(SPECIAL)))

    def __init__(self, subwords: Subwords) -> None:
        self._subwords = subwords

    @classmethod
    def learn(cls, text: str, size: int) -> Pieces:
        """
        Raises:
            InputError: the size has no room for the 256 bytes.
        """
        return cls(Subwords.train(stretches(text), size, "bpe", lowercase=False))

    def __len__(self) -> int:
        return len(self._subwords)

    def encode(self, text: str) -> np.ndarray:
        return self._subwords.encode(list(stretches(text))).values.numpy() if text else np.empty(0, np.int64)

    def spelling(self, text: str) -> float:
        return 0.0

    def pieces(self, numbers: Iterator[int]) -> Iterator[str]:
        stream = DecodeStream(skip_special_tokens=True)
        for number in numbers:
            piece = stream.step(self._subwords.tokenizer, number)
            if piece:
                yield piece

    def save(self, folder: Path) -> None:
        self._subwords.save(folder / self.file)

    @classmethod
    def load(cls, folder: Path) -> Pieces:
        """
        Raises:
            OSError: it cannot be read.
            ValueError: it is something else.
        """
        return cls(Subwords.load(folder / cls.file))


def learn_units(text: str, unit: str, size: int) -> Units:
    """The vocabulary of a text."""
    return Pieces.learn(text, size) if unit == "subword" else Vocabulary.learn(text, unit, size)


def _split(text: str, unit: str) -> Sequence[str]:
    """The units of a text."""
    return text if unit == "character" else _WORD.findall(text)


def stretches(text: str) -> Iterator[str]:
    """A text in stretches of some length, each but the first with the space before a word at its beginning.

    There no subword crosses: the pieces are those of the whole text.
    """
    start = 0
    while len(text) - start > _AT_ONCE:
        end = between(text, start + _AT_ONCE)
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def between(text: str, place: int) -> int:
    """The next place in a text where a space is about to part two words; its end where there is none."""
    found = _BETWEEN.search(text, place)
    return found.start() if found else len(text)
