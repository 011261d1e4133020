"""Units: no character is lost, and what is unknown is paid for."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import InputError
from ostinato.text import units
from ostinato.text.corpus import make_corpus, read_corpus
from ostinato.text.units import Pieces, Units, Vocabulary, learn_units, stretches

TEXT = "The cat's hat, the  Cat:\n\tdéjà vu — ça va? 42 cats and 42 hats.\n" * 40
UNITS = ("subword", "word", "character")


def written(vocabulary: Units, numbers: np.ndarray) -> str:
    return "".join(vocabulary.pieces(iter(numbers.tolist())))


@pytest.mark.parametrize("unit", UNITS)
def test_a_text_comes_back(unit: str) -> None:
    vocabulary = learn_units(TEXT, unit, 300)
    # the first subword has a space before it
    assert written(vocabulary, vocabulary.encode(TEXT)).removeprefix(" ") == TEXT
    assert vocabulary.spelling(TEXT) == 0


@settings(max_examples=20, deadline=None)
@given(st.text(max_size=60))
def test_subwords_lose_nothing_of_any_text(text: str) -> None:
    text = make_corpus(text).text
    numbers = PIECES.encode(text)
    assert "".join(PIECES.pieces(iter(numbers.tolist()))).removeprefix(" ") == text.removeprefix(" ")


PIECES = Pieces.learn(TEXT, 300)


@settings(max_examples=20, deadline=None)
@given(st.text(max_size=60))
def test_words_are_all_of_any_text(text: str) -> None:
    assert "".join(units._split(text, "word")) == text


def test_words_are_few_and_whole() -> None:
    assert units._split("The cat's  hat, x2.\n", "word") == ["The", " cat's", " ", " hat", ",", " x2", ".", "\n"]


def test_rare_units_are_unknown_and_spelled() -> None:
    vocabulary = Vocabulary.learn("aa bb aa bb aa cc", "word", 10)
    numbers = vocabulary.encode(" aa zz")
    assert numbers[0] > 0 and numbers[1] == 0
    # rare were "aa" at the beginning and " cc": 5 characters and 2 ends, 4 different; one more for each, and for others
    total = 5 + 2 + 4 + 1
    bits = math.log2(total / (2 + 1)) + math.log2(total / (1 + 1)) + 2 * (math.log2(total) + math.log2(0x110000))
    assert vocabulary.letters == {"a": 2, " ": 1, "c": 2, "": 2}
    assert vocabulary.spelling(" aa zz") == pytest.approx(bits)


def test_an_unknown_character_costs_more_than_a_known_one() -> None:
    vocabulary = Vocabulary.learn("abababac", "character", 10)
    assert vocabulary.spelling("abab") == 0
    assert 0 < vocabulary.spelling("c") < vocabulary.spelling("z")


def test_the_vocabulary_has_at_most_its_size() -> None:
    text = " ".join(f"w{k % 50}" for k in range(500))
    assert len(Vocabulary.learn(text, "word", 20)) == 20
    assert len(Pieces.learn(text, 280)) <= 280
    with pytest.raises(InputError, match="vocabulary has 100 entries"):
        Pieces.learn(text, 100)


def test_stretches_change_no_subword(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = PIECES.encode(TEXT)
    monkeypatch.setattr(units, "_AT_ONCE", 100)
    assert len(list(stretches(TEXT))) > 10 and "".join(stretches(TEXT)) == TEXT
    assert np.array_equal(PIECES.encode(TEXT), whole)


@pytest.mark.parametrize("unit", UNITS)
def test_saved_units_are_the_same(unit: str, tmp_path: Path) -> None:
    vocabulary = learn_units(TEXT, unit, 300)
    vocabulary.save(tmp_path)
    again = type(vocabulary).load(tmp_path)
    other = TEXT[:200] + " something quite different: Ω"
    assert np.array_equal(again.encode(other), vocabulary.encode(other))
    assert again.spelling(other) == vocabulary.spelling(other)


def test_bytes_wait_until_they_are_a_character() -> None:
    numbers = iter(PIECES.encode("🜚 ok").tolist())
    pieces = list(PIECES.pieces(numbers))
    assert "".join(pieces) == " 🜚 ok"
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_a_corpus_is_split_between_words_in_its_order() -> None:
    corpus = make_corpus(TEXT * 2)
    parts = corpus.split(0.1, 0.2)
    assert "".join(parts) == corpus.text
    assert all(part[0] == " " and part[1] != " " for part in parts[1:])
    assert [len(part) / len(corpus.text) for part in parts] == pytest.approx([0.7, 0.1, 0.2], abs=0.01)
    unbroken = make_corpus("x" * 3000).split(0.1, 0.1)
    assert [len(part) for part in unbroken] == [2400, 300, 300]
    with pytest.raises(InputError, match="99 characters; expected at least 2000"):
        make_corpus("x" * 99).split(0.1, 0.1)


def test_files_stand_behind_each_other(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "a.md").write_bytes("caf\u0065\u0301\r\nau lait".encode())
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"second"))
    (tmp_path / "c.jsonl").write_text('{"body": "one", "x": "-"}\n{"body": "two", "x": "-"}\n')
    plain = read_corpus([tmp_path / "a.md", tmp_path / "b.txt.gz"])
    assert plain.text == "café\nau lait\n\nsecond"
    assert read_corpus([tmp_path / "c.jsonl"], "body").text == "one\n\ntwo"


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("words")
    (tmp_path / "data.bin").write_bytes(b"\0\1\2")
    with pytest.raises(InputError, match="is no table"):
        read_corpus([tmp_path / "plain.txt"], "body")
    with pytest.raises(InputError, match="binary"):
        read_corpus([tmp_path / "data.bin"])
    with pytest.raises(InputError, match="does not exist"):
        read_corpus([tmp_path / "none.txt"])


def test_python_has_a_text_of_its_own() -> None:
    corpus = read_corpus([])
    assert len(corpus.text) > 200_000 and 'The "assert" statement' in corpus.text
