"""Subwords: what is encoded comes back, nothing is learned from other texts, and long texts keep both ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import InputError
from ostinato.text.subwords import SPECIAL, Subwords, shortened

TEXTS = ["the film was fine", "the film was dull , so dull", "a fine day for a film"] * 20
BPE = Subwords.train(TEXTS, 300)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_known_words_come_back(kind: str) -> None:
    subwords = Subwords.train(TEXTS, 300, kind)  # type: ignore[arg-type]
    encoded = subwords.encode(TEXTS[:3])
    assert [subwords.decode(one.tolist()).strip() for one in encoded] == TEXTS[:3]
    assert subwords.tokenizer.id_to_token(0) == SPECIAL[0] and len(subwords) <= 300


@given(st.text(st.characters(blacklist_categories=["Cs"]), min_size=1))
def test_bytes_leave_nothing_unknown(text: str) -> None:
    """Any text comes back, as small letters in composed form."""
    import unicodedata

    (encoded,) = Subwords(BPE.tokenizer).encode([text])
    assert len(encoded) >= 1
    if text.strip() and not text[0].isspace():
        composed = "".join(letter.lower() for letter in unicodedata.normalize("NFC", text))
        assert BPE.decode(encoded.tolist()).removeprefix(" ") == composed


def test_capitals() -> None:
    kept = Subwords.train(["The FILM"] * 9, 280, lowercase=False)
    assert kept.decode(kept.encode(["The FILM"]).values.tolist()).strip() == "The FILM"
    assert BPE.encode(["FILM"]).values.tolist() == BPE.encode(["film"]).values.tolist()


def test_long_texts_keep_both_ends() -> None:
    words = "first " + "film " * 500 + "last"
    encoded, cut = BPE.encode_and_count([words, "film"], 21)
    assert encoded.lengths.tolist() == [21, 1] and cut == 1
    whole = BPE.encode([words]).values
    assert encoded[0].tolist() == [*whole[:11].tolist(), *whole[-10:].tolist()]


def test_a_million_letters_take_no_time_and_keep_their_ends() -> None:
    text = "the film was fine " * 60_000
    encoded, cut = BPE.encode_and_count([text], 50)
    assert encoded.lengths.tolist() == [50] and cut == 1
    assert encoded[0].tolist()[-4:] == BPE.encode(["the film was fine "]).values.tolist()[-4:]


@given(st.integers(0, 40), st.integers(2, 20))
def test_shortened_keeps_the_ends(count: int, longest: int) -> None:
    numbers = np.arange(count)
    kept = shortened(numbers, longest)
    assert len(kept) == min(count, longest)
    if count > longest:
        assert kept[0] == 0 and kept[-1] == count - 1 and (np.diff(kept) > 0).all()
        assert (np.diff(kept) > 1).sum() <= 1


def test_batches_of_texts_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = BPE.encode(TEXTS)
    monkeypatch.setattr("ostinato.text.subwords.AT_ONCE", 7)
    found = BPE.encode(TEXTS)
    assert found.values.tolist() == expected.values.tolist() and found.lengths.tolist() == expected.lengths.tolist()


def test_saving(tmp_path: Path) -> None:
    BPE.save(tmp_path / "tokenizer.json")
    loaded = Subwords.load(tmp_path / "tokenizer.json")
    assert loaded.encode(TEXTS).values.tolist() == BPE.encode(TEXTS).values.tolist()
    for content in ("", "{}", '{"model": 1}'):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(ValueError):
            Subwords.load(tmp_path / "tokenizer.json")


def test_bad_arguments() -> None:
    with pytest.raises(InputError, match="the kind of subwords is 'words'; expected bpe or unigram"):
        Subwords.train(TEXTS, 300, "words")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="has 100 entries; expected at least 260"):
        Subwords.train(TEXTS, 100)
