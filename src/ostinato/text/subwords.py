"""Subwords: pieces of words, learned from texts, that networks read instead of words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from ..errors import InputError
from ..sequences.ragged import Ragged

Kind = Literal["bpe", "unigram"]
KINDS = ("bpe", "unigram")

#: The first entries of every vocabulary: what fills up, what is unknown, and where a text begins and ends.
PAD, UNKNOWN, BEGIN, END = "[PAD]", "[UNK]", "[BOS]", "[EOS]"
SPECIAL = (PAD, UNKNOWN, BEGIN, END)

#: Texts that are encoded at once: what the library returns is many times as large as what is kept.
AT_ONCE = 2000
#: Characters of a text that are read for one subword that is kept: no language has longer subwords on average.
CHARACTERS = 20


class Subwords:
    """A vocabulary of subwords: texts to numbers and back.

    Attributes:
        tokenizer: of the library tokenizers.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """
        Raises:
            ValueError: the vocabulary does not begin with `SPECIAL`.
        """
        found = tuple(tokenizer.id_to_token(number) for number in range(len(SPECIAL)))
        if found != SPECIAL:
            raise ValueError(f"the vocabulary begins with {found}; expected {SPECIAL}")
        self.tokenizer = tokenizer

    @classmethod
    def train(cls, texts: Iterable[str], size: int = 16000, kind: Kind = "bpe", lowercase: bool = True) -> Subwords:
        """Learn a vocabulary.

        Args:
            texts: to learn from, and from no others.
            size: most entries; few texts have fewer.
            kind: "bpe" merges pairs of bytes that stand beside each other often (Sennrich, Haddow and Birch 2016,
                1508.07909), so that nothing is unknown; "unigram" keeps the pieces that make the texts likeliest (Kudo
                2018, 1804.10959).
            lowercase: whether capitals are taken for small letters.

        Raises:
            InputError: there is no such kind, or the size has no room for the single letters.
        """
        if kind not in KINDS:
            raise InputError(f"the kind of subwords is {kind!r}; expected {' or '.join(KINDS)}")
        least = len(SPECIAL) + 256
        if size < least:
            raise InputError(f"the vocabulary has {size} entries; expected at least {least}, for the single letters")
        tokenizer = _bpe() if kind == "bpe" else _unigram()
        normal = [normalizers.NFC(), *([normalizers.Lowercase()] if lowercase else [])]
        tokenizer.normalizer = normalizers.Sequence(normal)
        common: dict[str, Any] = {"vocab_size": size, "special_tokens": list(SPECIAL), "show_progress": False}
        trainer = (
            trainers.BpeTrainer(**common, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
            if kind == "bpe"
            else trainers.UnigramTrainer(**common, unk_token=UNKNOWN)
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    def __len__(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    def encode(self, texts: Sequence[str], longest: int | None = None) -> Ragged:
        """Texts as numbers, each at least one.

        Args:
            longest: most subwords of a text; of a longer one its first and its last half as many are kept, since
                reviewers sum up at the end. None keeps all.
        """
        return self.encode_and_count(texts, longest)[0]

    def encode_and_count(self, texts: Sequence[str], longest: int | None = None) -> tuple[Ragged, int]:
        """As `encode`; and how many texts were longer."""
        pieces: list[np.ndarray] = []
        cut = 0
        for start in range(0, len(texts), AT_ONCE):
            some = [_ends(text, longest) for text in texts[start : start + AT_ONCE]]
            for encoding in self.tokenizer.encode_batch_fast(some):
                # a text may be made of characters that normalising leaves out
                numbers = np.asarray(encoding.ids or [SPECIAL.index(UNKNOWN)], dtype=np.int64)
                pieces.append(shortened(numbers, longest))
                cut += len(pieces[-1]) < len(numbers)
        lengths = np.array([len(one) for one in pieces], dtype=np.int64)
        values = np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)
        return Ragged(torch.from_numpy(values), torch.from_numpy(lengths)), cut

    def decode(self, numbers: Sequence[int]) -> str:
        """Numbers as a text, without the special entries."""
        return str(self.tokenizer.decode([int(number) for number in numbers], skip_special_tokens=True))

    def token(self, number: int) -> str:
        """One entry of the vocabulary, as the library spells it."""
        return str(self.tokenizer.id_to_token(number))

    def to_json(self) -> str:
        """What `tokenizer.json` holds."""
        return str(self.tokenizer.to_str(pretty=False))

    @classmethod
    def from_json(cls, content: str) -> Subwords:
        """See `to_json`.

        Raises:
            ValueError: it is something else.
        """
        json.loads(content)
        try:
            tokenizer = Tokenizer.from_str(content)
        except Exception as error:  # the library raises Exception itself
            raise ValueError(f"not a tokenizer: {error}") from None
        return cls(tokenizer)

    def save(self, path: str | Path) -> None:
        """Write `tokenizer.json`."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Subwords:
        """Read `tokenizer.json`.

        Raises:
            OSError: it cannot be read.
            ValueError: it is something else.
        """
        return cls.from_json(Path(path).read_text(encoding="utf-8"))


def shortened(numbers: np.ndarray, longest: int | None) -> np.ndarray:
    """The first and the last half of `longest` entries of an array that has more."""
    if longest is None or len(numbers) <= longest:
        return numbers
    last = longest // 2
    return np.concatenate([numbers[: longest - last], numbers[len(numbers) - last :]])


def _ends(text: str, longest: int | None) -> str:
    """The text, less the middle of one far too long."""
    most = None if longest is None else CHARACTERS * longest
    if most is None or len(text) <= most:
        return text
    return f"{text[: most // 2]} {text[-(most // 2) :]}"


def _bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer
