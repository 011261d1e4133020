"""A text to learn a language from: of files, or what Python's `help()` knows about the language."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .table import content_of, decoded, read
from .units import between

#: Files that hold a text a row; all others are a text.
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
#: Characters that a text must have at least: of fewer, no part would tell anything.
LEAST = 2000


@dataclass(frozen=True)
class Corpus:
    """One long text.

    Attributes:
        source: where it comes from, for people.
        name: what a folder may be called after.
        text: composed characters (NFC), lines that end in a line feed.
    """

    source: str
    name: str
    text: str

    def split(self, validation: float, test: float) -> tuple[str, str, str]:
        """Its beginning to train on, then what to validate and what to test on, shares of its characters.

        Parts begin with the space before a word where there is one near, so that no word is cut.

        Raises:
            InputError: it is too short.
        """
        if len(self.text) < LEAST:
            raise InputError(f"{self.source} has {len(self.text)} characters; expected at least {LEAST}")
        first, second = (self._cut(share) for share in (validation + test, test))
        return self.text[:first], self.text[first:second], self.text[second:]

    def _cut(self, behind: float) -> int:
        place = round(len(self.text) * (1 - behind))
        near = between(self.text, place)
        return near if near - place < 1000 and near < len(self.text) else place


def make_corpus(text: str, source: str = "the text") -> Corpus:
    """A text in memory."""
    plain = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    return Corpus(source, Path(source).name.partition(".")[0], plain)


def read_corpus(paths: Sequence[str | Path], column: str | None = None) -> Corpus:
    """Files, one behind the other; none is Python's own text.

    Args:
        paths: text in UTF-8 whatever the name, or a table of texts (CSV, TSV, JSON lines, Parquet), which stand behind
            each other with an empty line between them; each also compressed by gzip.
        column: that holds the texts of a table.

    Raises:
        InputError: a file cannot be read, or it is a table without such a column.
    """
    if not paths:
        return _help()
    texts = [_text(Path(path), column) for path in paths]
    return make_corpus("\n\n".join(texts), ", ".join(str(path) for path in paths))


def _text(path: Path, column: str | None) -> str:
    if path.is_file() and any(suffix.lower() in TABLES for suffix in path.suffixes[-2:]):
        return "\n\n".join(read(path, column, labelled=False).texts)
    if column is not None:
        raise InputError(f"--text names a column, and {path} is no table; expected {', '.join(TABLES)}")
    if not path.is_file():
        raise InputError(f"{path} {'is a directory' if path.exists() else 'does not exist'}; expected a text")
    return decoded(content_of(path), str(path))


def _help() -> Corpus:
    """The topics of Python's `help()`: parts of its language reference, which every Python carries.

    Raises:
        InputError: this Python came without them.
    """
    try:
        from pydoc_data.topics import topics
    except ModuleNotFoundError:
        raise InputError("this Python came without the texts of help(); give a file of text") from None
    text = "\n\n".join(topics[name] for name in sorted(topics))
    return Corpus("the topics of Python's help()", "help", make_corpus(text).text)
